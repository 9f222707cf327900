// The head of Gradio's messages is a button around the button that closes them, of which a screen reader finds one only. It is
// no button any more: a click folds the message still, and keys reach the one that closes it.
new MutationObserver(() => {
  for (const head of document.querySelectorAll('.toast-header[role="button"]')) {
    head.removeAttribute("role");
    head.removeAttribute("tabindex");
  }
}).observe(document.documentElement, { childList: true, subtree: true });
