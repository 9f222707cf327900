"""What the Correct page is measured against: an ordinary labelling form, as one builds it from a dropdown for each slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr


@dataclass(frozen=True)
class Item:
    """A turn: its recording (played as soon as it is shown), what was heard, and the model's slots (``domain-slot`` -> value)."""

    audio: Path | None
    heard: str
    slots: Mapping[str, str]


@dataclass
class PlainForm:
    """Serves itself on ``port``; ``saved`` gets one mapping a turn. The n-th slot's elem id is ``slot-n``, the button's ``save``.

    Args:
        values: the known values of each slot; an empty one, which takes the slot away, stands before them.
    """

    items: Sequence[Item]
    values: Mapping[str, Sequence[str]]
    port: int
    saved: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with gr.Blocks() as self.demo:
            number = gr.Number(-1, label="Turn", interactive=False, elem_id="turn")
            audio = gr.Audio(interactive=False, autoplay=True, label="Recording")
            heard = gr.Textbox(label="Transcript")
            fields = [
                gr.Dropdown(["", *known], value="", label=name, elem_id=f"slot-{place}", interactive=True)
                for place, (name, known) in enumerate(self.values.items())
            ]
            shown = [number, audio, heard, *fields]
            gr.Button("Save and next", elem_id="save").click(self._save, [number, *fields], shown)
            self.demo.load(lambda: self._show(0), None, shown)

    def _show(self, number: int) -> list:
        item = self.items[min(number, len(self.items) - 1)]
        audio = str(item.audio) if item.audio else None
        return [number, audio, item.heard, *(item.slots.get(name, "") for name in self.values)]

    def _save(self, number: float, *chosen: str) -> list:
        self.saved.append({name: value for name, value in zip(self.values, chosen, strict=True) if value})
        return self._show(int(number) + 1)

    def __enter__(self) -> PlainForm:
        folders = sorted({str(item.audio.parent) for item in self.items if item.audio})
        self.demo.launch(server_port=self.port, prevent_thread_lock=True, quiet=True, inbrowser=False, allowed_paths=folders)
        return self

    def __exit__(self, *_: object) -> None:
        self.demo.close()
