// The page's address follows what is shown, so that a reload, a bookmark or a shared link comes back to it.
window.dstAddress = (names, ids) => {
  const shown = names.map((name, place) => [name, ids[place]]).filter(([, id]) => id);
  if (shown.length) history.replaceState(null, "", `${location.pathname}?${new URLSearchParams(shown)}`);
};

// Keys of the Correct page. A control with the class key-x is pressed by the key x; Space plays the recording.
// Keys sleep while somebody types (Escape leaves a field) and leave alone whatever is held with Ctrl, Alt or Meta.
(() => {
  const typing = (node) =>
    node.isContentEditable || /^(input|textarea|select)$/i.test(node.tagName) && !/^(radio|checkbox|button)$/.test(node.type);

  document.addEventListener("keydown", (event) => {
    const node = event.target;
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (typing(node)) {
      if (event.key === "Escape") node.blur();
      return;
    }
    const space = event.key === " " && !/^(button|a|summary)$/i.test(node.tagName);
    const control = space
      ? document.querySelector('[id="correct.audio"] .play-pause-button')
      : /^[a-z0-9]$/i.test(event.key) && document.querySelector(`button.key-${event.key.toLowerCase()}`);
    if (!control || control.disabled) return;
    event.preventDefault();
    control.click();
  });
})();
