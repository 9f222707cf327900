"""Freezing corrections for a run: a manifest with its recordings, beside the held-out dialogues to score on.

runs/<job id>/snapshot/manifest.jsonl, audio/     what is trained on
runs/<job id>/held_out/manifest.jsonl, audio/     what is scored on; absent when nothing is held out
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import (
    Dialogue,
    Job,
    Revision,
    RevisionKind,
    Snapshot,
    SnapshotRevision,
    Speaker,
    Split,
    Turn,
    TurnStatus,
)
from db.repositories import dialogues, revisions
from engine.dialogue import write_manifest
from studio.errors import StudioError
from studio.services.manifests import manifest_dialogue
from studio.services.ontology import newest
from studio.workspace import Workspace

TRAIN, HELD_OUT = "snapshot/manifest.jsonl", "held_out/manifest.jsonl"
NOTHING = "Nothing is corrected yet: correct or accept some turns of a dialogue that is not held out, then train."


@dataclass(frozen=True)
class Preview:
    """What a snapshot taken now would hold. ``problem`` is the sentence that says why training cannot start, if so."""

    dialogues: int
    turns: int
    hours: float
    held_out_dialogues: int
    held_out_turns: int
    problem: str | None


def preview(ws: Workspace, project_id: int) -> Preview:
    """Count what would be trained on: corrected user turns of the split ``train``; those of ``test`` are scored on."""
    with ws.read() as session:
        train = _with_corrections(session, project_id, Split.TRAIN)
        held_out = _with_corrections(session, project_id, Split.TEST)
        turns = [turn for dialogue in train for turn in _corrected(dialogue)]
        seconds = sum(turn.recording.seconds for turn in turns if turn.recording)
        return Preview(
            dialogues=len(train),
            turns=len(turns),
            hours=seconds / 3600,
            held_out_dialogues=len(held_out),
            held_out_turns=sum(len(_corrected(dialogue)) for dialogue in held_out),
            problem=None if turns else NOTHING,
        )


def freeze(ws: Workspace, session: Session, job: Job) -> None:
    """Write the project's corrections below the job's folder and give the (flushed) job its snapshot.

    Of a dialogue of the split ``train`` every corrected user turn is taken with its recording; other user turns keep
    only their text, as history. Held-out dialogues are never among them; they are written beside, to score on.

    Raises:
        StudioError: nothing is corrected.
    """
    train = _with_corrections(session, job.project_id, Split.TRAIN)
    if not train:
        raise StudioError(NOTHING)
    manifest = ws.path(job.folder) / TRAIN
    _write(ws, train, manifest, corrected_only=True)
    held_out = _with_corrections(session, job.project_id, Split.TEST)
    if held_out:
        _write(ws, held_out, ws.path(job.folder) / HELD_OUT, corrected_only=False)
    used = [stack[-1] for dialogue in train for turn in dialogue.turns for stack in _stacks(turn)]
    job.snapshot = Snapshot(
        project_id=job.project_id,
        ontology_id=newest(session, job.project_id).id,
        sha256=sha256(manifest),
        path=f"{job.folder}/{TRAIN}",
        dialogues=[dialogue.name for dialogue in train],
        revisions=[SnapshotRevision(revision_id=revision.id) for revision in used],
    )


def sha256(path: Path) -> str:
    """The hash of a manifest. It names its recordings by their own hashes, so it stands for them too."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(ws: Workspace, rows: Sequence[Dialogue], manifest: Path, corrected_only: bool) -> None:
    write_manifest(manifest, [manifest_dialogue(ws, row, manifest.parent, corrected_only) for row in rows])


def _with_corrections(session: Session, project_id: int, split: Split) -> list[Dialogue]:
    return [dialogue for dialogue in dialogues.load_many(session, project_id, split) if _corrected(dialogue)]


def _corrected(dialogue: Dialogue) -> list[Turn]:
    return [
        turn
        for turn in dialogue.turns
        if turn.speaker == Speaker.USER and turn.status == TurnStatus.CORRECTED and turn.recording_id is not None
    ]


def _stacks(turn: Turn) -> list[list[Revision]]:
    return [stack for kind in RevisionKind if (stack := revisions.standing(turn, kind))]
