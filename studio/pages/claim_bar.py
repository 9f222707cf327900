"""Who else has the open dialogue, and taking it over: a part of the Correct page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.pages import shared
from studio.services import claims
from studio.workspace import Workspace

SAFE = "You can look, and save too: what you both change is shown to the second before it is saved."
BLIND = "Two people annotate this dialogue, each without seeing the other's work; a reviewer decides where they differ."


class ClaimBar:
    """A line above the turn: who else has its dialogue, or that two people annotate it blind. Looking at a turn claims it, and so
    does a save."""

    def __init__(self, ws: Workspace, seen: gr.State) -> None:
        self.ws = ws
        self.seen = seen
        with gr.Row(visible=False, elem_id="correct.claim", elem_classes="dst-conflict") as self.row:
            self.holder = shared.block(elem_id="correct.claim_holder", scale=4)
            self.take = shared.action("Take over", "y", "correct.take_over")

    @property
    def parts(self) -> list[Any]:
        """What a claim shows anew."""
        return [self.row, self.holder, self.take]

    def wire(self) -> Any:
        """Returns the event of a dialogue that was taken over."""
        return self.take.click(self._take_over, self.seen, self.parts, **shared.SAVE)

    def claimed(self, now: dict[str, Any], author: str) -> dict[Any, Any]:
        """Claim the dialogue of the turn that is seen, and the bar for it.

        Raises:
            StudioError: no such turn.
        """
        turn_id = now.get("turn")
        other = claims.claim(self.ws, turn_id, author) if turn_id is not None else None
        if other is None:
            blind = bool(now.get("layer"))
            return {self.row: gr.update(visible=blind), self.holder: BLIND, self.take: gr.update(visible=False)}
        text = f"<b>{shared.escape(other.holder)}</b> works on this dialogue until {other.until.astimezone():%H:%M}. {SAFE}"
        return {self.row: gr.update(visible=True), self.holder: text, self.take: gr.update(visible=True)}

    @property
    def _take_over(self) -> Any:
        @shared.reported
        def take(now: dict[str, Any], request: gr.Request) -> Any:
            """Inputs: the turn. Outputs: correct.claim, correct.claim_holder, correct.take_over."""
            turn_id = now.get("turn")
            if turn_id is None:
                return gr.skip()
            claims.take_over(self.ws, turn_id, shared.author(request))
            return self.claimed(now, shared.author(request))

        return take
