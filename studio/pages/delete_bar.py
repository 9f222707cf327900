"""A button that deletes for good, once it is said twice."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.pages import shared


class DeleteBar:
    """The components, laid out in the row that is open; ``yes`` is the page's to wire, ``closed`` takes a first word back."""

    def __init__(self, elem_id: str, word: str = "Delete") -> None:
        options: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 130}
        self.ask = gr.Button(word, elem_id=elem_id, **options)
        self.yes = gr.Button(f"{word} for good", elem_id=f"{elem_id}_yes", variant="stop", visible=False, **options)
        self.no = gr.Button("Keep it", elem_id=f"{elem_id}_no", visible=False, **options)
        self.ask.click(self.asked, None, self.parts, **shared.LIGHT)
        self.no.click(self.closed, None, self.parts, **shared.LIGHT)

    @property
    def parts(self) -> list[Any]:
        """What `asked` and `closed` fill."""
        return [self.ask, self.yes, self.no]

    def asked(self) -> dict[Any, Any]:
        """Inputs: none. Outputs: the buttons, those of the second word."""
        return self._shown(True)

    def closed(self) -> dict[Any, Any]:
        """Inputs: none. Outputs: the buttons, that of the first word."""
        return self._shown(False)

    def nothing(self) -> dict[Any, Any]:
        """The buttons where there is nothing to delete."""
        return dict.fromkeys(self.parts, gr.update(visible=False))

    def _shown(self, asking: bool) -> dict[Any, Any]:
        return {
            self.ask: gr.update(visible=not asking),
            self.yes: gr.update(visible=asking),
            self.no: gr.update(visible=asking),
        }
