"""Which dialogues are trained on and which are held out, and every move between the two.

What was once held out is trained on only if an admin moved it: scores measured on it before would no longer compare with
those after. Each move is kept: who, when, from where to where, and why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.models import Dialogue, Split, SplitMove
from db.repositories import dialogues, jobs, splits
from studio.errors import StudioError
from studio.services import people
from studio.workspace import Workspace


@dataclass(frozen=True)
class MoveView:
    """One move. ``scored``: runs had been scored on the dialogue before."""

    dialogue_id: int
    dialogue: str
    old: str
    new: str
    scored: bool
    why: str
    author: str
    created: datetime


def check(ws: Workspace, dialogue_id: int, split: str, author: str, why: str = "") -> None:
    """Refuse a move that `move` would refuse; nothing is written.

    Raises:
        StudioError: a run was trained on what is to be held out; what was once held out is to be trained on and the author
            is no admin, or gives no reason although runs were scored on it; the author is no annotator; no such split or
            dialogue.
    """
    people.require(ws, author, "annotator")
    if split not in tuple(Split):
        raise StudioError(f"There is no split {split!r}; choose of {', '.join(Split)}.")
    with ws.read() as session:
        row = dialogues.by_id(session, dialogue_id)
        freed = split != Split.TEST and _once_held_out(session, row)
    if freed and not people.may(ws, author, "admin"):
        raise StudioError("This dialogue was held out: only an admin may have it trained on, ask one.")
    with ws.read() as session:
        _check_runs(session, dialogues.by_id(session, dialogue_id), split, why)


def move(ws: Workspace, dialogue_id: int, split: str, author: str, why: str = "") -> bool:
    """Move a dialogue to another split; whether it moved, which it does not if it is there already.

    Raises:
        StudioError: as `check`.
    """
    check(ws, dialogue_id, split, author, why)
    with ws.write() as session:
        row = _check_runs(session, dialogues.by_id(session, dialogue_id), split, why)
        if row.split == split:
            return False
        scored = jobs.scored_on(session, row.project_id, row.name)
        session.add(
            SplitMove(
                dialogue_id=row.id, old=row.split, new=Split(split), scored=scored, why=" ".join(why.split()), author=author
            )
        )
        row.split, row.split_by = Split(split), author
        return True


def moves(ws: Workspace, project_id: int) -> list[MoveView]:
    """Every move of a project's dialogues, newest first."""
    with ws.read() as session:
        return [
            MoveView(row.dialogue_id, name, row.old, row.new, row.scored, row.why, row.author, row.created)
            for row, name in splits.moves(session, project_id)
        ]


def refusal(session: Session, project_id: int, names: Iterable[str]) -> str | None:
    """Why the dialogues of these names cannot be trained on: runs were scored on some that nobody moved to ``train`` since."""
    scored, freed = splits.scored(session, project_id), splits.freed(session, project_id)
    found = [name for name in names if name in scored and name not in freed]
    if not found:
        return None
    listed = ", ".join(repr(name) for name in found[:3]) + (", ..." if len(found) > 3 else "")
    return f"Runs were scored on {listed}: an admin has to move what was held out to train on the Data page, and say why."


def _check_runs(session: Session, row: Dialogue | None, split: str, why: str) -> Dialogue:
    """The dialogue, if what runs were trained and scored on lets it move."""
    if row is None:
        raise StudioError("This dialogue does not exist any more: choose another one.")
    if row.split == split:
        return row
    if split == Split.TEST and jobs.trained_on(session, row.project_id, row.name):
        raise StudioError("A run was trained on this dialogue: hold out one that no run has seen.")
    if split == Split.TRAIN and not why.strip() and jobs.scored_on(session, row.project_id, row.name):
        raise StudioError(
            "Runs were scored on this dialogue: it stays held out, unless an admin says on the Data page why it is moved."
        )
    return row


def _once_held_out(session: Session, row: Dialogue | None) -> bool:
    """Whether the dialogue is held out, was so once, or runs were scored on it."""
    if row is None:
        return False
    once = row.split == Split.TEST or splits.was_held_out(session, row.id)
    return once or jobs.scored_on(session, row.project_id, row.name)
