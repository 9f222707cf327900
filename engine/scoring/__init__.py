"""Scores of tracked dialogues: WER of transcripts; JGA, SER and slot F1 of states, plain and with fuzzy matching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.dialogue import Dialogue, Ontology, State, Turn
from engine.postprocess import FuzzyMatcher, FuzzyMode
from engine.scoring.bootstrap import bootstrap_interval
from engine.scoring.states import ScoreError, StateScores, Tally, score_states
from engine.scoring.wer import WerResult, wer

__all__ = [
    "ScoreError",
    "StateScores",
    "Tally",
    "TurnResult",
    "WerResult",
    "bootstrap_interval",
    "report",
    "score_states",
    "wer",
]


@dataclass(frozen=True)
class TurnResult:
    """What a system answered to one user turn; ``state`` is cumulative."""

    dialogue_id: str
    turn_id: int
    transcript: str
    state: State


def report(
    references: Sequence[Dialogue],
    predictions: Iterable[TurnResult],
    ontology: Ontology,
    fuzzy: FuzzyMode = "paper",
) -> dict[str, Any]:
    """Score predictions of whole dialogues.

    Every user turn needs a prediction; where the references carry audio, every user turn that has some. WER is taken
    over the turns with a reference transcript, the state scores over those with a reference state.

    Args:
        references: dialogues with gold transcripts and states; either may be absent.
        predictions: one per user turn, in any order.
        ontology: what values are matched with under ``fuzzy``.
        fuzzy: the mode of `FuzzyMatcher`.

    Returns:
        A JSON object. Scores are percentages, None where nothing could be counted; intervals are 95 %, over dialogues.

        - ``wer``, ``wer_interval``, and the counts under ``words`` (see `WerResult`);
        - ``profile``, ``jga``, ``jga_interval``, ``ser``, ``slot_f1``, ``slot_precision``, ``slot_recall``, ``counts``;
        - ``per_domain``, ``per_slot``, ``per_depth``: tables whose entries have the same scores (see `StateScores`);
        - ``dialogues``, ``user_turns``: how many were scored;
        - ``ontology``: the splits its values come from; ``oracle``: true if they include the test split, so that fuzzy
          figures must be shown as oracle figures;
        - ``fuzzy``: ``mode``, ``ontology``, ``oracle``, and the state scores and tables again, for matched states.

    Raises:
        ScoreError: predictions are missing, surplus or double.
    """
    turns = _turns_to_score(references)
    results = _by_dialogue(predictions, turns)
    golds = {dialogue: [turn.state for turn in found] for dialogue, found in turns.items()}
    states = {dialogue: [result.state for result in found] for dialogue, found in results.items()}
    plain = score_states(states, golds)
    matcher = FuzzyMatcher(ontology, fuzzy)
    matched = score_states({key: [matcher.apply(state)[0] for state in row] for key, row in states.items()}, golds)

    words = _wer(turns, results).to_json()
    origin = {"ontology": ontology.built_from, "oracle": ontology.built_from == "all"}
    return (
        {"wer": words.pop("wer"), "wer_interval": words.pop("wer_interval"), "words": words}
        | plain.to_json()
        | {"dialogues": len(turns), "user_turns": sum(map(len, turns.values()))}
        | origin
        | {"fuzzy": {"mode": fuzzy} | origin | matched.to_json()}
    )


def _turns_to_score(references: Sequence[Dialogue]) -> dict[str, list[Turn]]:
    """The user turns a system is to answer, by dialogue; dialogues without any are left out."""
    spoken = any(turn.audio for dialogue in references for turn in dialogue.user_turns())
    turns = {
        dialogue.dialogue_id: [turn for turn in dialogue.user_turns() if turn.audio or not spoken]
        for dialogue in references
    }
    turns = {dialogue: found for dialogue, found in turns.items() if found}
    if not turns:
        raise ScoreError("the references hold no user turn, so there is nothing to score")
    return turns


def _by_dialogue(predictions: Iterable[TurnResult], turns: dict[str, list[Turn]]) -> dict[str, list[TurnResult]]:
    """Predictions by dialogue, in speaking order, each checked to answer exactly the dialogue's turns."""
    found: dict[str, dict[int, TurnResult]] = {}
    for result in predictions:
        answered = found.setdefault(result.dialogue_id, {})
        if result.turn_id in answered:
            raise ScoreError(f"dialogue {result.dialogue_id!r}: turn {result.turn_id} has two predictions")
        answered[result.turn_id] = result
    for dialogue, answered in found.items():
        expected = {turn.turn_id for turn in turns.get(dialogue, [])} or answered.keys()
        for turn_id in sorted(expected ^ answered.keys()):
            fault = "no prediction for user turn" if turn_id in expected else "a prediction, but no such user turn:"
            raise ScoreError(f"dialogue {dialogue!r}: {fault} {turn_id}")
    return {dialogue: [answered[key] for key in sorted(answered)] for dialogue, answered in found.items()}


def _wer(turns: dict[str, list[Turn]], results: dict[str, list[TurnResult]]) -> WerResult:
    pairs = [
        (turn.transcript, result.transcript, dialogue)
        for dialogue, found in turns.items()
        for turn, result in zip(found, results[dialogue], strict=True)
        if turn.transcript is not None
    ]
    return wer([said for said, _, _ in pairs], [heard for _, heard, _ in pairs], [dialogue for *_, dialogue in pairs])
