"""What somebody has typed into a field and not saved: it is there again after a reload, a closed tab or a lost server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Draft, Prediction, Revision
from db.repositories import dialogues
from engine.dialogue import State, Value, accepted
from studio.services.views import TurnView
from studio.workspace import Workspace

Place = tuple[str, str]  # domain, slot


@dataclass(frozen=True)
class Kept:
    """A draft's text, and the ids of the revision and the model's answer that stood when it was begun (``None``: none did)."""

    text: str
    based_on: int | None
    prediction: int | None

    def is_on(self, turn: TurnView) -> bool:
        """Whether the state it was begun on stands still."""
        return self.based_on == turn.state_head and (turn.corrected_state is not None or self.prediction == turn.prediction_id)


def overtaken(ws: Workspace, turn: TurnView, typed: Mapping[Place, Kept]) -> dict[Place, Value | None]:
    """The slots that hold another value by now than when the drafts for them were begun, and that value."""
    then: dict[Place, Value | None] = {}
    with ws.read() as session:
        for (domain, slot), draft in typed.items():
            now = (turn.state or {}).get(domain, {}).get(slot)
            was = now if draft.is_on(turn) else _state_of(session, draft).get(domain, {}).get(slot)
            if _forms(was) != _forms(now):
                then[domain, slot] = was
    return then


def keep(
    ws: Workspace,
    turn_id: int,
    author: str,
    field: str,
    text: str | None,
    based_on: int | None = None,
    prediction: int | None = None,
) -> None:
    """Keep a field's text; ``None`` forgets it, once it is saved or given up. A turn that is gone keeps nothing.

    ``based_on`` and ``prediction`` are what is shown while one types: of a draft that is typed on, they stay the first ones.
    """
    with ws.write() as session:
        draft = session.get(Draft, (turn_id, author, field))
        if text is None:
            if draft is not None:
                session.delete(draft)
        elif draft is not None:
            draft.text = text
        elif dialogues.lock_turn(session, turn_id) is not None:
            seen = {"based_on": based_on, "prediction": prediction}
            session.add(Draft(turn_id=turn_id, author=author, field=field, text=text, **seen))


def kept(ws: Workspace, turn_id: int, author: str) -> dict[str, Kept]:
    """The drafts that were kept, by field."""
    with ws.read() as session:
        found = session.scalars(select(Draft).where(Draft.turn_id == turn_id, Draft.author == author))
        return {draft.field: Kept(draft.text, draft.based_on, draft.prediction) for draft in found}


def _state_of(session: Session, draft: Kept) -> State:
    """The state that a draft was begun on."""
    change = session.get(Revision, draft.based_on) if draft.based_on is not None else None
    answer = session.get(Prediction, draft.prediction) if draft.prediction is not None else None
    state: State | None = change.new if change is not None else answer.state if answer is not None else None
    return state or {}


def _forms(value: Value | None) -> list[str]:
    return [] if value is None else accepted(value)
