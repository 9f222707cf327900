"""Deciding on turns that two people annotated blind: what a reviewer takes or writes is the project's, both layers stay."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, LABELLED, RevisionKind, Turn
from db.repositories import doubles, predictions, revisions
from engine.dialogue import State, Value, iterate_slots
from studio.errors import ConflictError, StudioError
from studio.services import corrections, people
from studio.services.agreement import Place, slots_of
from studio.services.dialogues import get_turn
from studio.workspace import Workspace


@dataclass(frozen=True)
class Waiting:
    """A turn to decide on. ``agreed``: all annotators have the same words and values."""

    turn_id: int
    dialogue: str
    number: int
    annotators: tuple[str, ...]
    agreed: bool


@dataclass(frozen=True)
class Labels:
    """What one annotator made of a turn. ``head`` is the id of the newest revision of it."""

    annotator: str
    transcript: str
    state: State
    head: int | None


@dataclass(frozen=True)
class SlotRow:
    """One slot in all annotators' states, in their order; ``None``: no value."""

    domain: str
    slot: str
    values: tuple[Value | None, ...]
    agreed: bool


@dataclass(frozen=True)
class Comparison:
    """A turn's annotations side by side: all slots that somebody gave a value, those in dispute first."""

    turn_id: int
    labels: tuple[Labels, ...]
    slots: tuple[SlotRow, ...]
    same_words: bool

    @property
    def agreed(self) -> bool:
        """Whether there is nothing to decide."""
        return self.same_words and all(row.agreed for row in self.slots)


def waiting(ws: Workspace, project_id: int) -> list[Waiting]:
    """The turns to decide on, those in dispute first, else in their dialogues' order."""
    with ws.read() as session:
        found = [
            Waiting(turn.id, turn.dialogue.name, turn.turn_id, tuple(names), _compared(turn, names).agreed)
            for turn, names in doubles.to_decide(session, project_id)
        ]
    return sorted(found, key=lambda item: item.agreed)


def compare(ws: Workspace, turn_id: int) -> Comparison:
    """The annotations of one turn.

    Raises:
        StudioError: fewer than two people have annotated it, or somebody has decided.
    """
    with ws.read() as session:
        turn = _open(session, turn_id)
        return _compared(turn, doubles.annotators(turn))


ANY_HEAD = -1  # in place of a head that was seen: whatever stands


def take(ws: Workspace, turn_id: int, annotator: str, author: str, expected: int | None = ANY_HEAD) -> None:
    """Make one annotator's words and state the project's. ``expected`` is ``Labels.head`` as the author saw it; without, whatever
    stands is meant.

    Raises:
        ConflictError: the annotator changed them since.
        StudioError: they have not annotated it, somebody has decided meanwhile, or the author is no reviewer.
    """
    chosen = next((labels for labels in compare(ws, turn_id).labels if labels.annotator == annotator), None)
    if chosen is None:
        raise StudioError(f"{annotator} has taken back what they wrote in this turn: open it again.")
    if expected not in (ANY_HEAD, chosen.head):
        sentence = "{} changed this turn meanwhile: look again, then decide."
        raise ConflictError(None, chosen.state, annotator, get_turn(ws, turn_id, annotator), sentence)
    decide(ws, turn_id, chosen.transcript, chosen.state, author)


def decide(ws: Workspace, turn_id: int, transcript: str, state: State, author: str) -> None:
    """Make these words and this state the project's.

    Raises:
        StudioError: no state or no words, somebody has decided meanwhile, or the author is no reviewer.
    """
    people.require(ws, author, "reviewer")
    if not transcript.strip():
        raise StudioError("What was said is missing: write it down.")
    with ws.read() as session:
        _open(session, turn_id)
    corrections.save_decision(ws, turn_id, transcript, state, author)


def take_agreed(ws: Workspace, project_id: int, author: str) -> int:
    """Make everything the project's on which all annotators of a turn agree; how many turns that were.

    Raises:
        ConflictError: an annotator changed a turn at this moment. The turns before it are taken.
        StudioError: the author is no reviewer, or somebody has decided meanwhile.
    """
    people.require(ws, author, "reviewer")
    taken = 0
    for item in waiting(ws, project_id):
        if item.agreed and (found := compare(ws, item.turn_id)).agreed:
            take(ws, item.turn_id, found.labels[0].annotator, author, found.labels[0].head)
            taken += 1
    return taken


def _compared(turn: Turn, names: list[str]) -> Comparison:
    labels = tuple(_labels(turn, name) for name in names)
    normal = [slots_of(item.state) for item in labels]
    written: list[dict[Place, Value]] = []
    named: dict[Place, Place] = {}  # two spellings of one slot are one row
    for item in labels:
        written.append({})
        for domain, slot, value in iterate_slots(item.state):
            place = next(iter(slots_of({domain: {slot: value}})), (domain, slot))
            named.setdefault(place, (domain, slot))
            written[-1][place] = value
    rows = [
        SlotRow(*named[place], tuple(own.get(place) for own in written), len({own.get(place) for own in normal}) == 1)
        for place in named
    ]
    same_words = len({" ".join(item.transcript.casefold().split()) for item in labels}) == 1
    return Comparison(turn.id, labels, tuple(sorted(rows, key=lambda row: row.agreed)), same_words)


def _labels(turn: Turn, name: str) -> Labels:
    answer = predictions.newest(turn)
    transcript = revisions.corrected(turn, RevisionKind.TRANSCRIPT, name)
    if transcript is None:
        transcript = answer.transcript if answer is not None else ""
    heads = (revisions.head(turn, kind, name) for kind in LABEL_KINDS)
    newest = max((head.id for head in heads if head is not None), default=None)
    return Labels(name, transcript, revisions.corrected(turn, RevisionKind.STATE, name), newest)


def _open(session: Session, turn_id: int) -> Turn:
    turn = session.get(Turn, turn_id)
    if turn is None or turn.status in LABELLED or len(doubles.annotators(turn)) < 2:
        raise StudioError("There is nothing to decide in this turn any more: choose another one.")
    return turn
