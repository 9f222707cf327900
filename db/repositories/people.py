"""People who may log in."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Role, User


def everybody(session: Session) -> Sequence[User]:
    """All users, by name."""
    return session.scalars(select(User).order_by(User.name)).all()


def by_name(session: Session, name: str) -> User | None:
    """The user of that name."""
    return session.scalar(select(User).where(User.name == name))


def admins(session: Session) -> int:
    """How many admins can log in."""
    return session.scalar(select(func.count(User.id)).where(User.role == Role.ADMIN, User.active)) or 0
