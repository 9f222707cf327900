"""Dialogues and turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, String, cast, exists, func, or_, select
from sqlalchemy.orm import Session, aliased, selectinload

from db.models import LABELLED, Dialogue, Prediction, Recording, Revision, RevisionKind, Speaker, Split, Turn, TurnStatus

_WITH_TURNS = (
    selectinload(Dialogue.turns).selectinload(Turn.revisions),
    selectinload(Dialogue.turns).selectinload(Turn.predictions).joinedload(Prediction.checkpoint),
    selectinload(Dialogue.turns).selectinload(Turn.marks),
    selectinload(Dialogue.turns).joinedload(Turn.recording),
)


@dataclass(frozen=True)
class DialogueCounts:
    """A dialogue, its turns, its user turns, and how many of those have a prediction at least, and are corrected."""

    dialogue: Dialogue
    turns: int
    user_turns: int
    predicted: int
    corrected: int


def load(session: Session, dialogue_id: int) -> Dialogue | None:
    """A dialogue with everything its turns hold, in a handful of queries whatever its length."""
    return session.get(Dialogue, dialogue_id, options=_WITH_TURNS)


def load_many(session: Session, project_id: int, split: Split | None = None) -> Sequence[Dialogue]:
    """All dialogues of a project with everything their turns hold, oldest first."""
    query = select(Dialogue).where(Dialogue.project_id == project_id).order_by(Dialogue.id).options(*_WITH_TURNS)
    if split is not None:
        query = query.where(Dialogue.split == split)
    return session.scalars(query).all()


def lock_turn(session: Session, turn_id: int) -> Turn | None:
    """A turn that nobody else changes until the session ends."""
    return session.get(Turn, turn_id, with_for_update=True)


def turn_with_events(session: Session, turn_id: int) -> Turn | None:
    """A turn with its notes and the steps of its review."""
    return session.get(Turn, turn_id, options=[selectinload(Turn.events)])


def names(session: Session, project_id: int) -> set[str]:
    """The names taken in a project."""
    return set(session.scalars(select(Dialogue.name).where(Dialogue.project_id == project_id)))


def next_turn_id(session: Session, dialogue_id: int) -> int:
    """The number of the turn to come."""
    last = session.scalar(select(func.max(Turn.turn_id)).where(Turn.dialogue_id == dialogue_id))
    return 0 if last is None else last + 1


def recording(session: Session, sha256: str) -> Recording | None:
    """The recording of that content."""
    return session.scalar(select(Recording).where(Recording.sha256 == sha256))


def counts(
    session: Session, project_id: int, search: str = "", status: TurnStatus | None = None, split: Split | None = None
) -> list[DialogueCounts]:
    """Dialogues with their counts, newest first, in one query."""

    def user_turns(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(Turn.id).filter(Turn.speaker == Speaker.USER, *conditions)

    predicted = user_turns(Turn.status != TurnStatus.NEW)
    corrected = user_turns(Turn.status.in_(LABELLED))
    query: Select[Dialogue, int, int, int, int] = (
        select(Dialogue, func.count(Turn.id), user_turns(), predicted, corrected)
        .outerjoin(Turn, Turn.dialogue_id == Dialogue.id)
        .where(Dialogue.project_id == project_id)
        .group_by(Dialogue.id)
        .order_by(Dialogue.id.desc())
    )
    if split is not None:
        query = query.where(Dialogue.split == split)
    if search.strip():
        query = query.where(or_(Dialogue.name.icontains(search.strip(), autoescape=True), _said(search.strip())))
    if status == TurnStatus.CORRECTED:
        query = query.having(corrected > 0)
    elif status == TurnStatus.PREDICTED:
        query = query.having(corrected == 0, predicted > 0)
    elif status == TurnStatus.NEW:
        query = query.having(predicted == 0)
    return [DialogueCounts(*row) for row in session.execute(query)]


def _said(words: str) -> ColumnElement[bool]:
    """Whether the words occur in what the model heard or somebody wrote in a turn of the dialogue."""
    turn = aliased(Turn)  # the outer query counts turns of its own

    def some_turn(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists().where(turn.dialogue_id == Dialogue.id, *conditions).correlate(Dialogue)

    heard = some_turn(Prediction.turn_id == turn.id, Prediction.transcript.icontains(words, autoescape=True))
    as_stored = json.dumps(words, ensure_ascii=False)[1:-1]
    written = some_turn(
        Revision.turn_id == turn.id,
        Revision.kind == RevisionKind.TRANSCRIPT,
        cast(Revision.new, String).icontains(as_stored, autoescape=True),
    )
    return or_(heard, written)
