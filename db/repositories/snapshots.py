"""What runs were trained and scored on: the runs of a revision, the revisions of a run, held-out turns."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.models import Dialogue, Job, Recording, Revision, Snapshot, SnapshotRevision, Turn


def add(session: Session, snapshot: Snapshot, revision_ids: Sequence[int]) -> None:
    """Write a snapshot with its corrections, tens of thousands of them in a part of a second."""
    session.add(snapshot)
    session.flush()
    if revision_ids:
        session.execute(insert(SnapshotRevision), [{"snapshot_id": snapshot.id, "revision_id": id_} for id_ in revision_ids])


def revision_ids(session: Session, snapshot_id: int) -> Sequence[int]:
    """The ids of the corrections of a snapshot."""
    return session.scalars(select(SnapshotRevision.revision_id).where(SnapshotRevision.snapshot_id == snapshot_id)).all()


def held_out(session: Session, manifest_sha256: str, project_id: int | None = None) -> Snapshot | None:
    """The newest snapshot (of a project) whose held-out dialogues are that manifest; of a deleted job the files are gone."""
    gone = select(Job.snapshot_id).where(Job.snapshot_id == Snapshot.id, Job.deleted.is_not(None)).exists()
    query = select(Snapshot).where(Snapshot.held_out_sha256 == manifest_sha256, ~gone).order_by(Snapshot.id.desc())
    if project_id is not None:
        query = query.where(Snapshot.project_id == project_id)
    return session.scalars(query.limit(1)).first()


def turns(session: Session, snapshot: Snapshot) -> dict[tuple[str, int], tuple[int, str | None]]:
    """The held-out turns by dialogue and number: their id, and the path of their recording."""
    query = (
        select(Dialogue.name, Turn.turn_id, Turn.id, Recording.path)
        .join(Turn, Turn.dialogue_id == Dialogue.id)
        .outerjoin(Recording, Recording.id == Turn.recording_id)
        .where(Dialogue.project_id == snapshot.project_id, Dialogue.name.in_(snapshot.held_out))
    )
    return {(name, number): (turn_id, path) for name, number, turn_id, path in session.execute(query)}


def jobs_of_turn(session: Session, turn_id: int) -> dict[int, list[Job]]:
    """Which jobs used which revision of a turn, oldest first."""
    query = (
        select(SnapshotRevision.revision_id, Job)
        .join(Job, Job.snapshot_id == SnapshotRevision.snapshot_id)
        .join(Revision, Revision.id == SnapshotRevision.revision_id)
        .where(Revision.turn_id == turn_id)
        .order_by(Job.id)
    )
    found: dict[int, list[Job]] = {}
    for revision_id, job in session.execute(query):
        found.setdefault(revision_id, []).append(job)
    return found


def revisions(session: Session, snapshot_id: int) -> Sequence[tuple[Revision, Turn, Dialogue]]:
    """The corrections of a snapshot, with where they belong."""
    query = (
        select(Revision, Turn, Dialogue)
        .join(SnapshotRevision, SnapshotRevision.revision_id == Revision.id)
        .join(Turn, Turn.id == Revision.turn_id)
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(SnapshotRevision.snapshot_id == snapshot_id)
        .order_by(Dialogue.id, Turn.turn_id, Revision.id)
    )
    return [(revision, turn, dialogue) for revision, turn, dialogue in session.execute(query)]
