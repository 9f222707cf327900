"""Freezing corrections for a run: a manifest with its recordings, beside the held-out dialogues to score on.

runs/<job id>/snapshot/manifest.jsonl, audio/     what is trained on
runs/<job id>/held_out/manifest.jsonl, audio/     what is scored on; absent when nothing is held out
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Checkpoint, Dialogue, Job, Revision, Snapshot, SnapshotRevision, Split, Turn
from db.repositories import dialogues, revisions
from engine.dialogue import iterate_slots, write_manifest
from studio.errors import StudioError
from studio.services import checkpoints, labels, leaks, provenance, splits
from studio.services.manifests import Label, manifest_dialogue
from studio.services.ontology import newest
from studio.services.views import TurnView, dialogue_view
from studio.workspace import Workspace

TRAIN, HELD_OUT = "snapshot/manifest.jsonl", "held_out/manifest.jsonl"
NOTHING = "Nothing is corrected yet: correct or accept some turns of a dialogue that is not held out, then train."
NO_STATE = "Only transcripts are corrected yet: train words alone (stage hear), or correct or accept the state of a turn too."
NO_DEV = (
    "This recipe chooses its best step by dialogues of the split dev, and none is corrected: correct one, or set eval_every = 0 "
    "in every stage that has it."
)
NOT_HELD_OUT = "Nothing is held out yet: correct some turns of a dialogue of the split test, then score on them."


@dataclass(frozen=True)
class Preview:
    """What a snapshot taken now would hold; ``slots`` counts the turns in whose state a slot has a value.

    ``problem`` is the sentence that says why training cannot start, if so; ``words_only``: no stage that needs states can.
    """

    dialogues: int
    turns: int
    hours: float
    held_out_dialogues: int
    held_out_turns: int
    slots: dict[tuple[str, str], int]
    words_only: bool
    problem: str | None


def preview(ws: Workspace, project_id: int) -> Preview:
    """Count what would be trained on: corrected user turns of the split ``train``; those of ``test`` are scored on."""
    with ws.read() as session:
        train = _labelled(ws, session, project_id, Split.TRAIN)
        held_out = _labelled(ws, session, project_id, Split.TEST)
        turns = [turn for dialogue in train for turn in dialogue.turns]
        return Preview(
            dialogues=len(train),
            turns=len(turns),
            hours=sum(turn.seconds or 0.0 for turn in turns) / 3600,
            held_out_dialogues=len(held_out),
            held_out_turns=sum(len(dialogue.turns) for dialogue in held_out),
            slots=dict(sorted(_slots(turns).items())),
            words_only=bool(train) and not _has_state(train),
            problem=_problem(session, project_id, train, held_out),
        )


def freeze(
    ws: Workspace, session: Session, job: Job, recipe: str, base: dict[str, Any], evaluates: bool = False, states: bool = True
) -> None:
    """Write the project's corrections below the job's folder and give the (flushed) job its snapshot.

    Of a dialogue of the split ``train`` every corrected user turn is taken with its recording; other user turns keep
    only their text, as history. Held-out dialogues are never among them; they are written beside, to score on.

    Args:
        recipe: the complete recipe's text.
        base: what `provenance.describe_checkpoint` says of the job's base, nothing where it has none.
        evaluates: the recipe measures itself on dialogues of the split ``dev``: they are taken too.
        states: a stage needs states.

    Raises:
        StudioError: nothing is corrected, runs were scored on what would be trained on, or copies of it are.
    """
    train = _labelled(ws, session, job.project_id, Split.TRAIN)
    if evaluates:
        dev = _labelled(ws, session, job.project_id, Split.DEV)
        if train and not dev:
            raise StudioError(NO_DEV)
        train += dev
    held_out = _labelled(ws, session, job.project_id, Split.TEST)
    problem = _problem(session, job.project_id, train, held_out) or _inherited(session, job, held_out)
    if problem is None and states and not _has_state(train):
        problem = NO_STATE
    if problem is not None:
        raise StudioError(problem)
    manifest, scored = ws.path(job.folder) / TRAIN, ws.path(job.folder) / HELD_OUT
    _write(ws, train, manifest, to_train)
    if held_out:
        _write(ws, held_out, scored, to_score)
    used = [stack[-1] for dialogue in train for turn in dialogue.row.turns for stack in _stacks(turn)]
    job.snapshot = Snapshot(
        project_id=job.project_id,
        ontology_id=newest(session, job.project_id).id,
        sha256=sha256(manifest),
        path=f"{job.folder}/{TRAIN}",
        dialogues=[dialogue.row.name for dialogue in train],
        held_out=[dialogue.row.name for dialogue in held_out],
        held_out_sha256=sha256(scored) if held_out else None,
        labels_id=labels.version(session, job.project_id, [dialogue.row for dialogue in held_out]).id if held_out else None,
        revisions=[SnapshotRevision(revision_id=revision.id) for revision in used],
    )
    sounds = {"train": leaks.sounds(train), "held_out": leaks.sounds(held_out)}
    provenance.write(ws.path(job.folder), job, job.snapshot, base, recipe, sounds)


def freeze_held_out(ws: Workspace, session: Session, job: Job) -> None:
    """Write the project's held-out dialogues below the (flushed) job's folder, to score its checkpoint on.

    Raises:
        StudioError: nothing is held out, or the checkpoint, or the one in use, was trained on it.
    """
    held_out = _labelled(ws, session, job.project_id, Split.TEST)
    problem = NOT_HELD_OUT if not held_out else _inherited(session, job, held_out)
    if problem is not None:
        raise StudioError(problem)
    manifest = ws.path(job.folder) / HELD_OUT
    _write(ws, held_out, manifest, to_score)
    rows = [dialogue.row for dialogue in held_out]
    job.snapshot = Snapshot(
        project_id=job.project_id,
        ontology_id=newest(session, job.project_id).id,
        sha256=sha256(manifest),
        path=f"{job.folder}/{HELD_OUT}",
        dialogues=[],
        held_out=[row.name for row in rows],
        held_out_sha256=sha256(manifest),
        labels_id=labels.version(session, job.project_id, rows).id,
    )


def to_train(view: TurnView) -> Label:
    """A user turn is learnt with its recording, its words and, where somebody vouched for it, its state.

    The words are those that stand: whoever corrected only the state read them beside it, and a state is learnt with the
    words it was said in. All other turns are history.
    """
    if _is_labelled(view) and view.transcript:
        return Label(True, view.transcript, view.corrected_state)
    return Label(False, view.transcript, None)


def to_score(view: TurnView) -> Label:
    """A user turn is heard; only what somebody vouched for is the reference, never what a model said."""
    if view.speaker == "user":
        return Label(True, view.corrected_transcript, view.corrected_state)
    return Label(False, view.transcript, None)


def sha256(path: Path) -> str:
    """The hash of a manifest. It names its recordings by their own hashes, so it stands for them too."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Labelled(NamedTuple):
    """A dialogue and those of its turns that are trained or scored on."""

    row: Dialogue
    turns: list[TurnView]


def _labelled(ws: Workspace, session: Session, project_id: int, split: Split) -> list[_Labelled]:
    """The dialogues with at least one such turn."""
    label = to_score if split == Split.TEST else to_train
    found = []
    for row in dialogues.load_labelled(session, project_id, split):
        turns = [view for view in dialogue_view(ws, row).turns if _is_labelled(view) and label(view).audio]
        if turns:
            found.append(_Labelled(row, turns))
    return found


def _is_labelled(view: TurnView) -> bool:
    return view.speaker == "user" and view.labelled and view.audio is not None


def _problem(session: Session, project_id: int, train: Sequence[_Labelled], held_out: Sequence[_Labelled]) -> str | None:
    if not train:
        return NOTHING
    names = [dialogue.row.name for dialogue in train]
    return splits.refusal(session, project_id, names) or leaks.refusal(train, held_out)


def _inherited(session: Session, job: Job, held_out: Sequence[_Labelled]) -> str | None:
    return leaks.inherited(job.base, session.get(Checkpoint, checkpoints.in_use_id(session)), held_out)


def _has_state(train: Sequence[_Labelled]) -> bool:
    return any(turn.corrected_state is not None for dialogue in train for turn in dialogue.turns)


def _slots(turns: Sequence[TurnView]) -> Counter[tuple[str, str]]:
    return Counter((domain, slot) for turn in turns for domain, slot, _ in iterate_slots(turn.corrected_state or {}))


def _write(ws: Workspace, found: Sequence[_Labelled], manifest: Path, label: Callable[[TurnView], Label]) -> None:
    write_manifest(manifest, [manifest_dialogue(ws, dialogue.row, manifest.parent, label) for dialogue in found])


def _stacks(turn: Turn) -> list[list[Revision]]:
    return [stack for kind in LABEL_KINDS if (stack := revisions.standing(turn, kind))]
