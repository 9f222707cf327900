// The players of recorded turns.
(() => {
  const canvas = (player) => [...player.querySelectorAll("div")].map((part) => part.shadowRoot?.querySelector("canvas")).find(Boolean);
  let awaited = 0;
  // A recording that is still on its way plays as soon as it is there; what the player shows until then is `before`.
  window.dstPlay = (player, before = null, tries = 50) => {
    clearTimeout(awaited);
    const drawn = canvas(player);
    if (drawn && drawn !== before) player.querySelector(".play-pause-button").click();
    else if (tries) awaited = setTimeout(dstPlay, 100, player, before, tries - 1);
  };
  // Browsers let nothing play before the page was touched.
  window.dstOpened = (id, playsByItself) => {
    const player = document.getElementById(id);
    if (player && playsByItself && navigator.userActivation.hasBeenActive) dstPlay(player, canvas(player));
  };
})();

// The speed at which one hears is kept in the browser. Gradio's player runs each new recording at its natural speed, whatever its
// button says: as a recording begins to play the button is pressed until it is at the speed once more.
(() => {
  const SPEED = "dst-studio-speed";
  const speedOf = (button) => button.textContent.trim();
  let turning = false; // the button is pressed here, not by somebody
  const turnTo = (button, speed, pressed) => {
    turning = pressed < 4 && !(pressed && speedOf(button) === speed);
    if (!turning) return;
    button.click();
    setTimeout(turnTo, 0, button, speed, pressed + 1);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".dst-player .playback");
    if (button && !turning) setTimeout(() => localStorage.setItem(SPEED, speedOf(button)));
  });
  window.dstAtSpeed = (id) => {
    const button = document.getElementById(id)?.querySelector(".playback");
    const speed = localStorage.getItem(SPEED);
    if (button && speed) turnTo(button, speed, 0);
  };
})();
