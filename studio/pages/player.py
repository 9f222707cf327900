"""The player of recorded turns, on the Correct and the Agreement page; its script is `assets/player.js`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.pages import shared


class Player:
    """A turn's recording. The browser remembers at which speed one hears, and whether turns play as they open."""

    def __init__(self, page: str, visible: bool = True) -> None:
        name = f"{page}.audio"
        self.audio = gr.Audio(
            interactive=False,
            visible=visible,
            label="Recording (Space plays, 0 changes the speed)",
            elem_id=name,
            elem_classes=["dst-player", "key-0"],
            buttons=[],
        )
        self.by_itself = gr.Checkbox(
            label="Play each turn as it opens", container=False, elem_id=f"{page}.plays_by_itself", elem_classes="dst-plain"
        )
        self._remembered = gr.BrowserState(False, storage_key="dst-studio-plays-by-itself", secret="not a secret: yes or no")
        self.audio.play(None, None, None, js=f"() => dstAtSpeed({name!r})", **shared.LIGHT)
        self.audio.change(None, self.by_itself, None, js=f"(yes) => dstOpened({name!r}, yes)", **shared.LIGHT)
        self.by_itself.input(None, self.by_itself, self._remembered, js="(yes) => yes", **shared.LIGHT)

    def wire(self, arrived: Any) -> None:
        """Do as the browser remembers, once the page has arrived."""
        arrived.then(None, self._remembered, self.by_itself, js="(yes) => yes", **shared.LIGHT)
