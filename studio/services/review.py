"""The way of a turn from corrected to final: sent to review, reviewed or handed back with a note, closed, opened again.

Each step is an event that stays: who, when, and what was said about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from db.models import EventKind, TurnEvent, TurnStatus, utc_now
from db.repositories import dialogues, follows, revisions
from db.repositories.queue import Filters
from db.repositories.revisions import LABELS
from studio.errors import StudioError
from studio.services import corrections, people
from studio.services.views import TurnView, locked_turn, turn_view
from studio.workspace import Workspace

Step = Literal["note", "submitted", "returned", "reviewed", "final", "reopened"]
Happened = Step | Literal["unlocked", "taken over"]

TO_REVIEW = Filters(statuses=(TurnStatus.CORRECTED,), submitted=True)


@dataclass(frozen=True)
class EventView:
    """One step of a turn's review, or a note on it."""

    kind: Happened
    text: str
    author: str
    created: datetime


def events(ws: Workspace, turn_id: int, layer: str = LABELS) -> list[EventView]:
    """What happened to a turn besides its corrections, newest first; a blind annotator sees what they did themselves."""
    with ws.read() as session:
        turn = dialogues.turn_with_events(session, turn_id)
        found = turn.events if turn is not None else []
        return [
            EventView(event.kind.value, event.text, event.author, event.created)
            for event in reversed(found)
            if layer in (LABELS, event.author)
        ]


def take_step(
    ws: Workspace,
    turn_id: int,
    step: Step,
    author: str,
    text: str = "",
    layer: str = LABELS,
    expected: tuple[int | None, int | None] | None = None,
) -> TurnView:
    """Write a note, or take a turn one step further or back.

    ``submitted``: a corrected turn goes to review. ``returned``: a reviewer hands it back and says why; one that was reviewed
    is not any more. ``reviewed``, ``final``: a reviewer agrees, then closes it. ``reopened``: it may be corrected again.

    ``expected`` are ``TurnView.head`` and ``TurnView.prediction_id`` as the author saw them: who agrees, agrees with what they
    saw. Without, whatever stands is meant.

    Raises:
        ConflictError: ``reviewed``, ``final``: somebody changed the turn since, or the model answered.
        StudioError: the turn is not where this step begins, a note is missing, the author may not, or no such turn.
    """
    kind = EventKind(step)
    people.require(ws, author, "annotator" if kind in (EventKind.NOTE, EventKind.SUBMITTED) else "reviewer")
    if kind in (EventKind.NOTE, EventKind.RETURNED) and not text.strip():
        raise StudioError("Say what is to be done about this turn: write a note.")
    with ws.write() as session:
        turn = locked_turn(session, turn_id)
        begins, problem = _BEGINS.get(kind, (tuple(TurnStatus), ""))
        if turn.status not in begins:
            raise StudioError(problem)
        if kind in _BECOMES and expected is not None:
            corrections.check_seen(session, turn, turn_view(ws, session, turn, layer), *expected)
        if kind == EventKind.SUBMITTED:
            turn.submitted = utc_now()
        elif kind != EventKind.NOTE:
            turn.submitted = None
        if kind in _BECOMES:
            turn.status = _BECOMES[kind]
        elif kind in (EventKind.RETURNED, EventKind.REOPENED):
            revisions.update_status(turn)
        turn.events.append(TurnEvent(kind=kind, text=text.strip(), author=author))
        session.flush()
        view = turn_view(ws, session, turn, layer)
        if kind not in (EventKind.NOTE, EventKind.SUBMITTED):  # what is reviewed is settled
            follows.ask(session, turn_id, view.layer)
        return view


_BECOMES = {EventKind.REVIEWED: TurnStatus.REVIEWED, EventKind.FINAL: TurnStatus.FINAL}
_BEGINS: dict[EventKind, tuple[tuple[TurnStatus, ...], str]] = {
    EventKind.SUBMITTED: (
        (TurnStatus.CORRECTED,),
        "Only a corrected turn goes to review: correct it, or say that all is correct.",
    ),
    EventKind.RETURNED: (
        (TurnStatus.CORRECTED, TurnStatus.REVIEWED),
        "Only a corrected or reviewed turn can be handed back: reopen a final one first.",
    ),
    EventKind.REVIEWED: ((TurnStatus.CORRECTED,), "Only a corrected turn can be reviewed: correct it first."),
    EventKind.FINAL: ((TurnStatus.REVIEWED,), "Only a reviewed turn can be closed: review it first."),
    EventKind.REOPENED: ((TurnStatus.REVIEWED, TurnStatus.FINAL), "This turn is open: there is nothing to reopen."),
}
