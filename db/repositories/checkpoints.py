"""Checkpoints and how they scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Checkpoint, Evaluation


def load_many(session: Session) -> Sequence[Checkpoint]:
    """Checkpoints, newest first."""
    return session.scalars(select(Checkpoint).order_by(Checkpoint.id.desc())).all()


def demo(session: Session) -> Checkpoint | None:
    """The checkpoint that comes with the package."""
    return session.scalar(select(Checkpoint).where(Checkpoint.path.is_(None)))


def scores(session: Session, checkpoint_id: int, manifest_sha256: str) -> dict[str, Any] | None:
    """How the checkpoint scored on that manifest, if it was evaluated."""
    return session.scalar(
        select(Evaluation.scores).where(Evaluation.checkpoint_id == checkpoint_id, Evaluation.manifest_sha256 == manifest_sha256)
    )


def compare(session: Session, checkpoint: Checkpoint) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The checkpoint's newest scores, and its parent's on the very same manifest."""
    if not checkpoint.evaluations:
        return None, None
    newest = checkpoint.evaluations[-1]
    parent = checkpoint.parent_id
    return newest.scores, scores(session, parent, newest.manifest_sha256) if parent is not None else None
