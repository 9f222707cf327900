"""Freezing corrections for a run: a manifest with its recordings, beside the held-out dialogues to score on.

runs/<job id>/snapshot/manifest.jsonl, audio/     what is trained on
runs/<job id>/held_out/manifest.jsonl, audio/     what is scored on; absent when nothing is held out
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Checkpoint, Dialogue, Job, Revision, Snapshot, Split, Turn
from db.repositories import dialogues, revisions, snapshots
from db.repositories import splits as split_rows
from engine.dialogue import iterate_slots, read_manifest, write_manifest
from studio.errors import StudioError
from studio.services import checkpoints, labels, leaks, provenance, splits
from studio.services.manifests import Label, manifest_dialogue
from studio.services.ontology import newest
from studio.services.runs import move_into, prepared
from studio.services.views import TurnView, dialogue_view
from studio.workspace import Workspace

TRAIN, HELD_OUT = "snapshot/manifest.jsonl", "held_out/manifest.jsonl"
DATA = {"manifest": "sha256", "held_out": "held_out_sha256", "ontology": "ontology_id"}  # provenance's names of what a row has
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


@dataclass(frozen=True)
class Frozen:
    """What stood at one moment, written into ``folder`` for a job that is not queued yet.

    ``row`` is what the snapshot's row says, ``manifest`` what its path is below the job's folder, ``labels`` how the held-out
    labels stood, and ``last_move`` the newest move between splits.
    """

    folder: Path
    row: dict[str, Any]
    manifest: str
    revisions: list[int]
    labels: labels.Standing | None
    last_move: int | None

    def give(self, ws: Workspace, session: Session, job: Job) -> None:
        """Make it the snapshot of a (flushed) job, in a part of a second however much it holds.

        Raises:
            StudioError: dialogues were moved between the splits since.
        """
        if split_rows.last_move(session) != self.last_move:
            raise StudioError("Somebody moved a dialogue to another split meanwhile: start again.")
        stood = labels.version(session, job.project_id, self.labels) if self.labels is not None else None
        path, labels_id = f"{job.folder}/{self.manifest}", stood.id if stood is not None else None
        job.snapshot = Snapshot(**self.row, project_id=job.project_id, path=path, labels_id=labels_id)
        snapshots.add(session, job.snapshot, self.revisions)
        move_into(ws.path(job.folder), self.folder)


@contextmanager
def freeze(
    ws: Workspace, project_id: int, base_id: int | None, plan: provenance.Plan, evaluates: bool = False, states: bool = True
) -> Iterator[Frozen]:
    """Write the project's corrections as they stand, to be given to a job in the block; nobody's save waits for that.

    Of a dialogue of the split ``train`` every corrected user turn is taken with its recording; other user turns keep
    only their text, as history. Held-out dialogues are never among them; they are written beside, to score on.

    Args:
        base_id: the checkpoint that the run starts from.
        evaluates: the recipe chooses its best step by dialogues of the split ``dev``, which are then frozen too.
        states: one of its stages learns states.

    Raises:
        StudioError: nothing is corrected yet, no state though the run needs one, or no dev dialogue; or held-out dialogues,
            or ones that runs were scored on, are scored on what would be trained on, or copies of it are.
    """
    with prepared(ws) as folder:
        with ws.read() as session:
            train = _labelled(ws, session, project_id, Split.TRAIN)
            if evaluates:
                dev = _labelled(ws, session, project_id, Split.DEV)
                if train and not dev:
                    raise StudioError(NO_DEV)
                train += dev
            held_out = _labelled(ws, session, project_id, Split.TEST)
            problem = _problem(session, project_id, train, held_out) or _inherited(session, base_id, leaks.by_sound(held_out))
            if problem is None and states and not _has_state(train):
                problem = NO_STATE
            if problem is not None:
                raise StudioError(problem)
            found = _written(ws, session, project_id, folder, train, held_out)
        sounds = {"train": leaks.sounds(train), "held_out": leaks.sounds(held_out)}
        data = {key: found.row[name] for key, name in DATA.items()} | {"revisions": found.revisions, "sounds": sounds}
        found.row["provenance"] = provenance.write(folder, plan, data)
        yield found


@contextmanager
def freeze_held_out(ws: Workspace, project_id: int, checkpoint_id: int) -> Iterator[Frozen]:
    """Write the project's held-out dialogues as they stand, to be given to a job that scores the checkpoint on them.

    Raises:
        StudioError: nothing is held out, or the checkpoint, or the one in use, was trained on it.
    """
    with prepared(ws) as folder:
        with ws.read() as session:
            held_out = _labelled(ws, session, project_id, Split.TEST)
            problem = NOT_HELD_OUT if not held_out else _inherited(session, checkpoint_id, leaks.by_sound(held_out))
            if problem is not None:
                raise StudioError(problem)
            found = _written(ws, session, project_id, folder, [], held_out)
        yield found


def leak(ws: Workspace, session: Session, job: Job, trains: bool) -> str | None:
    """Why the scores of a job that waited would mean nothing by now, in a sentence: for a checkpoint that was put in use, or a
    dialogue that was moved or brought in, since it was frozen. A rerun is what it was.

    Args:
        trains: it has yet to train.
    """
    snapshot, scored = job.snapshot, ws.path(job.folder) / HELD_OUT
    if snapshot is None or "rerun_of" in (snapshot.provenance or {}):
        return None
    frozen = read_manifest(scored) if scored.is_file() else []
    held = {Path(turn.audio).stem: dialogue.dialogue_id for dialogue in frozen for turn in dialogue.turns if turn.audio}
    problem = _inherited(session, job.base_id, held)
    if problem is not None or not trains:
        return problem
    names = set(snapshot.dialogues)
    held_out = _labelled(ws, session, job.project_id, Split.TEST)
    for dialogue in held_out:
        if dialogue.row.name in names:
            return f"{dialogue.row.name} is held out now, and would be trained on: move it back, or start a new job without it."
    both = [dialogue for split in (Split.TRAIN, Split.DEV) for dialogue in _labelled(ws, session, job.project_id, split)]
    return leaks.refusal([dialogue for dialogue in both if dialogue.row.name in names], held_out)


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


def _inherited(session: Session, base_id: int | None, held: dict[str, str]) -> str | None:
    base = session.get(Checkpoint, base_id) if base_id is not None else None
    return leaks.inherited(base, session.get(Checkpoint, checkpoints.in_use_id(session)), held)


def _has_state(train: Sequence[_Labelled]) -> bool:
    return any(turn.corrected_state is not None for dialogue in train for turn in dialogue.turns)


def _slots(turns: Sequence[TurnView]) -> Counter[tuple[str, str]]:
    return Counter((domain, slot) for turn in turns for domain, slot, _ in iterate_slots(turn.corrected_state or {}))


def _written(
    ws: Workspace, session: Session, project_id: int, folder: Path, train: Sequence[_Labelled], held_out: Sequence[_Labelled]
) -> Frozen:
    """Write both manifests with their recordings; of a scoring that of the held-out dialogues alone."""
    for found, manifest, label in ((train, TRAIN, to_train), (held_out, HELD_OUT, to_score)):
        if found:
            _write(ws, found, folder / manifest, label)
    hashes = {manifest: sha256(folder / manifest) for manifest in (TRAIN, HELD_OUT) if (folder / manifest).is_file()}
    manifest = TRAIN if train else HELD_OUT
    row = {
        "ontology_id": newest(session, project_id).id,
        "sha256": hashes[manifest],
        "dialogues": [dialogue.row.name for dialogue in train],
        "held_out": [dialogue.row.name for dialogue in held_out],
        "held_out_sha256": hashes.get(HELD_OUT),
    }
    used = [stack[-1].id for dialogue in train for turn in dialogue.row.turns for stack in _stacks(turn)]
    stood = labels.standing([dialogue.row for dialogue in held_out]) if held_out else None
    return Frozen(folder, row, manifest, used, stood, split_rows.last_move(session))


def _write(ws: Workspace, found: Sequence[_Labelled], manifest: Path, label: Callable[[TurnView], Label]) -> None:
    write_manifest(manifest, [manifest_dialogue(ws, dialogue.row, manifest.parent, label) for dialogue in found])


def _stacks(turn: Turn) -> list[list[Revision]]:
    return [stack for kind in LABEL_KINDS if (stack := revisions.standing(turn, kind))]
