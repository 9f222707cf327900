"""What became of somebody's corrections: what other people made of them, and what the runs that learnt from them get right now.

Nobody reads labels here that they could not read on the turn itself: a dialogue that is annotated blind is left out until it is
decided on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.models import LABEL_KINDS, EventKind, Job, Revision, RevisionKind, RevisionSource, Turn
from db.repositories import feedback, predictions, revisions
from db.repositories.revisions import LABELS
from engine.dialogue import accepted, iterate_slots
from engine.postprocess import normalise_slot
from studio.errors import StudioError
from studio.services import comparison, double
from studio.workspace import Workspace

WORDS = "words"
NEWEST_TURNS, NEWEST_RUNS = 30, 10


@dataclass(frozen=True)
class Answer:
    """What somebody else did to a correction: put ``theirs`` in place of ``mine``, or handed the turn back with a ``note``.

    ``what`` is a slot (``domain-slot``), or `WORDS` for the transcript, and is empty for a note. ``None``: no value.
    """

    turn_id: int
    dialogue: str
    number: int
    what: str
    mine: str | None
    theirs: str | None
    note: str
    author: str
    created: datetime


@dataclass(frozen=True)
class SlotOutcome:
    """A slot somebody ``corrected`` so many times before a run, and how often held-out turns have it right now that had it wrong
    (``fixed``), or wrong that had it right (``broken``)."""

    slot: str
    corrected: int
    fixed: int
    broken: int


@dataclass(frozen=True)
class RunOutcome:
    """What a run learnt from somebody, and what its checkpoint does otherwise than the one it started from.

    ``turns`` have words or a state that they wrote or accepted, ``words`` a transcript and ``slots`` values that they changed.
    ``fixed`` and ``broken`` count all held-out slots; ``problem`` says why they are not known.
    """

    job_id: int
    checkpoint: str
    base: str | None
    turns: int
    words: int
    slots: tuple[SlotOutcome, ...]
    fixed: int
    broken: int
    problem: str = ""


def answers(ws: Workspace, project_id: int, author: str) -> list[Answer]:
    """What others made of somebody's newest corrections, newest first; what stands as it was corrected is no answer."""
    with ws.read() as session:
        turns = feedback.followed(session, project_id, author, NEWEST_TURNS)
    blind = {turn.dialogue_id for turn in turns if double.layer_of(ws, turn.dialogue_id, author) != LABELS}
    found = [answer for turn in turns if turn.dialogue_id not in blind for answer in _answers(turn, author)]
    return sorted(found, key=lambda answer: answer.created, reverse=True)


def runs(ws: Workspace, project_id: int, author: str) -> list[RunOutcome]:
    """What the newest runs learnt from somebody and what came of it, newest first."""
    with ws.read() as session:
        jobs = feedback.learnt(session, project_id, author, NEWEST_RUNS)
        parts = [feedback.parts(session, job.snapshot_id or 0, author) for job in jobs]
    return [_outcome(ws, job, [(used, mine) for used, mine in found]) for job, found in zip(jobs, parts, strict=True)]


def _answers(turn: Turn, author: str) -> Iterator[Answer]:
    place = turn.id, turn.dialogue.name, turn.turn_id
    for kind in LABEL_KINDS:
        now = _standing(turn, kind)
        for what, (mine, value) in _corrections(turn, kind, author).items():
            later = [found for found in turn.revisions if (found.kind, found.layer) == (kind, LABELS) and found.id > mine.id]
            last = next((found for found in reversed(later) if what in _decided(found)), None)
            if last is not None and last.author != author and now.get(what) != value:
                yield Answer(*place, what, value, now.get(what), "", last.author, last.created)
    first = min(found.created for found in turn.revisions if found.author == author)
    for event in turn.events:
        if event.kind == EventKind.RETURNED and event.author != author and event.created > first:
            yield Answer(*place, "", None, None, event.text, event.author, event.created)


def _corrections(turn: Turn, kind: RevisionKind, author: str) -> dict[str, tuple[Revision, str | None]]:
    """What somebody wrote or accepted in a turn, blind or not, and did not take back: the revision and the value, by slot or
    `WORDS`."""
    found: dict[str, tuple[Revision, str | None]] = {}
    for revision in turn.revisions:
        if (revision.kind, revision.author) != (kind, author):
            continue
        values = _values(kind, revision.new)
        for what in _decided(revision):
            if revision.source in feedback.CORRECTIONS:
                found[what] = revision, values.get(what)
            else:
                found.pop(what, None)
    return found


def _decided(revision: Revision) -> set[str]:
    """The slots, or `WORDS`, a person decided on with a revision: those it changed, or all that it accepted or adjudicated."""
    if revision.source not in (*feedback.CORRECTIONS, *feedback.DECISIONS):
        return set()
    old, new = (_values(revision.kind, value) for value in (revision.old, revision.new))
    whole = revision.source in (RevisionSource.MODEL, RevisionSource.ADJUDICATED)
    return {what for what in old | new if whole or old.get(what) != new.get(what)}


def _standing(turn: Turn, kind: RevisionKind) -> dict[str, str]:
    """What counts now: the project's label, else the model's answer."""
    label = revisions.corrected(turn, kind)
    answer = predictions.newest(turn)
    if label is None and answer is not None:
        label = answer.transcript if kind == RevisionKind.TRANSCRIPT else answer.state
    return _values(kind, label)


def _values(kind: RevisionKind, label: Any) -> dict[str, str]:
    """The values of a label as texts, by slot; a transcript's text under `WORDS`."""
    if label is None:
        return {}
    if kind == RevisionKind.TRANSCRIPT:
        return {WORDS: label}
    return {f"{domain}-{slot}": " | ".join(accepted(value)) for domain, slot, value in iterate_slots(label)}


def _outcome(ws: Workspace, job: Job, parts: Sequence[tuple[Revision, Revision]]) -> RunOutcome:
    assert job.checkpoint is not None  # a training that finished has one
    learnt = {
        (used.turn_id, what)
        for used, mine in parts
        for what in _decided(mine)
        if mine.old != mine.new and _values(mine.kind, mine.new).get(what) == _values(used.kind, used.new).get(what)
    }
    corrected = Counter(what for _, what in learnt)
    words, problem = corrected.pop(WORDS, 0), ""
    fixed: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    if job.base is None:
        problem = "it started from no checkpoint to compare it with"
    else:
        try:
            fixed, broken = comparison.fixed_and_broken(ws, job.base.id, job.checkpoint.id, job.project_id)
        except StudioError:
            problem = "nothing was held out that both could be scored on"
    slots = tuple(SlotOutcome(slot, n, fixed[_scored(slot)], broken[_scored(slot)]) for slot, n in corrected.most_common())
    turns = len({used.turn_id for used, _ in parts})
    base = job.base.name if job.base is not None else None
    return RunOutcome(job.id, job.checkpoint.name, base, turns, words, slots, fixed.total(), broken.total(), problem)


def _scored(slot: str) -> str:
    """A slot as scores name it."""
    return "-".join(map(normalise_slot, slot.split("-", 1)))
