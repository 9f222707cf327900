"""Changes that the rest of their dialogue has yet to follow."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db.models import Follow, Turn, utc_now


def ask(session: Session, turn_id: int, layer: str) -> None:
    """Note that a turn has changed in a layer. Part of the transaction that changes it."""
    found = session.get(Follow, (turn_id, layer))
    if found is None:
        session.add(Follow(turn_id=turn_id, layer=layer))
        session.flush()
    else:
        found.asked, found.problem = utc_now(), None


def waiting(session: Session, dialogue_id: int | None = None) -> Sequence[tuple[Follow, Turn]]:
    """What waits, with the turns that changed, the oldest first: of a dialogue, or of all."""
    query = select(Follow, Turn).join(Turn, Turn.id == Follow.turn_id).options(joinedload(Turn.dialogue))
    if dialogue_id is not None:
        query = query.where(Turn.dialogue_id == dialogue_id)
    return [(follow, turn) for follow, turn in session.execute(query.order_by(Follow.asked, Follow.turn_id))]


def settle(session: Session, follow: Follow, problem: str | None = None) -> None:
    """Forget what was followed, or keep why it was not; where the turn has changed again since, that waits still. Nobody has
    claimed what is left.
    """
    found = session.get(Follow, (follow.turn_id, follow.layer))
    if found is None:
        return
    found.claimed = None
    if found.asked != follow.asked:
        return
    if problem is None:
        session.delete(found)
    else:
        found.problem = problem
