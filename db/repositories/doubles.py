"""The dialogues that are annotated twice. A user turn of theirs is decided on once the project's labels hold it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, func, select
from sqlalchemy.orm import Session, selectinload

from db.models import LABELLED, Dialogue, Prediction, Revision, RevisionKind, SlotMark, Speaker, Turn
from db.repositories.revisions import LABELS, standing

_RECORDED = (Turn.speaker == Speaker.USER, Turn.recording_id.is_not(None))


def untouched(session: Session, project_id: int, ids: Sequence[int] | None = None) -> Sequence[Dialogue]:
    """The dialogues with something to annotate of which nobody has labelled a user turn, in whatever layer; of all or of some.
    A demo that nobody sent to annotation is none."""
    of_dialogue = Turn.dialogue_id == Dialogue.id
    recorded = exists().where(of_dialogue, *_RECORDED)
    begun = exists().where(of_dialogue, Turn.speaker == Speaker.USER, Revision.turn_id == Turn.id)
    query = select(Dialogue).where(Dialogue.project_id == project_id, Dialogue.demo.is_(False), recorded, ~begun)
    return session.scalars(query if ids is None else query.where(Dialogue.id.in_(ids))).all()


def counts(session: Session, project_id: int) -> tuple[int, int, int]:
    """Dialogues, their recorded user turns, and those of them that are decided on."""
    query = (
        select(func.count(Dialogue.id.distinct()), func.count(Turn.id), func.count(Turn.id).filter(Turn.status.in_(LABELLED)))
        .join(Turn, and_(Turn.dialogue_id == Dialogue.id, *_RECORDED))
        .where(Dialogue.project_id == project_id, Dialogue.double.is_(True))
    )
    dialogues, turns, decided = session.execute(query).one()
    return dialogues, turns, decided


def undecided(session: Session, dialogue_id: int) -> bool:
    """Whether a recorded user turn of the dialogue waits for its labels."""
    waits = exists().where(Turn.dialogue_id == dialogue_id, *_RECORDED, Turn.status.not_in(LABELLED))
    return bool(session.scalar(select(waits)))


def annotated(session: Session, project_id: int) -> list[tuple[Turn, list[str]]]:
    """Every turn of the double share that two people at least have labelled, with their names in the order they began."""
    query = (
        select(Turn)
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(Dialogue.project_id == project_id, Dialogue.double.is_(True), Turn.speaker == Speaker.USER)
        .where(_two_layers())
        .options(selectinload(Turn.revisions))
        .order_by(Dialogue.id, Turn.turn_id)
    )
    found = [(turn, annotators(turn)) for turn in session.scalars(query)]
    return [(turn, names) for turn, names in found if len(names) > 1]


def to_decide(session: Session, project_id: int) -> list[tuple[Turn, list[str]]]:
    """Of these the turns that nobody has decided on."""
    return [(turn, names) for turn, names in annotated(session, project_id) if turn.status not in LABELLED]


def annotators(turn: Turn) -> list[str]:
    """Who has labelled a turn blind: whose state of it stands, by name, so that each has the same place in every turn."""
    layers = {revision.layer for revision in turn.revisions if revision.layer != LABELS}
    return sorted(layer for layer in layers if standing(turn, RevisionKind.STATE, layer))


def layers(session: Session, dialogue_id: int) -> Sequence[str]:
    """Whoever wrote or settled something in a dialogue blind, or had it decoded again."""
    found = (
        select(table.layer).join(Turn, Turn.id == table.turn_id).where(Turn.dialogue_id == dialogue_id, table.layer != LABELS)
        for table in (Revision, SlotMark, Prediction)
    )
    return sorted({layer for query in found for layer in session.scalars(query.distinct())})


def _two_layers() -> ColumnElement[bool]:
    layers = func.count(Revision.layer.distinct())
    written = (Revision.turn_id == Turn.id, Revision.kind == RevisionKind.STATE, Revision.layer != LABELS)
    return select(layers).where(*written).scalar_subquery() > 1
