"""Dialogue state scores: JGA, SER, slot precision, recall and F1; in total and per domain, slot and turn depth.

Profile ``strict``: names and values of both sides in normal form (`engine.postprocess.normalise`), then exact equality.
A gold value of several accepted forms is met by any of them. No similarity, no partial credit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from engine.dialogue import State, accepted, iterate_slots
from engine.postprocess.normalise import normalise_state
from engine.scoring.bootstrap import Interval, bootstrap_interval

PROFILE = "strict"

_Slot = tuple[str, str]
_Gold = dict[_Slot, list[str]]
_Predicted = dict[_Slot, str]
_V = TypeVar("_V")


class ScoreError(ValueError):
    """Predictions that do not fit the references. The message names the dialogues and turns."""


@dataclass
class Tally:
    """Counts over user turns, and the scores they give, in percent; a score is None where nothing could be counted.

    In the table of a domain or slot, ``turns`` are those where it occurs in reference or prediction, and ``jga`` is the
    share of them where all of it is right.
    """

    turns: int = 0
    joint_correct: int = 0
    reference_slots: int = 0
    predicted_slots: int = 0
    correct: int = 0
    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0

    def add(self, reference: _Gold, predicted: _Predicted) -> None:
        """Count one turn: its accepted forms and its predicted value by slot."""
        shared = reference.keys() & predicted.keys()
        correct = sum(predicted[slot] in reference[slot] for slot in shared)
        self.turns += 1
        self.joint_correct += correct == len(reference) == len(predicted)
        self.reference_slots += len(reference)
        self.predicted_slots += len(predicted)
        self.correct += correct
        self.substitutions += len(shared) - correct
        self.insertions += len(predicted) - len(shared)
        self.deletions += len(reference) - len(shared)

    @property
    def jga(self) -> float | None:
        """Joint goal accuracy: turns whose whole state is right."""
        return _percent(self.joint_correct, self.turns)

    @property
    def ser(self) -> float | None:
        """Slot error rate: substitutions, insertions and deletions per reference slot; may exceed 100."""
        return _percent(self.substitutions + self.insertions + self.deletions, self.reference_slots)

    @property
    def slot_precision(self) -> float | None:
        return _percent(self.correct, self.predicted_slots)

    @property
    def slot_recall(self) -> float | None:
        return _percent(self.correct, self.reference_slots)

    @property
    def slot_f1(self) -> float | None:
        return _percent(2 * self.correct, self.reference_slots + self.predicted_slots)

    def to_json(self) -> dict[str, Any]:
        """The scores, and the counts under ``counts``."""
        scores = ("jga", "ser", "slot_f1", "slot_precision", "slot_recall")
        return {name: getattr(self, name) for name in scores} | {"counts": asdict(self)}


@dataclass
class StateScores:
    """All scores of one set of predictions; tables in the order in which domains, slots and depths first occur.

    Slots are named ``domain-slot``; depth 1 is the first user turn of a dialogue.
    """

    total: Tally = field(default_factory=Tally)
    jga_interval: Interval | None = None
    per_domain: dict[str, Tally] = field(default_factory=dict)
    per_slot: dict[str, Tally] = field(default_factory=dict)
    per_depth: dict[int, Tally] = field(default_factory=dict)
    profile: str = PROFILE

    def to_json(self) -> dict[str, Any]:
        """``profile``, the total's scores and counts, ``jga_interval``, the tables by name; depths become text."""
        tables: dict[str, Mapping[Any, Tally]] = {
            "per_domain": self.per_domain,
            "per_slot": self.per_slot,
            "per_depth": self.per_depth,
        }
        return (
            {"profile": self.profile}
            | self.total.to_json()
            | {"jga_interval": self.jga_interval}
            | {name: {str(key): tally.to_json() for key, tally in table.items()} for name, table in tables.items()}
        )


def score_states(
    predictions: Mapping[str, Sequence[State]], references: Mapping[str, Sequence[State | None]]
) -> StateScores:
    """Score cumulative states with the ``strict`` profile.

    Args:
        predictions: by dialogue, one state per user turn.
        references: the same for the gold states; a turn without a state label is None and is not scored.

    Raises:
        ScoreError: a dialogue is missing on one side, or its numbers of turns differ.
    """
    _check_aligned(predictions, references)
    scores = StateScores()
    correct: list[int] = []
    turns: list[int] = []
    for dialogue, golds in references.items():
        before = scores.total.joint_correct, scores.total.turns
        for depth, (gold, state) in enumerate(zip(golds, predictions[dialogue], strict=True), 1):
            if gold is not None:
                _count(scores, depth, _flat(gold), {slot: forms[0] for slot, forms in _flat(state).items()})
        correct.append(scores.total.joint_correct - before[0])
        turns.append(scores.total.turns - before[1])
    scores.per_depth = dict(sorted(scores.per_depth.items()))
    scores.jga_interval = bootstrap_interval(correct, turns)
    return scores


def _count(scores: StateScores, depth: int, reference: _Gold, predicted: _Predicted) -> None:
    scores.total.add(reference, predicted)
    scores.per_depth.setdefault(depth, Tally()).add(reference, predicted)
    slots = dict.fromkeys([*reference, *predicted])
    for domain in dict.fromkeys(domain for domain, _ in slots):
        scores.per_domain.setdefault(domain, Tally()).add(_only(reference, domain), _only(predicted, domain))
    for slot in slots:
        scores.per_slot.setdefault("-".join(slot), Tally()).add(_only(reference, *slot), _only(predicted, *slot))


def _only(state: dict[_Slot, _V], *prefix: str) -> dict[_Slot, _V]:
    """The part of a flat state that belongs to a domain, or to a domain and slot."""
    return {slot: value for slot, value in state.items() if slot[: len(prefix)] == prefix}


def _flat(state: State) -> _Gold:
    return {(domain, slot): accepted(value) for domain, slot, value in iterate_slots(normalise_state(state))}


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _check_aligned(
    predictions: Mapping[str, Sequence[State]], references: Mapping[str, Sequence[State | None]]
) -> None:
    for side, names, others in (("prediction", references, predictions), ("reference", predictions, references)):
        missing = [repr(name) for name in names if name not in others]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ScoreError(f"no {side} for {_plural(len(missing), 'dialogue')}: {', '.join(missing[:5])}{more}")
    for dialogue, golds in references.items():
        states = len(predictions[dialogue])
        if states != len(golds):
            raise ScoreError(
                f"dialogue {dialogue!r}: {_plural(states, 'predicted state')} for {_plural(len(golds), 'user turn')}"
            )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
