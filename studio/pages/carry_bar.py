"""The offer to carry a correction into later turns whose imported labels hold the same value: a part of the Correct page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.pages import shared
from studio.services import carrying, dialogues
from studio.services.carrying import Offer
from studio.services.views import TurnView
from studio.workspace import Workspace


class CarryBar:
    """Made inside the page's layout, wired once the page knows what a save shows."""

    def __init__(self, ws: Workspace, seen: gr.State) -> None:
        self.ws = ws
        self.seen = seen
        with gr.Row(visible=False, elem_classes="dst-bar", elem_id="correct.carry_bar") as self.row:
            self.text = shared.block(elem_id="correct.carry_text", scale=1)
            self.button = shared.action("Carry on", "6", "correct.carry")

    @property
    def parts(self) -> list[Any]:
        """What a save shows anew."""
        return [self.row, self.text]

    def shown(self, item: TurnView) -> dict[Any, Any]:
        """The bar for a turn; nothing where no later one holds what was corrected."""
        found = carrying.offer(self.ws, item.id, shared.reader(), item.layer)
        return {self.row: gr.update(visible=found is not None), self.text: offer_html(found) if found else ""}

    def wire(self, after: Callable[[TurnView], dict[Any, Any]], outputs: list[Any]) -> None:
        """``after`` says what the page shows of the turn."""

        @shared.reported
        def carry(now: dict[str, Any], request: gr.Request) -> Any:
            """Inputs: the turn. Outputs: what every save shows."""
            author = shared.allowed(self.ws, request)
            turn_id = now.get("turn")
            if turn_id is None:
                return gr.skip()
            number = carrying.carry(self.ws, turn_id, author, now["state"])
            gr.Info(f"Carried into {shared.count(number, 'later turn')}; each can be undone there.", duration=6)
            return after(dialogues.get_turn(self.ws, turn_id, now["layer"]))

        self.button.click(carry, self.seen, outputs, **shared.SAVE)


def offer_html(found: Offer) -> str:
    """Which values would go into which turns."""
    values = ", ".join(
        f"<b>{shared.escape('-'.join(place))}</b> {'no value' if value is None else shared.value_html(value)}"
        for place, value in found.values.items()
    )
    numbers = ", ".join(str(turn_id + 1) for turn_id in found.turns[:5]) + (", …" if len(found.turns) > 5 else "")
    turns = f"turn {numbers} holds" if len(found.turns) == 1 else f"{len(found.turns)} later turns ({numbers}) hold"
    return f"Imported labels do not follow by themselves: {turns} what was corrected here. Carry on: {values}"
