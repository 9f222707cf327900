"""Checkpoints, jobs and what they were trained and scored on; settings."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, utc_now
from db.models.kinds import FailureKind, JobEventKind, JobKind, JobStatus, PromotionKind

if TYPE_CHECKING:
    from db.models.labels import LabelVersion


class Checkpoint(Base):
    """A checkpoint folder. ``path`` is ``None`` for the demo checkpoint: it lies in the package, wherever that is.

    Of one that was ``deleted`` the row is what is left; ``deleted_by`` is empty where nobody logs in, and ``None`` of one that
    was deleted before that was kept.
    """

    __tablename__ = "checkpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    path: Mapped[str | None] = mapped_column(String(200), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"))
    created: Mapped[datetime] = mapped_column(default=utc_now)
    deleted: Mapped[datetime | None]
    deleted_by: Mapped[str | None] = mapped_column(String(100))
    parent: Mapped[Checkpoint | None] = relationship(remote_side=[id])
    job: Mapped[Job | None] = relationship(foreign_keys="Job.checkpoint_id", back_populates="checkpoint")
    left_by: Mapped[Job | None] = relationship(secondary="kept_checkpoints", back_populates="kept")
    evaluations: Mapped[list[Evaluation]] = relationship(order_by="Evaluation.id")

    @property
    def run(self) -> Job | None:
        """The training it comes from: as its result, or left on the way."""
        return self.job or self.left_by


class KeptCheckpoint(Base):
    """A checkpoint that a training left on its way: where it was stopped, or before its loss was no number."""

    __tablename__ = "kept_checkpoints"

    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)


class Evaluation(Base):
    """What ``engine evaluate`` printed for a checkpoint on one manifest, which ``manifest_sha256`` identifies.

    ``labels`` are those that were scored on; ``None`` of scores made before that was kept.
    ``predictions`` is the file with what it answered to every turn, by which two checkpoints are compared.
    """

    __tablename__ = "evaluations"
    __table_args__ = (UniqueConstraint("checkpoint_id", "manifest_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    scores: Mapped[dict[str, Any]]
    labels_id: Mapped[int | None] = mapped_column(ForeignKey("label_versions.id"))
    predictions: Mapped[str | None] = mapped_column(String(200))
    created: Mapped[datetime] = mapped_column(default=utc_now)
    labels: Mapped[LabelVersion | None] = relationship()

    @property
    def told(self) -> dict[str, Any]:
        """What was printed, and under ``labels`` which labels that was measured on, where it is known."""
        return self.scores | ({"labels": self.labels.title} if self.labels is not None else {})


class Snapshot(Base):
    """The frozen corrections of a run. ``sha256`` is the manifest's, which names every recording by its hash.

    ``provenance`` is everything else the run follows from: recipe, code, libraries, base checkpoint, sounds.
    """

    __tablename__ = "snapshots"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    ontology_id: Mapped[int] = mapped_column(ForeignKey("ontologies.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(200))
    dialogues: Mapped[list[str]]
    held_out: Mapped[list[str]]
    held_out_sha256: Mapped[str | None] = mapped_column(String(64))
    labels_id: Mapped[int | None] = mapped_column(ForeignKey("label_versions.id"))
    provenance: Mapped[dict[str, Any] | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    revisions: Mapped[list[SnapshotRevision]] = relationship()


class SnapshotRevision(Base):
    """Which correction went into which snapshot."""

    __tablename__ = "snapshot_revisions"

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id"), primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id"), primary_key=True, index=True)


class Job(Base):
    """A job. Its process is known by ``host``, ``pid`` and ``pid_started`` (which start of the machine, and the seconds after it)
    together: process ids are used again. ``called`` is when a process was last started for it, ``calls`` how often one came to
    nothing. ``backend`` is where its engine runs.

    ``phase`` says in plain words what it is doing, ``error`` in a sentence why it failed and ``failure`` of what kind that is.
    Of a training ``checkpoint_id`` is the result, ``base_id`` what it started from (``None``: the base models alone), ``gate``
    what the gate said when the result was to be put in use; of a scoring ``base_id`` is what is scored. ``options`` are what
    another kind was asked for. Of one that was ``deleted`` the row is what is left.
    """

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(default=JobKind.TRAIN, server_default="train")
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))
    base_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"))
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"), unique=True)
    status: Mapped[JobStatus] = mapped_column(default=JobStatus.QUEUED, index=True)
    phase: Mapped[str] = mapped_column(String(100), default="waiting")
    recipe: Mapped[str | None] = mapped_column(String(200))
    overrides: Mapped[list[str]] = mapped_column(default=list)
    use_when_finished: Mapped[bool] = mapped_column(default=False)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    backend: Mapped[str] = mapped_column(String(200), default="local", server_default="local")
    host: Mapped[str | None] = mapped_column(String(200))
    pid: Mapped[int | None]
    pid_started: Mapped[float | None]
    called: Mapped[datetime | None]
    calls: Mapped[int] = mapped_column(default=0, server_default="0")
    error: Mapped[str | None]
    failure: Mapped[FailureKind | None]
    gate: Mapped[str | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    deleted: Mapped[datetime | None]
    snapshot: Mapped[Snapshot | None] = relationship()
    base: Mapped[Checkpoint | None] = relationship(foreign_keys=[base_id])
    checkpoint: Mapped[Checkpoint | None] = relationship(foreign_keys=[checkpoint_id], back_populates="job")
    kept: Mapped[list[Checkpoint]] = relationship(
        secondary="kept_checkpoints", back_populates="left_by", order_by="Checkpoint.id"
    )
    events: Mapped[list[JobEvent]] = relationship(order_by="JobEvent.id")

    @property
    def author(self) -> str:
        """Who asked for it; empty where nobody logs in, and of jobs from before that was kept."""
        return next((event.author for event in self.events if event.kind == JobEventKind.STARTED), "")

    @property
    def deleted_by(self) -> str:
        """Who deleted it, if somebody did who has a name."""
        return next((event.author for event in self.events if event.kind == JobEventKind.DELETED), "")

    @property
    def folder(self) -> str:
        """The job's folder in the workspace."""
        return f"runs/{self.id}"


class JobEvent(Base):
    """What somebody did to a job: who and when. ``author`` is empty where nobody logs in."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[JobEventKind]
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Promotion(Base):
    """A change of the checkpoint in use: who, when, from which to which, and what the gate said; triggers refuse to change
    or delete it. ``reason`` is why somebody put in use what the gate refused.
    """

    __tablename__ = "promotions"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[PromotionKind]
    from_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    to_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    author: Mapped[str] = mapped_column(String(100))
    reason: Mapped[str] = mapped_column(default="")
    verdict: Mapped[dict[str, Any] | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    source: Mapped[Checkpoint] = relationship(foreign_keys=[from_id])
    target: Mapped[Checkpoint] = relationship(foreign_keys=[to_id])


class Lease(Base):
    """Who computes on the GPU of a machine: a job or the live model, known by its process. ``wanted`` is who waits for it."""

    __tablename__ = "leases"

    host: Mapped[str] = mapped_column(String(200), primary_key=True)
    holder: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int]
    pid_started: Mapped[float]
    wanted: Mapped[str | None] = mapped_column(String(100))
    since: Mapped[datetime] = mapped_column(default=utc_now)


class Setting(Base):
    """One setting of the workspace, such as the checkpoint in use."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
