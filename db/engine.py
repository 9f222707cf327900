"""The database engine, sessions on it, and bringing its tables up to this version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

BUSY_SECONDS = 15.0  # how long a person's write waits for another; one correction takes milliseconds
# A machine that is gone in the middle of a write, without a word, holds up the others for a minute and not for hours
_GONE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
WRITERS = 0x5D57  # PostgreSQL's advisory lock that one writer holds at a time; any number would do


class NewerDatabaseError(Exception):
    """The database was made by a newer version of the program."""


def connect(url: str, patience: float = BUSY_SECONDS) -> Engine:
    """An engine for ``url``, of SQLite or PostgreSQL; ``patience`` is how many seconds a writer waits for another.

    On SQLite: write-ahead log, foreign keys, every commit on the disk before it returns. On PostgreSQL the driver is
    psycopg, a connection that a restart of the server has cut is replaced before it is used, and moments are UTC.

    Raises:
        sqlalchemy.exc.ArgumentError: that is no URL, or of another database.
        ModuleNotFoundError: PostgreSQL's driver is not installed (extra ``postgres``).
    """
    parsed = make_url(url)
    settings: dict[str, Any] = {"json_serializer": partial(json.dumps, ensure_ascii=False)}  # searched as it is written
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "postgresql":
        waits = f"-c lock_timeout={patience * 1000:.0f} -c timezone=UTC {_GONE}"
        settings |= {"pool_pre_ping": True, "connect_args": {"options": waits}}
    elif parsed.get_backend_name() != "sqlite":
        raise ArgumentError(f"{parsed.get_backend_name()} is neither sqlite nor postgresql")
    engine = create_engine(parsed, **settings)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_prepare_sqlite, patience))
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees one moment of the database and changes nothing."""
    if engine.dialect.name == "postgresql":  # where each statement would see a moment of its own
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session that is committed when the block ends, rolled back when it raises.

    Writers come one after another, from the block's first statement on: what it reads cannot change before it writes.
    """
    with Session(engine.execution_options(immediate=True), expire_on_commit=False) as session, session.begin():
        yield session


def migrate(engine: Engine) -> None:
    """Bring the tables up to this version; on an up-to-date database nothing is written.

    Raises:
        NewerDatabaseError: the database is of a version this program does not know.
    """
    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise NewerDatabaseError(current)
    if current == scripts.get_current_head():
        return
    with engine.execution_options(immediate=True).begin() as connection:  # others that start now wait, and find it done
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic's configuration: the scripts lie in this package, no ini file is needed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _prepare_sqlite(patience: float, connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin too late: see _begin_sqlite
    for pragma in (
        f"busy_timeout={patience * 1000:.0f}",  # first: the others wait for other writers too
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer that first reads must hold the lock while reading, or SQLite may refuse its write ("database is locked")
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    # As on SQLite: no writer acts on what another is about to change. The server frees the lock with the transaction.
    if connection.get_execution_options().get("immediate", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")
