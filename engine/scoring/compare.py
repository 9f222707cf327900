"""Two systems on the same turns: what the second fixed, what it broke, and whether the difference may be chance.

Turns of one dialogue share their errors, so whole dialogues are resampled (paired bootstrap, for the interval) and
swapped between the systems (approximate randomisation, for the p-value; Noreen 1989, "Computer-Intensive Methods").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dialogue import State
from engine.scoring.align import AlignedTurns
from engine.scoring.bootstrap import percentages, percentile_interval
from engine.scoring.profiles import Profile
from engine.scoring.states import SHARES, ScoreError, Tally, judge_turn
from engine.scoring.wer import align_words, count_errors

RESAMPLES = 10_000


def compare_systems(baseline: AlignedTurns, system: AlignedTurns, profile: Profile, seed: int = 0) -> dict[str, Any]:
    """Compare two sets of predictions for one reference.

    Only turns that both have predicted are compared.

    Returns:
        A JSON object:

        - ``scores``: for ``wer`` (over the turns of which both sides and the reference have a transcript), ``jga``,
          ``slot_f1``, ``slot_precision``, ``slot_recall`` and, where the profile has one, ``ser``: the ``baseline``'s, the
          ``system``'s, ``difference`` in points, its 95 % ``interval``, and the two-sided ``p_value``, the latter two None
          where fewer than two dialogues have anything to count of; a score is left out where a side has nothing;
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
    words: list[np.ndarray] = []
    for dialogue, pairs in system.turns.items():
        own = Tally(), Tally()
        heard = np.zeros((2, 2))
        for index, ((gold, new), (_, old)) in enumerate(zip(pairs, baseline.turns[dialogue], strict=True)):
            if new is None or old is None:
                continue
            if gold.transcript is not None and old.transcript is not None and new.transcript is not None:
                heard += [count_errors(align_words(gold.transcript, text)) for text in (old.transcript, new.transcript)]
            if gold.state is None:
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
        words.append(heard)
    if not tallies:
        raise ScoreError("the two prediction files have no turn in common that can be scored")
    counts = {
        score: np.array([[[getattr(tally, part) for part in SHARES[score]] for tally in pair] for pair in tallies], dtype=float)
        for score in ("jga", "slot_f1", "slot_precision", "slot_recall", *(("ser",) if profile.has_ser else ()))
    }
    counts = {"wer": np.array(words), **counts}
    order = sorted(per_slot.items(), key=lambda item: (item[1].fixed - item[1].broken, item[0]))
    return {
        "scores": {score: _difference(found, seed) for score, found in counts.items() if found[..., 1].sum(axis=0).all()},
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


def _difference(counts: np.ndarray, seed: int) -> dict[str, Any]:
    """Of counts ``(dialogues, 2 systems, 2)``: what is counted, and of what."""
    counts = counts[counts.any(axis=(1, 2))]
    baseline, system = (float(percentages(*counts[:, side].sum(axis=0))) for side in (0, 1))
    found = {"baseline": baseline, "system": system, "difference": system - baseline}
    number = len(counts)
    if np.count_nonzero(counts[..., 1].any(axis=1)) < 2:
        return found | {"interval": None, "p_value": None}
    random = np.random.default_rng(seed)
    resampled, swapped = np.empty(RESAMPLES), np.empty(RESAMPLES)
    moved = counts[:, 1] - counts[:, 0]
    for index in range(0, RESAMPLES, 500):  # so many at a time that the draws stay small
        size = min(500, RESAMPLES - index)
        weights = random.multinomial(number, np.full(number, 1 / number), size=size).astype(np.float64)
        resampled[index : index + size] = _change(np.tensordot(weights, counts, 1))
        swaps = random.integers(0, 2, size=(size, number)).astype(np.float64) @ moved
        swapped[index : index + size] = _change(counts.sum(axis=0) + np.stack([swaps, -swaps], axis=1))
    as_large = int((np.abs(swapped) >= abs(system - baseline) - 1e-9).sum())
    return found | {"interval": percentile_interval(resampled), "p_value": (as_large + 1) / (RESAMPLES + 1)}


def _change(sums: np.ndarray) -> np.ndarray:
    """Points from the first to the second system, of sums ``(resamples, 2 systems, 2)``."""
    rates = percentages(sums[..., 0], sums[..., 1])
    return rates[:, 1] - rates[:, 0]
