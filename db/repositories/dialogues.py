"""Dialogues and turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, selectinload

from db.models import (
    LABELLED,
    Dialogue,
    Prediction,
    Recording,
    Revision,
    Speaker,
    Split,
    Turn,
    TurnSlot,
    TurnStatus,
)
from db.repositories import words
from db.repositories.revisions import LABELS

_ASKED = 500  # names or ids of one query
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


def by_id(session: Session, dialogue_id: int) -> Dialogue | None:
    """A dialogue's row alone."""
    return session.get(Dialogue, dialogue_id)


def by_name(session: Session, project_id: int, name: str) -> Dialogue | None:
    """The row alone of a project's dialogue of that name."""
    return session.scalar(select(Dialogue).where(Dialogue.project_id == project_id, Dialogue.name == name))


def ids_after(session: Session, dialogue_id: int, limit: int) -> Sequence[int]:
    """The ids of the next dialogues of all projects."""
    return session.scalars(select(Dialogue.id).where(Dialogue.id > dialogue_id).order_by(Dialogue.id).limit(limit)).all()


def load(session: Session, dialogue_id: int) -> Dialogue | None:
    """A dialogue with everything its turns hold, in a handful of queries whatever its length."""
    return session.get(Dialogue, dialogue_id, options=_WITH_TURNS)


def load_labelled(session: Session, project_id: int, split: Split) -> Sequence[Dialogue]:
    """A split's dialogues with a labelled turn, with everything their turns hold, oldest first."""
    labelled = Dialogue.turns.any(Turn.status.in_(LABELLED))
    query = select(Dialogue).where(Dialogue.project_id == project_id, Dialogue.split == split, labelled)
    return session.scalars(query.order_by(Dialogue.id).options(*_WITH_TURNS)).all()


def load_some(session: Session, ids: Sequence[int]) -> Sequence[Dialogue]:
    """The dialogues of these ids with everything their turns hold, oldest first."""
    return session.scalars(select(Dialogue).where(Dialogue.id.in_(ids)).order_by(Dialogue.id).options(*_WITH_TURNS)).all()


def with_unasked(session: Session, project_id: int) -> Sequence[int]:
    """The ids of a project's dialogues with a recorded turn that no model was asked about, oldest first."""
    unasked = exists().where(
        Turn.dialogue_id == Dialogue.id,
        Turn.recording_id.is_not(None),
        ~exists().where(Prediction.turn_id == Turn.id, Prediction.layer == LABELS),
    )
    return session.scalars(select(Dialogue.id).where(Dialogue.project_id == project_id, unasked).order_by(Dialogue.id)).all()


def matching(
    session: Session, project_id: int, text: str = "", statuses: Sequence[TurnStatus] = ()
) -> list[tuple[int, str, Split]]:
    """Id, name and split of a project's dialogues, oldest first.

    Args:
        text: occurs in the name, in what was said, or in a value of the states.
        statuses: every user turn has one of these, and there is a user turn.
    """
    query = select(Dialogue.id, Dialogue.name, Dialogue.split).where(Dialogue.project_id == project_id).order_by(Dialogue.id)
    if wanted := text.strip().lower():
        indexed = words.indexed(session, project_id, wanted)
        if indexed is not None:
            held = select(Turn.dialogue_id).where(Turn.id.in_(indexed))
        else:
            held = select(Turn.dialogue_id).where(Turn.project_id == project_id, words.read(wanted))
        query = query.where(or_(Dialogue.name.icontains(wanted, autoescape=True), Dialogue.id.in_(held)))
    if statuses:
        user = exists().where(Turn.dialogue_id == Dialogue.id, Turn.speaker == Speaker.USER)
        query = query.where(user, ~user.where(Turn.status.not_in(statuses)))
    return [(id_, name, split) for id_, name, split in session.execute(query)]


def contents(session: Session, project_id: int) -> list[tuple[int, str, str | None, Split]]:
    """Id, name, content hash and split of a project's dialogues."""
    query = select(Dialogue.id, Dialogue.name, Dialogue.content, Dialogue.split).where(Dialogue.project_id == project_id)
    return [(id_, name, content, split) for id_, name, content, split in session.execute(query)]


def revisions_of(session: Session, ids: Sequence[int]) -> Iterator[Row[Dialogue, Turn, Revision]]:
    """Every revision of these dialogues with its turn, by dialogue, turn and age."""
    query = (
        select(Dialogue, Turn, Revision)
        .join(Turn, Turn.dialogue_id == Dialogue.id)
        .join(Revision, Revision.turn_id == Turn.id)
        .where(Dialogue.id.in_(ids))
        .order_by(Dialogue.id, Turn.turn_id, Revision.id)
    )
    yield from session.execute(query)


def lock_turn(session: Session, turn_id: int) -> Turn | None:
    """A turn that nobody else changes until the session ends."""
    return session.get(Turn, turn_id, with_for_update=True)


def turn_with_events(session: Session, turn_id: int) -> Turn | None:
    """A turn with its notes and the steps of its review."""
    return session.get(Turn, turn_id, options=[selectinload(Turn.events)])


def names(session: Session, project_id: int) -> set[str]:
    """The names taken in a project."""
    return set(session.scalars(select(Dialogue.name).where(Dialogue.project_id == project_id)))


def named(session: Session, project_id: int, names: Sequence[str]) -> dict[str, int]:
    """The ids of a project's dialogues of these names, by name."""
    found: dict[str, int] = {}
    for first in range(0, len(names), _ASKED):
        some = Dialogue.name.in_(names[first : first + _ASKED])
        rows = session.execute(select(Dialogue.name, Dialogue.id).where(Dialogue.project_id == project_id, some))
        found.update((name, id_) for name, id_ in rows)
    return found


def hand_over(session: Session, project_id: int, changes: Sequence[Mapping[str, Any]]) -> None:
    """Give dialogues to a project with all that belongs to them, in a few statements however many they are.

    Args:
        changes: for each its ``row``, which is its id, and its ``name``, ``split``, ``source`` and ``licence`` from now on.
    """
    ids = [change["row"] for change in changes]
    for first in range(0, len(ids), _ASKED):
        some = Turn.dialogue_id.in_(ids[first : first + _ASKED])
        session.execute(update(Turn).where(some).values(project_id=project_id), execution_options={"synchronize_session": False})
    values: dict[str, Any] = {key: bindparam(f"new_{key}") for key in ("name", "split", "source", "licence")}
    statement = update(Dialogue).where(Dialogue.id == bindparam("row")).values(project_id=project_id, **values)
    rows = [{"row" if key == "row" else f"new_{key}": value for key, value in change.items()} for change in changes]
    session.connection().execute(statement, rows)


def newest(session: Session, project_id: int) -> datetime | None:
    """When a project's newest dialogue was made."""
    return session.scalar(select(func.max(Dialogue.created)).where(Dialogue.project_id == project_id))


def remove_some(session: Session, project_id: int, turns: int) -> int:
    """Remove the oldest dialogues of a project that holds what is on its way into another one, of so many turns together at most,
    one at least; how many they were. Nobody has seen any, so there is nothing but what an import writes; the database refuses
    any other project's.
    """
    counted = select(Dialogue.id, func.count(Turn.id)).outerjoin(Turn).where(Dialogue.project_id == project_id)
    ids: list[int] = []
    for id_, number in session.execute(counted.group_by(Dialogue.id).order_by(Dialogue.id).limit(_ASKED)):
        turns -= number
        if ids and turns < 0:
            break
        ids.append(id_)
    its = select(Turn.id).where(Turn.dialogue_id.in_(ids))
    for table in (Revision, TurnSlot):
        session.execute(delete(table).where(table.turn_id.in_(its)), execution_options={"synchronize_session": False})
    session.execute(delete(Turn).where(Turn.dialogue_id.in_(ids)), execution_options={"synchronize_session": False})
    session.execute(delete(Dialogue).where(Dialogue.id.in_(ids)), execution_options={"synchronize_session": False})
    return len(ids)


def next_turn_id(session: Session, dialogue_id: int) -> int:
    """The number of the turn to come."""
    last = session.scalar(select(func.max(Turn.turn_id)).where(Turn.dialogue_id == dialogue_id))
    return 0 if last is None else last + 1


def recording(session: Session, sha256: str) -> Recording | None:
    """The recording of that content."""
    return session.scalar(select(Recording).where(Recording.sha256 == sha256))


def counts(session: Session, project_id: int, ids: Sequence[int] | None = None) -> list[DialogueCounts]:
    """Dialogues with their counts, newest first, in one query; ``ids``: of these only."""

    def user_turns(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(Turn.id).filter(Turn.speaker == Speaker.USER, *conditions)

    query: Select[Dialogue, int, int, int, int] = (
        select(
            Dialogue,
            func.count(Turn.id),
            user_turns(),
            user_turns(Turn.status != TurnStatus.NEW),
            user_turns(Turn.status.in_(LABELLED)),
        )
        .outerjoin(Turn, Turn.dialogue_id == Dialogue.id)
        .where(Dialogue.project_id == project_id)
        .group_by(Dialogue.id)
        .order_by(Dialogue.id.desc())
    )
    if ids is not None:
        query = query.where(Dialogue.id.in_(ids))
    return [DialogueCounts(*row) for row in session.execute(query)]


def has_turn(session: Session, project_id: int, statuses: Sequence[TurnStatus] = ()) -> bool:
    """Whether a project has a turn at all; with ``statuses``, a user turn of the split ``train`` that has one of them."""
    query = select(Turn.id).where(Turn.project_id == project_id)
    if statuses:
        query = query.join(Dialogue, Dialogue.id == Turn.dialogue_id)
        query = query.where(Turn.status.in_(statuses), Turn.speaker == Speaker.USER, Dialogue.split == Split.TRAIN)
    return session.scalar(query.limit(1)) is not None
