"""Turns to work on: filtered, searched and ordered by columns and indexes only, so that 100,000 turns take no longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from db.models import (
    LABELLED,
    Dialogue,
    ErrorKind,
    EventKind,
    Revision,
    RevisionSource,
    SlotError,
    Speaker,
    Split,
    Turn,
    TurnEvent,
    TurnSlot,
    TurnStatus,
    utc_now,
)
from db.repositories import claims, words
from db.repositories.revisions import LABELS


@dataclass(frozen=True)
class Filters:
    """What is looked for; empty fields ask for nothing. ``text`` is searched in what was said and in the state's values.

    ``words_only`` lets turns in, beside the ``statuses``, whose words were corrected and whose state was not.
    Without ``demos``, dialogues of the Talk page that nobody sent to annotation are passed by.
    ``annotator`` leaves out what others hold, or what this person is not to annotate (`claims.free_for`). ``returned`` adds
    corrected turns that were handed back and not changed since.
    """

    text: str = ""
    statuses: tuple[TurnStatus, ...] = ()
    words_only: bool = False
    speaker: Speaker | None = Speaker.USER
    split: Split | None = None
    domain: str = ""
    slot: str = ""
    error: ErrorKind | None = None
    submitted: bool | None = None
    recorded: bool = False
    demos: bool = True
    annotator: str | None = None
    returned: bool = False


@dataclass(frozen=True)
class Entry:
    """A turn in the queue; ``why`` says what is doubtful about it."""

    turn_id: int
    dialogue_id: int
    dialogue: str
    number: int
    status: TurnStatus
    doubt: float | None
    why: str
    words: str
    lottery: float


def most_doubtful(session: Session, project_id: int, filters: Filters, limit: int) -> list[Entry]:
    """The model's least sure answers first; turns it has not answered come last, as they were spoken."""
    doubt = (Turn.doubt.desc().nulls_last(), Turn.id.desc())  # one direction: the index is read backwards
    return _first(session, project_id, filters, doubt, lambda entry: -(entry.doubt or 0.0), limit)


def by_lot(session: Session, project_id: int, filters: Filters, limit: int) -> list[Entry]:
    """The same turns in an order drawn once for all."""
    return _first(session, project_id, filters, (Turn.lottery, Turn.id), lambda entry: entry.lottery, limit)


def dialogues(session: Session, project_id: int, filters: Filters, limit: int) -> list[int]:
    """The newest dialogues with such a turn, or with a name that holds the text."""
    query = select(Dialogue.id).where(Dialogue.project_id == project_id).order_by(Dialogue.id.desc()).limit(limit)
    if filters != Filters(speaker=filters.speaker):
        text = filters.text.strip()
        indexed = words.indexed(session, project_id, text.lower())
        matching = _conditions(filters, indexed)
        if filters.statuses:
            matching.append(_of_statuses(session, filters))
        if filters.speaker:
            matching.append(Turn.speaker == filters.speaker)
        if indexed is None:
            some_turn: ColumnElement[bool] = exists().where(Turn.dialogue_id == Dialogue.id, *matching)
        else:  # the few turns once, not those of every dialogue
            of_turns = select(Turn.dialogue_id).join(Dialogue, Dialogue.id == Turn.dialogue_id).where(*matching)
            some_turn = Dialogue.id.in_(of_turns.correlate(None))
        named = Dialogue.name.icontains(text, autoescape=True)
        query = query.where(or_(some_turn, named) if text else some_turn)
    return list(session.scalars(query))


def of_dialogue(session: Session, dialogue_id: int, filters: Filters) -> list[int]:
    """The user turns of a dialogue that have one of the statuses asked for, as they were spoken."""
    turns = (Turn.dialogue_id == dialogue_id, Turn.speaker == Speaker.USER)
    return list(session.scalars(select(Turn.id).where(*turns, _of_statuses(session, filters)).order_by(Turn.turn_id)))


def error_counts(session: Session, project_id: int, checkpoint_id: int) -> dict[tuple[str, str], dict[ErrorKind, int]]:
    """How often a checkpoint misheard and misunderstood each slot in dialogues to train on, by the project's labels."""
    counted = (
        Dialogue.project_id == project_id,
        Dialogue.split == Split.TRAIN,
        SlotError.checkpoint_id == checkpoint_id,
        SlotError.layer == LABELS,
    )
    query = (
        select(SlotError.domain, SlotError.slot, SlotError.kind, func.count())
        .join(Turn, Turn.id == SlotError.turn_id)
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(*counted)
        .group_by(SlotError.domain, SlotError.slot, SlotError.kind)
    )
    found: dict[tuple[str, str], dict[ErrorKind, int]] = {}
    for domain, slot, kind, number in session.execute(query):
        found.setdefault((domain, slot), {})[kind] = number
    return found


def errors(session: Session, dialogue_id: int, layer: str) -> Sequence[SlotError]:
    """Which slots of a dialogue the model had wrong, by the labels of a layer."""
    query = select(SlotError).join(Turn, Turn.id == SlotError.turn_id)
    return session.scalars(query.where(Turn.dialogue_id == dialogue_id, SlotError.layer == layer)).all()


def _first(
    session: Session, project_id: int, filters: Filters, order: Sequence[Any], key: Callable[[Entry], float], limit: int
) -> list[Entry]:
    """The first turns in an order. Each speaker and status has its own stretch of the index, so each is asked by itself; what
    the index of words found is few enough to be sorted."""
    indexed = words.indexed(session, project_id, filters.text.strip().lower())
    columns = (
        Turn.id,
        Turn.dialogue_id,
        Dialogue.name,
        Turn.turn_id,
        Turn.status,
        Turn.doubt,
        Turn.why,
        Turn.words,
        Turn.lottery,
    )
    query = select(*columns).join(Dialogue, Dialogue.id == Turn.dialogue_id).where(*_conditions(filters, indexed))
    speakers = (filters.speaker,) if filters.speaker else tuple(Speaker)
    if indexed is not None:
        few = query.where(words.of_project(project_id), Turn.speaker.in_(speakers), _of_statuses(session, filters))
        return [Entry(*row) for row in session.execute(few.order_by(order[0], Turn.id).limit(limit))]
    found: list[Entry] = []
    if filters.returned and (back := _returned(session)):
        again = query.where(Turn.id.in_(back), Turn.project_id == project_id, Turn.speaker.in_(speakers))
        found += [Entry(*row) for row in session.execute(again)]
    for speaker in speakers:
        for status, words_only in _stretches(filters):
            place = (Turn.project_id == project_id, Turn.speaker == speaker, Turn.status == status)
            stretch = query.where(*place, Turn.words_only == words_only)
            by = (Turn.doubt, Turn.id) if status == TurnStatus.NEW and order[0] is not Turn.lottery else order
            found += [Entry(*row) for row in session.execute(stretch.order_by(*by).limit(limit))]
    return sorted(found, key=lambda entry: (key(entry), entry.turn_id))[:limit]


def _stretches(filters: Filters) -> list[tuple[TurnStatus, bool]]:
    """The stretches of the index that are asked for: statuses, and whether words alone were corrected."""
    statuses = filters.statuses or tuple(TurnStatus)
    found = [(status, words_only) for status in statuses for words_only in (False, True) if status in LABELLED or not words_only]
    more = (TurnStatus.CORRECTED, True)
    return [*found, more] if filters.words_only and more not in found else found


def _of_statuses(session: Session, filters: Filters) -> ColumnElement[bool]:
    found: ColumnElement[bool] = Turn.status.in_(filters.statuses or tuple(TurnStatus))
    if filters.words_only:
        found = or_(found, and_(Turn.status == TurnStatus.CORRECTED, Turn.words_only))
    return or_(found, Turn.id.in_(_returned(session))) if filters.returned else found


def _returned(session: Session) -> Sequence[int]:
    """The corrected turns that were handed back and neither changed by anybody nor sent to review since, the newest 1,000.

    What moves by itself, or is renamed with the ontology, was not looked at.
    """
    changed = exists().where(
        Revision.turn_id == TurnEvent.turn_id,
        Revision.created > TurnEvent.created,
        Revision.source.not_in((RevisionSource.PROPAGATED, RevisionSource.ONTOLOGY)),
    )
    query = (
        select(TurnEvent.turn_id)
        .join(Turn, Turn.id == TurnEvent.turn_id)
        .where(TurnEvent.kind == EventKind.RETURNED, Turn.status == TurnStatus.CORRECTED, Turn.submitted.is_(None), ~changed)
        .order_by(TurnEvent.id.desc())
        .limit(1000)
    )
    return list(dict.fromkeys(session.scalars(query)))


def _conditions(filters: Filters, indexed: Select[int] | None) -> list[ColumnElement[bool]]:
    """What is asked of a turn and its dialogue; ``indexed`` is what `words.indexed` says of the text."""
    wanted: list[ColumnElement[bool]] = []
    if filters.split is not None:
        wanted.append(Dialogue.split == filters.split)
    if filters.submitted is not None:
        wanted.append(Turn.submitted.is_not(None) if filters.submitted else Turn.submitted.is_(None))
    if filters.recorded:
        wanted.append(Turn.recording_id.is_not(None))
    if not filters.demos:
        wanted.append(Dialogue.demo.is_(False))
    if filters.annotator is not None:
        wanted.append(claims.free_for(filters.annotator, utc_now()))
    if filters.domain or filters.slot:
        wanted.append(_some_slot(*_named(filters.domain, filters.slot)))
    if indexed is not None:
        wanted.append(Turn.id.in_(indexed))
    elif text := filters.text.strip().lower():
        wanted.append(words.read(text))
    if filters.error is not None:
        of_turn = (SlotError.turn_id == Turn.id, SlotError.layer == LABELS)
        wanted.append(exists().where(*of_turn, SlotError.kind == filters.error))
    return wanted


def _named(domain: str, slot: str) -> list[ColumnElement[bool]]:
    wanted = ((TurnSlot.domain, domain), (TurnSlot.slot, slot))
    return [column == name for column, name in wanted if name]


def _some_slot(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(TurnSlot.turn_id == Turn.id, *conditions)
