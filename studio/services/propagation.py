"""What one correction means for the rest of its dialogue: later turns are decoded again around it, and why it was needed.

A value somebody decided on is *settled* from its turn on, until the model hears another one for that slot. Each later turn is
asked again with the settled values pinned and the words that stand, so only its state is decoded; a turn whose own words were
corrected is asked again too. What moves is a prediction or,
where somebody had corrected the turn, a revision of source ``propagated``; what somebody decided there stays as it is. A blind
annotator's corrections move their own layer alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.models import LABELLED, ErrorKind, RevisionKind, RevisionSource, SlotError, Split, Turn
from db.repositories import dialogues, predictions, queue, revisions
from db.repositories.revisions import LABELS
from engine.dialogue import State, Value, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.services import understanding
from studio.services.dialogues import get_dialogue, get_turn
from studio.services.search import index
from studio.services.understanding import Pins, Question
from studio.services.views import TurnView, turn_view
from studio.workspace import Workspace


@dataclass(frozen=True)
class Moved:
    """A slot of a later turn that is another one now; ``None`` stands for no value."""

    turn_id: int
    number: int
    domain: str
    slot: str
    old: Value | None
    new: Value | None


def propagate(ws: Workspace, turn_id: int, layer: str = LABELS) -> list[Moved]:
    """Find out why a corrected turn was wrong, and decode the later turns of its dialogue again; what moved.

    ``layer`` is whose corrections count and whose labels move. In a blind annotator's nobody asks why the model was wrong: the
    answer would be told to all.

    Seconds on a CPU: call it where the page can show progress.

    Raises:
        StudioError: no such turn, or the model cannot be loaded or run.
    """
    turn = get_turn(ws, turn_id, layer)
    turns = get_dialogue(ws, turn.dialogue_id, layer).turns
    reworded = turn.corrected_transcript not in (None, turn.model_transcript) or _words_taken_back(ws, turn)
    asked = [
        Question(view.id, view.transcript, pins)
        for view, pins in _settled(turns)
        # a turn that was told what nobody says any more is asked without it
        if (view.turn_id > turn.turn_id and (reworded or pins or view.pinned)) or (view.id == turn.id and reworded)
    ]
    wrong = _wrong_slots(turn) if layer == LABELS else []
    # the state once more, with nothing but the words that stand: was it hearing or understanding?
    blame = [Question(turn.id, turn.transcript, {})] if wrong else []
    if not asked and not blame:
        return []
    checkpoint_id, answers = understanding.ask(ws, asked + blame, layer)
    if wrong:
        _judge(ws, turn, wrong, answers[-1].state)
    moved: list[Moved] = []
    for question, answer in zip(asked, answers, strict=False):
        before = get_turn(ws, question.turn_id, layer)
        understanding.store(ws, before.id, checkpoint_id, answer, before.model_transcript, question.pinned, layer)
        _follow(ws, before)
        moved += _moved(before, get_turn(ws, before.id, layer))
    return moved


def error_counts(ws: Workspace, project_id: int) -> dict[tuple[str, str], tuple[int, int]]:
    """How often each slot was misheard, and misunderstood, among the corrections so far."""
    with ws.read() as session:
        found = queue.error_counts(session, project_id)
    return {place: (kinds.get(ErrorKind.RECOGNITION, 0), kinds.get(ErrorKind.UNDERSTANDING, 0)) for place, kinds in found.items()}


def _settled(turns: Sequence[TurnView]) -> Iterator[tuple[TurnView, Pins]]:
    """Each recorded user turn that the model has answered, with the values that are settled there."""
    settled: dict[tuple[str, str], Value | None] = {}
    heard: State = {}
    for turn in turns:
        if turn.speaker != "user":
            continue
        predicted = turn.predicted_state
        if predicted is not None and turn.valid:
            for domain, slot in list(settled):
                now = predicted.get(domain, {}).get(slot)
                pinned = slot in turn.pinned.get(domain, {})  # told, not heard
                if not pinned and now is not None and now != heard.get(domain, {}).get(slot) and now != settled[domain, slot]:
                    del settled[domain, slot]
            heard = predicted
        decided = {place for place in turn.confirmed if not turn.imported}
        settled |= {(domain, slot): (turn.state or {}).get(domain, {}).get(slot) for domain, slot in decided}
        if turn.audio is not None and predicted is not None and not turn.imported:
            pins: Pins = {}
            for (domain, slot), value in settled.items():
                pins.setdefault(domain, {})[slot] = value
            yield turn, pins


def _words_taken_back(ws: Workspace, turn: TurnView) -> bool:
    """Whether the newest change of the turn's words was an undo: the model's newest answer was told others than stand now."""
    with ws.read() as session:
        row = session.get_one(Turn, turn.id)
        return bool(revisions.stacks(row, RevisionKind.TRANSCRIPT, turn.layer)[1])


def _wrong_slots(turn: TurnView) -> list[tuple[str, str]]:
    """Slots somebody decided otherwise than the model."""
    if turn.predicted_state is None or turn.state is None or turn.audio is None or not turn.transcript:
        return []
    return [place for place in sorted(turn.confirmed) if not _same(turn.predicted_state, turn.state, *place)]


def _same(one: State, other: State, domain: str, slot: str) -> bool:
    first, second = (accepted(state.get(domain, {}).get(slot, "")) for state in (one, other))
    return bool({normalise_value(form, slot) for form in first} & {normalise_value(form, slot) for form in second})


def _judge(ws: Workspace, turn: TurnView, wrong: list[tuple[str, str]], on_right_words: State) -> None:
    """Note for each wrong slot whether the right words would have been enough."""
    with ws.write() as session:
        row = dialogues.lock_turn(session, turn.id)
        head = revisions.head(row, RevisionKind.STATE) if row is not None else None
        answer = predictions.newest(row) if row is not None else None
        if row is None or head is None or answer is None:
            return
        row.errors.clear()
        session.flush()
        for domain, slot in wrong:
            right = _same(on_right_words, turn.state or {}, domain, slot)
            kind = ErrorKind.RECOGNITION if right else ErrorKind.UNDERSTANDING
            names = {"domain": domain, "slot": slot}
            row.errors.append(SlotError(revision_id=head.id, checkpoint_id=answer.checkpoint_id, **names, kind=kind))


def _follow(ws: Workspace, before: TurnView) -> None:
    """In a turn somebody corrected, let the slots nobody decided follow the model's new answer; held-out labels do not."""
    with ws.write() as session:
        row = dialogues.lock_turn(session, before.id)
        if row is None or row.dialogue.split != Split.TRAIN or (before.layer != LABELS and row.status in LABELLED):
            return
        view = turn_view(ws, session, row, before.layer)
        old, new = view.corrected_state, view.predicted_state
        if old is None or new is None or view.imported:
            return
        state: State = {}
        for source, decided in ((new, False), (old, True)):
            for domain, slot, value in iterate_slots(source):
                if ((domain, slot) in view.confirmed) == decided:
                    state.setdefault(domain, {})[slot] = value
        if sorted(iterate_slots(state), key=str) != sorted(iterate_slots(old), key=str):
            revisions.append(session, row, RevisionKind.STATE, old, state, "the model", RevisionSource.PROPAGATED, before.layer)
            if before.layer == LABELS:
                index(row, turn_view(ws, session, row))


def _moved(before: TurnView, after: TurnView) -> list[Moved]:
    old, new = before.state or {}, after.state or {}
    places = dict.fromkeys((domain, slot) for state in (old, new) for domain, slot, _ in iterate_slots(state))
    values = [(domain, slot, old.get(domain, {}).get(slot), new.get(domain, {}).get(slot)) for domain, slot in places]
    return [Moved(after.id, after.turn_id, *value) for value in values if value[2] != value[3]]
