"""The notice on a dialogue that is held out, and the button that unlocks its labels: a part of the Correct page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.pages import shared
from studio.services import dialogues, labels
from studio.services.views import DialogueView, TurnView
from studio.workspace import Workspace


class HeldOutBar:
    """Made inside the page's layout, wired once the page knows what a save shows."""

    def __init__(self, ws: Workspace, seen: gr.State) -> None:
        self.ws = ws
        self.seen = seen
        with gr.Row(visible=False, elem_classes="dst-bar", elem_id="correct.held_out_bar") as self.row:
            self.text = shared.block(elem_id="correct.held_out_text", scale=1)
            self.button = shared.action("Unlock its labels", "-", "correct.unlock")

    @property
    def parts(self) -> list[Any]:
        """What a save shows anew."""
        return [self.row, self.text]

    def shown(self, dialogue: DialogueView) -> dict[Any, Any]:
        """The bar for a dialogue; nothing for one of ``train``."""
        text = f"<div class='dst-alert'><b>{dialogue.split}</b> · {labels.CHANGES_SCORES}</div>"
        return {self.row: gr.update(visible=dialogue.split != "train"), self.text: text}

    def wire(self, after: Callable[[TurnView], dict[Any, Any]], outputs: list[Any]) -> None:
        """``after`` says what the page shows of the turn."""

        @shared.reported
        def unlock(now: dict[str, Any], request: gr.Request) -> Any:
            """Inputs: the turn. Outputs: what every save shows."""
            turn_id = now.get("turn")
            if turn_id is None:
                return gr.skip()
            labels.unlock(self.ws, turn_id, shared.author(request))
            hours = labels.UNLOCKED_FOR.total_seconds() / 3600
            gr.Info(f"Labels of this dialogue can be changed by you for {hours:.0f} hours. Change them with care.", duration=6)
            return after(dialogues.get_turn(self.ws, turn_id, now["layer"]))

        self.button.click(unlock, self.seen, outputs, **shared.SAVE)
