"""The tables. Times are UTC, paths relative to the workspace; nothing here is of one database only."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Stored as UTC without zone, because SQLite has none; always handed out with the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


def utc_now() -> datetime:
    """This moment, with its zone."""
    return datetime.now(UTC)


class Split(StrEnum):
    """``test`` dialogues are held out: scored on, never trained on."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


class Speaker(StrEnum):
    USER = "user"
    AGENT = "agent"


class TurnStatus(StrEnum):
    """How far a turn has come; kept beside the revisions so that lists need not read them."""

    NEW = "new"
    PREDICTED = "predicted"
    CORRECTED = "corrected"
    REVIEWED = "reviewed"
    FINAL = "final"


LABELLED = (TurnStatus.CORRECTED, TurnStatus.REVIEWED, TurnStatus.FINAL)  # somebody said what is right


class RevisionKind(StrEnum):
    TRANSCRIPT = "transcript"
    STATE = "state"


class RevisionSource(StrEnum):
    """Where a new value came from. ``propagated``: an earlier turn was corrected and this one decoded again."""

    MODEL = "model"
    USER = "user"
    IMPORT = "import"
    UNDO = "undo"
    REDO = "redo"
    PROPAGATED = "propagated"


class Role(StrEnum):
    """Each may do what the ones before it may; the trainer starts jobs, the admin also manages people and splits."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    TRAINER = "trainer"
    ADMIN = "admin"


class EventKind(StrEnum):
    """What happened to a turn besides its corrections."""

    NOTE = "note"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    REVIEWED = "reviewed"
    FINAL = "final"
    REOPENED = "reopened"


class ErrorKind(StrEnum):
    """Why a slot was wrong: misheard (right once the transcript is), or misunderstood (wrong all the same)."""

    RECOGNITION = "recognition"
    UNDERSTANDING = "understanding"


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SAVING = "saving"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Base(DeclarativeBase):
    """Names every constraint, so that later migrations can address it; stores enums as their values."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        **{
            kind: Enum(kind, native_enum=False, length=16, values_callable=lambda members: [member.value for member in members])
            for kind in (Split, Speaker, TurnStatus, RevisionKind, RevisionSource, JobStatus, Role, EventKind, ErrorKind)
        },
    }


class Project(Base):
    """Dialogues of one task, with their ontology."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Ontology(Base):
    """One version of a project's slots and values; the newest counts, the others stay for the runs that used them."""

    __tablename__ = "ontologies"
    __table_args__ = (UniqueConstraint("project_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    version: Mapped[int]
    built_from: Mapped[str] = mapped_column(String(16))
    values: Mapped[dict[str, Any]]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Recording(Base):
    """A sound, stored once as ``recordings/ab/ab12….flac``. ``channels`` is the upload's; the file is mono."""

    __tablename__ = "recordings"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    path: Mapped[str] = mapped_column(String(200))
    seconds: Mapped[float]
    sample_rate: Mapped[int]
    channels: Mapped[int]
    original_name: Mapped[str] = mapped_column(String(400))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Dialogue(Base):
    """A dialogue; ``name`` is the ``dialogue_id`` of manifests, ``split_by`` whoever changed its split last.

    ``content`` is a hash of what was imported, by which the same dialogue is known again; ``None`` if it was recorded here.
    """

    __tablename__ = "dialogues"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(200))
    split: Mapped[Split] = mapped_column(default=Split.TRAIN)
    split_by: Mapped[str | None] = mapped_column(String(100))
    source: Mapped[str] = mapped_column(String(200), default="")
    licence: Mapped[str] = mapped_column(String(200), default="")
    content: Mapped[str | None] = mapped_column(String(64), index=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)
    turns: Mapped[list[Turn]] = relationship(order_by="Turn.turn_id", back_populates="dialogue")


class Turn(Base):
    """A turn. ``turn_id`` is its number in the dialogue, as in manifests.

    Kept beside what they follow from, so that lists and the queue need not read it: ``status``; ``doubt``, how unsure the
    model is (0 to 1); ``words``, what was said, in lower case. ``lottery`` is drawn once, for the queue's random share.
    ``submitted`` is when somebody sent the turn to review.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("dialogue_id", "turn_id"),
        Index("ix_turns_queue", "status", "doubt"),
        Index("ix_turns_lottery", "lottery"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dialogue_id: Mapped[int] = mapped_column(ForeignKey("dialogues.id"))
    turn_id: Mapped[int]
    speaker: Mapped[Speaker]
    status: Mapped[TurnStatus] = mapped_column(default=TurnStatus.NEW)
    voice: Mapped[str | None] = mapped_column(String(100))
    recording_id: Mapped[int | None] = mapped_column(ForeignKey("recordings.id"), index=True)
    doubt: Mapped[float | None]
    lottery: Mapped[float] = mapped_column(default=random.random, server_default="0.5")
    words: Mapped[str] = mapped_column(default="", server_default="")
    submitted: Mapped[datetime | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    dialogue: Mapped[Dialogue] = relationship(back_populates="turns")
    recording: Mapped[Recording | None] = relationship()
    predictions: Mapped[list[Prediction]] = relationship(order_by="Prediction.id")
    revisions: Mapped[list[Revision]] = relationship(order_by="Revision.id")
    slots: Mapped[list[TurnSlot]] = relationship(cascade="all, delete-orphan")
    marks: Mapped[list[SlotMark]] = relationship(cascade="all, delete-orphan")
    events: Mapped[list[TurnEvent]] = relationship(order_by="TurnEvent.id")
    errors: Mapped[list[SlotError]] = relationship(cascade="all, delete-orphan")


class TurnSlot(Base):
    """One slot of the state that stands after a turn, for filters and search; ``value`` is its canonical form in lower case."""

    __tablename__ = "turn_slots"
    __table_args__ = (Index("ix_turn_slots_domain_slot_value", "domain", "slot", "value"),)

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    domain: Mapped[str] = mapped_column(String(100), primary_key=True)
    slot: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str]
    confidence: Mapped[float | None]


class SlotMark(Base):
    """A value somebody confirmed or wrote: it never moves by itself. ``value`` is ``None`` for a slot that has to be absent."""

    __tablename__ = "slot_marks"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    layer: Mapped[str] = mapped_column(String(100), primary_key=True, default="")
    domain: Mapped[str] = mapped_column(String(100), primary_key=True)
    slot: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class TurnEvent(Base):
    """A note on a turn, or a step of its review, with what was said about it."""

    __tablename__ = "turn_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    kind: Mapped[EventKind]
    text: Mapped[str] = mapped_column(default="")
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class SlotError(Base):
    """Why the model had one slot of a turn wrong, found when ``revision_id`` corrected it."""

    __tablename__ = "slot_errors"
    __table_args__ = (UniqueConstraint("revision_id", "domain", "slot"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id"))
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    domain: Mapped[str] = mapped_column(String(100))
    slot: Mapped[str] = mapped_column(String(100))
    kind: Mapped[ErrorKind]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Draft(Base):
    """What somebody has typed into a field of a turn and not saved yet."""

    __tablename__ = "drafts"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    author: Mapped[str] = mapped_column(String(100), primary_key=True)
    field: Mapped[str] = mapped_column(String(200), primary_key=True)
    text: Mapped[str]
    updated: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class User(Base):
    """Somebody who may log in. ``password`` is an argon2 hash, never the password."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role]
    active: Mapped[bool] = mapped_column(default=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)






class Checkpoint(Base):
    """A checkpoint folder. ``path`` is ``None`` for the demo checkpoint: it lies in the package, wherever that is."""

    __tablename__ = "checkpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    path: Mapped[str | None] = mapped_column(String(200), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"))
    created: Mapped[datetime] = mapped_column(default=utc_now)
    parent: Mapped[Checkpoint | None] = relationship(remote_side=[id])
    job: Mapped[Job | None] = relationship(foreign_keys="Job.checkpoint_id", back_populates="checkpoint")
    evaluations: Mapped[list[Evaluation]] = relationship(order_by="Evaluation.id")


class Evaluation(Base):
    """What ``engine evaluate`` printed for a checkpoint on one manifest, which ``manifest_sha256`` identifies."""

    __tablename__ = "evaluations"
    __table_args__ = (UniqueConstraint("checkpoint_id", "manifest_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    scores: Mapped[dict[str, Any]]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Prediction(Base):
    """What a checkpoint made of a turn; the newest counts. ``confidence`` is ``{domain: {slot: 0..1}}``.

    ``pinned`` is the part of the state it was told (``{domain: {slot: value}}``), after a correction of an earlier turn.
    """

    __tablename__ = "predictions"

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    raw: Mapped[str]
    transcript: Mapped[str]
    state: Mapped[dict[str, Any]]
    confidence: Mapped[dict[str, Any]]
    valid: Mapped[bool]
    seconds: Mapped[float]
    pinned: Mapped[dict[str, Any] | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    checkpoint: Mapped[Checkpoint] = relationship()


class Revision(Base):
    """One change of a turn's transcript (a text) or state (an object); triggers refuse to change or delete it.

    ``parent_id`` is the revision of the same kind it was made on. A parent has one child at most, and a turn one first
    revision of each kind and layer, so two people can never both build on what they saw. The labels of a project are
    those of the layer ``""``; a blind annotator's layer is named after them.
    """

    __tablename__ = "revisions"
    __table_args__ = (
        UniqueConstraint("parent_id"),
        Index(
            "uq_revisions_first",
            "turn_id",
            "kind",
            "layer",
            unique=True,
            sqlite_where=text("parent_id IS NULL"),
            postgresql_where=text("parent_id IS NULL"),
        ),
        Index("ix_revisions_turn_id", "turn_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    kind: Mapped[RevisionKind]
    layer: Mapped[str] = mapped_column(String(100), default="", server_default="")
    old: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    new: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    author: Mapped[str] = mapped_column(String(100))
    source: Mapped[RevisionSource]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("revisions.id"))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Snapshot(Base):
    """The frozen corrections of a run. ``sha256`` is the manifest's, which names every recording by its hash."""

    __tablename__ = "snapshots"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    ontology_id: Mapped[int] = mapped_column(ForeignKey("ontologies.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(200))
    dialogues: Mapped[list[str]]
    held_out: Mapped[list[str]]
    held_out_sha256: Mapped[str | None] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(default=utc_now)
    revisions: Mapped[list[SnapshotRevision]] = relationship()


class SnapshotRevision(Base):
    """Which correction went into which snapshot."""

    __tablename__ = "snapshot_revisions"

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id"), primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id"), primary_key=True, index=True)


class Job(Base):
    """A job. Its process is known by ``pid`` and ``pid_started`` (seconds after the machine's start) together: process ids
    are used again. ``called`` is when a process was last started for it.

    ``phase`` says in plain words what it is doing. ``checkpoint_id`` is the result, ``base_id`` what it started from.
    """

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))
    base_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"), unique=True)
    status: Mapped[JobStatus] = mapped_column(default=JobStatus.QUEUED, index=True)
    phase: Mapped[str] = mapped_column(String(100), default="waiting")
    recipe: Mapped[str] = mapped_column(String(200))
    overrides: Mapped[list[str]]
    use_when_finished: Mapped[bool]
    pid: Mapped[int | None]
    pid_started: Mapped[float | None]
    called: Mapped[datetime | None]
    error: Mapped[str | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    snapshot: Mapped[Snapshot | None] = relationship()
    base: Mapped[Checkpoint] = relationship(foreign_keys=[base_id])
    checkpoint: Mapped[Checkpoint | None] = relationship(foreign_keys=[checkpoint_id], back_populates="job")

    @property
    def folder(self) -> str:
        """The job's folder in the workspace."""
        return f"runs/{self.id}"


class Setting(Base):
    """One setting of the workspace, such as the checkpoint in use."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
