"""Which checkpoint was in use when: promotions and rollbacks, only ever appended."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Promotion, PromotionKind


def load_many(session: Session) -> Sequence[Promotion]:
    """All of them, newest first."""
    return session.scalars(select(Promotion).order_by(Promotion.id.desc())).all()


def ever(session: Session, checkpoint_id: int) -> bool:
    """Whether a checkpoint was ever promoted, taken back or not."""
    found = select(Promotion.id).where(Promotion.to_id == checkpoint_id, Promotion.kind == PromotionKind.PROMOTE)
    return session.scalar(found.limit(1)) is not None


def standing(session: Session) -> Promotion | None:
    """The newest promotion that no rollback has taken back."""
    stack = all_standing(session)
    return stack[-1] if stack else None


def all_standing(session: Session) -> list[Promotion]:
    """The promotions that no rollback has taken back, newest last."""
    stack: list[Promotion] = []
    for promotion in session.scalars(select(Promotion).order_by(Promotion.id)):
        if promotion.kind == PromotionKind.PROMOTE:
            stack.append(promotion)
        elif stack:
            stack.pop()
    return stack
