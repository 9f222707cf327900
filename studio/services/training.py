"""Fine-tuning jobs: what would be trained on, freezing it, starting, watching, stopping and resuming.

A job is a process of its own (``studio.worker``); everything here reads the database and the job's folder, so a page may
come and go. Statuses: queued, running, saving, finished, stopped, failed, interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from studio.workspace import Workspace

JobStatus = Literal["queued", "running", "saving", "finished", "stopped", "failed", "interrupted"]


@dataclass(frozen=True)
class Preview:
    """What a snapshot taken now would hold. ``problem`` is the sentence that says why training cannot start, if so."""

    dialogues: int
    turns: int
    hours: float
    held_out_dialogues: int
    held_out_turns: int
    problem: str | None


@dataclass(frozen=True)
class SnapshotView:
    """A frozen set of corrections: ``sha256`` of the manifest, which names every recording by its own hash."""

    id: int
    sha256: str
    manifest: Path
    dialogues: tuple[str, ...]
    revisions: int
    created: datetime


@dataclass(frozen=True)
class RecipeView:
    """A recipe one can start: its name, one line about it, and its TOML text."""

    name: str
    description: str
    toml: str


@dataclass(frozen=True)
class JobView:
    """A job as pages show it. ``phase`` is what it is doing in plain words; ``stage`` is the recipe's stage.

    ``queue_position`` is 1 for the next to start and ``None`` for a job that is not queued. ``scores_before`` and
    ``scores_after`` are what ``engine evaluate`` printed for the base and the new checkpoint on the held-out dialogues.
    """

    id: int
    project_id: int
    status: JobStatus
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
        return self.status in ("queued", "running")

    @property
    def can_resume(self) -> bool:
        return self.status in ("stopped", "failed", "interrupted")

    @property
    def active(self) -> bool:
        """Whether it will change by itself: poll while this holds."""
        return self.status in ("queued", "running", "saving")


@dataclass(frozen=True)
class MetricPoint:
    """One point of the curves."""

    step: int
    stage: str
    loss: float
    lr: float
    seconds: float


def preview(ws: Workspace, project_id: int) -> Preview:
    """Count what would be trained on: corrected user turns of the split ``train``; held-out dialogues are split ``test``."""
    raise NotImplementedError


def recipes() -> list[RecipeView]:
    """The recipes of the engine, fine-tuning ones first."""
    raise NotImplementedError


def start_job(
    ws: Workspace,
    project_id: int,
    base_checkpoint_id: int,
    recipe: str,
    overrides: Sequence[str] = (),
    use_when_finished: bool = True,
) -> JobView:
    """Freeze the corrections, queue a fine-tune on them and start it if no other job runs.

    ``overrides`` are the command line's ``--set`` arguments, such as ``"stage2.steps=20"``. With ``use_when_finished`` the
    new checkpoint becomes the one in use as soon as it is there.

    Raises:
        StudioError: nothing is corrected, no such recipe or checkpoint, or the disk is full.
    """
    raise NotImplementedError


def list_jobs(ws: Workspace, project_id: int | None = None, limit: int = 50) -> list[JobView]:
    """Jobs, newest first."""
    raise NotImplementedError


def job_view(ws: Workspace, job_id: int) -> JobView:
    """One job as it stands now; a job whose process is gone is marked interrupted on the way.

    Raises:
        StudioError: no such job.
    """
    raise NotImplementedError


def metrics(ws: Workspace, job_id: int, after_step: int = 0, max_points: int = 500) -> list[MetricPoint]:
    """The points after ``after_step``, thinned evenly to at most ``max_points``; the newest is always among them."""
    raise NotImplementedError


def stop_job(ws: Workspace, job_id: int) -> JobView:
    """Ask a job to save and end; a queued one ends at once.

    Raises:
        StudioError: no such job, or it has ended already.
    """
    raise NotImplementedError


def resume_job(ws: Workspace, job_id: int) -> JobView:
    """Queue a stopped, failed or interrupted job again; it goes on from its last saved step.

    Raises:
        StudioError: no such job, or its status or folder does not allow it (the message says why).
    """
    raise NotImplementedError


def reconcile(ws: Workspace) -> list[int]:
    """Mark jobs whose process is gone as interrupted, end what they left running, and start the next queued job.

    Returns the ids of the jobs that were found interrupted.
    """
    raise NotImplementedError
