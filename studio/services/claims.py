"""Who works on which dialogue, so that two people do not correct the same one by accident.

A dialogue is claimed as a whole: correcting one of its turns moves the later ones. One of the double share has room for two. A
claim is a courtesy, not a lock: it runs out without activity, anybody can take it over, and a save never asks for it, because a
conflict of two saves is told to the second anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.models import Claim, EventKind, Turn, TurnEvent, utc_now
from db.repositories import claims, doubles, settings
from studio.errors import StudioError
from studio.services import people
from studio.services.views import locked_turn
from studio.workspace import Workspace

DEFAULT_MINUTES = 15
LONGEST_MINUTES = 24 * 60


@dataclass(frozen=True)
class HeldBy:
    """Somebody else's claim, which runs out at ``until``."""

    holder: str
    until: datetime


def claim(ws: Workspace, turn_id: int, author: str) -> HeldBy | None:
    """Claim a turn's dialogue for some minutes from now, or put the end of one's claim off; other dialogues are given up.

    Returns:
        Who is in the way, if anybody is. Without logins nobody is, and who may not annotate claims nothing.
    """
    if not (people.list_users(ws) and people.may(ws, author, "annotator")):
        return None
    with ws.write() as session:
        return _claim(session, locked_turn(session, turn_id), author)


def take_over(ws: Workspace, turn_id: int, author: str) -> None:
    """End the claim that is in the way, make it the author's, and note on the turn whose it was.

    Raises:
        StudioError: no such turn, or the author is no annotator.
    """
    people.require(ws, author, "annotator")
    with ws.write() as session:
        turn = locked_turn(session, turn_id)
        # a dialogue of the double share can have two in the way
        while (other := _claim(session, turn, author)) is not None:
            session.delete(session.get_one(Claim, (turn.dialogue_id, other.holder)))
            turn.events.append(TurnEvent(kind=EventKind.TAKEN_OVER, text=f"from {other.holder}", author=author))
            session.flush()


def minutes(ws: Workspace) -> int:
    """How long a claim lasts without activity."""
    with ws.read() as session:
        return settings.get(session, settings.CLAIM_MINUTES, DEFAULT_MINUTES)


def set_minutes(ws: Workspace, number: int, author: str) -> None:
    """Choose how long a claim lasts, from the next activity on.

    Raises:
        StudioError: less than a minute or more than a day, or the author is no admin.
    """
    people.require(ws, author, "admin")
    if not 1 <= number <= LONGEST_MINUTES:
        raise StudioError(f"A claim lasts 1 to {LONGEST_MINUTES} minutes: choose a number between them.")
    with ws.write() as session:
        settings.put(session, settings.CLAIM_MINUTES, number)


def _claim(session: Session, turn: Turn, author: str) -> HeldBy | None:
    now = utc_now()
    dialogue = claims.lock(session, turn.dialogue_id)
    assert dialogue is not None  # a turn cannot outlive its dialogue
    places = claims.ANNOTATORS if dialogue.double and doubles.undecided(session, dialogue.id) else 1
    others = [other for other in claims.standing(session, dialogue.id, now) if other.holder != author]
    if len(others) >= places:
        return HeldBy(others[0].holder, others[0].until)
    claims.release(session, author)
    until = now + timedelta(minutes=settings.get(session, settings.CLAIM_MINUTES, DEFAULT_MINUTES))
    session.add(Claim(dialogue_id=dialogue.id, holder=author, until=until))
    return None
