"""The scores of whole dialogues as one JSON object: of tracked dialogues, and of two files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.dialogue import Dialogue, Ontology, State, Turn
from engine.postprocess import FuzzyMatcher, FuzzyMode
from engine.scoring.align import AlignedTurns
from engine.scoring.files import turns_to_answer
from engine.scoring.profiles import STRICT, Profile
from engine.scoring.provenance import made_with
from engine.scoring.states import PARTIAL_SCORES, SCORES, ScoreError, score_states
from engine.scoring.wer import WerResult, wer


@dataclass(frozen=True)
class TurnResult:
    """What a system answered to one user turn; ``state`` is cumulative, ``matched`` the same after fuzzy matching, if made."""

    dialogue_id: str
    turn_id: int
    transcript: str
    state: State
    matched: State | None = None


def report(
    references: Sequence[Dialogue],
    predictions: Iterable[TurnResult],
    ontology: Ontology,
    fuzzy: FuzzyMode = "paper",
    profile: Profile = STRICT,
) -> dict[str, Any]:
    """Score predictions of whole dialogues.

    Every user turn needs a prediction; where the references carry audio, every user turn that has some. WER is taken
    over the turns with a reference transcript, the state scores over those with a reference state.

    Args:
        references: dialogues with gold transcripts and states; either may be absent.
        predictions: one per user turn, in any order.
        ontology: what values are matched with under ``fuzzy``.
        fuzzy: the mode of `FuzzyMatcher`.
        profile: what counts as right.

    Returns:
        A JSON object. Scores are percentages, None where nothing could be counted; intervals are 95 %, over dialogues.

        - ``wer``, ``wer_interval``, and the counts under ``words`` (see `WerResult`);
        - ``profile``, ``jga``, ``ser``, ``slot_f1``, ``slot_precision``, ``slot_recall``, each with its interval, the
          partial scores, ``counts``;
        - ``per_domain``, ``per_slot``, ``per_depth``: tables whose entries have the same scores (see `StateScores`);
        - ``dialogues``, ``user_turns``: how many were scored;
        - ``ontology``: the splits its values come from; ``oracle``: true if they include the test split, so that fuzzy
          figures must be shown as oracle figures;
        - ``fuzzy``: ``mode``, ``ontology``, ``oracle``, and the state scores and tables again, for matched states.

    Raises:
        ScoreError: predictions are missing, surplus or double.
    """
    to_answer = turns_to_answer(references)
    if not to_answer:
        raise ScoreError("the references hold no user turn, so there is nothing to score")
    turns = {dialogue: [turn for _, turn in found] for dialogue, found in to_answer.items()}
    depths = {dialogue: [depth for depth, _ in found] for dialogue, found in to_answer.items()}
    results = _by_dialogue(predictions, turns)
    golds = {dialogue: [turn.state for turn in found] for dialogue, found in turns.items()}
    states = {dialogue: [result.state for result in found] for dialogue, found in results.items()}
    plain = score_states(states, golds, profile, depths)
    matcher = FuzzyMatcher(ontology, fuzzy, normalise=profile.name == "strict")
    following = iter(matcher.apply_all([state for row in states.values() for state in row]))
    matched = {
        dialogue: [
            alone if result.matched is None else result.matched for result, (alone, _) in zip(found, following, strict=False)
        ]
        for dialogue, found in results.items()
    }

    words = _wer(
        (turn.transcript, result.transcript, dialogue)
        for dialogue, found in turns.items()
        for turn, result in zip(found, results[dialogue], strict=True)
    )
    origin = ontology.origin()
    return (
        words
        | plain.to_json()
        | {"dialogues": len(turns), "user_turns": sum(map(len, turns.values()))}
        | origin
        | {"fuzzy": {"mode": fuzzy} | origin | score_states(matched, golds, profile, depths).to_json()}
    )


def score_files(aligned: AlignedTurns, profile: Profile, matcher: FuzzyMatcher | None = None) -> dict[str, Any]:
    """Score one prediction file. With a matcher the scores are those of matched states.

    Returns:
        The object of `report`, but without WER where a side has no transcripts; and where states were matched their
        scores before it under ``plain``, and under ``fuzzy`` only ``mode``, ``ontology``, ``oracle`` and how many of the
        ``compared`` values ``changed``. ``made`` is how the predictions were made, see `made_with`.

    Raises:
        FileError: a state cannot be scored or matched, or predictions of several systems or other recordings; with file and line.
    """
    result: dict[str, Any] = {"made": made_with(aligned)}
    matched, matches = aligned.matched(matcher) if matcher else (aligned, [])
    scores = matched.score(profile)
    pairs = [(gold, answer) for found in aligned.turns.values() for gold, answer in found if answer]
    if any(gold.transcript is not None and answer.transcript is not None for gold, answer in pairs):
        result |= _wer((gold.transcript, answer.transcript or "", gold.dialogue) for gold, answer in pairs)
    result |= scores.to_json()
    result |= {"dialogues": len(scores.per_dialogue), "user_turns": scores.total.turns}
    if matcher is None:
        return result | {"ontology": None, "oracle": False, "fuzzy": None, "plain": None}
    made = [match for state in matches for slots in state.values() for match in slots.values()]
    origin = matcher.ontology.origin()
    counted = {"compared": len(made), "changed": sum(match.value != match.heard for match in made)}
    plain = aligned.score(profile).total_json()
    return (
        result
        | origin
        | {"fuzzy": {"mode": matcher.mode} | origin | counted}
        | {"plain": {key: plain[key] for key in (*SCORES, *PARTIAL_SCORES, "counts")}}
    )


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


def _wer(pairs: Iterable[tuple[str | None, str, str]]) -> dict[str, Any]:
    """WER of (said, heard, dialogue), over those with a reference transcript."""
    known = [(said, heard, dialogue) for said, heard, dialogue in pairs if said is not None]
    result: WerResult = wer([said for said, _, _ in known], [heard for _, heard, _ in known], [key for *_, key in known])
    words = result.to_json()
    return {"wer": words.pop("wer"), "wer_interval": words.pop("wer_interval"), "words": words}
