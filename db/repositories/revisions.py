"""The changes of a turn. Each kind (transcript, state) is one chain; an undo is one more link, never a step back."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from db.models import Revision, RevisionKind, RevisionSource, Turn, TurnStatus


def head(turn: Turn, kind: RevisionKind) -> Revision | None:
    """The newest revision of a kind."""
    return next((revision for revision in reversed(turn.revisions) if revision.kind == kind), None)


def standing(turn: Turn, kind: RevisionKind) -> list[Revision]:
    """The revisions of a kind that nobody has taken back, oldest first: an undo takes back the newest that stood."""
    stack: list[Revision] = []
    for revision in turn.revisions:
        if revision.kind != kind:
            continue
        if revision.source == RevisionSource.UNDO:
            stack.pop()
        else:
            stack.append(revision)
    return stack


def corrected(turn: Turn, kind: RevisionKind) -> Any:
    """The corrected value that stands, or ``None``: the model's counts."""
    stack = standing(turn, kind)
    return stack[-1].new if stack else None


def append(session: Session, turn: Turn, kind: RevisionKind, old: Any, new: Any, author: str, source: RevisionSource) -> Revision:
    """Add a revision to the end of its chain and bring the turn's status up to date."""
    parent = head(turn, kind)
    revision = Revision(
        turn_id=turn.id,
        kind=kind,
        old=old,
        new=new,
        author=author,
        source=source,
        parent_id=parent.id if parent is not None else None,
    )
    turn.revisions.append(revision)
    update_status(turn)
    session.flush()
    return revision


def update_status(turn: Turn) -> None:
    """Set the status that follows from the turn's revisions and predictions."""
    if any(standing(turn, kind) for kind in RevisionKind):
        turn.status = TurnStatus.CORRECTED
    else:
        turn.status = TurnStatus.PREDICTED if turn.predictions else TurnStatus.NEW
