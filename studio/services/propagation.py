"""What one correction means for the rest of its dialogue: later turns are decoded again around it.

A value somebody decided on is *settled* from its turn on, until the model hears another one for that slot. Each later turn is
asked again with the settled values pinned and the words that stand, so only its state is decoded; a turn whose own words were
corrected is asked again too. What moves is a prediction or,
where somebody had corrected the turn, a revision of source ``propagated``; what somebody decided there stays as it is. A reviewer
decided on the whole of a reviewed or final turn, what has no value there included. A blind
annotator's corrections move their own layer alone; why the model was wrong is `studio.services.verdicts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.models import LABELLED, Dialogue, RevisionKind, RevisionSource, Split, Turn
from db.repositories import doubles, revisions
from db.repositories.revisions import LABELS
from engine.dialogue import State, Value, iterate_slots
from studio.services import double, understanding, verdicts
from studio.services.dialogues import get_dialogue, get_turn
from studio.services.search import index
from studio.services.understanding import Pins, Question
from studio.services.views import TurnView, dialogue_view, locked_turn, turn_view
from studio.workspace import Workspace

Decided = list[tuple[str | None, dict[tuple[str, str], Value | None]]]  # words and values, turn by turn


@dataclass(frozen=True)
class Moved:
    """A slot of a later turn that is another one now; ``None`` stands for no value."""

    turn_id: int
    number: int
    domain: str
    slot: str
    old: Value | None
    new: Value | None


def propagate(ws: Workspace, turn_id: int, layer: str = LABELS) -> dict[str, list[Moved]]:
    """Decode the later turns of a corrected turn's dialogue again, and find out why it was wrong; what moved, by layer.

    ``layer`` is whose corrections count and whose labels move; what the agent said is the same for all layers, so each follows
    with the values that are settled in it. A reviewer's decision on what was annotated blind moves nothing: it would tell whoever
    still annotates the next turn, and later decisions are whole states of their own.

    Seconds on a CPU. What calls it, and does so once more where it was broken off, is `studio.services.following`.

    Raises:
        StudioError: no such turn, or the model cannot be loaded or run.
    """
    if layer == LABELS and _just_decided(ws, turn_id):
        verdicts.find(ws, turn_id)
        return {LABELS: []}
    turn = get_turn(ws, turn_id)
    if turn.speaker == "user" or not (blind := _blind_layers(ws, turn.dialogue_id)):
        return {layer: _propagate(ws, turn_id, layer, layer)}
    # the project's answers are what people see who have not begun, so nothing that was decided meanwhile may tell in them
    project = {LABELS: _propagate(ws, turn_id, LABELS, double.NEWCOMER)}
    return project | {name: _propagate(ws, turn_id, name, name) for name in blind}


def _propagate(ws: Workspace, turn_id: int, layer: str, seen_by: str) -> list[Moved]:
    """Let one layer follow, as somebody sees the dialogue; what was decided while the model computed is asked for anew."""
    found: list[Moved] = []
    open_ = _questions(ws, turn_id, layer, seen_by)
    while open_:
        checkpoint_id, answers = understanding.ask(ws, [question for question, _ in open_.values()], seen_by)
        passed = []
        for (question, known), answer in zip(open_.values(), answers, strict=True):
            with ws.write() as session:
                row = locked_turn(session, question.turn_id)
                before = turn_view(ws, session, row, seen_by)
                if _reviewed(before):
                    continue
                if _decided(dialogue_view(ws, row.dialogue, seen_by).turns, before) != known:
                    passed.append(row.id)
                    continue
                heard = before.model_transcript
                understanding.keep(ws, session, row, checkpoint_id, answer, heard, question.pinned, layer)
                _follow(ws, session, row, seen_by)
                session.flush()
                found += moved(before, turn_view(ws, session, row, seen_by))
        now = _questions(ws, turn_id, layer, seen_by) if passed else {}
        open_ = {id_: now[id_] for id_ in passed if id_ in now}
    verdicts.find(ws, turn_id, layer)
    return found


def _questions(ws: Workspace, turn_id: int, layer: str, seen_by: str) -> dict[int, tuple[Question, Decided]]:
    """What to ask the model, by turn, and what people had decided when it was asked."""
    turn = get_turn(ws, turn_id, seen_by)
    turns = get_dialogue(ws, turn.dialogue_id, seen_by).turns
    done = {view.id for view in get_dialogue(ws, turn.dialogue_id).turns if view.labelled} if seen_by != layer else set()
    reworded = turn.corrected_transcript not in (None, turn.model_transcript) or _words_taken_back(ws, turn)
    return {
        view.id: (Question(view.id, view.transcript, pins), _decided(turns, view))
        for view, pins in _settled(turns)
        if not (view.id in done or _reviewed(view))
        # a turn that was told what nobody says any more is asked without it
        and ((view.turn_id > turn.turn_id and (reworded or pins or view.pinned)) or (view.id == turn.id and reworded))
    }


def _decided(turns: Sequence[TurnView], last: TurnView) -> Decided:
    """The words and values that people decided on, up to and with a turn."""
    return [
        (view.corrected_transcript, {(d, s): (view.state or {}).get(d, {}).get(s) for d, s in _decided_in(view)})
        for view in turns
        if view.turn_id <= last.turn_id
    ]


def _reviewed(turn: TurnView) -> bool:
    return turn.status in ("reviewed", "final")


def _decided_in(turn: TurnView) -> set[tuple[str, str]]:
    """The slots of a turn that people decided on; a reviewer on all that stands there, or did before, or that the model says."""
    states = (turn.state or {}, turn.previous_state, turn.predicted_state or {}) if _reviewed(turn) else ()
    return {*turn.confirmed, *((domain, slot) for state in states for domain, slot, _ in iterate_slots(state))}


def _blind_layers(ws: Workspace, dialogue_id: int) -> Sequence[str]:
    """Whose labels of a dialogue are blind still; empty where it is not annotated so, or all is decided."""
    with ws.read() as session:
        blind = session.get_one(Dialogue, dialogue_id).double and doubles.undecided(session, dialogue_id)
        return doubles.layers(session, dialogue_id) if blind else []


def _just_decided(ws: Workspace, turn_id: int) -> bool:
    """Whether a reviewer's decision is the newest change of the turn's labels."""
    with ws.read() as session:
        newest = revisions.newest(session.get_one(Turn, turn_id))
        return newest is not None and newest.source == RevisionSource.ADJUDICATED


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
        decided = set() if turn.imported else _decided_in(turn)
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


def _follow(ws: Workspace, session: Session, row: Turn, layer: str) -> None:
    """In a turn somebody corrected, let the slots nobody decided follow the model's new answer; held-out labels do not."""
    if row.dialogue.split != Split.TRAIN or (layer != LABELS and row.status in LABELLED):
        return
    view = turn_view(ws, session, row, layer)
    old, new = view.corrected_state, view.predicted_state
    imported = revisions.standing(row, RevisionKind.STATE, layer)[:1]  # somebody's labels, whatever was corrected in them since
    if old is None or new is None or any(revision.source == RevisionSource.IMPORT for revision in imported):
        return
    state: State = {}
    for source, decided in ((new, False), (old, True)):
        for domain, slot, value in iterate_slots(source):
            if ((domain, slot) in view.confirmed) == decided:
                state.setdefault(domain, {})[slot] = value
    if sorted(iterate_slots(state), key=str) != sorted(iterate_slots(old), key=str):
        revisions.append(session, row, RevisionKind.STATE, old, state, "the model", RevisionSource.PROPAGATED, layer)
        if layer == LABELS:
            index(row, turn_view(ws, session, row))


def moved(before: TurnView, after: TurnView) -> list[Moved]:
    """The slots of a turn that are others now."""
    old, new = before.state or {}, after.state or {}
    places = dict.fromkeys((domain, slot) for state in (old, new) for domain, slot, _ in iterate_slots(state))
    values = [(domain, slot, old.get(domain, {}).get(slot), new.get(domain, {}).get(slot)) for domain, slot in places]
    return [Moved(after.id, after.turn_id, *value) for value in values if value[2] != value[3]]
