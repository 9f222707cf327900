"""What the model in use hears and understands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.orm import Session

from db.models import LABELLED, Prediction, Turn
from db.repositories import dialogues, predictions, revisions
from db.repositories.revisions import LABELS
from engine.dialogue import State, Value, with_values
from studio.errors import StudioError
from studio.services import follow_claims, search, trackers
from studio.services.dialogues import get_dialogue, get_turn
from studio.services.edits import Slots, slots_of
from studio.services.exchange import in_parts
from studio.services.views import DialogueView, TurnView, dialogue_view, locked_turn, turn_view
from studio.workspace import Workspace

if TYPE_CHECKING:
    from engine.tracking import HistoryTurn, TurnPrediction

PART = 100  # dialogues read at once
Answer = TypeVar("Answer")
Pins = dict[str, dict[str, Value | None]]  # values that are settled; None: the slot has none


def predict_turn(ws: Workspace, turn_id: int) -> TurnView:
    """Transcribe a turn and, for a user turn, work out the state after it; store and return it.

    The history is what stands in earlier turns (corrected before the model's) and so is the previous state. Earlier
    turns without a prediction are predicted first. Seconds on a CPU: call it where the page can show progress.

    Raises:
        StudioError: no such turn, no recording, or the model cannot be loaded or run.
    """
    turn = get_turn(ws, turn_id)
    if turn.audio is None:
        raise StudioError("This turn has no recording: record or upload one first.")
    for earlier in get_dialogue(ws, turn.dialogue_id).turns:
        if earlier.turn_id < turn.turn_id and earlier.waits_for_model:
            _predict(ws, earlier)
    _predict(ws, turn)
    return get_turn(ws, turn_id)


def waiting(ws: Workspace, project_id: int, chosen: Sequence[int] | None = None) -> dict[int, int]:
    """How many turns wait for the model, by dialogue: of a project, or of ``chosen`` dialogues of it."""
    found: dict[int, int] = {}
    with ws.read() as session:
        ids = dialogues.with_unasked(session, project_id)
        for part in in_parts([id_ for id_ in ids if chosen is None or id_ in chosen], PART):
            for row in dialogues.load_some(session, part):
                if number := sum(turn.waits_for_model for turn in dialogue_view(ws, row).turns):
                    found[row.id] = number
            session.expunge_all()
    return found


def predict_dialogue(
    ws: Workspace,
    dialogue_id: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    followed_in: str | None = None,
) -> DialogueView:
    """Predict every turn that waits for the model, in order; ``progress(done, total)`` after each.

    What is answered, though it be broken off, the rest of the dialogue then follows in the layer ``followed_in``: what people
    settled in earlier turns (`studio.services.following`). Without, nothing follows.
    """
    dialogue = get_dialogue(ws, dialogue_id)
    turns = [turn for turn in dialogue.turns if turn.waits_for_model]
    mark = None
    if turns and followed_in is not None:  # from the turn before on: what is settled there is told to the first of these, too
        before = [turn for turn in dialogue.turns if turn.speaker == "user" and turn.turn_id < turns[0].turn_id]
        first = before[-1] if before else turns[0]
        mark = first.id, followed_in if first.speaker == "user" else LABELS
    try:
        for done, turn in enumerate(turns, 1):
            _predict(ws, turn, mark)
            progress(done, len(turns))
    finally:
        if mark is not None:
            with ws.write() as session:
                follow_claims.give_back(session, *mark)
    return get_dialogue(ws, dialogue_id)


@dataclass(frozen=True)
class Question:
    """A turn to be asked about once more: with the words that stand, and values that are settled (``None``: no value)."""

    turn_id: int
    transcript: str | None
    pinned: Pins


def ask(ws: Workspace, questions: Sequence[Question], layer: str = LABELS) -> tuple[int, list[TurnPrediction]]:
    """The checkpoint in use and its answers, in order; nothing is stored. The history is what stands in the layer.

    Raises:
        StudioError: a turn is gone, or the model cannot be loaded or run.
    """
    from engine.tracking import TurnRequest

    with trackers.computing:
        checkpoint_id, tracker = trackers.answering(ws)
        requests = []
        for question in questions:
            turn = get_turn(ws, question.turn_id, layer)
            history, previous = _before(ws, turn)
            known = TurnRequest(str(turn.audio), history, previous, transcript=question.transcript, pinned=question.pinned)
            requests.append(known)
        answers = _answered(lambda: tracker.turns(requests))
    return checkpoint_id, answers


def keep(
    ws: Workspace,
    session: Session,
    row: Turn,
    checkpoint_id: int,
    answer: TurnPrediction,
    heard: str | None = None,
    pinned: Pins | None = None,
    layer: str = LABELS,
) -> None:
    """Keep what a checkpoint answered to a turn, and what it was told; ``heard``: what it heard before it was told the words.

    Of a turn that was asked once more, a valid answer stays in place of one that is no state, with what is ``pinned`` now.

    Part of the caller's transaction, which has locked the turn.
    """
    told = slots_of(pinned or {})
    before = _still_valid(row, told, layer) if pinned is not None and not answer.valid else None
    stands = answer if before is None else before
    row.predictions.append(
        Prediction(
            checkpoint_id=checkpoint_id if before is None else before.checkpoint_id,
            layer=layer,
            raw=stands.raw,
            transcript=answer.transcript if heard is None else heard,
            state=stands.state if before is None else with_values(before.state, told),
            confidence=answer.confidence if before is None else _without(before.confidence, told),
            valid=stands.valid,
            seconds=answer.seconds,
            pinned=pinned or None,
            transcript_confidence=answer.transcript_confidence,
            ctc_transcript=answer.ctc_transcript,
        )
    )
    if layer == LABELS and row.status not in LABELLED:
        revisions.update_status(row)
    session.flush()
    if layer == LABELS:
        search.index(row, turn_view(ws, session, row))


def _without(confidence: dict[str, dict[str, float]], told: Slots) -> dict[str, dict[str, float]]:
    return {d: {s: sure for s, sure in slots.items() if (d, s) not in told} for d, slots in confidence.items()}


def _still_valid(row: Turn, told: Slots, layer: str) -> Prediction | None:
    """The newest answer of the model that is a state and was told no value but of slots whose values it is told now."""
    answers = (predictions.newest(row, layer), predictions.listened(row, layer))
    found = (answer for answer in answers if answer is not None and answer.valid)
    return next((answer for answer in found if slots_of(answer.pinned or {}).keys() <= told.keys()), None)


def store(ws: Workspace, turn_id: int, checkpoint_id: int, answer: TurnPrediction, mark: tuple[int, str] | None = None) -> None:
    """Keep what a checkpoint answered to a turn; ``mark`` is from which turn on its dialogue has to follow then, in which layer.

    Raises:
        StudioError: no such turn.
    """
    with ws.write() as session:
        keep(ws, session, locked_turn(session, turn_id), checkpoint_id, answer)
        if mark is not None:
            follow_claims.ask(session, *mark)


def _predict(ws: Workspace, turn: TurnView, mark: tuple[int, str] | None = None) -> None:
    with trackers.computing:
        checkpoint_id, tracker = trackers.answering(ws)
        # read behind the lock: the turn before may have been answered while this one waited
        history, previous = _before(ws, turn)
        answer = _answered(lambda: tracker.turn(str(turn.audio), history=history, previous=previous))
        store(ws, turn.id, checkpoint_id, answer, mark)


def _before(ws: Workspace, turn: TurnView) -> tuple[list[HistoryTurn], State]:
    """The words and the state that stand before a turn."""
    from engine.tracking import HistoryTurn

    earlier = [view for view in get_dialogue(ws, turn.dialogue_id, turn.layer).turns if view.turn_id < turn.turn_id]
    history = [HistoryTurn(view.speaker, view.transcript) for view in earlier if view.transcript]
    return history, next((view.state for view in reversed(earlier) if view.state is not None), {})


def _answered(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except Exception as error:  # whatever the model raises, the page needs a sentence and the rows stay as they were
        raise StudioError(f"The model could not answer this turn ({error}): try again or use another checkpoint.") from error
