"""Fine-tuning jobs: starting; stopping and resuming of all kinds. What else there is to say of jobs is brought together here.

A job is a process of its own (``studio.worker``); everything here reads the database and the job's folder, so a page
may come and go. Statuses: queued, running, saving, finished, stopped, failed, interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

from db.models import Job, JobEventKind, JobStatus
from db.repositories import jobs, projects
from studio import backends
from studio.errors import StudioError
from studio.services import checkpoints, placement, provenance, runs
from studio.services.job_views import JobLine, JobView, find_job, job_lines, job_view, list_jobs, metrics, resumable, trains_on
from studio.services.recipes import RecipeView, less_memory, on_base, recipe_toml, recipes, resumed_with
from studio.services.reruns import rerun_job
from studio.services.runs import STOP, MetricPoint, new_folder
from studio.services.scheduling import is_whole, reconcile, start_next
from studio.services.snapshots import Preview, freeze, preview
from studio.workspace import Workspace

__all__ = [
    "JobLine",
    "JobView",
    "MetricPoint",
    "Preview",
    "RecipeView",
    "job_lines",
    "job_view",
    "keep_last_save",
    "list_jobs",
    "metrics",
    "preview",
    "recipe_toml",
    "recipes",
    "reconcile",
    "rerun_job",
    "resume_job",
    "resume_with_less_memory",
    "start_job",
    "start_next",
    "stop_job",
]


def start_job(
    ws: Workspace,
    project_id: int,
    base_checkpoint_id: int | None,
    recipe: str,
    overrides: Sequence[str] = (),
    use_when_finished: bool = True,
    backend: str | None = None,
    stages: Sequence[str] | None = None,
    by: str = "",
) -> JobView:
    """Freeze the corrections, queue a training on them and start it if no other job runs.

    Without ``base_checkpoint_id`` it starts from the recipe's base models alone. ``overrides`` are the command line's ``--set``
    arguments, such as ``"stage2.steps=20"``; ``stages`` those of the recipe that are run, ``None`` for all it runs. With
    ``use_when_finished`` the new checkpoint is put in use as soon as it is there, if the gate lets it pass. ``backend`` names
    where it runs (``studio.backends``); else the workspace's setting does. ``by`` is who asks, as for all that is done to a job:
    empty where nobody logs in.

    Raises:
        StudioError: nothing that its stages need is corrected, held-out dialogues would be trained on, no such recipe or
            checkpoint, a backend that cannot be had, a recipe for another model than the checkpoint's or that needs dev dialogues
            where none is corrected, or the disk is full.
    """
    text = recipe_toml(recipe, overrides, stages)
    backend = backend or placement.default_backend(ws)
    backends.named(backend).check()
    with ws.read() as session:
        if not projects.exists(session, project_id):
            raise StudioError("The project does not exist any more: choose another one.")
        base = checkpoints.get(session, base_checkpoint_id) if base_checkpoint_id is not None else None
        folder = checkpoints.require_whole(ws, base) if base is not None else None
        known = {"name": base.name if base is not None else None}
    run = on_base(text, folder).stages
    known |= provenance.describe_checkpoint(folder) if folder is not None else {}
    plan = provenance.Plan(recipe, tuple(overrides), text, known)
    evaluates, states = any(stage.eval_every for stage in run), any("dst" in stage.tasks for stage in run)
    with freeze(ws, project_id, base_checkpoint_id, plan, evaluates, states) as frozen, ws.write() as session:
        job = Job(
            project_id=project_id,
            base=checkpoints.get(session, base_checkpoint_id) if base_checkpoint_id is not None else None,
            recipe=recipe,
            overrides=list(overrides),
            use_when_finished=use_when_finished,
            backend=backend,
        )
        jobs.note(job, JobEventKind.STARTED, by)
        session.add(job)
        session.flush()
        with new_folder(ws.path(job.folder)):
            frozen.give(ws, session, job)
        job_id = job.id
    start_next(ws)
    return job_view(ws, job_id)


def stop_job(ws: Workspace, job_id: int, by: str = "") -> JobView:
    """Ask a job to save and end; a queued one ends at once.

    Raises:
        StudioError: no such job, or it has ended already.
    """
    with ws.write() as session:
        job = find_job(session, job_id)
        if job.status == JobStatus.QUEUED:
            jobs.end(job, JobStatus.STOPPED)
        elif job.status == JobStatus.RUNNING:
            (ws.path(job.folder) / STOP).touch()
            job.status, job.phase = JobStatus.SAVING, "saving, to stop"
        else:
            raise StudioError(f"Job {job_id} cannot be stopped: it is {job.status}.")
        jobs.note(job, JobEventKind.STOPPED, by)
    return job_view(ws, job_id)


def resume_job(ws: Workspace, job_id: int, overrides: Sequence[str] = (), by: str = "") -> JobView:
    """Queue a stopped, failed or interrupted job again; it goes on from its last saved step. A finished one whose
    scoring failed is only scored.

    ``overrides`` change how a training computes from there on, such as ``"stage2.max_positions=1024"``; its recipe and
    provenance say so.

    Raises:
        StudioError: no such job, its status or folder does not allow it, or an override is none of those that may change (the
            message says why).
    """
    with ws.write() as session:
        job = find_job(session, job_id)
        if not resumable(job.status, job.error):
            raise StudioError(f"Job {job_id} cannot be resumed: it is {job.status}.")
        if not is_whole(ws, job):
            raise StudioError(f"Job {job_id} cannot be resumed: its folder, or what was frozen in it, is gone; start a new job.")
        folder = ws.path(job.folder)
        if overrides:
            if not trains_on(folder, job.kind):
                raise StudioError(f"Job {job_id} does not train any more: resume it without other settings.")
            text = resumed_with(folder / provenance.RECIPE, overrides)
            provenance.change(folder, job, text, list(overrides), runs.last_metrics(folder).get("step", 0))
        (folder / STOP).unlink(missing_ok=True)
        job.options = {key: value for key, value in job.options.items() if key != runs.KEEP}
        _queue_again(job, by)
    start_next(ws)
    return job_view(ws, job_id)


def keep_last_save(ws: Workspace, job_id: int, by: str = "") -> JobView:
    """Queue that a checkpoint is made of what a training saved last, to score, compare or start from; after that the job stands
    as before, and can still be resumed.

    Raises:
        StudioError: no such job, or it left no save of which there is no checkpoint yet.
    """
    item = job_view(ws, job_id)
    if not item.can_keep:
        raise StudioError(
            f"Job {job_id} has no save to make a checkpoint of: it is {item.status}, has saved nothing, or has the checkpoint."
        )
    with ws.write() as session:
        job = find_job(session, job_id)
        if job.status != item.status or not is_whole(ws, job):
            raise StudioError(f"Job {job_id} changed meanwhile, or what was frozen in its folder is gone: look again.")
        (item.folder / STOP).unlink(missing_ok=True)
        job.options = job.options | {runs.KEEP: {"status": item.status, "error": item.error, "failure": item.failure}}
        _queue_again(job, by)
    start_next(ws)
    return job_view(ws, job_id)


def _queue_again(job: Job, by: str) -> None:
    job.status, job.phase, job.error, job.failure, job.ended = JobStatus.QUEUED, jobs.WAITING, None, None, None
    job.calls = 0
    jobs.note(job, JobEventKind.RESUMED, by)


def resume_with_less_memory(ws: Workspace, job_id: int, by: str = "") -> JobView:
    """Resume a training that found too little memory: half of ``max_positions`` in every stage, and activation checkpointing.

    Raises:
        StudioError: see `resume_job`; or it does not train any more.
    """
    item = job_view(ws, job_id)
    if not item.can_take_less_memory:
        raise StudioError(f"Job {job_id} did not end for lack of memory in its training: resume it as it is.")
    return resume_job(ws, job_id, less_memory(item.folder / provenance.RECIPE), by)
