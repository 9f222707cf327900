"""Which predicted turn answers which turn of the reference, and what to say where one does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.dialogue import State
from engine.json_text import FileError
from engine.postprocess.fuzzy import FuzzyMatcher, Match, MatchError
from engine.scoring.files import Entry, ScoredFile
from engine.scoring.profiles import Profile
from engine.scoring.states import ScoreError, StateScores, score_states

Matches = dict[str, dict[str, Match]]


@dataclass(frozen=True)
class AlignedTurns:
    """The user turns of a reference, each with its prediction or None, by dialogue and in the reference's order."""

    reference: ScoredFile
    predictions: ScoredFile
    turns: dict[str, list[tuple[Entry, Entry | None]]]

    def answers(self) -> list[Entry]:
        """All predictions, in order."""
        return [answer for pairs in self.turns.values() for _, answer in pairs if answer is not None]

    def with_states(self, states: Iterable[State]) -> AlignedTurns:
        """The same with other predicted states, in the order of `answers`."""
        following = iter(states)
        turns = {
            dialogue: [(gold, answer and replace(answer, state=next(following))) for gold, answer in pairs]
            for dialogue, pairs in self.turns.items()
        }
        return replace(self, turns=turns)

    def matched(self, matcher: FuzzyMatcher) -> tuple[AlignedTurns, list[Matches]]:
        """The same with every predicted state matched, and the matches of each. Raises FileError."""
        answers = self.answers()
        try:
            found = matcher.apply_all([answer.state for answer in answers])
        except MatchError:
            for answer in answers:
                _match_alone(self.predictions, matcher, answer)
            raise
        return self.with_states(state for state, _ in found), [matches for _, matches in found]

    def score(self, profile: Profile) -> StateScores:
        """`score_states`; a state that cannot be scored is named with file and line. Raises FileError."""
        golds = {dialogue: [gold.state for gold, _ in pairs] for dialogue, pairs in self.turns.items()}
        states = {
            dialogue: [answer.state if answer else None for _, answer in pairs]
            for dialogue, pairs in self.turns.items()
            if any(answer for _, answer in pairs) or not pairs
        }
        try:
            depths = {dialogue: [gold.depth for gold, _ in pairs] for dialogue, pairs in self.turns.items()}
            return score_states(states, golds, profile, depths)
        except ScoreError as error:
            if error.place is None:
                raise
            side, dialogue, index, *names = error.place
            gold, answer = self.turns[dialogue][index]
            file, entry = (self.reference, gold) if side == "reference" else (self.predictions, answer)
            assert entry is not None
            raise FileError(f"{file.where(entry.dialogue, entry.index, *names)}: {error}") from error


def align(reference: ScoredFile, predictions: ScoredFile, profile: Profile) -> AlignedTurns:
    """Pair the two sides by dialogue id, and by turn id where both have one, else by order.

    Raises:
        FileError: a dialogue or turn that the reference lacks; or one that the predictions lack, unless the profile
            leaves such out.
    """
    golds, answers = _dialogues(reference, profile), _dialogues(predictions, profile)
    for dialogue, name in answers.items():
        if dialogue not in golds:
            raise FileError(f"{predictions.where(name)}: the reference {reference.path} has no dialogue {name!r}")
    missing = [dialogue for dialogue in golds if dialogue not in answers]
    if missing and not profile.skips_missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        first = f"{missing[0]!r} ({reference.where(golds[missing[0]])})"
        raise FileError(f"{predictions.path}: has no dialogue {first}{more}; every dialogue needs its predictions")
    return AlignedTurns(
        reference,
        predictions,
        {
            dialogue: _pairs(
                reference,
                reference.dialogues[name],
                predictions,
                predictions.dialogues.get(answers.get(dialogue, ""), []),
                profile,
            )
            for dialogue, name in golds.items()
        },
    )


def _pairs(
    reference: ScoredFile, golds: list[Entry], predictions: ScoredFile, answers: list[Entry], profile: Profile
) -> list[tuple[Entry, Entry | None]]:
    """The turns of one dialogue with their predictions."""
    numbered = all(entry.turn_id is not None for entry in [*golds, *answers])

    def key(entry: Entry) -> int | None:
        return entry.turn_id if numbered else entry.index

    def named(entry: Entry) -> str:
        return f"turn {entry.turn_id}" if numbered else f"user turn {entry.index + 1}"

    expected = {key(gold) for gold in golds}
    for answer in answers:
        if key(answer) not in expected:
            raise FileError(
                f"{predictions.where(answer.dialogue, answer.index)}: dialogue {answer.dialogue!r} has a prediction for "
                f"{named(answer)}, which is none of its {len(golds)} user turns in {reference.path}"
            )
    found = {key(answer): answer for answer in answers}
    if not profile.skips_missing and (lacking := [gold for gold in golds if key(gold) not in found]):
        raise FileError(
            f"{predictions.where(answers[0].dialogue) if answers else predictions.path}: dialogue {lacking[0].dialogue!r} has no "
            f"prediction for {named(lacking[0])} ({reference.where(lacking[0].dialogue, lacking[0].index)})"
        )
    return [(gold, found.get(key(gold))) for gold in golds]


def _dialogues(file: ScoredFile, profile: Profile) -> dict[str, str]:
    """The file's own dialogue ids, by what they are known as: paper 1's evaluator takes ".json" out of them."""
    known: dict[str, str] = {}
    for name in file.dialogues:
        plain = name.replace(".json", "") if profile.name == "but" else name
        if plain in known:
            raise FileError(f"{file.where(name)}: dialogue {plain!r} occurs twice, as {known[plain]!r} and as {name!r}")
        known[plain] = name
    return known


def _match_alone(predictions: ScoredFile, matcher: FuzzyMatcher, answer: Entry) -> None:
    try:
        matcher.apply(answer.state)
    except MatchError as error:
        where = predictions.where(answer.dialogue, answer.index, error.domain, error.slot)
        slot = "-".join(name for name in (error.domain, error.slot) if name)
        raise FileError(f"{where}: dialogue {answer.dialogue!r}, user turn {answer.index + 1}, {slot}: {error}") from error
