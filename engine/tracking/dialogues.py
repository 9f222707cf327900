"""Tracking whole dialogues: sequential over turns, parallel over dialogues (paper 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine import audio
from engine.dialogue import Dialogue, ManifestError, State, Turn
from engine.postprocess import FuzzyMatcher, FuzzyMode, Support
from engine.scoring import TurnResult, report
from engine.scoring.provenance import same_recording
from engine.tracking.history import OWN, History
from engine.tracking.predictions import MatchedState, TrackedTurn, read_partial
from engine.tracking.tracker import HistoryTurn, Tracker, TurnPrediction, TurnQueue, TurnRequest


class _Thread:
    """One dialogue on its way: history so far, state so far, turns to go."""

    def __init__(self, dialogue: Dialogue, history: History) -> None:
        self.dialogue = dialogue
        self.choice = history
        self.history: list[HistoryTurn] = []
        self.state: State = {}
        self.rest = list(dialogue.turns)
        self.asked: Turn | None = None

    def next_user_turn(self) -> Turn | None:
        """Move agent turns and user turns without audio into the history; the user turn to answer, or None at the end."""
        while self.rest:
            turn = self.rest.pop(0)
            if turn.speaker == "user" and turn.audio:
                self.asked = turn
                return turn
            self._remember(turn, turn.transcript or "")
        return None

    def request(self, turn: Turn) -> TurnRequest:
        return TurnRequest(turn.audio or "", tuple(self.history), self.state, turn.start, turn.end, turn.channel)

    def answer(self, turn: Turn, prediction: TurnPrediction | TrackedTurn) -> None:
        self.state = prediction.state
        self._remember(turn, self.choice.text(self.dialogue, turn, prediction.transcript))

    def _remember(self, turn: Turn, text: str) -> None:
        if text:
            self.history.append(HistoryTurn(turn.speaker, text))


def track_dialogues(
    tracker: Tracker,
    dialogues: Sequence[Dialogue],
    *,
    history: History = OWN,
    batch: int = 16,
    done: Sequence[TrackedTurn] = (),
    matcher: FuzzyMatcher | None = None,
) -> Iterator[TrackedTurn]:
    """Answer every user turn that has audio, in the order in which the answers are finished.

    ``batch`` dialogues advance side by side, each at its own pace; one that ends makes room for the next. The answers are those
    of one dialogue at a time.

    Args:
        history: what the model reads of earlier user turns; the agent's are always the manifest's text.
        done: predictions of an interrupted run with the same settings: not made again, and not yielded.
        matcher: adds to each prediction its state after matching; where entries tie, the turn's audio has the say.

    Raises:
        AudioError: a recording is missing or cannot be used.
    """
    known = {(turn.dialogue_id, turn.turn_id): turn for turn in done}
    waiting = [_Thread(dialogue, history) for dialogue in reversed(dialogues)]
    work = TurnQueue(tracker, batch)
    settings = _settings(tracker, history)
    total = sum(1 for dialogue in dialogues for turn in dialogue.user_turns() if turn.audio)
    columns = (TextColumn("Tracking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=total < batch) as progress:
        task = progress.add_task("", total=total, completed=len(known))

        def go_on(thread: _Thread) -> None:
            """Start the dialogue's next turn that is not done yet."""
            while (turn := thread.next_user_turn()) is not None:
                before = known.get((thread.dialogue.dialogue_id, turn.turn_id))
                if before is None:
                    work.add(thread, thread.request(turn))
                    return
                thread.answer(turn, before)

        while waiting or work.active:
            while waiting and not work.full:
                go_on(waiting.pop())
            for thread, prediction in work.step():
                turn = thread.asked
                support = tracker.support(thread.request(turn), prediction.raw)  # while the history is what the model read
                thread.answer(turn, prediction)
                go_on(thread)
                progress.advance(task)
                where = {"audio": turn.audio, "start": turn.start, "end": turn.end, "channel": turn.channel}
                tracked = TrackedTurn(thread.dialogue.dialogue_id, turn.turn_id, **vars(prediction), **settings, **where)
                yield _matched(tracked, matcher, support) if matcher else tracked


def evaluate_dialogues(
    tracker: Tracker,
    dialogues: Sequence[Dialogue],
    *,
    history: History = OWN,
    batch: int = 16,
    fuzzy: FuzzyMode = "paper",
    predictions: Path | None = None,
    resume: bool = False,
) -> tuple[dict[str, Any], list[TrackedTurn]]:
    """Track and score; the report and the predictions it was made from, in the dialogues' order.

    The ontology for fuzzy matching is the checkpoint's own, from its training states.

    Args:
        fuzzy: the mode of matching; in ``typed`` the audio decides where entries tie.
        predictions: JSON Lines file that each prediction is written to as soon as it is made; emptied before, unless ``resume``.
        resume: go on from what this file holds already.

    Raises:
        AudioError: a recording is missing or cannot be used; found before the tracking begins.
        ManifestError: a file to go on from that is of other dialogues, recordings or settings.
        FileError: one that cannot be read.
    """
    for dialogue in dialogues:  # hours of tracking must not end at a file that was never there
        for turn in dialogue.user_turns():
            if turn.audio:
                length = audio.duration(turn.audio)
                if (turn.end or length) - (turn.start or 0.0) > audio.MAX_TURN_SECONDS:
                    raise audio.AudioError(f"{turn.audio}: a turn is at most {audio.MAX_TURN_SECONDS:.0f} s long")
    done = _done(predictions, tracker, dialogues, history) if predictions and resume else []
    matcher = FuzzyMatcher(tracker.ontology, fuzzy)
    turns = list(done)
    if predictions and not resume:
        predictions.write_text("", encoding="utf-8")
    file = predictions.open("a", encoding="utf-8") if predictions else None
    try:
        for answer in track_dialogues(tracker, dialogues, history=history, batch=batch, done=done, matcher=matcher):
            turns.append(answer)
            if file:
                file.write(answer.to_json() + "\n")
                file.flush()
    finally:
        if file:
            file.close()
    order = {dialogue.dialogue_id: number for number, dialogue in enumerate(dialogues)}
    turns.sort(key=lambda turn: (order[turn.dialogue_id], turn.turn_id))
    results = [
        TurnResult(turn.dialogue_id, turn.turn_id, turn.transcript, turn.state, _state_matched(turn, fuzzy)) for turn in turns
    ]
    scores = report(dialogues, results, tracker.ontology, fuzzy)
    scores["invalid_outputs"] = sum(not turn.valid for turn in turns)
    scores["guarded"] = sum(turn.guarded for turn in turns)
    scores |= _settings(tracker, history)
    scores["compute_seconds"] = round(sum(turn.seconds for turn in turns), 2)
    return scores, turns


def _settings(tracker: Tracker, history: History) -> dict[str, Any]:
    """What is recorded with every prediction of one run."""
    return tracker.settings() | {"history": history.name, "history_hash": history.hash}


def _done(path: Path, tracker: Tracker, dialogues: Sequence[Dialogue], history: History) -> list[TrackedTurn]:
    """What an interrupted scoring of the same dialogues with the same settings left."""
    turns = read_partial(path)
    spoken = {(d.dialogue_id, turn.turn_id): turn for d in dialogues for turn in d.user_turns() if turn.audio}
    now = _settings(tracker, history)
    for number, turn in enumerate(turns, 1):
        asked = spoken.get((turn.dialogue_id, turn.turn_id))
        if asked is None:
            raise ManifestError(
                f"{path}, line {number}: turn {turn.turn_id} of dialogue {turn.dialogue_id!r} is not among those to score; "
                "resume with the same manifest, or write to another file"
            )
        if not same_recording(vars(asked), vars(turn)):
            raise ManifestError(
                f"{path}, line {number}: turn {turn.turn_id} of dialogue {turn.dialogue_id!r} was heard in {turn.audio}, not in "
                f"{asked.audio}; resume with the same recordings, or write to another file"
            )
        for key, value in turn.settings().items():
            if value != (now[key] or value):  # not known: a checkpoint or history of before hashes were kept
                raise ManifestError(
                    f"{path}, line {number}: made with {key} {value!r}, not {now[key]!r}; resume with the same settings, "
                    "or write to another file"
                )
    return turns


def _matched(turn: TrackedTurn, matcher: FuzzyMatcher, support: Support) -> TrackedTurn:
    """The prediction with its state as matched."""
    state, matches = matcher.apply(turn.state, support)
    found = {domain: {slot: asdict(match) for slot, match in slots.items()} for domain, slots in matches.items()}
    return replace(turn, fuzzy=MatchedState(matcher.mode, matcher.ontology.built_from, state, found))


def _state_matched(turn: TrackedTurn, mode: FuzzyMode) -> State | None:
    """The state after matching, if it was made in this mode; a resumed run may have been begun in another."""
    return turn.fuzzy.state if turn.fuzzy and turn.fuzzy.mode == mode else None
