// The page's address follows what is shown, so that a reload, a bookmark or a shared link comes back to it. Another turn is a
// step to which the browser's back returns; another filter is none. What has its default value is left out.
window.dstAddress = (names, defaults, values) => {
  const all = [...names, ...Object.keys(defaults)].map((name, place) => [name, values[place]]);
  const shown = all.filter(([name, value]) => value && value !== defaults[name]);
  if (!names.some((name, place) => values[place])) return;
  const now = new URLSearchParams(location.search);
  const address = `${location.pathname}?${new URLSearchParams(shown)}`;
  const step = names.includes("turn") && now.has("turn") && now.get("turn") !== String(values[names.indexOf("turn")]);
  history[step ? "pushState" : "replaceState"](null, "", address);
};
window.addEventListener("popstate", () => document.getElementById("correct.by_address")?.click());

// What a button has had made goes to the browser's downloads.
window.dstDownload = (file) => {
  if (file) Object.assign(document.createElement("a"), { href: file.url, download: file.orig_name }).click();
};

// A field whose text the server wants while it is typed (a draft, a search) tells it when the hands pause, not with every key.
// The turn that is on view may change before they do: what was typed is told with the one it was typed in.
(() => {
  const waiting = {};
  const typed = {}; // by field, what the server has yet to be told: the text, and what was on view
  const onView = () => document.getElementById("correct.on_view")?.querySelector("input, textarea")?.value;
  window.dstTyped = (id, text, shown) => {
    const first = typed[id]?.shift();
    if (typed[id]?.length) setTimeout(() => document.getElementById(`${id}.paused`).click());
    return first ? [first.text, first.shown] : [text, shown];
  };
  document.addEventListener("input", (event) => {
    const id = event.target.closest(".block[id]")?.id;
    const button = id && document.getElementById(`${id}.paused`);
    if (!button) return;
    if (button.matches(".dst-of-turn")) {
      const [text, shown, all] = [event.target.value, onView(), (typed[id] ??= [])];
      if (all.length && all.at(-1).shown === shown) all.pop();
      all.push({ text, shown });
    }
    clearTimeout(waiting[id]);
    waiting[id] = setTimeout(() => button.click(), 350);
  });
  // Enter has sent it already, and so has leaving a field that is saved or kept then: told now, it would come back as a draft.
  const sent = (event) => {
    const id = event.target.closest?.(".block[id]")?.id;
    const button = waiting[id] && document.getElementById(`${id}.paused`);
    if (event.key !== "Enter" && !button?.matches(".dst-sent-on-leaving")) return;
    clearTimeout(waiting[id]);
    typed[id] = (typed[id] ?? []).filter(({ shown }) => shown !== onView());
    if (typed[id].length) button.click();
  };
  document.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && sent(event), true);
  document.addEventListener("focusout", sent);
})();

// Keys of the Correct page. A control with the class key-x is pressed, a field with it entered, by the key x; Space plays.
// Keys sleep while somebody types (Escape leaves a field) and leave alone whatever is held with Ctrl, Alt or Meta.
(() => {
  const typing = (node) =>
    node.isContentEditable || /^(input|textarea|select)$/i.test(node.tagName) && !/^(radio|checkbox|button)$/.test(node.type);

  let held = null; // the key that acted last: while it is held it acts no more, nor types into the field that it entered
  document.addEventListener("keydown", (event) => {
    const node = event.target;
    if (!event.repeat) held = null;
    else if (event.key === held) return event.preventDefault();
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (typing(node)) {
      if (event.key === "Escape") node.blur();
      return;
    }
    const pressed = node.matches("button, a, summary, input") && !(node.type === "radio" && node.checked); // what Space presses
    const space = event.key === " " && !pressed;
    const control = space
      ? document.querySelector('[id="correct.audio"], [id="agreement.audio"]')
      : /^[a-z0-9-]$/i.test(event.key) && document.querySelector(`.key-${event.key.toLowerCase()}`);
    if (!control || control.disabled || !control.offsetParent) return; // what one does not see has no key
    event.preventDefault();
    if (event.repeat) return;
    held = event.key;
    if (space) return dstPlay(control);
    if (control.matches(".dst-player")) return control.querySelector(".playback")?.click();
    const field = control.matches("input") ? control : control.querySelector("input, textarea");
    if (!field || control.matches("button")) return control.click();
    field.focus();
    field.select();
  });
})();
