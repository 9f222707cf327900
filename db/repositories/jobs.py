"""Jobs: one runs at a time, the others wait in the order they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from db.models import FailureKind, Job, JobKind, JobStatus, Snapshot, utc_now

ACTIVE = (JobStatus.RUNNING, JobStatus.SAVING)
PATIENCE = timedelta(seconds=30)  # what a process gets to claim its job


def load_many(session: Session, project_id: int | None, limit: int, kind: JobKind | None = None) -> Sequence[Job]:
    """Jobs, newest first, with their checkpoints."""
    query = select(Job).options(selectinload(Job.base), selectinload(Job.checkpoint)).order_by(Job.id.desc()).limit(limit)
    if project_id is not None:
        query = query.where(Job.project_id == project_id)
    if kind is not None:
        query = query.where(Job.kind == kind)
    return session.scalars(query).all()


def active(session: Session) -> Sequence[Job]:
    """The jobs that say they have a process."""
    return session.scalars(select(Job).where(Job.status.in_(ACTIVE))).all()


def next_queued(session: Session) -> Job | None:
    """The job to start now: the first in the queue, if none runs."""
    if active(session):
        return None
    return session.scalar(select(Job).where(Job.status == JobStatus.QUEUED).order_by(Job.id).limit(1))


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the next to start."""
    if job.status != JobStatus.QUEUED:
        return None
    return session.scalar(select(func.count(Job.id)).where(Job.status == JobStatus.QUEUED, Job.id <= job.id))


def overlooked(session: Session) -> bool:
    """Whether a job waits though none runs: the process started for it came to nothing."""
    job = next_queued(session)
    return job is not None and utc_now() - (job.called or job.created) > PATIENCE


def trained_on(session: Session, project_id: int, dialogue: str) -> bool:
    """Whether a snapshot of the project holds the dialogue of that name."""
    snapshots = session.scalars(select(Snapshot.dialogues).where(Snapshot.project_id == project_id))
    return any(dialogue in names for names in snapshots)


def scored_on(session: Session, project_id: int, dialogue: str) -> bool:
    """Whether a run of the project had the dialogue of that name held out."""
    snapshots = session.scalars(select(Snapshot.held_out).where(Snapshot.project_id == project_id))
    return any(dialogue in names for names in snapshots)


def claim(session: Session, job_id: int, host: str, pid: int, pid_started: float) -> Job | None:
    """Make the job this process's own and running, or return ``None``: it is another's turn or another has it."""
    job = next_queued(session)
    if job is None or job.id != job_id:
        return None
    job.status, job.phase, job.error, job.failure = JobStatus.RUNNING, "starting", None, None
    job.host, job.pid, job.pid_started = host, pid, pid_started
    job.started = utc_now()
    job.ended = None
    return job


def end(job: Job, status: JobStatus, error: str | None = None, failure: FailureKind | None = None) -> None:
    """Close the job; ``error`` is the one sentence people get."""
    job.status, job.error, job.failure, job.phase = status, error, failure, str(status)
    job.ended = utc_now()
