"""What models and people say about a turn."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, utc_now
from db.models.kinds import ErrorKind, EventKind, RevisionKind, RevisionSource

if TYPE_CHECKING:
    from db.models.runs import Checkpoint


class Prediction(Base):
    """What a checkpoint made of a turn; the newest counts. ``confidence`` is ``{domain: {slot: 0..1}}``.

    ``transcript`` is what it heard, though it was told the corrected words since. ``pinned`` is the part of the state it was told
    (``{domain: {slot: value}}``), after a correction of an earlier turn; ``layer`` is whose (`Revision`).
    ``transcript_confidence`` (0 to 1) and ``ctc_transcript``, a second reading of the sound, are the engine's; ``None`` where it
    was told the words, or of answers of before they were kept.
    """

    __tablename__ = "predictions"

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    layer: Mapped[str] = mapped_column(String(100), default="", server_default="")
    raw: Mapped[str]
    transcript: Mapped[str]
    state: Mapped[dict[str, Any]]
    confidence: Mapped[dict[str, Any]]
    valid: Mapped[bool]
    seconds: Mapped[float]
    pinned: Mapped[dict[str, Any] | None]
    transcript_confidence: Mapped[float | None]
    ctc_transcript: Mapped[str | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    checkpoint: Mapped[Checkpoint] = relationship()


class Revision(Base):
    """One change of a turn's transcript (a text) or state (an object), or a confirmation of slots; triggers refuse to change or
    delete it.

    ``parent_id`` is the revision of the same kind it was made on. A parent has one child at most, and a turn one first
    revision of each kind and layer, so two people can never both build on what they saw. The labels of a project are
    those of the layer ``""``; a blind annotator's layer is named after them.

    ``marks`` are the marks (`SlotMark`) that stood before on the slots it decided, ``{domain: {slot: {"value", "author"}}}``, or
    ``None`` for a slot without: what an undo brings back. ``None`` as a whole where it decided none, or of before they were kept.
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
    marks: Mapped[dict[str, Any] | None]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("revisions.id"))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class LabelVersion(Base):
    """The labels of held-out dialogues as a run was scored on them: ``sha256`` is of what stood, ``number`` counts in a project.

    The same labels are the same version, whenever they are scored on again. ``ontology`` is the ontology's version at the time.
    """

    __tablename__ = "label_versions"
    __table_args__ = (UniqueConstraint("project_id", "number"), UniqueConstraint("project_id", "sha256"))

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    ontology: Mapped[int]
    turns: Mapped[int]
    created: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def title(self) -> str:
        """How a score names it: number, day, and the beginning of its hash, by which projects differ too."""
        return f"v{self.number} of {self.created.astimezone():%Y-%m-%d} ({self.sha256[:7]})"


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


class SlotError(Base):
    """Why the model had one slot of a turn wrong, found when ``revision_id`` was the newest of the turn in the ``layer``.

    ``checkpoint_id`` is whose answer was wrong.
    """

    __tablename__ = "slot_errors"
    __table_args__ = (UniqueConstraint("revision_id", "domain", "slot"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    layer: Mapped[str] = mapped_column(String(100), default="", server_default="")
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id"))
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    domain: Mapped[str] = mapped_column(String(100))
    slot: Mapped[str] = mapped_column(String(100))
    kind: Mapped[ErrorKind]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Follow(Base):
    """A change of a turn that the rest of its dialogue has yet to follow, in a layer; written with the change itself.

    ``asked`` is when the newest such change was made: what was done for an earlier one does not settle it. ``problem`` says why
    it failed when it was last tried. ``host``, ``pid`` and ``pid_started`` are the process that sees to it since ``claimed``.
    """

    __tablename__ = "follows"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    layer: Mapped[str] = mapped_column(String(100), primary_key=True)
    asked: Mapped[datetime] = mapped_column(default=utc_now)
    problem: Mapped[str | None]
    host: Mapped[str | None] = mapped_column(String(200))
    pid: Mapped[int | None]
    pid_started: Mapped[float | None]
    claimed: Mapped[datetime | None]


class TurnEvent(Base):
    """A note on a turn, or a step of its review, with what was said about it."""

    __tablename__ = "turn_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    kind: Mapped[EventKind]
    text: Mapped[str] = mapped_column(default="")
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Draft(Base):
    """What somebody has typed into a field of a turn and not saved yet.

    ``based_on`` and ``prediction`` are the ids of the revision and of the answer that stood when they began (``None``: none did).
    """

    __tablename__ = "drafts"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    author: Mapped[str] = mapped_column(String(100), primary_key=True)
    field: Mapped[str] = mapped_column(String(200), primary_key=True)
    text: Mapped[str]
    based_on: Mapped[int | None]
    prediction: Mapped[int | None]
    updated: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class CallDraft(Base):
    """A call that somebody cut into turns and has not stored yet: the table as they left it, cell by cell."""

    __tablename__ = "call_drafts"

    author: Mapped[str] = mapped_column(String(100), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)  # of the recording's file
    path: Mapped[str]  # of the recording: in the workspace where it was uploaded, else absolute
    rows: Mapped[list[Any]] = mapped_column(JSON)
    name: Mapped[str]
    split: Mapped[str] = mapped_column(String(20))
    updated: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
