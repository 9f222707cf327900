"""Labels of held-out dialogues: which version of them a score was measured on, and the guard against changing them unawares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Dialogue, EventKind, LabelVersion, RevisionKind, Split, Turn, TurnEvent, utc_now
from db.repositories import jobs, labels, projects, revisions
from studio.errors import HeldOutError
from studio.services import people
from studio.services.views import locked_turn
from studio.workspace import Workspace

UNLOCKED_FOR = timedelta(hours=8)  # a day's work: tomorrow somebody is asked again
CHANGES_SCORES = "held-out: changing this changes scores"


class Standing(NamedTuple):
    """The hash of dialogues' labels as they stand, and of how many turns they are."""

    sha256: str
    turns: int


def standing(rows: Sequence[Dialogue]) -> Standing:
    """The labels of these dialogues as they stand.

    What counts is what stands (the newest revision nobody took back) of every turn's transcript and state, so a change that
    was taken back again is no new version. What people never vouched for is no label.
    """
    heads = [
        (
            row.name,
            turn.turn_id,
            revisions.corrected(turn, RevisionKind.TRANSCRIPT),
            revisions.corrected(turn, RevisionKind.STATE),
        )
        for row in rows
        for turn in row.turns
    ]
    labelled = sorted((head for head in heads if head[2:] != (None, None)), key=lambda head: head[:2])
    return Standing(hashlib.sha256(json.dumps(labelled, sort_keys=True).encode()).hexdigest(), len(labelled))


def version(session: Session, project_id: int, stood: Standing) -> LabelVersion:
    """The version of a project's labels that stood so, a new one if no run was scored on the same before."""
    found = labels.by_hash(session, project_id, stood.sha256)
    if found is None:
        newest = projects.newest_ontology(session, project_id)
        found = LabelVersion(
            project_id=project_id,
            number=labels.last_number(session, project_id) + 1,
            sha256=stood.sha256,
            ontology=newest.version if newest is not None else 0,
            turns=stood.turns,
        )
        session.add(found)
        session.flush()
    return found


def difference(scores: Iterable[dict[str, Any] | None]) -> str | None:
    """The warning that these scores were measured on different labels, ``None`` if on the same.

    Scores from before versions were kept say nothing: those that are compared one by one share a manifest.
    """
    named = {str(found["labels"]) for found in scores if found is not None and "labels" in found}
    if len(named) < 2:
        return None
    return f"These scores do not compare: they were measured on different labels, {' and '.join(sorted(named))}."


def locked(session: Session, turn: Turn, author: str) -> bool:
    """Whether a change of the turn's labels by this author changes what others rely on, and was not unlocked.

    That is so of ``dev`` and ``test`` where runs were scored on the dialogue, or somebody else labelled the turn (an import too).
    """
    dialogue = turn.dialogue
    if dialogue.split == Split.TRAIN:
        return False
    written = (one for one in turn.revisions if one.layer == revisions.LABELS and one.kind in LABEL_KINDS)
    others = any(revision.author != author for revision in written)
    if not others and not jobs.scored_on(session, dialogue.project_id, dialogue.name):
        return False
    return not labels.event_since(session, dialogue.id, EventKind.UNLOCKED, author, utc_now() - UNLOCKED_FOR)


def check(session: Session, turn: Turn, author: str) -> None:
    """Refuse a change of labels that are locked for the author.

    Raises:
        HeldOutError: the change has to be confirmed first.
    """
    if locked(session, turn, author):
        raise HeldOutError(
            "This dialogue is held out, and changing its labels changes scores: unlock its labels first, then change them."
        )


def unlock(ws: Workspace, turn_id: int, author: str) -> None:
    """Let the author change labels of the turn's held-out dialogue for the next hours; the turn's events keep who and when.

    Raises:
        StudioError: there are users and the author is no reviewer; or no such turn.
    """
    people.require(ws, author, "reviewer")
    with ws.write() as session:
        turn = locked_turn(session, turn_id)
        note_unlocked(session, turn, author)


def note_unlocked(session: Session, turn: Turn, author: str) -> None:
    """Unlock the labels of the turn's dialogue for an author who said that this is meant."""
    session.add(TurnEvent(turn_id=turn.id, kind=EventKind.UNLOCKED, text=CHANGES_SCORES, author=author))
