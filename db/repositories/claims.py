"""Who works on which dialogue now, and whom the queue may give a turn to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from db.models import Claim, Dialogue, Revision, RevisionKind, RevisionSource, Turn
from db.repositories.revisions import LABELS

ANNOTATORS = 2  # of a dialogue of the double share


def lock(session: Session, dialogue_id: int) -> Dialogue | None:
    """A dialogue on which nobody else makes a claim until the session ends."""
    return session.get(Dialogue, dialogue_id, with_for_update=True)


def standing(session: Session, dialogue_id: int, now: datetime) -> Sequence[Claim]:
    """The claims on a dialogue that have not expired; the first to expire comes first."""
    query = select(Claim).where(Claim.dialogue_id == dialogue_id, Claim.until > now).order_by(Claim.until)
    return session.scalars(query).all()


def release(session: Session, holder: str) -> None:
    """Give up what somebody holds."""
    session.execute(delete(Claim).where(Claim.holder == holder))


def free_for(annotator: str, now: datetime) -> ColumnElement[bool]:
    """Whether the queue may give a turn (of a query over turns and dialogues) to somebody.

    An ordinary dialogue has to be held by nobody else. One of the double share needs two annotators: those who wrote a state of
    this turn and those who hold the dialogue count, and nobody gets a turn twice.
    """
    held = and_(Claim.dialogue_id == Dialogue.id, Claim.holder != annotator, Claim.until > now)
    written = and_(Revision.turn_id == Turn.id, Revision.kind == RevisionKind.STATE, Revision.layer != LABELS)
    # an undo is one more revision: as many states stand as were written or redone and not undone
    standing_states = func.sum(case((Revision.source == RevisionSource.UNDO, -1), else_=1))
    own = select(func.coalesce(standing_states, 0)).where(written, Revision.layer == annotator)
    others = select(func.count(Revision.layer.distinct())).where(written, Revision.layer != annotator)
    wrote = exists().where(written, Revision.layer == Claim.holder).correlate_except(Revision)
    about_to = select(func.count()).select_from(Claim).where(held, ~wrote)
    return or_(
        and_(Dialogue.double.is_not(True), ~exists().where(held).correlate_except(Claim)),
        and_(
            Dialogue.double.is_(True),
            own.correlate_except(Revision).scalar_subquery() == 0,
            others.correlate_except(Revision).scalar_subquery() + about_to.correlate_except(Claim).scalar_subquery() < ANNOTATORS,
        ),
    )
