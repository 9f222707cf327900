"""Jobs that train nothing: scoring a checkpoint, having turns answered, imports. Queued as trainings are (`training.start_job`),
imports in a line of their own; stopped and resumed by `training` too, which says what ``by`` is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from db.models import Job, JobEventKind, JobKind
from db.repositories import dialogues, jobs, projects
from studio.errors import StudioError
from studio.services import checkpoints
from studio.services.exchange import MANIFEST, check_source
from studio.services.job_views import JobView, job_view
from studio.services.runs import new_folder
from studio.services.scheduling import start_next
from studio.services.snapshots import freeze_held_out
from studio.workspace import Workspace, disk_errors


def start_evaluation(ws: Workspace, project_id: int, checkpoint_id: int, by: str = "") -> JobView:
    """Freeze a project's held-out dialogues and queue the scoring of a checkpoint on them, and of the one in use, which the gate
    compares it with.

    Raises:
        StudioError: no such project or checkpoint, nothing is held out, or the checkpoint was trained on it.
    """

    with ws.read() as session:
        _check_project(session, project_id)
        checkpoints.require_whole(ws, checkpoints.get(session, checkpoint_id))
    with freeze_held_out(ws, project_id, checkpoint_id) as frozen:

        def give(session: Session, job: Job) -> None:
            job.base = checkpoints.get(session, checkpoint_id)
            frozen.give(ws, session, job)

        return _queue(ws, project_id, JobKind.EVALUATE, {}, give, by)


def start_prediction(ws: Workspace, project_id: int, dialogue_ids: Sequence[int] | None = None, by: str = "") -> JobView:
    """Queue that the checkpoint in use answers every recorded turn of a project that waits for it, or of some dialogues.

    Raises:
        StudioError: no such project, or every recorded turn was answered.
    """
    with ws.read() as session:  # every turn of the project is looked at: nobody's save waits for that
        _check_project(session, project_id)
        ids = dialogues.with_unasked(session, project_id)
    if not any(dialogue_ids is None or id_ in dialogue_ids for id_ in ids):
        raise StudioError("The model has answered every recorded turn already: record or import more.")
    chosen = {"dialogues": list(dialogue_ids)} if dialogue_ids is not None else {}
    return _queue(ws, project_id, JobKind.PREDICT, chosen, lambda session, job: None, by)


def start_import(
    ws: Workspace,
    project_id: int,
    path: str | Path,
    name: str = MANIFEST,
    splits: Sequence[str] = (),
    rename: bool = False,
    author: str = "import",
    uploaded: bool = False,
    by: str = "",
) -> JobView:
    """Queue an import, as `imports.carry_out` does it, of a file or folder of this machine in the format ``name``.

    A file that was ``uploaded`` is copied into the job's folder until it is imported, for nobody knows how long uploads stay; it
    may name no recordings outside it.

    Raises:
        StudioError: no such project or format, or nothing is there.
    """
    place = Path(path).expanduser().absolute()
    check_source(place, name)
    asked = {"path": str(place), "format": name, "splits": list(splits), "rename": rename, "author": author}

    staged = ws.path("tmp/uploads") / uuid4().hex
    if uploaded:
        with disk_errors(ws.home):  # before the transaction: nobody's save waits for a large file
            staged.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, staged)

    def keep(session: Session, job: Job) -> None:
        if uploaded:
            copy = ws.path(job.folder) / "upload" / place.name
            copy.parent.mkdir()
            staged.replace(copy)
            job.options = asked | {"path": copy.relative_to(ws.home).as_posix(), "uploaded": True}

    try:
        return _queue(ws, project_id, JobKind.IMPORT, asked, keep, by)
    finally:
        staged.unlink(missing_ok=True)


def _queue(
    ws: Workspace, project_id: int, kind: JobKind, options: dict[str, Any], prepare: Callable[[Session, Job], None], by: str
) -> JobView:
    with ws.write() as session:
        _check_project(session, project_id)
        job = Job(project_id=project_id, kind=kind, options=options)
        jobs.note(job, JobEventKind.STARTED, by)
        session.add(job)
        session.flush()
        with disk_errors(ws.home), new_folder(ws.path(job.folder)):
            ws.path(job.folder).mkdir(parents=True)
            prepare(session, job)
        job_id = job.id
    start_next(ws)
    return job_view(ws, job_id)


def _check_project(session: Session, project_id: int) -> None:
    if not projects.exists(session, project_id):
        raise StudioError("This project does not exist any more: choose another one.")
