"""Who works here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, utc_now
from db.models.kinds import Role


class User(Base):
    """Somebody who may log in. ``password`` is an argon2 hash, never the password."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role]
    active: Mapped[bool] = mapped_column(default=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)


class Claim(Base):
    """Somebody works on a dialogue, and the queue gives it to nobody else, until a moment that their work puts off."""

    __tablename__ = "claims"

    dialogue_id: Mapped[int] = mapped_column(ForeignKey("dialogues.id"), primary_key=True)
    holder: Mapped[str] = mapped_column(String(100), primary_key=True, index=True)
    until: Mapped[datetime]
