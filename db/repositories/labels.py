"""Versions of labels, who unlocked them, and which turns hold what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVarTuple

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db.models import (
    LABELLED,
    Dialogue,
    EventKind,
    LabelVersion,
    Revision,
    Turn,
    TurnEvent,
    TurnSlot,
)

Columns = TypeVarTuple("Columns")


def by_hash(session: Session, project_id: int, sha256: str) -> LabelVersion | None:
    """The version of that content."""
    query = select(LabelVersion).where(LabelVersion.project_id == project_id, LabelVersion.sha256 == sha256)
    return session.scalar(query)


def last_number(session: Session, project_id: int) -> int:
    """The newest version's number, 0 where there is none."""
    return session.scalar(select(func.max(LabelVersion.number)).where(LabelVersion.project_id == project_id)) or 0


def event_since(session: Session, dialogue_id: int, kind: EventKind, author: str, since: datetime) -> bool:
    """Whether the author did this to a turn of the dialogue since then."""
    of_dialogue = select(Turn.id).where(Turn.dialogue_id == dialogue_id)
    happened = exists().where(
        TurnEvent.turn_id.in_(of_dialogue), TurnEvent.kind == kind, TurnEvent.author == author, TurnEvent.created >= since
    )
    return bool(session.scalar(select(happened)))


def holding(session: Session, project_id: int, domain: str, slot: str = "") -> list[tuple[int, str, list[str]]]:
    """Turn id, slot and the value's forms (lower case) of every labelled turn whose state has the domain, or one slot of it."""
    query = _labelled_slots(select(TurnSlot.turn_id, TurnSlot.slot, TurnSlot.value), project_id)
    query = query.where(TurnSlot.domain == domain).order_by(Dialogue.id, Turn.turn_id)
    rows = session.execute(query.where(TurnSlot.slot == slot) if slot else query)
    return [(turn, name, value.split("\n")) for turn, name, value in rows]


def newest_change(session: Session) -> int:
    """The newest revision's id, 0 where there is none."""
    return session.scalar(select(func.max(Revision.id))) or 0


def changed_since(session: Session, project_id: int, revision_id: int) -> Sequence[int]:
    """The ids of a project's turns that were changed after a revision."""
    query = select(Turn.id).join(Revision, Revision.turn_id == Turn.id).distinct()
    return session.scalars(query.where(Revision.id > revision_id, Turn.project_id == project_id)).all()


def turns(session: Session, ids: Sequence[int]) -> Sequence[Turn]:
    """Turns with their revisions and dialogues, in the order they were spoken."""
    query = select(Turn).where(Turn.id.in_(ids)).order_by(Turn.dialogue_id, Turn.turn_id)
    return session.scalars(query.options(selectinload(Turn.revisions), joinedload(Turn.dialogue))).all()


def slot_counts(session: Session, project_id: int) -> dict[tuple[str, str], int]:
    """How many labelled turns have a value in each slot."""
    query = _labelled_slots(select(TurnSlot.domain, TurnSlot.slot, func.count()), project_id)
    rows = session.execute(query.group_by(TurnSlot.domain, TurnSlot.slot))
    return {(domain, slot): number for domain, slot, number in rows}


def value_counts(session: Session, project_id: int, domain: str, slot: str) -> dict[str, int]:
    """How many labelled turns hold each value of a slot, as whichever of the accepted forms, by the form in lower case."""
    query = _labelled_slots(select(TurnSlot.value, func.count()), project_id)
    counts: dict[str, int] = {}
    for value, number in session.execute(query.where(TurnSlot.domain == domain, TurnSlot.slot == slot).group_by(TurnSlot.value)):
        for form in value.split("\n"):
            counts[form] = counts.get(form, 0) + number
    return counts


def _labelled_slots(query: Select[*Columns], project_id: int) -> Select[*Columns]:
    """A query of ``TurnSlot``, of a project's labelled turns only."""
    return (
        query.join(Turn, Turn.id == TurnSlot.turn_id)
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(Dialogue.project_id == project_id, Turn.status.in_(LABELLED))
    )
