"""The workspace: one folder that holds the database, recordings, runs and caches, and sessions on its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Workspace:
    """Where everything lies. Make one with ``open_workspace``; every service takes it first."""

    home: Path

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading."""
        raise NotImplementedError

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are committed together when the block ends, and not at all if it raises."""
        raise NotImplementedError


def open_workspace(home: str | Path | None = None) -> Workspace:
    """Create or open a workspace: folders, database (migrated to this version), demo checkpoint, jobs reconciled.

    ``home`` defaults to ``engine.base_models.home()``: ``DST_STUDIO_HOME`` or the platform's data folder.

    Raises:
        StudioError: the folder cannot be written, the disk is full, or the database is of a newer version.
    """
    raise NotImplementedError
