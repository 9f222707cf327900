"""What somebody has typed into a field and not saved: it is there again after a reload, a closed tab or a lost server."""

from __future__ import annotations

from sqlalchemy import select

from db.models import Draft
from db.repositories import dialogues
from studio.workspace import Workspace


def keep(ws: Workspace, turn_id: int, author: str, field: str, text: str | None) -> None:
    """Keep a field's text; ``None`` forgets it, once it is saved or given up. A turn that is gone keeps nothing."""
    with ws.write() as session:
        draft = session.get(Draft, (turn_id, author, field))
        if text is None:
            if draft is not None:
                session.delete(draft)
        elif draft is not None:
            draft.text = text
        elif dialogues.lock_turn(session, turn_id) is not None:
            session.add(Draft(turn_id=turn_id, author=author, field=field, text=text))


def kept(ws: Workspace, turn_id: int, author: str) -> dict[str, str]:
    """The texts that were kept, by field."""
    with ws.read() as session:
        found = session.scalars(select(Draft).where(Draft.turn_id == turn_id, Draft.author == author))
        return {draft.field: draft.text for draft in found}
