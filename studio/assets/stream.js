// Gradio's server ends the stream of answers whenever none is due, and its script opens another for the next event. What was
// asked for while the word of the end is on its way would wait for ever on the stream that has ended: a key pressed at the
// moment a save shows itself would do nothing. So that word reaches the script only when no answer is due; until then the
// stream is asked for anew behind it.
(() => {
  const plain = window.fetch;
  const asking = new Set(); // requests for events that are on their way
  const due = new Set(); // events whose answer is not complete

  const ask = async (...request) => {
    const asked = plain(...request).then(async (response) => {
      if (response.ok) due.add((await response.clone().json()).event_id);
      return response;
    });
    asking.add(asked);
    return asked.finally(() => asking.delete(asked));
  };

  // Server-sent events, each with the empty line that ends it.
  async function* events(response) {
    if (!response.ok) throw response;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      for (const part of parts) yield `${part}\n\n`;
    }
  }

  async function* answers(request, response) {
    for (;;) {
      let end;
      for await (const event of events(response)) {
        const { msg, event_id } = JSON.parse(event.slice("data:".length));
        if (msg === "process_completed") due.delete(event_id);
        if (msg === "close_stream") end = event;
        else yield event;
      }
      if (!end) return; // the server stopped
      while (asking.size) await Promise.allSettled(asking);
      if (!due.size) return yield end;
      response = await plain(request.clone());
    }
  }

  const listen = async (request) => {
    const response = await plain(request.clone());
    if (!response.ok) return response;
    const source = answers(request, response);
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await source.next(); // what goes wrong here goes wrong for who reads
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    return new Response(body.pipeThrough(new TextEncoderStream()), response);
  };

  window.fetch = (input, init) => {
    const path = new URL(input.url ?? input, location.href).pathname;
    if (path.endsWith("/queue/join")) return ask(input, init);
    return path.endsWith("/queue/data") ? listen(new Request(input, init)) : plain(input, init);
  };
})();
