// The Talk page: hold to talk, hands-free, what is heard right now, the agent's voice, and prepared dialogues that play by themselves.
// The page tells what happened by dstTalk.said(), .answered(); what is recorded goes to it through the upload button.
window.dstTalk = (() => {
  const IDLE = 30_000; // ms after which a microphone that nobody uses is given back
  const SETTINGS = { silence: 800, voice: false, big: false };
  const STATES = {
    off: "Microphone off", opening: "Opening the microphone", ready: "Ready", listening: "Listening", hearing: "Hearing you",
    thinking: "Thinking", speaking: "Speaking",
  };
  const one = (id) => document.querySelector(`[id="${id}"]`);
  const kept = JSON.parse(localStorage.getItem("dst-talk") ?? "{}");
  const settings = { ...SETTINGS, ...kept };
  const player = new Audio();
  const now = { mic: "off", waits: 0, speaking: false, playing: false, turnEnded: 0, idle: 0, pressed: false };

  const here = () => one("talk.microphone") !== null;
  const part = (name) => document.querySelector(`[data-part="${name}"]`);
  const tell = (sentence, fault = false) => {
    const place = part("message");
    place.textContent = sentence;
    place.classList.toggle("fault", fault);
  };

  const show = () => {
    const root = part("root");
    if (!root) return;
    const idle = now.mic === "ready" && microphone.handsFree ? "listening" : now.mic;
    const state = now.mic === "hearing" ? "hearing" : now.speaking ? "speaking" : now.waits > 0 ? "thinking" : idle;
    if (root.dataset.state === state) return;
    root.dataset.state = state;
    part("state").textContent = STATES[state];
  };

  const microphone = new window.dstMicrophone({
    level: (decibels) => part("level")?.style.setProperty("--level", Math.max(0, Math.min(1, (decibels + 65) / 55)).toFixed(2)),
    state: (state) => { now.mic = state; show(); },
    turn: (file) => handOver(file),
    tooShort: () => tell("Nothing was heard: hold the button, or the space bar, while you speak."),
  });

  const open = async () => {
    clearTimeout(now.idle);
    if (microphone.context) return true;
    now.mic = "opening";
    show();
    try {
      await microphone.open();
      now.mic = "ready";
      tell("");
    } catch (error) {
      now.mic = "off";
      handsFree(false);
      tell(error.message, true);
    }
    show();
    return Boolean(microphone.context);
  };

  const close = () => {
    microphone.close();
    now.mic = "off";
    part("level")?.style.setProperty("--level", 0);
    show();
  };

  const rest = () => {
    clearTimeout(now.idle);
    if (!microphone.handsFree) now.idle = setTimeout(close, IDLE);
  };

  const press = async () => {
    if (now.pressed || microphone.handsFree) return;
    now.pressed = true;
    quiet();
    part("hold").setAttribute("aria-pressed", "true");
    if (await open() && now.pressed) microphone.hold();
  };

  const release = () => {
    if (!now.pressed) return;
    now.pressed = false;
    part("hold").setAttribute("aria-pressed", "false");
    microphone.release();
    rest();
  };

  const handsFree = async (wanted) => {
    microphone.handsFree = wanted && await open();
    part("hands-free").setAttribute("aria-pressed", String(microphone.handsFree));
    part("hold").disabled = microphone.handsFree;
    if (!wanted) rest();
    show();
  };

  // To the server as an upload: Gradio checks what comes by this way, and it works where there is no microphone.
  const field = () => document.querySelector('[id="talk.upload_panel"] input[type="file"]');
  const handOver = (file) => {
    const files = new DataTransfer();
    files.items.add(file);
    field().files = files.files;
    field().dispatchEvent(new Event("change", { bubbles: true }));
    now.turnEnded = performance.now();
  };

  // What the loudspeaker says must not be taken for a turn.
  const sounding = (speaking) => {
    now.speaking = microphone.muted = speaking;
    show();
  };

  const quiet = () => {
    player.pause();
    window.speechSynthesis?.cancel();
    sounding(false);
  };

  const sound = (address) => new Promise((done) => {
    quiet();
    sounding(true);
    player.onended = player.onerror = player.onpause = () => { sounding(false); done(); };
    player.src = address;
    player.play().catch(player.onerror);
  });

  const voices = () => window.speechSynthesis?.getVoices().length > 0;
  const speak = (text) => new Promise((done) => {
    if (!settings.voice || !voices()) return setTimeout(done, 600);
    quiet();
    sounding(true);
    const words = new SpeechSynthesisUtterance(text);
    words.lang = "en";
    words.onend = words.onerror = () => { sounding(false); done(); };
    window.speechSynthesis.speak(words);
  });

  // The newest turn is heard: a prepared one's recording, or the agent's words in the browser's voice.
  const last = () => [...document.querySelectorAll('[id="talk.conversation"] li')].at(-1);
  const drawn = () => new Promise((done) => setTimeout(() => { // the page is a moment behind its events
    const stage = one("talk.conversation");
    stage.scrollTop = stage.scrollHeight;
    done();
  }, 50));
  const heard = () => {
    const turn = last();
    if (!turn || turn.dataset.turn === now.newest) return Promise.resolve();
    now.newest = turn.dataset.turn;
    if (turn.matches(".agent:not(:has([data-play]))")) return speak(turn.querySelector("p").textContent);
    const address = now.prepared && turn.querySelector("[data-play]")?.dataset.play;
    return address ? sound(address) : Promise.resolve();
  };

  const next = () => { now.prepared = true; one("talk.next").click(); };
  const playAll = (wanted) => {
    now.playing = wanted;
    part("play-all").setAttribute("aria-pressed", String(wanted));
    if (wanted) next();
    else quiet();
  };

  const keep = () => {
    document.documentElement.classList.toggle("dst-big", settings.big);
    microphone.silence = settings.silence / 1000;
    localStorage.setItem("dst-talk", JSON.stringify(settings));
    if (!here()) return;
    for (const [name, value] of Object.entries(settings)) {
      const field = part(name);
      field[field.type === "checkbox" ? "checked" : "value"] = value;
    }
    part("silence-now").textContent = `${settings.silence} ms`;
    part("voice").disabled = !voices();
    part("no-voice").hidden = voices();
  };

  const on = (name, names, handle) => document.addEventListener(name, (event) => {
    const node = here() && event.target.closest?.("[data-part], [data-play]");
    if (node && (names === "*" || names.includes(node.dataset.part ?? "play"))) handle(node, event);
  });
  on("pointerdown", ["hold"], (node, event) => { if (event.button === 0) { node.setPointerCapture(event.pointerId); press(); } });
  on("pointerup", ["hold"], release);
  on("pointercancel", ["hold"], release);
  on("click", ["hands-free"], (node) => handsFree(node.getAttribute("aria-pressed") !== "true"));
  on("click", ["play-all"], (node) => playAll(node.getAttribute("aria-pressed") !== "true"));
  on("click", ["play"], (node) => sound(node.dataset.play));
  on("input", ["silence", "voice", "big"], (node) => {
    settings[node.dataset.part] = node.type === "checkbox" ? node.checked : Number(node.value);
    keep();
    if (node.dataset.part === "big") drawn(); // the newest turn stays in sight
  });
  window.speechSynthesis?.addEventListener("voiceschanged", keep);
  window.addEventListener("blur", release);
  window.addEventListener("pagehide", close);

  // Space talks wherever nobody types and no control was reached with the Tab key; those keep their own use of it.
  const TYPED_INTO = "input:not([type=radio], [type=checkbox], [type=file]), textarea, select, [contenteditable]";
  const talks = ({ key, target, isComposing }) => here() && key === " " && !isComposing
    && (target.matches("[data-part=hold]") || !target.matches(TYPED_INTO) && !(now.tabbed && target.matches("button, a, summary, input")));
  document.addEventListener("pointerdown", () => { now.tabbed = false; }, true);
  document.addEventListener("keydown", ({ key }) => { if (key === "Tab") now.tabbed = true; }, true);
  document.addEventListener("keydown", (event) => {
    if (!talks(event)) return;
    event.preventDefault();
    if (!event.repeat) press();
  });
  document.addEventListener("keyup", (event) => {
    if (talks(event)) event.preventDefault();
    if (event.key === " ") release();
  });

  document.addEventListener("dragover", (event) => here() && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!here() || !event.dataTransfer.files.length) return;
    event.preventDefault();
    handOver(event.dataTransfer.files[0]);
  });

  return {
    ready: () => { keep(); show(); drawn(); },
    said: () => {
      field().value = ""; // or the same file chosen again would be no change
      now.waits += 1;
      show();
      now.heard = drawn().then(heard);
    },
    answered: async () => {
      now.waits = Math.max(0, now.waits - 1);
      if (now.turnEnded && now.waits === 0) {
        tell(`Answered ${((performance.now() - now.turnEnded) / 1000).toFixed(1)} s after the turn ended.`);
        now.turnEnded = 0;
      }
      show();
      await drawn();
      await now.heard;
      now.prepared = now.playing;
      if (now.playing && now.waits === 0) one("talk.next").disabled ? playAll(false) : next();
    },
    typed: () => drawn().then(heard),
    next: () => { now.prepared = true; },
  };
})();
