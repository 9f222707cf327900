"""Before a training begins: a job whose cluster does not answer stays in the queue, and says so, until it answers."""

from __future__ import annotations

import time
from datetime import datetime

from db.models import JobKind
from db.repositories import jobs
from studio import backends
from studio.workspace import Workspace

LOOK_SECONDS = 5.0  # between two looks at the cluster


def until_it_can_begin(ws: Workspace, job_id: int) -> None:
    """Wait as long as it is the job's turn and where it shall run does not answer; nothing is claimed meanwhile.

    The job's row is told again and again that a process is at it, or another one would be started for it.
    """
    since = datetime.now()
    while (backend := _backend(ws, job_id)) is not None and not backend.answers():
        with ws.write() as session:
            if (job := jobs.at_turn(session, job_id)) is None:
                return
            jobs.wait(job, backends.silent(backend.address, since, "jobs wait"))
        time.sleep(LOOK_SECONDS)


def _backend(ws: Workspace, job_id: int) -> backends.Backend | None:
    """Where the job's engine is to run, if that is its next step."""
    with ws.read() as session:
        job = jobs.at_turn(session, job_id)
        if job is None or job.kind != JobKind.TRAIN or (ws.path(job.folder) / "train" / "checkpoint").is_dir():
            return None
        return backends.named(job.backend)
