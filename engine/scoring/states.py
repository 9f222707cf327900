"""Dialogue state scores: JGA, SER, slot precision, recall and F1; in total and per domain, slot and turn depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from engine.dialogue import State
from engine.scoring.bootstrap import Interval, draws, percentages, percentile_interval
from engine.scoring.partial import best_overlap, harmonic_mean
from engine.scoring.profiles import STRICT, Profile, Slot, StateError, Values

SCORES = ("jga", "ser", "slot_f1", "slot_precision", "slot_recall")
PARTIAL_SCORES = ("partial_f1", "partial_precision", "partial_recall")
SHARES = {  # what each score counts, and of what; the partial F1 is the harmonic mean of two of them
    "jga": ("joint_correct", "turns"),
    "ser": ("errors", "reference_slots"),
    "slot_f1": ("correct_twice", "slots"),
    "slot_precision": ("correct", "predicted_slots"),
    "slot_recall": ("correct", "reference_slots"),
    "partial_precision": ("precision_credit", "predicted_slots"),
    "partial_recall": ("recall_credit", "reference_slots"),
}


class ScoreError(ValueError):
    """Predictions that do not fit the references. The message names the dialogues and turns.

    ``place`` is (side, dialogue, index of the turn, domain, slot) where the fault is in one turn.
    """

    place: tuple[str, str, int, str | None, str | None] | None = None


class Outcome(NamedTuple):
    """One slot of one turn. ``same`` counts for JGA and SER, ``credited`` for P, R and F1 (see `Profile`);
    ``word_precision`` and ``word_recall`` are shares of words (see `engine.scoring.partial`)."""

    slot: Slot
    in_gold: bool
    in_prediction: bool
    same: bool
    credited: bool
    word_precision: float
    word_recall: float


def judge(profile: Profile, gold: Values, predicted: Values) -> list[Outcome]:
    """Compare one turn's states slot by slot, gold's slots first. Raises StateError."""
    outcomes = []
    for slot in dict.fromkeys([*gold, *predicted]):
        both = slot in gold and slot in predicted
        try:
            same = both and profile.same(predicted[slot], gold[slot])
            credited = both and profile.credited(predicted[slot], gold[slot])
        except StateError as error:
            raise StateError(str(error), *slot) from None
        words = (1.0, 1.0) if same else (0.0, 0.0)
        if both and not same:
            forms = gold[slot] if isinstance(gold[slot], list) else [gold[slot]]
            words = best_overlap(map(str, forms), str(predicted[slot]))
        outcomes.append(Outcome(slot, slot in gold, slot in predicted, same, credited, *words))
    return outcomes


@dataclass
class Tally:
    """Counts over user turns, and the scores they give, in percent; a score is None where nothing could be counted.

    In the table of a domain or slot, ``turns`` are those where it occurs in reference or prediction, and ``jga`` is the
    share of them where all of it is right. ``margin`` is the profile's addition to divisors. ``by_dialogue`` are the same
    counts of each dialogue that has any.
    """

    turns: int = 0
    joint_correct: int = 0
    reference_slots: int = 0
    predicted_slots: int = 0
    correct: int = 0
    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0
    precision_credit: float = field(default=0.0, repr=False)
    recall_credit: float = field(default=0.0, repr=False)
    margin: float = field(default=0.0, repr=False)
    by_dialogue: dict[str, Tally] = field(default_factory=dict, repr=False)

    def add(self, outcomes: Sequence[Outcome], dialogue: str | None = None) -> None:
        """Count one turn; of a dialogue, in its own counts too."""
        if dialogue is not None:
            self.by_dialogue.setdefault(dialogue, Tally(margin=self.margin)).add(outcomes)
        self.turns += 1
        joint = True
        for outcome in outcomes:
            joint = joint and outcome.same
            self.reference_slots += outcome.in_gold
            self.predicted_slots += outcome.in_prediction
            self.correct += outcome.credited
            if outcome.in_gold and outcome.in_prediction:
                self.substitutions += not outcome.same
            else:
                self.insertions += outcome.in_prediction
                self.deletions += outcome.in_gold
            self.precision_credit += outcome.word_precision
            self.recall_credit += outcome.word_recall
        self.joint_correct += joint

    @property
    def errors(self) -> int:
        return self.substitutions + self.insertions + self.deletions

    @property
    def slots(self) -> int:
        return self.reference_slots + self.predicted_slots

    @property
    def correct_twice(self) -> int:
        """As many as `slots` where all are right."""
        return 2 * self.correct

    @property
    def jga(self) -> float | None:
        """Joint goal accuracy: turns whose whole state is right."""
        return self._percent(self.joint_correct, self.turns)

    @property
    def ser(self) -> float | None:
        """Slot error rate: substitutions, insertions and deletions per reference slot; may exceed 100."""
        return self.errors / self.reference_slots * 100 if self.reference_slots else None

    @property
    def slot_precision(self) -> float | None:
        return self._percent(self.correct, self.predicted_slots)

    @property
    def slot_recall(self) -> float | None:
        return self._percent(self.correct, self.reference_slots)

    @property
    def slot_f1(self) -> float | None:
        if not self.margin:
            return self._percent(self.correct_twice, self.slots)
        precision = self.correct / (self.predicted_slots + self.margin)  # as the published programs do it, to the last digit
        recall = self.correct / (self.reference_slots + self.margin)
        return 2 * precision * recall / (precision + recall + self.margin) * 100

    @property
    def partial_precision(self) -> float | None:
        """As `slot_precision`, but each value counts with the share of its words that are right."""
        return self._percent(self.precision_credit, self.predicted_slots)

    @property
    def partial_recall(self) -> float | None:
        return self._percent(self.recall_credit, self.reference_slots)

    @property
    def partial_f1(self) -> float | None:
        precision, recall = self.partial_precision, self.partial_recall
        if precision is None or recall is None:
            return None
        return harmonic_mean(precision, recall)

    @property
    def counts(self) -> dict[str, float]:
        """What the scores are computed from; the credits are sums of word shares."""
        names = ("turns", "joint_correct", "reference_slots", "predicted_slots", "correct")
        credits = ("precision_credit", "recall_credit")
        return {name: getattr(self, name) for name in (*names, "substitutions", "insertions", "deletions", *credits)}

    def to_json(self) -> dict[str, Any]:
        """The scores, and the counts under ``counts``."""
        return {name: getattr(self, name) for name in (*SCORES, *PARTIAL_SCORES)} | {"counts": self.counts}

    def _percent(self, part: float, whole: int) -> float | None:
        return part / (whole + self.margin) * 100 if whole + self.margin else None


@dataclass
class StateScores:
    """All scores of one set of predictions; tables in the order in which domains, slots and depths first occur.

    Slots are named ``domain-slot``; depth 1 is the first user turn of a dialogue. ``unscored`` are the dialogues and
    turns of the reference that have no prediction, where the profile leaves them out.
    """

    profile: Profile = STRICT
    total: Tally = field(default_factory=Tally)
    per_domain: dict[str, Tally] = field(default_factory=dict)
    per_slot: dict[str, Tally] = field(default_factory=dict)
    per_depth: dict[int, Tally] = field(default_factory=dict)
    unscored_dialogues: list[str] = field(default_factory=list)
    unscored_turns: int = 0

    @property
    def per_dialogue(self) -> dict[str, Tally]:
        """Of every dialogue that was scored; also of one without a labelled turn."""
        return self.total.by_dialogue

    @cached_property
    def _drawn(self) -> tuple[dict[str, int], np.ndarray]:
        """The place of each dialogue among those drawn, and the draws, which are the same for all tables."""
        return {dialogue: place for place, dialogue in enumerate(self.per_dialogue)}, draws(len(self.per_dialogue))

    def intervals(self, tally: Tally) -> dict[str, Interval | None]:
        """95 % bootstrap intervals over dialogues of all scores of a total or of a table's row.

        None where fewer than two dialogues have anything to count of.
        """
        parts = tally.by_dialogue
        if not parts:
            return dict.fromkeys((*SHARES, "partial_f1"))
        places, drawn = self._drawn
        drawn = drawn[:, [places[dialogue] for dialogue in parts]]
        counted = {name: np.array([getattr(part, name) for part in parts.values()]) for pair in SHARES.values() for name in pair}
        sums = {name: drawn @ counts for name, counts in counted.items()}
        values = {score: percentages(sums[part], sums[whole]) for score, (part, whole) in SHARES.items()}
        dialogues = {score: np.count_nonzero(counted[whole]) for score, (_, whole) in SHARES.items()}
        precision, recall = values["partial_precision"], values["partial_recall"]
        values["partial_f1"] = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        dialogues["partial_f1"] = dialogues["slot_f1"]
        return {score: percentile_interval(found) if dialogues[score] > 1 else None for score, found in values.items()}

    def to_json(self) -> dict[str, Any]:
        """``profile``, the total's scores, intervals and counts, the tables by name with the same; depths become text."""
        tables: dict[str, Mapping[Any, Tally]] = {
            "per_domain": self.per_domain,
            "per_slot": self.per_slot,
            "per_depth": self.per_depth,
        }
        return (
            {"profile": self.profile.name}
            | self.total_json()
            | {"unscored_dialogues": self.unscored_dialogues, "unscored_turns": self.unscored_turns}
            | {name: {str(key): self._row(tally) for key, tally in table.items()} for name, table in tables.items()}
        )

    def total_json(self) -> dict[str, Any]:
        """The total's scores, intervals and counts."""
        return self._row(self.total)

    def _row(self, tally: Tally) -> dict[str, Any]:
        intervals = {f"{score}_interval": interval for score, interval in self.intervals(tally).items()}
        if self.profile.has_ser:
            return tally.to_json() | intervals
        del intervals["ser_interval"]
        return tally.to_json() | {"ser": None} | intervals


def score_states(
    predictions: Mapping[str, Sequence[State | None]],
    references: Mapping[str, Sequence[State | None]],
    profile: Profile = STRICT,
    depths: Mapping[str, Sequence[int]] | None = None,
) -> StateScores:
    """Score cumulative states.

    Args:
        predictions: by dialogue, one state per user turn; with a profile that ``skips_missing`` None where there is none.
        references: the same for the gold states; a turn without a state label is None and is not scored.
        profile: what counts as right.
        depths: the depth of each turn, where user turns that nobody answers stand before it; else they are counted from 1.

    Raises:
        ScoreError: a dialogue is missing on one side, its numbers of turns differ, or a state cannot be scored. A
            profile that ``skips_missing`` only refuses what the reference lacks.
    """
    _check_aligned(predictions, references, profile.skips_missing)
    scores = StateScores(profile, _tally(profile))
    for dialogue, golds in references.items():
        if dialogue not in predictions:
            scores.unscored_dialogues.append(dialogue)
            scores.unscored_turns += len(golds)
            continue
        states = [*predictions[dialogue], *[None] * (len(golds) - len(predictions[dialogue]))]
        scores.per_dialogue[dialogue] = _tally(profile)
        for index, (gold, state) in enumerate(zip(golds, states, strict=True)):
            if gold is None:
                continue
            if state is None and profile.skips_missing:
                scores.unscored_turns += 1
                continue
            outcomes = judge_turn(profile, gold, state, dialogue, index)
            _count(scores, dialogue, depths[dialogue][index] if depths else index + 1, outcomes)
    scores.per_depth = dict(sorted(scores.per_depth.items()))
    return scores


def judge_turn(profile: Profile, gold: State, predicted: State | None, dialogue: str, index: int) -> list[Outcome]:
    """`judge` from states as they were read; a state that cannot be scored is named with its place. Raises ScoreError."""
    side = "reference"
    try:
        gold_values = profile.gold(gold)
        side = "prediction"
        return judge(profile, gold_values, profile.predicted(predicted))
    except StateError as error:
        slot = "-".join(name for name in (error.domain, error.slot) if name is not None)
        refusal = ScoreError(f"{side}, dialogue {dialogue!r}, user turn {index + 1}{slot and f', {slot}'}: {error}")
        refusal.place = (side, dialogue, index, error.domain, error.slot)
        raise refusal from error


def _count(scores: StateScores, dialogue: str, depth: int, outcomes: Sequence[Outcome]) -> None:
    scores.total.add(outcomes, dialogue)
    scores.per_depth.setdefault(depth, _tally(scores.profile)).add(outcomes, dialogue)
    domains: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        domains.setdefault(outcome.slot[0], []).append(outcome)
        scores.per_slot.setdefault("-".join(outcome.slot), _tally(scores.profile)).add([outcome], dialogue)
    for domain, found in domains.items():
        scores.per_domain.setdefault(domain, _tally(scores.profile)).add(found, dialogue)


def _tally(profile: Profile) -> Tally:
    return Tally(margin=profile.margin)


def _check_aligned(
    predictions: Mapping[str, Sequence[State | None]], references: Mapping[str, Sequence[State | None]], lenient: bool
) -> None:
    for side, names, others in (("prediction", references, predictions), ("reference", predictions, references)):
        missing = [repr(name) for name in names if name not in others]
        if missing and not (lenient and side == "prediction"):
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ScoreError(f"no {side} for {_plural(len(missing), 'dialogue')}: {', '.join(missing[:5])}{more}")
    for dialogue, states in predictions.items():
        expected = len(references[dialogue])
        if len(states) > expected or (len(states) < expected and not lenient):
            raise ScoreError(
                f"dialogue {dialogue!r}: {_plural(len(states), 'predicted state')} for {_plural(expected, 'user turn')}"
            )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
