"""What all tables share: how moments and kinds are stored, how constraints are named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, Enum, MetaData, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

from db.models.kinds import (
    ErrorKind,
    EventKind,
    FailureKind,
    JobEventKind,
    JobKind,
    JobStatus,
    PromotionKind,
    RevisionKind,
    RevisionSource,
    Role,
    Speaker,
    Split,
    TurnStatus,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Stored as UTC without zone, because SQLite has none; always handed out with the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


def utc_now() -> datetime:
    """This moment, with its zone."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that later migrations can address it; stores enums as their values."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
        **{
            kind: Enum(kind, native_enum=False, length=16, values_callable=lambda members: [member.value for member in members])
            for kind in (
                Split,
                Speaker,
                TurnStatus,
                RevisionKind,
                RevisionSource,
                JobKind,
                JobStatus,
                JobEventKind,
                FailureKind,
                Role,
                EventKind,
                ErrorKind,
                PromotionKind,
            )
        },
    }
