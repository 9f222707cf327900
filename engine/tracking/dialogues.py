"""Tracking whole dialogues: sequential over turns, parallel over dialogues (paper 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import Progress

from engine import audio
from engine.dialogue import Dialogue, State, Turn
from engine.scoring import TurnResult, report
from engine.tracking.tracker import HistoryTurn, Tracker, TurnPrediction, TurnRequest


@dataclass(frozen=True)
class TrackedTurn:
    """A user turn's prediction, with where it belongs."""

    dialogue_id: str
    turn_id: int
    transcript: str
    state: State
    confidence: dict[str, dict[str, float]]
    raw: str
    valid: bool
    seconds: float


class _Thread:
    """One dialogue on its way: history so far, state so far, turns to go."""

    def __init__(self, dialogue: Dialogue, oracle_history: bool) -> None:
        self.dialogue = dialogue
        self.oracle = oracle_history
        self.history: list[HistoryTurn] = []
        self.state: State = {}
        self.rest = list(dialogue.turns)

    def next_user_turn(self) -> Turn | None:
        """Move agent turns and user turns without audio into the history; the user turn to answer, or None at the end."""
        while self.rest:
            turn = self.rest.pop(0)
            if turn.speaker == "user" and turn.audio:
                return turn
            self._remember(turn, turn.transcript or "")
        return None

    def request(self, turn: Turn) -> TurnRequest:
        return TurnRequest(turn.audio or "", tuple(self.history), self.state, turn.start, turn.end, turn.channel)

    def answer(self, turn: Turn, prediction: TurnPrediction) -> TrackedTurn:
        self.state = prediction.state
        self._remember(turn, (turn.transcript or "") if self.oracle else prediction.transcript)
        return TrackedTurn(self.dialogue.dialogue_id, turn.turn_id, **vars(prediction))

    def _remember(self, turn: Turn, text: str) -> None:
        if text:
            self.history.append(HistoryTurn(turn.speaker, text))


def track_dialogues(
    tracker: Tracker, dialogues: Sequence[Dialogue], *, oracle_history: bool = False, batch: int = 16
) -> Iterator[TrackedTurn]:
    """Answer every user turn that has audio. The history holds the model's own transcripts of user turns and the agent's text;
    with ``oracle_history`` it holds the manifest's transcripts.

    ``batch`` dialogues advance together; one that ends makes room for the next.
    """
    waiting = [_Thread(dialogue, oracle_history) for dialogue in reversed(dialogues)]
    active: list[_Thread] = []
    total = sum(1 for dialogue in dialogues for turn in dialogue.user_turns() if turn.audio)
    with Progress(console=Console(stderr=True), disable=total < batch) as progress:
        task = progress.add_task("Tracking", total=total)
        while waiting or active:
            while waiting and len(active) < batch:
                active.append(waiting.pop())
            turns = [(thread, turn) for thread in active if (turn := thread.next_user_turn()) is not None]
            active = [thread for thread, _ in turns]
            if not turns:
                continue
            predictions = tracker.turns([thread.request(turn) for thread, turn in turns])
            for (thread, turn), prediction in zip(turns, predictions, strict=True):
                yield thread.answer(turn, prediction)
            progress.advance(task, len(turns))


def evaluate_dialogues(
    tracker: Tracker, dialogues: Sequence[Dialogue], *, oracle_history: bool = False, batch: int = 16
) -> tuple[dict[str, Any], list[TrackedTurn]]:
    """Track and score; the report and the predictions it was made from.

    The ontology for fuzzy matching is the checkpoint's own, from its training states.

    Raises:
        AudioError: a recording is missing or cannot be used; found before the tracking begins.
    """
    for dialogue in dialogues:  # hours of tracking must not end at a file that was never there
        for turn in dialogue.user_turns():
            if turn.audio:
                audio.duration(turn.audio)
    turns = list(track_dialogues(tracker, dialogues, oracle_history=oracle_history, batch=batch))
    results = [TurnResult(turn.dialogue_id, turn.turn_id, turn.transcript, turn.state) for turn in turns]
    scores = report(dialogues, results, tracker.ontology)
    scores["invalid_outputs"] = sum(not turn.valid for turn in turns)
    scores["history"] = "oracle" if oracle_history else "own"
    scores["compute_seconds"] = round(sum(turn.seconds for turn in turns), 2)
    return scores, turns
