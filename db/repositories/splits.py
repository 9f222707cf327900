"""Moves of dialogues between splits, and what runs were scored on."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Row, exists, func, or_, select
from sqlalchemy.orm import Session

from db.models import Dialogue, Snapshot, Split, SplitMove


def moves(session: Session, project_id: int) -> Iterator[Row[SplitMove, str]]:
    """A project's moves with the dialogue's name, newest first."""
    query = (
        select(SplitMove, Dialogue.name)
        .join(Dialogue, Dialogue.id == SplitMove.dialogue_id)
        .where(Dialogue.project_id == project_id)
        .order_by(SplitMove.id.desc())
    )
    yield from session.execute(query)


def last_move(session: Session) -> int | None:
    """The id of the newest move of any dialogue."""
    return session.scalar(select(func.max(SplitMove.id)))


def was_held_out(session: Session, dialogue_id: int) -> bool:
    """Whether the dialogue was moved to or from ``test``."""
    held_out = or_(SplitMove.old == Split.TEST, SplitMove.new == Split.TEST)
    return bool(session.scalar(select(exists().where(SplitMove.dialogue_id == dialogue_id, held_out))))


def scored(session: Session, project_id: int) -> set[str]:
    """The names of the dialogues that runs of the project held out."""
    snapshots = session.scalars(select(Snapshot.held_out).where(Snapshot.project_id == project_id))
    return {name for names in snapshots for name in names}


def freed(session: Session, project_id: int) -> set[str]:
    """The names of the dialogues that were moved to ``train`` after runs had been scored on them."""
    query = (
        select(Dialogue.name)
        .join(SplitMove, SplitMove.dialogue_id == Dialogue.id)
        .where(Dialogue.project_id == project_id, SplitMove.new == Split.TRAIN, SplitMove.scored)
    )
    return set(session.scalars(query))
