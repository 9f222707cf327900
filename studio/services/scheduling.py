"""The queue of jobs: which one starts next, in a process of its own, and what became of those that died."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from typing import NoReturn

from sqlalchemy.orm import Session

from db.models import FailureKind, Job, JobKind, JobStatus
from db.repositories import jobs
from studio import backends
from studio.backends import local
from studio.errors import StudioError
from studio.services import deaths, failures, room, runs
from studio.workspace import Workspace, disk_errors

LOOK_SECONDS = 10.0
AWAKE = 5.0  # seconds in which a process gives a sign where the machine has slept, and its clock gone on
DEAF = 300.0  # seconds that a job's process gets to pass a wish to stop on, if it gives no sign either


def reconcile(ws: Workspace) -> list[int]:
    """Mark jobs whose process is gone as interrupted, end what they left running, and start the next queued job. A process that
    lives but is deaf to a wish to stop is ended too, and its job stopped.

    Returns the ids of the jobs that were found interrupted.
    """
    lost, deaf = _lost_and_deaf(ws)
    if deaf:
        time.sleep(AWAKE)
        lost, deaf = _lost_and_deaf(ws)
    for job in lost:
        if job.pid is not None and job.pid_started is not None and job.host == gethostname():
            if job.id in deaf and runs.alive(job.pid, job.pid_started):
                local.end(job.pid)
            local.end_marked(job.pid, job.pid_started)
        with suppress(StudioError):  # a cluster that cannot be reached now is asked again when the job is resumed
            backends.end_left(ws.path(job.folder))
    if lost:
        with ws.write() as session:
            seen_to = {_run_of(job) for job in lost}  # one that was lost since waits for the next look: its engine may live
            for job in (job for job in _lost(ws, session) if _run_of(job) in seen_to):
                if job.id in deaf:
                    jobs.end(job, JobStatus.STOPPED, deaths.of_deaf(job, ws.path(job.folder)))
                else:
                    jobs.end(job, JobStatus.INTERRUPTED, *_why(ws, job))
    start_next(ws)
    return [job.id for job in lost if job.id not in deaf]


def look_after(ws: Workspace) -> None:
    """Go on with the queue where a process died or came to nothing: nobody but those who look at jobs watches them."""
    with ws.read() as session:
        lost, overlooked = _lost(ws, session), jobs.overlooked(session)
    with suppress(StudioError):  # a full disk must not hide the jobs that could say so: whoever looks next tries again
        if lost:
            reconcile(ws)
        elif overlooked:
            start_next(ws)


def keep_going(ws: Workspace) -> NoReturn:
    """Look after the jobs again and again: a studio does so while nobody looks at its pages."""
    while True:
        time.sleep(LOOK_SECONDS)
        with suppress(StudioError):  # the database cannot be read now: it may be the next time
            look_after(ws)


def start_next(ws: Workspace) -> None:
    """Start a process for each job whose turn it is. One too many does no harm: only one gets the job."""
    with ws.read() as session:
        if not jobs.to_start(session) or room.lacks(ws, session):
            return
    with ws.write() as session:
        while spent := [job for job in _whole(ws, session) if not jobs.call(job)]:
            for job in spent:
                _give_up(ws, job)
        found = [job for job in jobs.to_start(session) if not jobs.attended(job)]
    for job in found:
        _start(ws, job)


def _give_up(ws: Workspace, job: Job) -> None:
    """End a job whose processes come to nothing, for the reason that the last of them gave."""
    folder = ws.path(job.folder)
    why, kind = failures.why(folder, {}, 0, runs.log_tail(folder, 1))
    jobs.end(job, JobStatus.FAILED, f"{jobs.TRIES} processes were started for it, and none began. {why}", kind)


def _start(ws: Workspace, job: Job) -> None:
    folder = ws.path(job.folder)
    command = [sys.executable, "-m", "studio.worker", str(job.id), "--home", str(ws.home)]
    with disk_errors(ws.home), (folder / runs.LOG).open("ab") as log:
        # A session of its own: neither the studio's end nor a closed terminal reaches it
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(ws),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deaths.remember(process)


def environment(ws: Workspace) -> dict[str, str]:
    """What a process of a job needs: this workspace, and this program wherever it was started from."""
    package_root = str(Path(__file__).parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"DST_STUDIO_HOME": str(ws.home), "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    return {key: value for key, value in os.environ.items() if key != local.MARK} | own


def _lost_and_deaf(ws: Workspace) -> tuple[list[Job], set[int]]:
    """The jobs whose process is gone or deaf, and the ids of those whose process is there."""
    with ws.read() as session:
        lost = _lost(ws, session)
        return lost, {job.id for job in lost if _lives(ws, job)}


def _run_of(job: Job) -> tuple[object, ...]:
    return job.id, job.host, job.pid, job.pid_started


def _lost(ws: Workspace, session: Session) -> list[Job]:
    return [job for job in jobs.active(session) if not _lives(ws, job) or _is_deaf(ws, job)]


def _is_deaf(ws: Workspace, job: Job) -> bool:
    """Whether a process of this machine was asked to stop and gave no sign since then, as one that is suspended."""
    if job.status != JobStatus.SAVING or job.host != gethostname():
        return False
    folder = ws.path(job.folder)
    if not (folder / runs.STOP).exists():
        return False
    return all(runs.quiet_seconds(folder / name, 0.0) > DEAF for name in (runs.STOP, runs.HEARTBEAT))


def _why(ws: Workspace, job: Job) -> tuple[str, FailureKind | None]:
    if job.host in (None, gethostname()):
        return deaths.why(job, ws.path(job.folder))
    return f"{job.host} gave no sign of it for {runs.SILENCE:.0f} seconds: its process or that machine ended; resume it.", None


def _lives(ws: Workspace, job: Job) -> bool:
    """Whether the job's process is there; one of another machine (with a database of both) is known by its heartbeat."""
    if job.host in (None, gethostname()):
        return runs.alive(job.pid, job.pid_started)
    return runs.heard_from(ws.path(job.folder))


def is_whole(ws: Workspace, job: Job) -> bool:
    """Whether a job's folder is there, with what was frozen in it."""
    if job.snapshot is not None:
        return ws.path(job.snapshot.path).is_file()
    uploaded = job.options.get("uploaded", False)
    return job.kind in (JobKind.PREDICT, JobKind.IMPORT) and ws.path(job.options["path"] if uploaded else job.folder).exists()


def _whole(ws: Workspace, session: Session) -> list[Job]:
    """The jobs to start now; those before them whose folder is gone are ended, or they would hold up the queue for ever."""
    while gone := [job for job in jobs.to_start(session) if not is_whole(ws, job)]:
        for job in gone:
            jobs.end(job, JobStatus.FAILED, f"Its folder {job.folder} is gone: start a new job.", FailureKind.DISK)
    return jobs.to_start(session)
