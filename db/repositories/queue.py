"""Turns to work on: filtered, searched and ordered by columns and indexes only, so that 100,000 turns take no longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from db.models import Dialogue, ErrorKind, SlotError, Speaker, Split, Turn, TurnSlot, TurnStatus


@dataclass(frozen=True)
class Filters:
    """What is looked for; empty fields ask for nothing. ``text`` is searched in what was said and in the state's values.

    Without ``demos``, dialogues of the Talk page that nobody sent to annotation are passed by.
    """

    text: str = ""
    statuses: tuple[TurnStatus, ...] = ()
    speaker: Speaker | None = Speaker.USER
    split: Split | None = None
    domain: str = ""
    slot: str = ""
    error: ErrorKind | None = None
    submitted: bool | None = None
    recorded: bool = False
    demos: bool = True


@dataclass(frozen=True)
class Entry:
    """A turn in the queue."""

    turn_id: int
    dialogue_id: int
    dialogue: str
    number: int
    status: TurnStatus
    doubt: float | None
    words: str


def most_doubtful(session: Session, project_id: int, filters: Filters, limit: int, offset: int = 0) -> list[Entry]:
    """The model's least sure answers first; turns it has not answered come last."""
    return _entries(session, project_id, filters, (Turn.doubt.desc().nulls_last(), Turn.id), limit, offset)


def by_lot(session: Session, project_id: int, filters: Filters, limit: int, offset: int = 0) -> list[Entry]:
    """The same turns in an order drawn once for all."""
    return _entries(session, project_id, filters, (Turn.lottery, Turn.id), limit, offset)


def dialogues(session: Session, project_id: int, filters: Filters, limit: int) -> list[int]:
    """The newest dialogues with such a turn, or with a name that holds the text."""
    query = select(Dialogue.id).where(Dialogue.project_id == project_id).order_by(Dialogue.id.desc()).limit(limit)
    if filters != Filters(speaker=filters.speaker):
        matching = _conditions(filters)
        some_turn = exists().where(Turn.dialogue_id == Dialogue.id, *matching)
        named = Dialogue.name.icontains(filters.text.strip(), autoescape=True)
        query = query.where(or_(some_turn, named) if filters.text.strip() else some_turn)
    return list(session.scalars(query))


def count(session: Session, project_id: int, filters: Filters) -> int:
    """How many turns there are."""
    return session.scalar(_filtered(select(func.count(Turn.id)), project_id, filters)) or 0


def error_counts(session: Session, project_id: int) -> dict[tuple[str, str], dict[ErrorKind, int]]:
    """Misheard and misunderstood corrections of every slot."""
    query = (
        select(SlotError.domain, SlotError.slot, SlotError.kind, func.count())
        .join(Turn, Turn.id == SlotError.turn_id)
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(Dialogue.project_id == project_id)
        .group_by(SlotError.domain, SlotError.slot, SlotError.kind)
    )
    found: dict[tuple[str, str], dict[ErrorKind, int]] = {}
    for domain, slot, kind, number in session.execute(query):
        found.setdefault((domain, slot), {})[kind] = number
    return found


def _entries(session: Session, project_id: int, filters: Filters, order: Sequence[Any], limit: int, offset: int) -> list[Entry]:
    columns = (Turn.id, Turn.dialogue_id, Dialogue.name, Turn.turn_id, Turn.status, Turn.doubt, Turn.words)
    query = _filtered(select(*columns), project_id, filters).order_by(*order).limit(limit).offset(offset)
    return [Entry(*row) for row in session.execute(query)]


def _filtered(query: Select, project_id: int, filters: Filters) -> Select:
    query = query.join(Dialogue, Dialogue.id == Turn.dialogue_id).where(Dialogue.project_id == project_id)
    return query.where(*_conditions(filters))


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """What is asked of a turn and its dialogue."""
    wanted: list[ColumnElement[bool]] = []
    if filters.statuses:
        wanted.append(Turn.status.in_(filters.statuses))
    if filters.speaker is not None:
        wanted.append(Turn.speaker == filters.speaker)
    if filters.split is not None:
        wanted.append(Dialogue.split == filters.split)
    if filters.submitted is not None:
        wanted.append(Turn.submitted.is_not(None) if filters.submitted else Turn.submitted.is_(None))
    if filters.recorded:
        wanted.append(Turn.recording_id.is_not(None))
    if not filters.demos:
        wanted.append(Dialogue.demo.is_(False))
    if filters.domain or filters.slot:
        wanted.append(_some_slot(*_named(filters.domain, filters.slot)))
    if text := filters.text.strip().lower():
        value = _some_slot(TurnSlot.value.contains(text, autoescape=True))
        wanted.append(or_(Turn.words.contains(text, autoescape=True), value))
    if filters.error is not None:
        wanted.append(exists().where(SlotError.turn_id == Turn.id, SlotError.kind == filters.error))
    return wanted


def _named(domain: str, slot: str) -> list[ColumnElement[bool]]:
    wanted = ((TurnSlot.domain, domain), (TurnSlot.slot, slot))
    return [column == name for column, name in wanted if name]


def _some_slot(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(TurnSlot.turn_id == Turn.id, *conditions)
