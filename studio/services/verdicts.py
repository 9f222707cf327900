"""Hearing or understanding: why the model had a slot wrong, which is what one chooses by what to train.

What the model understood when it listened to a turn (`TurnView.own_state`) is compared with what people settled there: slots they
wrote or confirmed, all of a turn that was reviewed, and in a state they accepted as a whole also those that are not there any
more. Whether it was put right by hand, or by itself once the words were, makes no difference. A value that came along from the
turn before is that turn's error.

For what is wrong the state step runs once on the words that stand, in the dialogue as it stands. Wrong still: the model did not
*understand*. Right, and the words had been corrected: it *misheard*. Right on its own words: what stood before the turn was
wrong, and is counted there. A turn's verdicts always follow from what stands in it, so what is undone is not counted and
nothing twice. In a dialogue that is annotated blind they are the annotator's; a decision takes over those of whom it agrees with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.models import ErrorKind, RevisionKind, SlotError, Turn
from db.repositories import dialogues, doubles, predictions, queue, revisions
from db.repositories.revisions import LABELS
from engine.data.spoken_form import comparable
from engine.dialogue import Ontology, State, accepted, iterate_slots
from studio.services import checkpoints, ontology, understanding
from studio.services.dialogues import get_dialogue, get_turn
from studio.services.understanding import Question
from studio.services.views import TurnView
from studio.workspace import Workspace

Place = tuple[str, str]  # domain, slot


@dataclass(frozen=True)
class Verdict:
    """Why the model had a slot wrong."""

    domain: str
    slot: str
    misheard: bool


def find(ws: Workspace, turn_id: int, layer: str = LABELS) -> None:
    """Bring the verdicts on a turn that changed, and on the later ones of its dialogue, up to date in a layer.

    Seconds on a CPU where something has to be asked: call it where nobody waits.

    Raises:
        StudioError: no such turn, or the model cannot be loaded or run.
    """
    changed = get_turn(ws, turn_id, layer)
    dialogue = get_dialogue(ws, changed.dialogue_id, layer)
    turns = [view for view in dialogue.turns if view.speaker == "user"]
    known = ontology.get_ontology(ws, dialogue.project_id)
    known_errors = _known(ws, dialogue.id, layer)
    asked: list[tuple[TurnView, list[Place]]] = []
    for before, turn in zip((None, *turns), turns, strict=False):
        if turn.turn_id < changed.turn_id:
            continue
        wrong, judged = _wrong(known, before, turn), known_errors.get(turn.id, {})
        if any(judged.get(place) != turn.label_head for place in wrong):
            asked.append((turn, wrong))
        elif gone := judged.keys() - set(wrong):
            _replace(ws, turn, layer, gone, {})
    if not asked:
        return
    _, answers = understanding.ask(ws, [Question(turn.id, turn.transcript, {}) for turn, _ in asked], layer)
    for (turn, wrong), answer in zip(asked, answers, strict=True):
        _replace(ws, turn, layer, known_errors.get(turn.id, {}), _judged(known, turn, wrong, answer.state))


def of_turn(ws: Workspace, turn_id: int, layer: str = LABELS) -> list[Verdict]:
    """The verdicts on a turn's slots in a layer, those that were misheard first."""
    with ws.read() as session:
        found = [error for error in session.get_one(Turn, turn_id).errors if error.layer == layer]
        verdicts = [Verdict(error.domain, error.slot, error.kind == ErrorKind.RECOGNITION) for error in found]
    return sorted(verdicts, key=lambda verdict: (not verdict.misheard, verdict.domain, verdict.slot))


def counts(ws: Workspace, project_id: int) -> dict[Place, tuple[int, int]]:
    """How often the checkpoint in use misheard each slot, and misunderstood it, among what people settled so far.

    Only dialogues to train on count: what was wrong in others must not say what is trained, nor what a checkpoint had wrong
    that was replaced since.
    """
    with ws.read() as session:
        found = queue.error_counts(session, project_id, checkpoints.in_use_id(session))
    return {place: (kinds.get(ErrorKind.RECOGNITION, 0), kinds.get(ErrorKind.UNDERSTANDING, 0)) for place, kinds in found.items()}


def take_over(session: Session, turn: Turn) -> None:
    """Make the blind annotators' verdicts the project's where the decision on the turn has their words and their value, each slot
    once. Part of the decision's transaction."""
    words, state = (revisions.corrected(turn, kind) for kind in (RevisionKind.TRANSCRIPT, RevisionKind.STATE))
    known = ontology.from_row(ontology.newest(session, turn.dialogue.project_id))
    head = revisions.newest(turn)
    answer = predictions.newest(turn)
    taken: set[Place] = set()
    for layer in doubles.annotators(turn):
        theirs = revisions.corrected(turn, RevisionKind.TRANSCRIPT, layer)
        if theirs is None and answer is not None:
            theirs = answer.transcript
        if head is None or not _same_words(theirs, words):
            continue
        annotated = revisions.corrected(turn, RevisionKind.STATE, layer)
        for error in [error for error in turn.errors if error.layer == layer]:
            place = error.domain, error.slot
            if place not in taken and _same(known, annotated, state, place):
                taken.add(place)
                turn.errors.append(_error(place, LABELS, head.id, error.checkpoint_id, error.kind))


def _wrong(known: Ontology, before: TurnView | None, turn: TurnView) -> list[Place]:
    """The slots in which the model was wrong by itself, in this turn and not only since an earlier one."""
    own, state = turn.own_state, turn.state
    if own is None or state is None or turn.audio is None or not turn.transcript:
        return []
    settled = set(turn.confirmed)
    reviewed = turn.status in ("reviewed", "final")
    if reviewed or turn.accepted:
        settled |= {(domain, slot) for domain, slot, _ in iterate_slots(own) if slot not in state.get(domain, {})}
    if reviewed:
        settled |= {(domain, slot) for domain, slot, _ in iterate_slots(state)}
    own_before = (before.own_state if before is not None else None) or {}
    state_before = turn.previous_state
    return [
        place
        for place in sorted(settled)
        if not _same(known, own, state, place)
        and not (_same(known, own, own_before, place) and _same(known, state, state_before, place))
    ]


def _known(ws: Workspace, dialogue_id: int, layer: str) -> dict[int, dict[Place, int]]:
    """Which slots of each turn are judged, and by which revision's standing."""
    with ws.read() as session:
        found: dict[int, dict[Place, int]] = {}
        for error in queue.errors(session, dialogue_id, layer):
            found.setdefault(error.turn_id, {})[error.domain, error.slot] = error.revision_id
        return found


def _judged(known: Ontology, turn: TurnView, wrong: list[Place], on_right_words: State) -> dict[Place, ErrorKind]:
    """Why each slot was wrong, where this turn is to blame."""
    reworded = not _same_words(turn.transcript, turn.model_transcript)
    understood = {place: _same(known, on_right_words, turn.state or {}, place) for place in wrong}
    kinds = {place: ErrorKind.RECOGNITION if right else ErrorKind.UNDERSTANDING for place, right in understood.items()}
    return {place: kind for place, kind in kinds.items() if reworded or kind == ErrorKind.UNDERSTANDING}


def _replace(ws: Workspace, turn: TurnView, layer: str, gone: Collection[Place], kinds: Mapping[Place, ErrorKind]) -> None:
    with ws.write() as session:
        row = dialogues.lock_turn(session, turn.id)
        answer = predictions.listened(row, layer) if row is not None else None
        if row is None or answer is None or turn.label_head is None:
            return
        for error in [error for error in row.errors if error.layer == layer and (error.domain, error.slot) in gone]:
            row.errors.remove(error)
        session.flush()  # the new ones may name the same revision
        row.errors += [_error(place, layer, turn.label_head, answer.checkpoint_id, kind) for place, kind in kinds.items()]


def _error(place: Place, layer: str, revision_id: int, checkpoint_id: int, kind: ErrorKind) -> SlotError:
    domain, slot = place
    known = {"layer": layer, "revision_id": revision_id, "checkpoint_id": checkpoint_id}
    return SlotError(domain=domain, slot=slot, kind=kind, **known)


def _same(known: Ontology, one: State, other: State, place: Place) -> bool:
    """Whether a slot has one value in both states, in whatever spelling: a value that was renamed since is the same."""
    domain, slot = place
    first, second = (
        {ontology.normal_form(known, domain, slot, form) for form in accepted(state.get(domain, {}).get(slot, ""))}
        for state in (one, other)
    )
    return bool(first & second)


def _same_words(one: str | None, other: str | None) -> bool:
    """Whether two transcripts are the same words; a time, written or said, is."""
    return comparable(one or "") == comparable(other or "")
