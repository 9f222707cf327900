"""What others made of somebody's corrections, and which runs learnt from them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Row, and_, func, or_, select
from sqlalchemy.orm import Session, aliased, joinedload, selectinload

from db.models import LABEL_KINDS, EventKind, Job, JobStatus, Revision, RevisionSource, SnapshotRevision, Turn, TurnEvent
from db.repositories.revisions import LABELS

CORRECTIONS = (RevisionSource.USER, RevisionSource.REDO, RevisionSource.MODEL)  # written, and accepted as the model had it
DECISIONS = (RevisionSource.USER, RevisionSource.UNDO, RevisionSource.REDO, RevisionSource.ADJUDICATED)  # what a person did


def followed(session: Session, project_id: int, author: str, limit: int) -> Sequence[Turn]:
    """The turns somebody corrected and another person changed, decided on or handed back after that, the newest first; with
    dialogue, revisions, predictions and events."""
    mine, theirs = aliased(Revision), aliased(Revision)
    later = and_(mine.turn_id == theirs.turn_id, mine.kind == theirs.kind, mine.id < theirs.id)
    changed = (
        select(theirs.turn_id, func.max(theirs.created).label("moment"))
        .join(mine, later)
        .where(
            mine.author == author,
            mine.kind.in_(LABEL_KINDS),
            mine.source.in_(CORRECTIONS),
            theirs.author != author,
            theirs.layer == LABELS,
            theirs.source.in_(DECISIONS),
        )
        .group_by(theirs.turn_id)
    )
    returned = (
        select(TurnEvent.turn_id, func.max(TurnEvent.created).label("moment"))
        .join(mine, and_(mine.turn_id == TurnEvent.turn_id, mine.created < TurnEvent.created))
        .where(
            mine.author == author,
            mine.kind.in_(LABEL_KINDS),
            mine.source.in_(CORRECTIONS),
            TurnEvent.author != author,
            TurnEvent.kind == EventKind.RETURNED,
        )
        .group_by(TurnEvent.turn_id)
    )
    both = changed.union_all(returned).subquery()
    newest = (
        select(both.c.turn_id)
        .join(Turn, Turn.id == both.c.turn_id)
        .where(Turn.project_id == project_id)
        .group_by(both.c.turn_id)
        .order_by(func.max(both.c.moment).desc())
        .limit(limit)
    )
    ids = list(session.scalars(newest))
    loaded = (joinedload(Turn.dialogue), selectinload(Turn.revisions), selectinload(Turn.predictions), selectinload(Turn.events))
    found = {turn.id: turn for turn in session.scalars(select(Turn).where(Turn.id.in_(ids)).options(*loaded))}
    return [found[id_] for id_ in ids]


def learnt(session: Session, project_id: int, author: str, limit: int) -> Sequence[Job]:
    """The finished jobs that were trained on labels somebody had a part in, newest first."""
    used, mine = aliased(Revision), aliased(Revision)
    trained = (
        select(SnapshotRevision.snapshot_id)
        .join(used, used.id == SnapshotRevision.revision_id)
        .join(mine, _part_of(mine, used))
        .where(mine.author == author)
    )
    query = (
        select(Job)
        .where(Job.project_id == project_id, Job.status == JobStatus.FINISHED, Job.checkpoint_id.is_not(None))
        .where(Job.snapshot_id.in_(trained))
        .options(joinedload(Job.base), joinedload(Job.checkpoint))
    )
    return session.scalars(query.order_by(Job.id.desc()).limit(limit)).all()


def parts(session: Session, snapshot_id: int, author: str) -> Sequence[Row[Revision, Revision]]:
    """Of a snapshot's labels those that somebody had a part in: the revision that was learnt, and theirs in its chain."""
    used, mine = aliased(Revision), aliased(Revision)
    query = (
        select(used, mine)
        .join(SnapshotRevision, SnapshotRevision.revision_id == used.id)
        .join(mine, _part_of(mine, used))
        .where(SnapshotRevision.snapshot_id == snapshot_id, mine.author == author)
        .order_by(used.id, mine.id)
    )
    return session.execute(query).all()


def _part_of(mine: type[Revision], used: type[Revision]) -> ColumnElement[bool]:
    """Whether a correction stands in the chain that ends with what was learnt, or is a blind annotator's of that turn."""
    in_chain = or_(mine.layer == LABELS, mine.layer == mine.author)
    return and_(mine.turn_id == used.turn_id, mine.kind == used.kind, mine.id <= used.id, mine.source.in_(CORRECTIONS), in_chain)
