// What Gradio's components lack for people with a keyboard or a screen reader: text that scrolls and cannot be edited takes the
// focus, or its keys could not scroll it, and the name of a picture says that it is one.
(() => {
  const mend = () => {
    for (const text of document.querySelectorAll(".cm-scroller[tabindex='-1']:has(> [contenteditable=false])")) text.tabIndex = 0;
    for (const picture of document.querySelectorAll("div[aria-label='Static column']:not([role])")) picture.setAttribute("role", "img");
  };
  let asked = 0;
  new MutationObserver(() => (asked ||= requestAnimationFrame(() => ((asked = 0), mend())))).observe(document, { childList: true, subtree: true });
})();
