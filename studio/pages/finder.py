"""The left side of the Correct page: what is next, filters and search, the project's dialogues, what became of one's corrections,
the turns of the open dialogue.

What is looked for is kept in the page's address beside the turn, so that a reload, a link or the browser's back comes to the
same turn and the same list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from db.models import ErrorKind, Speaker, TurnStatus
from db.repositories.queue import Filters
from studio.pages import shared
from studio.pages.mine_panel import MinePanel
from studio.pages.slot_form import Names, split_name
from studio.pages.split_bar import SplitBar
from studio.pages.turn_html import STATUS_TEXT, dialogue_label, entry_label
from studio.services import ontology, review, search
from studio.workspace import Workspace

LISTED = 50
TO_DO, SUBMITTED = "to do", "submitted"
STATUSES = [
    ("to do", TO_DO),
    ("all", "all"),
    *((text, name) for name, text in STATUS_TEXT.items()),
    ("sent to review", SUBMITTED),
]
SPEAKERS = [("user", "user"), ("agent", "agent"), ("both", "both")]
ERRORS = [("any", ""), ("misheard", "recognition"), ("misunderstood", "understanding")]
# Name in the address -> the value that is not written there.
DEFAULTS = {"text": "", "status": TO_DO, "slot": "", "speaker": "user", "error": ""}


class Finder:
    """The components and what they show; made inside the page's layout, wired by the page."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        with gr.Row(elem_classes="dst-bar"):
            self.search = gr.Textbox(
                label="Search (W)", placeholder="words, values", elem_id="correct.search", elem_classes="key-w", min_width=120
            )
            self.paused = shared.paused("correct.search")
            self.status = gr.Dropdown(STATUSES, value=TO_DO, label="Status", elem_id="correct.status", min_width=100)
        with gr.Accordion("More filters", open=False, elem_id="correct.filters") as self.more, gr.Row(elem_classes="dst-bar"):
            self.slot = gr.Dropdown([("any", "")], value="", label="Domain or slot", elem_id="correct.slot_filter", min_width=130)
            self.speaker = gr.Dropdown(SPEAKERS, value="user", label="Speaker", elem_id="correct.speaker", min_width=80)
            self.error = gr.Dropdown(ERRORS, value="", label="Error", elem_id="correct.error", min_width=110)
        with gr.Tabs(elem_id="correct.lists") as self.tabs:
            with gr.Tab("Queue", id="queue", elem_id="correct.queue_tab"):
                self.queue = gr.Radio([], label="Next", elem_id="correct.queue", elem_classes="dst-list", interactive=True)
            with gr.Tab("Dialogues", id="dialogues", elem_id="correct.dialogues_tab"):
                self.dialogue = gr.Radio(
                    [], label="Dialogues", elem_id="correct.dialogue", elem_classes="dst-list", interactive=True
                )
            self.mine = MinePanel(ws)
        self.turn = gr.Radio(
            [], label="Turns of this dialogue", elem_id="correct.turn", elem_classes="dst-list", interactive=True
        )
        self.split = SplitBar(ws)

    @property
    def filters(self) -> list[Any]:
        """What is looked for, in the order of ``DEFAULTS``."""
        return [self.search, self.status, self.slot, self.speaker, self.error]

    @property
    def lists(self) -> list[Any]:
        """What is shown of it."""
        return [self.queue, self.dialogue]

    def wanted_in(self, address: Mapping[str, str]) -> tuple[str, ...]:
        """What an address looks for; what it names wrongly is the default."""
        known = {"status": STATUSES, "speaker": SPEAKERS, "error": ERRORS}
        found = {name: address.get(name, default) for name, default in DEFAULTS.items()}
        for name, options in known.items():
            if found[name] not in [value for _, value in options]:
                found[name] = DEFAULTS[name]
        return tuple(found.values())

    def show_filters(self, project_id: int | None, wanted: tuple[str, ...]) -> dict[Any, Any]:
        """The filters' fields for a project; one that leaves turns out is not folded away."""
        slots = ontology.slots(self.ws, project_id) if project_id is not None else {}
        names = [name for domain, found in slots.items() for name in (domain, *(f"{domain}-{slot}" for slot in found))]
        options = [("any", ""), *((name, name) for name in names)]
        values: dict[Any, Any] = dict(zip(self.filters, wanted, strict=True))
        values[self.slot] = gr.update(choices=options, value=wanted[2] if wanted[2] in ("", *names) else "")
        folded = wanted[2:] == tuple(DEFAULTS.values())[2:]
        return values | {self.more: gr.skip() if folded else gr.update(open=True)}

    def asked(self, project_id: int, *wanted: str) -> Filters:
        """What the fields ask for in a project."""
        return filters_of(*wanted, known=ontology.slots(self.ws, project_id) if wanted[2] else {})

    def list_all(self, project_id: int | None, turn_id: int | None, dialogue_id: int | None, *wanted: str) -> dict[Any, Any]:
        """Queue and dialogues; what is open is marked where it is listed."""
        if project_id is None:
            return {self.queue: gr.update(choices=[], value=None), self.dialogue: gr.update(choices=[], value=None)}
        asked = self.asked(project_id, *wanted)
        page = search.doubtful(self.ws, project_id, asked, LISTED)
        entries = {entry.turn_id: entry_label(entry, entry.turn_id in page.drawn) for entry in page.entries}
        of_dialogues = asked
        if wanted[1] == TO_DO:  # a list to look around in: what is done stays in it
            of_dialogues = replace(of_dialogues, statuses=(), words_only=False, recorded=False, demos=True, annotator=None)
        rows, more = search.dialogues(self.ws, project_id, of_dialogues, LISTED, dialogue_id)
        listed = {row.id: dialogue_label(row) for row in rows}
        return {
            self.queue: gr.update(
                choices=[(label, id_) for id_, label in entries.items()],
                value=turn_id if turn_id in entries else None,
                label=f"Next: {_how_many(page.total)}",
            ),
            self.dialogue: gr.update(
                choices=[(label, id_) for id_, label in listed.items()],
                value=dialogue_id if dialogue_id in listed else None,
                label=f"The newest {LISTED} dialogues: search for others" if more else shared.count(len(rows), "dialogue"),
            ),
        }


def filters_of(text: str, status: str, slot: str, speaker: str, error: str, *, known: Names | None = None) -> Filters:
    """What the fields ask for; ``known``: as for `split_name`."""
    if status == TO_DO:
        base = replace(search.TO_CORRECT, annotator=shared.reader())
    elif status == SUBMITTED:
        base = review.TO_REVIEW
    else:
        base = Filters(statuses=() if status == "all" else (TurnStatus(status),))
    domain, name = split_name(slot, known or {}) if "-" in slot and slot not in (known or {}) else (slot, "")
    return replace(
        base,
        text=text or "",
        speaker=None if speaker == "both" else Speaker(speaker),
        domain=domain,
        slot=name,
        error=ErrorKind(error) if error else None,
    )


def _how_many(total: int) -> str:
    if total <= LISTED:
        return shared.count(total, "turn")
    return f"the first {LISTED} of {total}{' or more' if total == search.COUNTED else ''}"


def address_of(search_part: str) -> dict[str, str]:
    """Names and values of an address's part behind ``?``."""
    return dict(parse_qsl((search_part or "").lstrip("?")))
