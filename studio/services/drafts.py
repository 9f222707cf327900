"""What somebody has typed into a field and not saved: it is there again after a reload, a closed tab or a lost server."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from db.models import Draft
from db.repositories import dialogues
from studio.workspace import Workspace


@dataclass(frozen=True)
class Kept:
    """A draft's text, and the ids of the revision and the model's answer that stood when it was begun (``None``: none did)."""

    text: str
    based_on: int | None
    prediction: int | None


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
