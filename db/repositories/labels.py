"""Versions of labels, and who unlocked them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from db.models import EventKind, LabelVersion, Turn, TurnEvent


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
