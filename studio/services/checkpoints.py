"""Checkpoints: which there are, how they score on held-out dialogues, and which one is in use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from studio.workspace import Workspace


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint as pages show it.

    ``scores`` is what ``engine evaluate`` printed for it on the held-out dialogues last used, ``parent_scores`` the same for
    the checkpoint it was trained from, on the very same dialogues; ``None`` where nobody has evaluated yet.
    """

    id: int
    name: str
    path: Path
    parent: str | None
    job_id: int | None
    in_use: bool
    scores: dict[str, Any] | None
    parent_scores: dict[str, Any] | None
    created: datetime


def list_checkpoints(ws: Workspace) -> list[CheckpointView]:
    """All checkpoints, newest first; the demo checkpoint is always there."""
    raise NotImplementedError


def in_use(ws: Workspace) -> CheckpointView:
    """The checkpoint that answers now."""
    raise NotImplementedError


def use(ws: Workspace, checkpoint_id: int) -> CheckpointView:
    """Put a checkpoint in use; the next prediction is made with it.

    Raises:
        StudioError: no such checkpoint, or files of it are missing.
    """
    raise NotImplementedError
