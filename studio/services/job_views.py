"""Jobs as pages and the command line show them: rows of the database with what their folders tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy.orm import Session

from db.models import Job, JobKind, JobStatus
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs
from engine.dialogue import ManifestError, read_manifest
from engine.failures import Kind as Failure
from studio.errors import StudioError
from studio.services import checkpoints, estimates, room, runs, silence
from studio.services.provenance import RECIPE, recipe_text
from studio.services.runs import MetricPoint
from studio.services.scheduling import look_after
from studio.services.silence import Silence, roughly
from studio.services.snapshots import HELD_OUT
from studio.workspace import Workspace

Status = Literal["queued", "running", "saving", "finished", "stopped", "failed", "interrupted"]
Kind = Literal["train", "evaluate", "predict", "import"]


@dataclass(frozen=True)
class JobEventView:
    """What somebody did to a job: ``started``, ``stopped`` or ``resumed`` it. ``author`` is empty where nobody logs in."""

    kind: str
    author: str
    created: datetime


@dataclass(frozen=True)
class JobView:
    """A job as pages show it. ``title`` is what it is for and ``phase`` what it is doing, in plain words.

    ``step`` of ``total_steps`` counts what ``unit`` names: also of a training that is being scored, whose turns they are then.
    ``waits_for`` says what keeps a queued job from running. ``recipe``, ``stage`` (of the recipe), ``loss`` and the like are a
    training's; ``base_checkpoint`` is where it starts (``None``: from the base models alone), or what is scored. ``error`` is the
    sentence on what went wrong, and ``failure`` its kind.

    ``checkpoint_id`` is ``None`` where the checkpoint was deleted. ``kept`` are the checkpoints that a training left on its way
    and that were not deleted, by name with their ids. ``eta_seconds`` is the time to the end of what is counted, and ``then``
    says in words what comes on top. ``queue_position`` is 1 for the next to start and ``None`` for a job that is not queued.
    ``gate`` is what the gate said when the checkpoint was to be put in use, ``None`` where it was not asked.
    ``reproduction`` is whether a rerun came to the same (see `reruns`). ``scores_before`` and
    ``scores_after`` are what ``engine evaluate`` printed for the base and the new checkpoint on the held-out dialogues.
    ``silence`` is what is to be told of one that runs and does nothing any more.
    ``author`` is who started it, empty where nobody logs in, and ``events`` everything that people did to it, oldest first.
    """

    id: int
    kind: Kind
    title: str
    project_id: int
    status: Status
    phase: str
    recipe: str | None
    overrides: tuple[str, ...]
    base_checkpoint: str | None
    checkpoint: str | None
    checkpoint_id: int | None
    kept: dict[str, int]
    use_when_finished: bool
    folder: Path
    stage: str | None
    unit: Literal["step", "turn", "dialogue"]
    step: int
    total_steps: int | None
    eta_seconds: float | None
    then: str
    loss: float | None
    error: str | None
    failure: Failure | None
    gate: str | None
    reproduction: dict[str, Any] | None
    log_tail: str
    scores_before: dict[str, Any] | None
    scores_after: dict[str, Any] | None
    queue_position: int | None
    waits_for: str | None
    silence: Silence | None
    author: str
    events: tuple[JobEventView, ...]
    created: datetime
    started: datetime | None
    ended: datetime | None

    @property
    def left(self) -> str | None:
        """How long it still takes, in words, where that is known."""
        return f"about {roughly(self.eta_seconds)} left{self.then}" if self.active and self.eta_seconds else None

    @property
    def has_scores(self) -> bool:
        """Whether it scores a checkpoint."""
        return self.kind in ("train", "evaluate")

    @property
    def can_stop(self) -> bool:
        """Whether ``stop_job`` would be heard."""
        return self.status in ("queued", "running")

    @property
    def can_resume(self) -> bool:
        """Whether ``resume_job`` may be asked."""
        return resumable(self.status, self.error)

    @property
    def can_take_less_memory(self) -> bool:
        """Whether ``resume_with_less_memory`` may be asked."""
        return self.can_resume and self.failure in ("gpu memory", "memory") and trains_on(self.folder, self.kind)

    @property
    def can_keep(self) -> bool:
        """Whether ``keep_last_save`` may be asked: a training has a save of which there is no checkpoint yet."""
        kept = any(name.endswith(f"-{self.step}") for name in self.kept)
        return self.can_resume and not kept and trains_on(self.folder, self.kind) and runs.has_save(self.folder)

    @property
    def active(self) -> bool:
        """Whether it will change by itself: poll while this holds."""
        return self.status in ("queued", "running", "saving")


@dataclass(frozen=True)
class JobLine:
    """A job in a list that is asked for again and again: what its row says, without a look into its folder."""

    id: int
    status: Status
    title: str
    checkpoint: str | None
    author: str
    created: datetime


def job_lines(
    ws: Workspace, project_id: int | None = None, wanted: int | None = None, limit: int = 50
) -> tuple[list[JobLine], int | None]:
    """Jobs, newest first, after ``look_after``; an older one that is ``wanted`` comes last. And the one to show: that, else the
    newest.
    """
    look_after(ws)
    with ws.read() as session:
        found = list(jobs.load_many(session, project_id, limit))
        asked = session.get(Job, wanted) if wanted is not None else None
        if asked is not None and (asked.deleted is not None or project_id not in (None, asked.project_id)):
            asked = None
        if asked is not None and asked not in found:
            found.append(asked)
        lines = [_line(job) for job in found]
    return lines, asked.id if asked is not None else next((line.id for line in lines), None)


def list_jobs(ws: Workspace, project_id: int | None = None, limit: int = 50, kind: Kind | None = None) -> list[JobView]:
    """Jobs, newest first, after ``look_after``."""
    look_after(ws)
    with ws.read() as session:
        found = jobs.load_many(session, project_id, limit, JobKind(kind) if kind is not None else None)
        return [_view(ws, session, job) for job in found]


def job_view(ws: Workspace, job_id: int) -> JobView:
    """One job as it stands now, after ``look_after``.

    Raises:
        StudioError: no such job.
    """
    look_after(ws)
    with ws.read() as session:
        return _view(ws, session, find_job(session, job_id))


def metrics(ws: Workspace, job_id: int, after_step: int = 0, max_points: int = 500) -> list[MetricPoint]:
    """The points after ``after_step``, thinned evenly to at most ``max_points``; the newest is always among them."""
    return runs.read_metrics(ws.path(f"runs/{job_id}"), after_step, max_points)


def resumable(status: str, error: str | None) -> bool:
    """Whether a job may be resumed; a finished one has an error when it could not be scored."""
    return status in ("stopped", "failed", "interrupted") or (status == "finished" and error is not None)


def trains_on(folder: Path, kind: str) -> bool:
    """Whether a job that is resumed would train by a recipe that can be changed; else its checkpoint is there."""
    return kind == JobKind.TRAIN and (folder / RECIPE).is_file() and not (folder / "train" / "checkpoint").is_dir()


def find_job(session: Session, job_id: int) -> Job:
    job = session.get(Job, job_id)
    if job is not None and (by := job.deleted_by):
        raise StudioError(f"There is no job {job_id} any more: {by} deleted it.")
    if job is None or job.deleted is not None:
        raise StudioError(f"There is no job {job_id}: choose one of the list.")
    return job


def _line(job: Job) -> JobLine:
    return JobLine(job.id, cast(Status, str(job.status)), _title(job), _made(job), job.author, job.created)


def _view(ws: Workspace, session: Session, job: Job) -> JobView:
    folder = ws.path(job.folder)
    counted = runs.progress(folder)  # of a training as long as it is scored
    newest = (runs.last_metrics(folder) if job.kind == JobKind.TRAIN else {}) | counted
    unit = _unit(job, bool(counted))
    before, after = checkpoint_rows.of_job(session, job)
    return JobView(
        id=job.id,
        kind=cast(Kind, str(job.kind)),
        title=_title(job),
        project_id=job.project_id,
        status=cast(Status, str(job.status)),
        phase=job.phase,
        recipe=job.recipe,
        overrides=tuple(job.overrides),
        base_checkpoint=job.base.name if job.base is not None else None,
        checkpoint=_made(job),
        checkpoint_id=job.checkpoint_id if job.checkpoint is not None and job.checkpoint.deleted is None else None,
        kept={left.name: left.id for left in job.kept if left.deleted is None},
        use_when_finished=job.use_when_finished,
        folder=folder,
        stage=newest.get("stage"),
        unit=unit,
        step=newest.get("step", 0),
        total_steps=newest.get("total_steps"),
        eta_seconds=newest.get("eta_seconds"),
        then=_then(ws, session, job) if job.kind == JobKind.TRAIN and not counted else "",
        loss=newest.get("loss"),
        error=job.error,
        failure=cast(Failure, str(job.failure)) if job.failure is not None else None,
        gate=job.gate,
        reproduction=runs.reproduction(folder),
        log_tail=runs.log_tail(folder),
        scores_before=before,
        scores_after=after,
        queue_position=jobs.queue_position(session, job),
        waits_for=_waits_for(ws, session, job),
        silence=silence.of(job, folder, unit),
        author=job.author,
        events=tuple(JobEventView(str(event.kind), event.author, event.created) for event in job.events),
        created=job.created,
        started=job.started,
        ended=job.ended,
    )


def _unit(job: Job, counted: bool) -> Literal["step", "turn", "dialogue"]:
    if job.kind == JobKind.IMPORT:
        return "dialogue"
    return "step" if job.kind == JobKind.TRAIN and not counted else "turn"


def _then(ws: Workspace, session: Session, job: Job) -> str:
    """That a training that runs will be scored, and how long that takes where earlier scorings tell."""
    snapshot = job.snapshot
    if job.status != JobStatus.RUNNING or snapshot is None or snapshot.held_out_sha256 is None:
        return ""
    folder = ws.path(job.folder)
    each, turns = estimates.scoring_seconds(ws, session, recipe_text(folder), job.base), _turns_to_score(folder / HELD_OUT)
    if not (each and turns):
        return ", then scoring"
    before = {checkpoints.in_use_id(session)} | ({job.base.id} if job.base is not None else set())
    known = sum(checkpoint_rows.scores(session, id_, snapshot.held_out_sha256) is not None for id_ in before)
    return f", then scoring for about {roughly(each * turns * (len(before) - known + 1))}"


@lru_cache(maxsize=8)
def _turns_to_score(manifest: Path) -> int:
    """Of a job's own manifest, which is never changed; 0 where it is gone."""
    try:
        return sum(bool(turn.audio) for dialogue in read_manifest(manifest) for turn in dialogue.user_turns())
    except ManifestError:
        return 0


def _waits_for(ws: Workspace, session: Session, job: Job) -> str | None:
    if job.status != JobStatus.QUEUED:
        return None
    if (ahead := jobs.ahead(session, job)) is not None:
        return f"waits for job {ahead.id} ({_title(ahead)}) to end"
    return room.lacks(ws, session) or (job.phase if job.phase != jobs.WAITING else None)


def _made(job: Job) -> str | None:
    """The checkpoint that came of it, by name."""
    if job.checkpoint is None:
        return None
    if job.checkpoint.deleted is None:
        return job.checkpoint.name
    by = f" by {job.checkpoint.deleted_by}" if job.checkpoint.deleted_by else ""
    return f"{job.checkpoint.name} (deleted{by})"


def _title(job: Job) -> str:
    base, chosen = job.base.name if job.base is not None else "", job.options.get("dialogues")
    match job.kind:
        case JobKind.TRAIN:
            return f"{job.recipe} from {base or 'the base models'}"
        case JobKind.EVALUATE:
            return f"score {base}"
        case JobKind.PREDICT:
            return "answer all turns" if chosen is None else f"answer chosen dialogues ({len(chosen)})"
        case JobKind.IMPORT:
            return f"import {Path(job.options['path']).name}"
