"""What is done while Gradio's stream of answers is being closed gets its answer all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import Studio, View

pytestmark = pytest.mark.browser

# A slow line: the word that the stream ends comes half a second late, other answers at once. What is asked for in that
# time Gradio's script would wait for on a stream that nobody writes to any more.
SLOW_END = """(() => {
  const plain = window.fetch;
  window.fetch = async (input, init) => {
    const response = await plain(input, init);
    if (!String(input.url ?? input).includes("/queue/data?")) return response;
    const late = new TransformStream({
      async transform(chunk, controller) {
        if (new TextDecoder().decode(chunk).includes('"close_stream"')) {
          window.ending = true;
          await new Promise((done) => setTimeout(done, 500));
          window.ending = false;
        }
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(late), response);
  };
})();"""


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--labelled")


def test_a_key_at_the_moment_the_stream_ends_is_answered(studio: Studio, open_view: Callable[..., View]) -> None:
    view = open_view(studio)
    view.page.add_init_script(SLOW_END)
    view.go("correct?turn=1")
    view.says("correct.title", "Turn 1")
    for key, turn in (("n", "Turn 2"), ("p", "Turn 1")) * 2:
        view.page.wait_for_function("window.ending")
        view.page.keyboard.press(key)
        view.says("correct.title", turn, seconds=15)
    view.clean()
