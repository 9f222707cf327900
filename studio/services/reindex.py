"""What the queue and the search go by, filled in once for turns that were written before they were kept beside the turn."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.repositories import dialogues, settings
from studio.services import search
from studio.services.views import dialogue_view
from studio.workspace import Workspace

DONE = -2  # -1 said so while only the canonical form of a value was found: those begin anew
PART = 10  # dialogues of a transaction: others wait for a part of a second


def reindex(ws: Workspace) -> int:
    """Index the turns of older databases, dialogue by dialogue; how many turns were indexed.

    How far it came is kept with each part, so one that was ended goes on there; a finished one is one look at a setting.
    """
    indexed = 0
    while True:
        with ws.read() as session:
            if _reached(session) == DONE:
                return indexed
        with ws.write() as session:
            ids = dialogues.ids_after(session, _reached(session), PART)
            for row in dialogues.load_some(session, ids):
                for turn, view in zip(row.turns, dialogue_view(ws, row).turns, strict=True):
                    search.index(turn, view)
                    indexed += 1
            settings.put(session, settings.INDEXED, ids[-1] if ids else DONE)
        if ids:
            ws.give_way()


def _reached(session: Session) -> int:
    return int(settings.get(session, settings.INDEXED, 0))
