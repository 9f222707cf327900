"""Two systems on the same turns: what the second fixed, what it broke, and whether the difference may be chance.

Turns of one dialogue share their errors, so whole dialogues are resampled (paired bootstrap, for the interval) and
swapped between the systems (approximate randomisation, for the p-value; Noreen 1989, "Computer-Intensive Methods").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dialogue import State
from engine.scoring.align import AlignedTurns
from engine.scoring.profiles import Profile
from engine.scoring.states import ScoreError, Tally, judge_turn

RESAMPLES = 10_000


def compare_systems(baseline: AlignedTurns, system: AlignedTurns, profile: Profile, seed: int = 0) -> dict[str, Any]:
    """Compare two sets of predictions for one reference.

    Only turns that both have predicted are compared.

    Returns:
        A JSON object:

        - ``scores``: for ``jga``, ``slot_f1`` and, where the profile has one, ``ser``: the ``baseline``'s, the
          ``system``'s, ``difference`` in points, its 95 % ``interval``, and the two-sided ``p_value``;
        - ``per_depth``: by turn depth, how many ``turns``, and the JGA of ``baseline`` and ``system``; with one system
          under own and under given history this shows what errors in the history cost along a dialogue;
        - ``turns``, and ``per_slot`` by ``domain-slot``: how many are ``fixed`` (wrong in the baseline, right now),
          ``broken`` (the other way round) and ``still_wrong``;
        - ``dialogues``, ``user_turns``, ``resamples``, ``seed``.

    Raises:
        ScoreError: no turn is predicted by both, or a state cannot be scored.
    """
    turns = _Changes()
    per_slot: dict[str, _Changes] = {}
    per_depth: dict[int, list[int]] = {}
    tallies: list[tuple[Tally, Tally]] = []
    for dialogue, pairs in system.turns.items():
        own = Tally(), Tally()
        for index, ((gold, new), (_, old)) in enumerate(zip(pairs, baseline.turns[dialogue], strict=True)):
            if gold.state is None or new is None or old is None:
                continue
            wrong = []
            for tally, state in zip(own, (old.state, new.state), strict=True):
                wrong.append(_wrong_slots(profile, gold.state, state, dialogue, index, tally))
            turns.add(bool(wrong[0]), bool(wrong[1]))
            depth = per_depth.setdefault(gold.depth, [0, 0, 0])
            for place, count in enumerate((1, not wrong[0], not wrong[1])):
                depth[place] += count
            for slot in dict.fromkeys([*wrong[0], *wrong[1]]):
                per_slot.setdefault(slot, _Changes()).add(slot in wrong[0], slot in wrong[1])
        if own[0].turns:
            tallies.append(own)
    if not tallies:
        raise ScoreError("the two prediction files have no turn in common that can be scored")
    scores = {"jga": _counts(tallies, "joint_correct", "turns"), "slot_f1": _counts(tallies, "correct", "slots")}
    if profile.has_ser:
        scores["ser"] = _counts(tallies, "errors", "reference_slots")
    order = sorted(per_slot.items(), key=lambda item: (item[1].fixed - item[1].broken, item[0]))
    return {
        "scores": {name: _difference(counts, seed) for name, counts in scores.items()},
        "per_depth": {
            str(depth): {"turns": count, "baseline": 100 * old / count, "system": 100 * new / count}
            for depth, (count, old, new) in sorted(per_depth.items())
        },
        "turns": turns.to_json(),
        "per_slot": {slot: changes.to_json() for slot, changes in order},
        "dialogues": len(tallies),
        "user_turns": sum(tally.turns for tally, _ in tallies),
        "resamples": RESAMPLES,
        "seed": seed,
    }


class _Changes:
    """How often something that was wrong or right is wrong or right now."""

    def __init__(self) -> None:
        self.fixed = self.broken = self.still_wrong = 0

    def add(self, was_wrong: bool, is_wrong: bool) -> None:
        self.fixed += was_wrong and not is_wrong
        self.broken += is_wrong and not was_wrong
        self.still_wrong += was_wrong and is_wrong

    def to_json(self) -> dict[str, int]:
        return {"fixed": self.fixed, "broken": self.broken, "still_wrong": self.still_wrong}


def _wrong_slots(profile: Profile, gold: State, state: State, dialogue: str, index: int, tally: Tally) -> list[str]:
    outcomes = judge_turn(profile, gold, state, dialogue, index)
    tally.add(outcomes)
    return ["-".join(outcome.slot) for outcome in outcomes if not outcome.same]


def _counts(tallies: list[tuple[Tally, Tally]], part: str, whole: str) -> np.ndarray:
    """(dialogues, 2 systems, 2): what is counted, and of what."""
    if whole == "slots":
        rows = [[(2 * t.correct, t.reference_slots + t.predicted_slots) for t in pair] for pair in tallies]
    else:
        rows = [[(getattr(t, part), getattr(t, whole)) for t in pair] for pair in tallies]
    return np.array(rows, dtype=np.float64)


def _difference(counts: np.ndarray, seed: int) -> dict[str, Any]:
    baseline, system = (_rate(counts[:, side].sum(axis=0)) for side in (0, 1))
    observed = system - baseline
    random = np.random.default_rng(seed)
    number = len(counts)
    resampled, swapped = np.empty(RESAMPLES), np.empty(RESAMPLES)
    moved = counts[:, 1] - counts[:, 0]
    for index in range(0, RESAMPLES, 500):  # so many at a time that the draws stay small
        size = min(500, RESAMPLES - index)
        weights = random.multinomial(number, np.full(number, 1 / number), size=size)
        sums = np.einsum("rn,nsc->rsc", weights, counts, optimize=True)
        resampled[index : index + size] = _rate(sums[:, 1]) - _rate(sums[:, 0])
        swaps = random.integers(0, 2, size=(size, number)).astype(np.float64) @ moved
        swapped[index : index + size] = _rate(counts[:, 1].sum(axis=0) - swaps) - _rate(counts[:, 0].sum(axis=0) + swaps)
    low, high = np.quantile(resampled, [0.025, 0.975])
    as_large = int((np.abs(swapped) >= abs(observed) - 1e-9).sum())
    return {
        "baseline": float(baseline),
        "system": float(system),
        "difference": float(observed),
        "interval": (float(low), float(high)),
        "p_value": (as_large + 1) / (RESAMPLES + 1),
    }


def _rate(counts: np.ndarray) -> np.ndarray:
    """Percentages; 0 where there is nothing to count of."""
    return 100 * counts[..., 0] / np.maximum(counts[..., 1], 1)
