"""Fine-tuning jobs: what would be trained on, freezing it, starting, watching, stopping and resuming.

A job is a process of its own (``studio.worker``); everything here reads the database and the job's folder, so a page
may come and go. Statuses: queued, running, saving, finished, stopped, failed, interrupted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy.orm import Session

from db.models import Checkpoint, Job, JobStatus, Project, utc_now
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs
from studio.errors import StudioError
from studio.services import checkpoints, runs
from studio.services.runs import MetricPoint
from studio.services.snapshots import Preview, freeze, preview
from studio.workspace import Workspace, disk_errors

__all__ = [
    "JobView",
    "MetricPoint",
    "Preview",
    "RecipeView",
    "job_view",
    "list_jobs",
    "metrics",
    "preview",
    "recipes",
    "reconcile",
    "resume_job",
    "start_job",
    "start_next",
    "stop_job",
]

Status = Literal["queued", "running", "saving", "finished", "stopped", "failed", "interrupted"]


@dataclass(frozen=True)
class RecipeView:
    """A recipe one can start: its name, one line about it, its steps over all stages, and its TOML text."""

    name: str
    description: str
    steps: int
    toml: str


@dataclass(frozen=True)
class JobView:
    """A job as pages show it. ``phase`` is what it is doing in plain words; ``stage`` is the recipe's stage.

    ``queue_position`` is 1 for the next to start and ``None`` for a job that is not queued. ``scores_before`` and
    ``scores_after`` are what ``engine evaluate`` printed for the base and the new checkpoint on the held-out dialogues.
    """

    id: int
    project_id: int
    status: Status
    phase: str
    recipe: str
    overrides: tuple[str, ...]
    base_checkpoint: str
    checkpoint: str | None
    checkpoint_id: int | None
    use_when_finished: bool
    folder: Path
    stage: str | None
    step: int
    total_steps: int | None
    eta_seconds: float | None
    loss: float | None
    error: str | None
    log_tail: str
    scores_before: dict[str, Any] | None
    scores_after: dict[str, Any] | None
    queue_position: int | None
    created: datetime
    started: datetime | None
    ended: datetime | None

    @property
    def can_stop(self) -> bool:
        """Whether ``stop_job`` would be heard."""
        return self.status in ("queued", "running")

    @property
    def can_resume(self) -> bool:
        """Whether ``resume_job`` may be asked."""
        return _resumable(self.status, self.error)

    @property
    def active(self) -> bool:
        """Whether it will change by itself: poll while this holds."""
        return self.status in ("queued", "running", "saving")


def recipes() -> list[RecipeView]:
    """The engine's recipes for the embedded base models, the quickest first: those are the ones to adapt a checkpoint with.

    The papers' recipes take other base models and days of a large GPU: they are started from the command line.
    """
    from engine.base_models import FIRST_START
    from engine.config import available_recipes, load_recipe

    folder = resources.files("engine").joinpath("recipes")
    views = []
    for name, description in available_recipes().items():
        recipe = load_recipe(name)
        if not {recipe.model.encoder, recipe.model.llm} <= set(FIRST_START):
            continue
        steps = sum(stage.steps for stage in recipe.stages)
        views.append(RecipeView(name, description, steps, folder.joinpath(f"{name}.toml").read_text(encoding="utf-8")))
    return sorted(views, key=lambda view: (view.steps, view.name))


def start_job(
    ws: Workspace,
    project_id: int,
    base_checkpoint_id: int,
    recipe: str,
    overrides: Sequence[str] = (),
    use_when_finished: bool = True,
) -> JobView:
    """Freeze the corrections, queue a fine-tune on them and start it if no other job runs.

    ``overrides`` are the command line's ``--set`` arguments, such as ``"stage2.steps=20"``. With ``use_when_finished``
    the new checkpoint becomes the one in use as soon as it is there.

    Raises:
        StudioError: nothing is corrected, no such recipe or checkpoint, or the disk is full.
    """
    _check_recipe(recipe, overrides)
    with ws.write() as session:
        base = session.get(Checkpoint, base_checkpoint_id)
        if session.get(Project, project_id) is None or base is None:
            raise StudioError("The project or the base checkpoint does not exist any more: choose another one.")
        missing = checkpoints.missing_files(checkpoints.folder(ws, base))
        if missing:
            raise StudioError(f"{base.name} cannot be trained on, {missing[0]} is missing: choose another checkpoint.")
        job = Job(
            project_id=project_id,
            base=base,
            recipe=recipe,
            overrides=list(overrides),
            use_when_finished=use_when_finished,
        )
        session.add(job)
        session.flush()
        folder = ws.path(job.folder)
        _set_aside(folder)
        try:
            freeze(ws, session, job)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        job_id = job.id
    start_next(ws)
    return job_view(ws, job_id)


def list_jobs(ws: Workspace, project_id: int | None = None, limit: int = 50) -> list[JobView]:
    """Jobs, newest first, after ``look_after``."""
    look_after(ws)
    with ws.read() as session:
        return [_view(ws, session, job) for job in jobs.load_many(session, project_id, limit)]


def job_view(ws: Workspace, job_id: int) -> JobView:
    """One job as it stands now, after ``look_after``.

    Raises:
        StudioError: no such job.
    """
    look_after(ws)
    with ws.read() as session:
        return _view(ws, session, _job(session, job_id))


def metrics(ws: Workspace, job_id: int, after_step: int = 0, max_points: int = 500) -> list[MetricPoint]:
    """The points after ``after_step``, thinned evenly to at most ``max_points``; the newest is always among them."""
    return runs.read_metrics(ws.path(f"runs/{job_id}"), after_step, max_points)


def stop_job(ws: Workspace, job_id: int) -> JobView:
    """Ask a job to save and end; a queued one ends at once.

    Raises:
        StudioError: no such job, or it has ended already.
    """
    with ws.write() as session:
        job = _job(session, job_id)
        if job.status == JobStatus.QUEUED:
            jobs.end(job, JobStatus.STOPPED)
        elif job.status == JobStatus.RUNNING:
            (ws.path(job.folder) / "stop").touch()
            job.status, job.phase = JobStatus.SAVING, "saving, to stop"
        else:
            raise StudioError(f"Job {job_id} cannot be stopped: it is {job.status}.")
    return job_view(ws, job_id)


def resume_job(ws: Workspace, job_id: int) -> JobView:
    """Queue a stopped, failed or interrupted job again; it goes on from its last saved step. A finished one whose
    scoring failed is only scored.

    Raises:
        StudioError: no such job, or its status or folder does not allow it (the message says why).
    """
    with ws.write() as session:
        job = _job(session, job_id)
        if not _resumable(job.status, job.error):
            raise StudioError(f"Job {job_id} cannot be resumed: it is {job.status}.")
        if not _is_whole(ws, job):
            raise StudioError(f"Job {job_id} cannot be resumed: its snapshot is gone; start a new job.")
        (ws.path(job.folder) / "stop").unlink(missing_ok=True)
        job.status, job.phase, job.error, job.ended = JobStatus.QUEUED, "waiting", None, None
    start_next(ws)
    return job_view(ws, job_id)


def reconcile(ws: Workspace) -> list[int]:
    """Mark jobs whose process is gone as interrupted, end what they left running, and start the next queued job.

    Returns the ids of the jobs that were found interrupted.
    """
    with ws.read() as session:
        lost = _lost(session)
    for job in lost:
        runs.end_orphans(cast(int, job.pid), ws.path(job.folder))
    if lost:
        with ws.write() as session:
            for job in _lost(session):
                jobs.end(job, JobStatus.INTERRUPTED, "Its process was killed or the machine went down: resume it.")
    start_next(ws)
    return [job.id for job in lost]


def look_after(ws: Workspace) -> None:
    """Go on with the queue where a process died or came to nothing: nobody but those who look at jobs watches them."""
    with ws.read() as session:
        lost, overlooked = _lost(session), jobs.overlooked(session)
    if lost:
        reconcile(ws)
    elif overlooked:
        start_next(ws)


def start_next(ws: Workspace) -> None:
    """Start a process for the first queued job if none runs. One too many does no harm: only one gets the job."""
    with ws.read() as session:
        if jobs.next_queued(session) is None:
            return
    with ws.write() as session:
        job = _first_whole(ws, session)
        if job is None:
            return
        job.called = utc_now()
    folder = ws.path(job.folder)
    command = [sys.executable, "-m", "studio.worker", str(job.id), "--home", str(ws.home)]
    with disk_errors(ws.home), (folder / "log.txt").open("ab") as log:
        # A session of its own: neither the studio's end nor a closed terminal reaches it
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment(ws),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def environment(ws: Workspace) -> dict[str, str]:
    """What a process of a job needs: this workspace, and this program wherever it was started from."""
    package_root = str(Path(__file__).parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"DST_STUDIO_HOME": str(ws.home), "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    return os.environ | own


def _resumable(status: str, error: str | None) -> bool:
    """Whether a job may be resumed; a finished one has an error when it could not be scored."""
    return status in ("stopped", "failed", "interrupted") or (status == "finished" and error is not None)


def _lost(session: Session) -> list[Job]:
    return [job for job in jobs.active(session) if not runs.alive(job.pid, job.pid_started)]


def _is_whole(ws: Workspace, job: Job) -> bool:
    return job.snapshot is not None and ws.path(job.snapshot.path).is_file()


def _first_whole(ws: Workspace, session: Session) -> Job | None:
    """The job to start now; those before it whose folder is gone are ended, or they would hold up the queue for ever."""
    while (job := jobs.next_queued(session)) is not None and not _is_whole(ws, job):
        jobs.end(job, JobStatus.FAILED, f"Its folder {job.folder} is gone: start a new job.")
    return job


def _set_aside(folder: Path) -> None:
    """Make way for a new job's folder. What lies there may be a killed start's, or a checkpoint trained after the
    database was backed up: nothing is removed.
    """
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"{folder.name}.aside-{number}")).exists():
            number += 1
        folder.rename(aside)


def _check_recipe(recipe: str, overrides: Sequence[str]) -> None:
    from engine.config import RecipeError, load_recipe

    try:
        load_recipe(recipe, list(overrides))
    except RecipeError as error:
        raise StudioError(str(error)) from error


def _job(session: Session, job_id: int) -> Job:
    job = session.get(Job, job_id)
    if job is None:
        raise StudioError(f"There is no job {job_id}: choose one of the list.")
    return job


def _view(ws: Workspace, session: Session, job: Job) -> JobView:
    folder = ws.path(job.folder)
    newest = runs.last_metrics(folder)
    before, after = checkpoint_rows.of_job(session, job)
    return JobView(
        id=job.id,
        project_id=job.project_id,
        status=cast(Status, str(job.status)),
        phase=job.phase,
        recipe=job.recipe,
        overrides=tuple(job.overrides),
        base_checkpoint=job.base.name,
        checkpoint=job.checkpoint.name if job.checkpoint else None,
        checkpoint_id=job.checkpoint_id,
        use_when_finished=job.use_when_finished,
        folder=folder,
        stage=newest.get("stage"),
        step=newest.get("step", 0),
        total_steps=newest.get("total_steps"),
        eta_seconds=newest.get("eta_seconds"),
        loss=newest.get("loss"),
        error=job.error,
        log_tail=runs.log_tail(folder),
        scores_before=before,
        scores_after=after,
        queue_position=jobs.queue_position(session, job),
        created=job.created,
        started=job.started,
        ended=job.ended,
    )
