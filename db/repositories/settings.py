"""Settings of the workspace."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from db.models import Setting

CLAIM_MINUTES = "claim_minutes"  # how long a claim on a dialogue lasts without activity
CHECKPOINT_IN_USE = "checkpoint_in_use"  # the id of the checkpoint that answers
TRAINING_BACKEND = "training_backend"  # where jobs run that name no backend; see studio.backends
LIVE_WHILE_TRAINING = "live_while_training"  # what the live model does while a job has the GPU; see studio.services.lease
INDEXED = "indexed"  # the dialogue up to which turns of older databases are indexed for search; below 0: all are
GATE = "gate"  # the rules a checkpoint has to pass before it is put in use


def get(session: Session, key: str, default: Any = None) -> Any:
    """The value of a setting."""
    row = session.get(Setting, key)
    return row.value if row is not None else default


def put(session: Session, key: str, value: Any) -> None:
    """Set a setting."""
    session.merge(Setting(key=key, value=value))
