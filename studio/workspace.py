"""The workspace: one folder that holds the database, recordings, runs and caches, and sessions on its database."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from db.engine import BUSY_SECONDS, NewerDatabaseError, connect, migrate, reading, writing
from engine import base_models
from studio.errors import StudioError

DATABASE = "DST_STUDIO_DATABASE"  # the URL of a PostgreSQL database to use in place of the workspace's SQLite file
FOLDERS = ("recordings", "calls", "runs", "checkpoints", "cache/frames", "tmp")
DOWNLOADS = "tmp/exports"  # what browsers may download
WRITERS_LOOK = 0.1  # seconds between two looks of one who waits to write to SQLite
BUSY = "The database is busy with somebody else's change: try again in a moment."
TMP_SECONDS = 24 * 3600.0  # how long what an upload or a killed process left is kept


@dataclass(frozen=True)
class Workspace:
    """Where everything lies. Make one with ``open_workspace``; every service takes it first."""

    home: Path
    database: Engine

    def path(self, relative: str) -> Path:
        """A path as the database has it (relative, so that the folder can be moved), made absolute."""
        return self.home / relative

    def download(self, name: str) -> Path:
        """A path for a file that a browser may download, in a folder of its own; nobody guesses that of somebody else.

        Raises:
            StudioError: the disk is full or cannot be written.
        """
        place = self.path(DOWNLOADS) / uuid4().hex
        with disk_errors(self.home):
            place.mkdir(parents=True)
        return place / name

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading.

        Raises:
            StudioError: the database cannot be read.
        """
        with disk_errors(self.home), reading(self.database) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are committed together when the block ends, and not at all if it raises.

        Raises:
            StudioError: the disk is full or the database cannot be written.
        """
        with disk_errors(self.home), writing(self.database) as session:
            yield session

    def give_way(self) -> None:
        """Between two parts of a long change, of half a second at most each: let those write who wait meanwhile."""
        if self.database.dialect.name == "sqlite":  # which keeps no line of them: each looks again and again
            time.sleep(1.2 * WRITERS_LOOK)


def attach(home: str | Path, patience: float = BUSY_SECONDS) -> Workspace:
    """The workspace in ``home`` as it is, for a process that another one started on it; ``patience`` is how many seconds it waits
    to write.

    Raises:
        StudioError: ``DST_STUDIO_DATABASE`` names no database this program can use.
    """
    folder = Path(home).expanduser().absolute()
    try:
        return Workspace(folder, connect(os.environ.get(DATABASE) or f"sqlite:///{folder / 'studio.db'}", patience))
    except ArgumentError as error:
        raise StudioError(f"{DATABASE} is no URL such as postgresql://user:password@host/database: mend or unset it.") from error
    except ModuleNotFoundError as error:
        raise StudioError("PostgreSQL needs its driver: pip install 'spoken-dst-studio[postgres]'.") from error


def open_workspace(home: str | Path | None = None) -> Workspace:
    """Create or open a workspace: folders, database (migrated to this version), demo checkpoint, jobs reconciled, and
    what people said long since gone from ``tmp``.

    ``home`` defaults to ``engine.base_models.home()``: ``DST_STUDIO_HOME`` or the platform's data folder.

    Raises:
        StudioError: the folder cannot be written, the disk is full, or the database is of a newer version.
    """
    # The services import this module; only opening needs them
    from studio.services import checkpoints, reindex, training

    ws = attach(base_models.home() if home is None else home)
    with disk_errors(ws.home):
        for folder in FOLDERS:
            ws.path(folder).mkdir(parents=True, exist_ok=True)
        _sweep(ws.path("tmp"))
        try:
            migrate(ws.database)
        except NewerDatabaseError as error:
            raise StudioError(
                f"{ws.home} was made by a newer version of Spoken DST Studio; update the program or choose another "
                "folder with --home."
            ) from error
    reindex.reindex(ws)
    checkpoints.register_demo(ws)
    training.reconcile(ws)
    return ws


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what a disk or database can refuse into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise StudioError(_sentence(folder, error.errno, str(error.strerror or error))) from error
    except (IntegrityError, ProgrammingError):
        raise  # a mistake of this program, not of the disk
    except DatabaseError as error:
        raise StudioError(_database_sentence(folder, error)) from error


def _sweep(folder: Path) -> None:
    """Remove what came here more than a day ago. The folders stay: another process may be about to write there, and what it has
    linked or unpacked is as old as it was elsewhere.
    """
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            status = path.lstat()
            if not path.is_dir() and time.time() - max(status.st_mtime, status.st_ctime) > TMP_SECONDS:
                path.unlink()


def _database_sentence(folder: Path, error: DatabaseError) -> str:
    reason = str(error.orig).strip()
    if error.orig is None or not hasattr(error.orig, "sqlstate"):  # SQLite: its file lies in the folder
        return _sentence(folder, None, reason)
    if error.orig.sqlstate == "53100":
        return "The disk of the database server is full: make room there."
    if error.orig.sqlstate == "55P03":
        return BUSY
    return f"The database of {DATABASE} cannot be used ({reason.splitlines()[0]}): start its server, or mend the URL."


def _sentence(folder: Path, number: int | None, reason: str) -> str:
    if number == errno.ENOSPC or "disk is full" in reason:
        return f"The disk of {folder} is full: make room there, or choose another folder with --home."
    if number in (errno.EACCES, errno.EROFS, errno.EPERM) or "readonly" in reason or "unable to open" in reason:
        return f"{folder} cannot be written: make it writable, or choose another folder with --home."
    if "locked" in reason:
        return BUSY
    if "not a database" in reason or "malformed" in reason:
        return f"{folder / 'studio.db'} is damaged: put back a copy of it, or choose another folder with --home."
    return f"{folder} cannot be used ({reason}): choose another folder with --home."
