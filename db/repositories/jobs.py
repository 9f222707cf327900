"""Jobs wait in two lines, of each of which one runs at a time, in the order they came: those that compute, and imports, which
need no GPU and so wait for no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, selectinload

from db.models import FailureKind, Job, JobEvent, JobEventKind, JobKind, JobStatus, Snapshot, utc_now

LINES = ((JobKind.TRAIN, JobKind.EVALUATE, JobKind.PREDICT), (JobKind.IMPORT,))
ACTIVE = (JobStatus.RUNNING, JobStatus.SAVING)
PATIENCE = timedelta(seconds=30)  # what a process gets to claim its job
PHASE = 100  # letters of a phase
WAITING = "waiting"  # the phase of a job that waits for nothing but its turn
TRIES = 4  # processes that are started for a job before it counts as failed


def load_many(session: Session, project_id: int | None, limit: int, kind: JobKind | None = None) -> Sequence[Job]:
    """Jobs that were not deleted, newest first, with their checkpoints."""
    query = select(Job).where(Job.deleted.is_(None)).order_by(Job.id.desc()).limit(limit)
    query = query.options(selectinload(Job.base), selectinload(Job.checkpoint), selectinload(Job.kept), selectinload(Job.events))
    if project_id is not None:
        query = query.where(Job.project_id == project_id)
    if kind is not None:
        query = query.where(Job.kind == kind)
    return session.scalars(query).all()


def running_or_newest(session: Session, project_id: int, kind: JobKind) -> Job | None:
    """The job of a project and kind that runs, else the newest."""
    of_kind = select(Job).where(Job.project_id == project_id, Job.kind == kind, Job.deleted.is_(None))
    return session.scalar(of_kind.order_by(Job.status.in_(ACTIVE).desc(), Job.id.desc()).limit(1))


def imports(session: Session, project_id: int | None) -> Sequence[Job]:
    """The imports into a project that were not deleted."""
    its = (Job.project_id == project_id, Job.kind == JobKind.IMPORT, Job.deleted.is_(None))
    return session.scalars(select(Job).where(*its)).all()


def active(session: Session) -> Sequence[Job]:
    """The jobs that say they have a process."""
    return session.scalars(select(Job).where(Job.status.in_(ACTIVE))).all()


def ahead(session: Session, job: Job) -> Job | None:
    """The job of the same line that runs, if one does."""
    return _running(session, _line_of(job))


def next_queued(session: Session, line: Sequence[JobKind]) -> Job | None:
    """The job of a line to start now: the first that waits, if none runs."""
    if _running(session, line) is not None:
        return None
    return _first(session, line)


def to_start(session: Session) -> list[Job]:
    """The jobs to start now, one of each line at most."""
    return [job for line in LINES if (job := next_queued(session, line)) is not None]


def _first(session: Session, line: Sequence[JobKind]) -> Job | None:
    return session.scalar(_queued(line).limit(1))


def _queued(line: Sequence[JobKind]) -> Select[Job]:
    """The jobs of a line that wait, by when they were queued: one that is resumed goes behind those that have waited."""
    queueing = JobEvent.kind.in_((JobEventKind.STARTED, JobEventKind.RESUMED))
    since = select(func.max(JobEvent.created)).where(JobEvent.job_id == Job.id, queueing).scalar_subquery()
    waiting = select(Job).where(Job.status == JobStatus.QUEUED, Job.kind.in_(line))
    return waiting.order_by(func.coalesce(since, Job.created), Job.id)


def _running(session: Session, line: Sequence[JobKind]) -> Job | None:
    return session.scalar(select(Job).where(Job.status.in_(ACTIVE), Job.kind.in_(line)).limit(1))


def _line_of(job: Job) -> Sequence[JobKind]:
    return next(line for line in LINES if job.kind in line)


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the next of its line to start."""
    if job.status != JobStatus.QUEUED:
        return None
    return session.scalars(_queued(_line_of(job))).all().index(job) + 1


def in_need_of(session: Session, checkpoint_id: int, besides: int | None = None) -> Job | None:
    """A job that starts from the checkpoint, scores it or made it, and runs or may be resumed; not the one ``besides``."""
    its = or_(Job.base_id == checkpoint_id, Job.checkpoint_id == checkpoint_id)
    open_ = or_(Job.status != JobStatus.FINISHED, Job.error.is_not(None))
    query = select(Job).where(its, open_, Job.deleted.is_(None))
    return session.scalar((query.where(Job.id != besides) if besides is not None else query).limit(1))


def computing(session: Session) -> Job | None:
    """The job that computes, none of the imports."""
    return _running(session, LINES[0])


def first_to_compute(session: Session) -> Job | None:
    """The first job that waits to compute, whether or not one runs."""
    return _first(session, LINES[0])


def overlooked(session: Session) -> bool:
    """Whether a job waits though none of its line runs: the process started for it came to nothing."""
    return any(utc_now() - (job.called or job.created) > PATIENCE for job in to_start(session))


def call(job: Job) -> bool:
    """Note that a process is started for a job; False where enough of them came to nothing, each in its time."""
    now = utc_now()
    if job.called is None or now - job.called > PATIENCE:
        if job.calls >= TRIES:
            return False
        job.calls, job.called = job.calls + 1, now
    return True


def disk_failed(session: Session) -> Job | None:
    """The newest job that failed for its disk, or whose scoring did, if none was started after that."""
    ended = Job.status.in_((JobStatus.FAILED, JobStatus.FINISHED))
    broken = (ended, Job.failure == FailureKind.DISK, Job.deleted.is_(None))
    failed = session.scalar(select(Job).where(*broken).order_by(Job.ended.desc()).limit(1))
    if failed is None or session.scalar(select(Job.id).where(Job.started > failed.ended).limit(1)) is not None:
        return None
    return failed


def trained_on(session: Session, project_id: int, dialogue: str) -> bool:
    """Whether a snapshot of the project holds the dialogue of that name."""
    snapshots = session.scalars(select(Snapshot.dialogues).where(Snapshot.project_id == project_id))
    return any(dialogue in names for names in snapshots)


def scored_on(session: Session, project_id: int, dialogue: str) -> bool:
    """Whether a run of the project had the dialogue of that name held out."""
    snapshots = session.scalars(select(Snapshot.held_out).where(Snapshot.project_id == project_id))
    return any(dialogue in names for names in snapshots)


def note(job: Job, kind: JobEventKind, author: str) -> None:
    """Keep what somebody did to a job."""
    job.events.append(JobEvent(kind=kind, author=author))


def at_turn(session: Session, job_id: int) -> Job | None:
    """The job, if it is the one of its line to start now."""
    return next((job for job in to_start(session) if job.id == job_id), None)


def wait(job: Job, reason: str) -> None:
    """Note why a queued job does not begin, and that a process is at it."""
    job.status, job.phase, job.called, job.calls = JobStatus.QUEUED, reason[:PHASE], utc_now(), 0


def attended(job: Job) -> bool:
    """Whether a process waits with a queued job for what keeps it."""
    return job.phase != WAITING and job.called is not None and utc_now() - job.called < PATIENCE


def claim(session: Session, job_id: int, host: str, pid: int, pid_started: float) -> Job | None:
    """Make the job this process's own and running, or return ``None``: it is another's turn or another has it."""
    job = at_turn(session, job_id)
    if job is None:
        return None
    job.status, job.phase, job.error, job.failure = JobStatus.RUNNING, "starting", None, None
    job.host, job.pid, job.pid_started, job.calls = host, pid, pid_started, 0
    job.started = utc_now()
    job.ended = None
    return job


def end(job: Job, status: JobStatus, error: str | None = None, failure: FailureKind | None = None) -> None:
    """Close the job; ``error`` is the one sentence people get."""
    job.status, job.error, job.failure, job.phase = status, error, failure, str(status)
    job.ended = utc_now()
