"""Projects, their ontologies, dialogues, turns and recordings."""

from __future__ import annotations

import random
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, ForeignKey, Index, String, UniqueConstraint, event, false, inspect, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, utc_now
from db.models.kinds import Speaker, Split, TurnStatus

if TYPE_CHECKING:
    from db.models.labels import Prediction, Revision, SlotError, SlotMark, TurnEvent


class Project(Base):
    """Dialogues of one task, with their ontology. ``double_share`` (0 to 1) of them two people annotate blind.

    One that is ``staged_for`` another project, whose id that is, nobody sees: it holds what an import has written so far, until
    all of it comes in at once.
    """

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    double_share: Mapped[float] = mapped_column(default=0.0, server_default="0")
    staged_for: Mapped[int | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Ontology(Base):
    """One version of a project's slots and values; the newest counts, the others stay for the runs that used them.

    ``author`` made it, ``change`` says in words what is new. ``entities`` are the ids of its entity tables, by domain.
    ``written`` are the values that came in because somebody wrote them into a label, ``{domain: {slot: {value: dialogue}}}``,
    with the name of the dialogue; "" stands for the slot itself. They are in ``values`` for as long as a label holds them.
    """

    __tablename__ = "ontologies"
    __table_args__ = (UniqueConstraint("project_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    version: Mapped[int]
    built_from: Mapped[str] = mapped_column(String(16))
    values: Mapped[dict[str, Any]]
    descriptions: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    types: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    synonyms: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    entities: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    written: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    author: Mapped[str] = mapped_column(String(100), default="", server_default="")
    change: Mapped[str] = mapped_column(default="", server_default="")
    created: Mapped[datetime] = mapped_column(default=utc_now)


class EntityTable(Base):
    """What there is in a domain: a list of ``{attribute: value or list of values}``, never changed once written."""

    __tablename__ = "entity_tables"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    domain: Mapped[str] = mapped_column(String(100))
    source: Mapped[str] = mapped_column(String(400))
    entities: Mapped[list[dict[str, Any]]]
    author: Mapped[str] = mapped_column(String(100))
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
    A ``demo`` stays out of the queue until somebody sends it there.
    ``double`` says whether two people annotate it blind; ``None``: no lot was drawn yet.
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
    demo: Mapped[bool] = mapped_column(default=False, server_default=false())
    double: Mapped[bool | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    turns: Mapped[list[Turn]] = relationship(order_by="Turn.turn_id", back_populates="dialogue")


class SplitMove(Base):
    """One move of a dialogue from a split to another, and why; triggers refuse to change or delete it.

    ``scored``: runs had been scored on the dialogue before it moved.
    """

    __tablename__ = "split_moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    dialogue_id: Mapped[int] = mapped_column(ForeignKey("dialogues.id"), index=True)
    old: Mapped[Split]
    new: Mapped[Split]
    scored: Mapped[bool]
    why: Mapped[str]
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(default=utc_now)
    dialogue: Mapped[Dialogue] = relationship()


class Turn(Base):
    """A turn. ``turn_id`` is its number in the dialogue, as in manifests.

    Kept beside what they follow from, so that lists and the queue need not read it: ``project_id``, the dialogue's; ``status``;
    ``doubt``, how doubtful the model's answer is (0 to 1), and ``why``, in a few words; ``words``, what was said, in lower case,
    and behind a line break the values of the state. ``lottery`` is drawn once, for the queue's random share.
    ``words_only``: of a corrected user turn the words alone are. ``submitted`` is when somebody sent the turn to review.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("dialogue_id", "turn_id"),
        Index("ix_turns_queue", "project_id", "speaker", "status", "words_only", "doubt"),
        Index("ix_turns_lottery", "project_id", "speaker", "status", "words_only", "lottery"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(server_default="0")
    dialogue_id: Mapped[int] = mapped_column(ForeignKey("dialogues.id"))
    turn_id: Mapped[int]
    speaker: Mapped[Speaker]
    status: Mapped[TurnStatus] = mapped_column(default=TurnStatus.NEW)
    voice: Mapped[str | None] = mapped_column(String(100))
    recording_id: Mapped[int | None] = mapped_column(ForeignKey("recordings.id"), index=True)
    doubt: Mapped[float | None]
    why: Mapped[str] = mapped_column(String(120), default="", server_default="")
    lottery: Mapped[float] = mapped_column(default=random.random, server_default="0.5")
    words: Mapped[str] = mapped_column(default="", server_default="")
    words_only: Mapped[bool] = mapped_column(default=False, server_default=false())
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


@event.listens_for(Turn, "before_insert")
def _of_its_project(_mapper: Any, connection: Connection, turn: Turn) -> None:
    known = inspect(turn).dict.get("dialogue")  # reading the attribute would load it, once for every turn
    if known is None:
        known = connection.execute(select(Dialogue.project_id).where(Dialogue.id == turn.dialogue_id)).one_or_none()
    if known is not None:  # else the row is refused
        turn.project_id = known.project_id


class TurnSlot(Base):
    """One slot of the state that stands after a turn, for filters and search.

    ``value`` is in lower case; of several accepted forms each is a line, the canonical one first.
    """

    __tablename__ = "turn_slots"
    __table_args__ = (Index("ix_turn_slots_domain_slot_value", "domain", "slot", "value"),)

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    domain: Mapped[str] = mapped_column(String(100), primary_key=True)
    slot: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str]
    confidence: Mapped[float | None]
