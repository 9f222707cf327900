"""What an import has staged and nobody goes on with: it is removed in small parts, so nobody's save waits for it.

It is kept as long as a job may go on with it: one that waits, runs, or can be resumed; so it goes once such a job is deleted, or
failed for what is wrong with its file. Of an import without a job, such as ``dst-studio import``, nobody knows whether it is at
work: nothing goes that was followed by more within an hour. Sounds stay, for they are known by their content.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

from sqlalchemy.orm import Session

from db.models import JobStatus, Project, utc_now
from db.repositories import dialogues, jobs, projects
from studio.errors import StudioError
from studio.services.job_views import resumable
from studio.services.scheduling import is_whole
from studio.workspace import Workspace

LOOK_SECONDS = 60.0
QUIET = timedelta(hours=1)  # without a further part, after which an import without a job counts as dead
PART = 500  # turns of a transaction


def keep_swept(ws: Workspace) -> NoReturn:
    """Sweep again and again, as long as the studio runs."""
    while True:
        with suppress(StudioError):  # the database is busy: next time
            sweep(ws)
        time.sleep(LOOK_SECONDS)


def sweep(ws: Workspace) -> int:
    """Remove what nobody goes on with; the number of dialogues comes back.

    Raises:
        StudioError: the database cannot be written.
    """
    with ws.read() as session:
        left = [staging.id for staging in projects.stagings(session) if _is_left(ws, session, staging)]
    removed = 0
    for staging_id in left:
        while number := _remove_part(ws, staging_id):
            removed += number
            ws.give_way()
    return removed


def _remove_part(ws: Workspace, staging_id: int) -> int:
    with ws.write() as session:
        # Asked again each time: somebody may have started an import meanwhile, which goes on with what is there yet
        left = _is_left(ws, session, session.get_one(Project, staging_id))
        return dialogues.remove_some(session, staging_id, PART) if left else 0


def _is_left(ws: Workspace, session: Session, staging: Project) -> bool:
    newest = dialogues.newest(session, staging.id)
    if newest is None or utc_now() - newest < QUIET:
        return False
    waiting = (JobStatus.QUEUED, *jobs.ACTIVE)
    return not any(
        job.status in waiting or (resumable(job.status, job.error) and is_whole(ws, job))
        for job in jobs.imports(session, staging.staged_for)
    )
