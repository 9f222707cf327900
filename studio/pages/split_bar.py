"""Whether the open dialogue is held out: a part of the Correct page. It moves once it is said twice.

No key of its own: the two buttons are what Tab comes to behind the checkbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.services import dialogues, splits
from studio.services.views import DialogueView
from studio.workspace import Workspace

WORDS = {
    "test": "Hold <b>{}</b> out? It leaves the training data: it is scored on, and only an admin can have it trained on again.",
    "train": "Train on <b>{}</b>? It leaves the held-out dialogues that checkpoints are scored on.",
}


class SplitBar:
    """Made inside the page's layout, wired once the page knows what it shows of a dialogue that moved."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.asked = gr.State(None)  # which dialogue would move, and where to
        self.held_out = gr.Checkbox(False, label="Held out: for testing, never trained on", elem_id="correct.held_out")
        with gr.Row(visible=False, elem_classes=["dst-bar", "dst-asks"], elem_id="correct.move_bar") as self.row:
            self.text = shared.block(elem_id="correct.move_text", scale=1)
            options: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 96}
            self.yes = gr.Button("Move it", elem_id="correct.move_yes", variant="stop", **options)
            self.no = gr.Button("Leave it", elem_id="correct.move_no", **options)

    def wire(self, seen: gr.State, after: Callable[[DialogueView], dict[Any, Any]], outputs: list[Any]) -> None:
        """``after`` says what the page shows of a dialogue that moved, in ``outputs``."""
        bar = [self.asked, self.row, self.text, self.held_out]

        @shared.reported
        def ask(wanted: bool, now: dict[str, Any], request: gr.Request) -> Any:
            """Inputs: correct.held_out, the turn. Outputs: the bar, with correct.held_out as it stands till then."""
            if now.get("turn") is None:
                return gr.skip()
            dialogue = dialogues.get_dialogue(self.ws, dialogues.dialogue_of(self.ws, now["turn"]))
            split = "test" if wanted else "train"
            try:
                splits.check(self.ws, dialogue.id, split, shared.author(request))
            except StudioError as error:
                gr.Warning(shared.escape(error), title="Not done")
                return self._closed() | {self.held_out: not wanted}
            text = f"<div class='dst-alert' role='alert'>{WORDS[split].format(shared.escape(dialogue.name))}</div>"
            return {
                self.asked: (dialogue.id, split),
                self.row: gr.update(visible=True),
                self.text: text,
                self.held_out: not wanted,
            }

        @shared.reported
        def move(asked: tuple[int, str] | None, request: gr.Request) -> Any:
            """Inputs: which dialogue, and where to. Outputs: the bar, what the page shows of a dialogue that moved."""
            if asked is None:
                return gr.skip()
            dialogue_id, split = asked
            try:
                splits.move(self.ws, dialogue_id, split, shared.author(request))
            except StudioError as error:
                gr.Warning(shared.escape(error), title="Not done")
                return self._closed()
            return self._closed() | {self.held_out: split == "test"} | after(dialogues.get_dialogue(self.ws, dialogue_id))

        @shared.reported
        def leave_asked(asked: tuple[int, str] | None, now: dict[str, Any]) -> Any:
            """Ask no more where another dialogue is open. Inputs: which dialogue, the turn. Outputs: the bar."""
            turn_id = now.get("turn")
            if asked is None or (turn_id is not None and dialogues.dialogue_of(self.ws, turn_id) == asked[0]):
                return gr.skip()
            return self._closed()

        self.held_out.input(ask, [self.held_out, seen], bar, **shared.SAVE)
        self.yes.click(move, self.asked, [*bar, *outputs], **shared.SAVE)
        self.no.click(self._closed, None, bar, **shared.LIGHT)
        seen.change(leave_asked, [self.asked, seen], bar, **shared.LIGHT)

    def _closed(self) -> dict[Any, Any]:
        """Ask no more. Inputs: none. Outputs: the bar."""
        return {self.asked: None, self.row: gr.update(visible=False), self.text: ""}
