"""The GPU of this machine is lent to one at a time: to a job, or to the live model, which gives it up when a job wants it.

The lease is a row of the database, one for each machine. Its holder is known by pid and start time, so that of a dead process
is free at once and none ever expires under a living one. The live model takes no GPU that a job is about to want, or between two
jobs it would come and go. Without a GPU nothing is lent: there the system shares the processor between a job and the live model,
and neither could go anywhere else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socket import gethostname
from typing import Literal, get_args

import psutil
from sqlalchemy.orm import Session

from db.models import Job, JobKind, JobStatus, Lease, utc_now
from db.repositories import jobs, settings
from studio import backends
from studio.errors import StudioError
from studio.services import room, runs
from studio.workspace import Workspace

LIVE = "the live model"
PATIENCE = 60.0  # seconds that the live model gets to finish its turn before a job takes the GPU from it
POLL_SECONDS = 0.5
WhileTraining = Literal["cpu", "wait"]


class GpuTakenError(StudioError):
    """A job has the GPU, and the live model is set to wait for it."""


def holder(ws: Workspace) -> str | None:
    """Who has the GPU of this machine, in words; ``None``: nobody."""
    with ws.read() as session:
        lease = session.get(Lease, gethostname())
        return lease.holder if lease is not None and _lives(lease) else None


def before_live(ws: Workspace) -> str | None:
    """Who comes before the live model on this machine's GPU, in words: the job that has it, or is about to take it."""
    with ws.read() as session:
        lease = session.get(Lease, gethostname())
        if lease is not None and lease.holder != LIVE and not _is_mine(lease) and _lives(lease):
            return lease.holder
        due = _due(ws, session)
        return name_of(due.id) if due is not None else None


def name_of(job_id: int) -> str:
    """A job as a holder."""
    return f"job {job_id}"


def take(ws: Workspace, who: str, force: bool = False) -> bool:
    """Take the GPU for this process; ``False``: a living process has it, or a job waits for this one to give it up. The live
    model does not get it while a job is about to take it.
    """
    if _is_undisturbed(ws):
        return True
    with ws.write() as session:
        lease = session.get(Lease, gethostname())
        if lease is not None and _lives(lease) and not force:
            if not _is_mine(lease) and who != LIVE:
                lease.wanted = who
            return _is_mine(lease) and lease.wanted is None
        if who == LIVE and _due(ws, session) is not None:
            return False
        own = psutil.Process()
        mine = {"holder": who, "pid": own.pid, "pid_started": runs.started_at(own), "wanted": None, "since": utc_now()}
        session.merge(Lease(host=gethostname(), **mine))
        return True


def release(ws: Workspace) -> None:
    """Give the GPU back, if this process has it."""
    with ws.write() as session:
        lease = session.get(Lease, gethostname())
        if lease is not None and _is_mine(lease):
            session.delete(lease)


def take_for_job(ws: Workspace, job_id: int) -> None:
    """Wait until the live model has given the GPU up, and take it. One that does not in time loses it."""
    deadline = time.monotonic() + PATIENCE
    while has_gpu() and not take(ws, name_of(job_id), force=time.monotonic() > deadline):
        time.sleep(POLL_SECONDS)


def device_for_live(ws: Workspace, give_up: Callable[[], None]) -> str:
    """Where the live model is to compute now: ``auto`` (the GPU, if there is one) or ``cpu``.

    ``give_up`` is called from another thread when a job wants the GPU: it has to take the model off it.

    Raises:
        GpuTakenError: a job has the GPU, and the live model is set to wait for it.
    """
    if not has_gpu() or take(ws, LIVE):
        if has_gpu():
            _watch(ws, give_up)
        return "auto"
    if while_training(ws) == "wait":
        taken_by = before_live(ws) or holder(ws) or "a job"
        raise GpuTakenError(f"The GPU is taken by {taken_by}: ask again when it is done, or let the model use the CPU.")
    return "cpu"


def while_training(ws: Workspace) -> WhileTraining:
    """What the live model does while a job has the GPU."""
    with ws.read() as session:
        return settings.get(session, settings.LIVE_WHILE_TRAINING, "cpu")


def set_while_training(ws: Workspace, choice: str) -> None:
    """Choose what the live model does while a job has the GPU: answer on the ``cpu``, slower, or ``wait``.

    Raises:
        StudioError: there is no such choice.
    """
    if choice not in get_args(WhileTraining):
        raise StudioError(f"The live model cannot do {choice!r} while a job trains: choose cpu (answer slower) or wait.")
    with ws.write() as session:
        settings.put(session, settings.LIVE_WHILE_TRAINING, choice)


def has_gpu() -> bool:
    """Whether this machine has a GPU that CUDA can use; asked without loading torch."""
    return backends.gpus() > 0


_watching = threading.Lock()


def _watch(ws: Workspace, give_up: Callable[[], None]) -> None:
    """Look now and then whether a job wants the GPU, until this process has given it up; one thread is enough."""

    def watch() -> None:
        with suppress(StudioError):  # the database went away: the next turn takes the GPU and watches again
            while _is_undisturbed(ws):
                time.sleep(POLL_SECONDS)
            give_up()
            release(ws)
        _watching.release()

    if _watching.acquire(blocking=False):
        threading.Thread(target=watch, name="gpu-lease", daemon=True).start()


def _is_undisturbed(ws: Workspace) -> bool:
    """Whether this process has the GPU and nobody waits for it."""
    with ws.read() as session:
        lease = session.get(Lease, gethostname())
        return lease is not None and _is_mine(lease) and lease.wanted is None


def _due(ws: Workspace, session: Session) -> Job | None:
    """The job that computes on this machine, or is the next to: from when it is queued until its process has ended."""
    job = jobs.computing(session)
    if job is not None and job.host != gethostname():
        return None  # of several machines, nobody knows which takes the next
    if job is None or not runs.alive(job.pid, job.pid_started):
        job = jobs.first_to_compute(session)
    if job is None or not (job.kind != JobKind.TRAIN or backends.named(job.backend).is_here):
        return None
    return None if job.status == JobStatus.QUEUED and room.lacks(ws, session) else job


def _is_mine(lease: Lease) -> bool:
    return lease.pid == os.getpid() and _lives(lease)


def _lives(lease: Lease) -> bool:
    return runs.alive(lease.pid, lease.pid_started)
