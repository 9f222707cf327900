"""What every kind of job needs of its process: the job's row and folder, a watched child, and how it ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.models import FailureKind, Job, JobStatus
from db.repositories import jobs
from studio.backends import Running
from studio.errors import StudioError
from studio.services import failures, runs
from studio.services.runs import HEARTBEAT, STOP
from studio.workspace import Workspace

POLL_SECONDS = 0.2
STOP_SECONDS = 120.0  # what a child gets to save after it was asked to stop, beside what it is in the middle of
BEAT_SECONDS = 2.0  # between two signs of life
LOOK_SECONDS = 5.0  # between two looks whether the job is still this process's
PATIENCE = 300.0  # seconds that a job waits to write: nobody looks at it, and a night's work hangs on it
END_SECONDS = 60.0  # how long it is tried to write down how a job ended
RESERVE, RESERVED = "reserve", 500_000  # a file and its bytes
STOPPED = 3  # a child's exit code for "saved and stopped on request"


class GivenUpError(Exception):
    """Others took this process for dead, and the job may be another's: nothing of it may be touched any more."""


@dataclass(frozen=True)
class Ended:
    """How a job ended, with the sentence people get."""

    status: JobStatus
    error: str | None = None
    failure: FailureKind | None = None


class Shell:
    """One claimed job. All that reads or writes its row raises `GivenUpError` once it is no more this process's."""

    def __init__(self, ws: Workspace, job_id: int) -> None:
        self.ws = ws
        self.job_id = job_id
        self.folder = ws.path(f"runs/{job_id}")
        self._log_begins = runs.log_size(self.folder)  # what stands before is of an earlier start
        with ws.read() as session:
            self._owner = _owner(session.get_one(Job, job_id))

    @property
    def stop_asked(self) -> bool:
        """Whether somebody wants it to end."""
        return (self.folder / STOP).exists()

    def job(self, session: Session) -> Job:
        """Its row.

        Raises:
            GivenUpError: somebody ended it or another process claimed it since.
        """
        job = session.get_one(Job, self.job_id)
        if _owner(job) != self._owner:
            raise GivenUpError(f"Job {self.job_id} was given up for dead: process {os.getpid()} leaves it alone.")
        return job

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Give signs of life, whatever else this process does."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_SECONDS):
                with suppress(OSError):  # a disk that is full or gone is told by the work itself
                    (self.folder / HEARTBEAT).touch()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def say(self, phase: str) -> None:
        """Tell in plain words what is done now."""
        with self.ws.write() as session:
            self.job(session).phase = phase[: jobs.PHASE]

    def watch(
        self,
        running: Running,
        stop: Path | None = None,
        each: Callable[[], None] = lambda: None,
        hears_after: Callable[[], float] = lambda: 0.0,
        saves: Callable[[], bool] = lambda: False,
    ) -> int:
        """Wait for a child; its exit code comes back. A wish to stop is passed on as the file ``stop``, and the child ended if
        it does not hear; without ``stop`` it is ended at once, for what it did is kept. ``each`` is called now and then.

        Args:
            hears_after: for how many seconds it may not look for the wish, as is known when there is one.
            saves: whether it is at a save that goes on; such time does not count against it.

        Raises:
            GivenUpError: the job is no more this process's; the child was ended.
        """
        left: float | None = None
        code, looked = None, time.monotonic()
        now = looked
        try:
            while (code := running.poll()) is None:
                before, now = now, time.monotonic()
                if now - looked > LOOK_SECONDS:
                    looked = now
                    with suppress(StudioError), self.ws.read() as session:  # the database may be back the next time
                        self.job(session)
                with suppress(OSError):  # a disk that is full or gone is the child's to find
                    each()
                if self.stop_asked:
                    left = STOP_SECONDS + hears_after() if left is None else left - (0 if saves() else now - before)
                    if stop is not None:  # again each time: the engine clears the file when it starts
                        stop.parent.mkdir(exist_ok=True)
                        stop.touch()
                    if stop is None or left < 0:
                        running.end()
                time.sleep(POLL_SECONDS)
        finally:
            if code is None:  # this process breaks off: it must not leave a child nobody watches
                running.end()
        return code

    def why(self, told: dict[str, Any], exit_code: int, less: str = "") -> tuple[str, FailureKind]:
        """One sentence on why a child failed, and its kind; ``told`` is what it left itself, ``less`` as in `failures.why`."""
        return failures.why(self.folder, told, exit_code, runs.log_since(self.folder, self._log_begins), less)

    def put_back(self) -> Ended | None:
        """Put the job back into the queue, for where it was to run does not answer; how it ended if somebody wants it to."""
        if self.stop_asked:
            return Ended(JobStatus.STOPPED)
        with self.ws.write() as session:
            job = self.job(session)
            job.status, job.phase, job.called, job.calls = JobStatus.QUEUED, jobs.WAITING, None, 0
        return None

    def reserve(self) -> None:
        """Put something by that is given up when the disk is full: else nobody could write down why the job ended."""
        with suppress(OSError):
            (self.folder / RESERVE).write_bytes(os.urandom(RESERVED))

    def end(self, ended: Ended) -> None:
        """Write down how it ended; where there is no room for that, until somebody makes some."""
        with suppress(OSError):  # there is none, or the disk is read-only or gone
            (self.folder / RESERVE).unlink()
        deadline = time.monotonic() + END_SECONDS
        while True:
            try:
                with self.ws.write() as session:
                    return jobs.end(self.job(session), ended.status, ended.error, ended.failure)
            except StudioError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)


def _owner(job: Job) -> tuple[object, ...]:
    """What changes as soon as a job is given up or claimed by another process."""
    return job.host, job.pid, job.pid_started, job.status in jobs.ACTIVE
