"""Checkpoints: which there are, how they score on held-out dialogues, and which one is in use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

import engine
from db.models import Checkpoint
from db.repositories import checkpoints, settings
from studio.errors import StudioError
from studio.workspace import Workspace

DEMO_NAME = "demo"
REQUIRED = ("checkpoint.json", "connector.safetensors", "ontology.json")


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint as pages show it.

    ``scores`` is what ``engine evaluate`` printed for it on the held-out dialogues last used; ``parent_scores`` is the
    same for the checkpoint it was trained from, on the very same dialogues. ``None``: nobody has evaluated yet.
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
    with ws.read() as session:
        used = in_use_id(session)
        return [_view(ws, session, checkpoint, used) for checkpoint in checkpoints.load_many(session)]


def in_use(ws: Workspace) -> CheckpointView:
    """The checkpoint that answers now."""
    with ws.read() as session:
        used = in_use_id(session)
        return _view(ws, session, get(session, used), used)


def view(ws: Workspace, checkpoint_id: int) -> CheckpointView:
    """One checkpoint.

    Raises:
        StudioError: no such checkpoint.
    """
    with ws.read() as session:
        return _view(ws, session, get(session, checkpoint_id), in_use_id(session))


def model_card(ws: Workspace, checkpoint_id: int) -> str:
    """The text of the checkpoint's ``MODEL_CARD.md``, empty where there is none.

    Raises:
        StudioError: no such checkpoint.
    """
    with ws.read() as session:
        card = folder(ws, get(session, checkpoint_id)) / "MODEL_CARD.md"
    return card.read_text(encoding="utf-8") if card.is_file() else ""


def register_demo(ws: Workspace) -> None:
    """Have the package's checkpoint listed, and in use where nothing else is."""
    with ws.read() as session:
        known = checkpoints.demo(session) is not None
    if not known:
        with ws.write() as session:
            if checkpoints.demo(session) is None:
                demo = Checkpoint(name=DEMO_NAME)
                session.add(demo)
                session.flush()
                settings.put(session, settings.CHECKPOINT_IN_USE, demo.id)


def folder(ws: Workspace, checkpoint: Checkpoint) -> Path:
    """Where a checkpoint's files lie."""
    if checkpoint.path is None:
        return Path(engine.__path__[0]) / "demo"
    return ws.path(checkpoint.path)


def missing_files(folder: Path) -> list[str]:
    """The files a checkpoint cannot do without that are not there."""
    return [name for name in REQUIRED if not (folder / name).is_file()]


def require_whole(ws: Workspace, checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint of which nothing is missing.

    Raises:
        StudioError: naming what is.
    """
    found = folder(ws, checkpoint)
    if missing := missing_files(found):
        raise StudioError(f"{checkpoint.name} cannot be used, {missing[0]} is missing: choose another checkpoint.")
    return found


def get(session: Session, checkpoint_id: int) -> Checkpoint:
    """The row of a checkpoint.

    Raises:
        StudioError: no such checkpoint.
    """
    checkpoint = session.get(Checkpoint, checkpoint_id)
    if checkpoint is not None and (by := checkpoint.deleted_by):
        raise StudioError(f"{checkpoint.name} does not exist any more: {by} deleted it. Choose another checkpoint.")
    if checkpoint is None or checkpoint.deleted is not None:
        raise StudioError("This checkpoint does not exist any more: choose another one.")
    return checkpoint


def in_use_id(session: Session) -> int:
    """The id of the checkpoint that answers now."""
    return int(settings.get(session, settings.CHECKPOINT_IN_USE))


def _view(ws: Workspace, session: Session, checkpoint: Checkpoint, used: int) -> CheckpointView:
    scores, parent_scores = checkpoints.compare(session, checkpoint)
    return CheckpointView(
        id=checkpoint.id,
        name=checkpoint.name,
        path=folder(ws, checkpoint),
        parent=checkpoint.parent.name if checkpoint.parent else None,
        job_id=checkpoint.run.id if checkpoint.run else None,
        in_use=checkpoint.id == used,
        scores=scores,
        parent_scores=parent_scores,
        created=checkpoint.created,
    )
