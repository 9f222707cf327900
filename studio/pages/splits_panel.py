"""Moves between train, dev and test, and the record of them: a part of the Data page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from db.repositories.queue import Filters
from engine.dialogue import SPLITS
from studio.errors import StudioError
from studio.pages import shared
from studio.services import search, splits
from studio.services.splits import MoveView
from studio.workspace import Workspace

LISTED = 200


class SplitsPanel:
    """Made inside the page's layout; ``shown`` fills it for a project."""

    def __init__(self, ws: Workspace, project: gr.Dropdown) -> None:
        self.ws = ws
        gr.Markdown("### Move between splits", elem_id="data.splits_title")
        with gr.Row(elem_classes="dst-bar"):
            self.search = gr.Textbox(label="Search", placeholder="name or words", elem_id="data.split_search", min_width=110)
            self.dialogue = gr.Dropdown([], label="Dialogue", elem_id="data.split_dialogue", interactive=True, min_width=180)
            self.split = gr.Radio(list(SPLITS), value="test", label="To", elem_id="data.split_to", min_width=150)
        self.why = gr.Textbox(
            label="Why",
            info="Kept with the move. Needed for what runs were scored on; what was held out is moved to train by an admin.",
            elem_id="data.split_why",
        )
        button = gr.Button("Move", elem_id="data.move")
        self.notice = shared.block(elem_id="data.split_notice", elem_classes="dst-notice")
        with gr.Accordion("Moves so far", open=False, elem_id="data.moves_panel"):
            self.moves = shared.block(elem_id="data.moves", elem_classes="dst-wide")
        self.search.input(self.find, [project, self.search], self.dialogue, **shared.LIGHT)
        form = [project, self.search, self.dialogue, self.split, self.why]
        button.click(self._move, form, [self.notice, self.why, *self.parts], **shared.ACT)

    @property
    def parts(self) -> list[Any]:
        """What is shown anew with a project."""
        return [self.dialogue, self.moves]

    def shown(self, project_id: int | None, words: str = "") -> dict[Any, Any]:
        """The dialogues of a project and their moves."""
        told = moves_html(splits.moves(self.ws, project_id)) if project_id is not None else ""
        return {self.dialogue: self.find(project_id, words), self.moves: told}

    def find(self, project_id: int | None, words: str) -> Any:
        """What is offered to be moved. Inputs: data.project, data.split_search. Outputs: data.split_dialogue."""
        looked_for = Filters(text=words or "", speaker=None)
        found, more = search.dialogues(self.ws, project_id, looked_for, LISTED) if project_id is not None else ([], False)
        label = f"Dialogue (the newest {LISTED}: search for others)" if more else "Dialogue"
        return gr.update(choices=[(f"{row.name} · {row.split}", row.id) for row in found], value=None, label=label)

    def _move(
        self, project_id: int, words: str, dialogue_id: int | None, split: str, why: str, request: gr.Request
    ) -> dict[Any, Any]:
        """Inputs: data.project and the panel. Outputs: data.split_notice, data.split_why, data.split_dialogue, data.moves."""
        try:
            if dialogue_id is None:
                raise StudioError("Choose the dialogue that is to be moved.")
            moved = splits.move(self.ws, dialogue_id, split, shared.author(request), why or "")
        except StudioError as error:
            return {self.notice: shared.alert(error)}
        told = f"{shared.saved()}: moved to {split}" if moved else f"It is in {split} already."
        return {self.notice: told, self.why: ""} | self.shown(project_id, words)


def moves_html(found: Sequence[MoveView]) -> str:
    """Every move, newest first."""
    if not found:
        return shared.empty("No move yet", "Who moved a dialogue to another split, when and why is kept here.")
    rows = [
        [
            shared.day_clock(move.created),
            shared.escape(move.author),
            f"<a href='correct?dialogue={move.dialogue_id}'>{shared.escape(move.dialogue)}</a>",
            f"{move.old} → <b>{move.new}</b>" + (" <span class='dst-tag'>scored before</span>" if move.scored else ""),
            shared.escape(move.why),
        ]
        for move in found[:LISTED]
    ]
    return shared.table(("Time", "Who", "Dialogue", "Move", "Why"), rows)
