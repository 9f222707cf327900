"""Confidence intervals by resampling dialogues: the turns of one share their errors, so they are drawn together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]


def bootstrap_interval(
    parts: Sequence[int], wholes: Sequence[int], *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap interval of ``100 * sum(parts) / sum(wholes)``, in percent.

    Args:
        parts: per dialogue, what is counted (turns that are right, words that are wrong).
        wholes: per dialogue, what it is counted of (turns, reference words).
        seed: the same seed and data give the same interval.

    Returns:
        (low, high), or None where there are fewer than two dialogues or nothing to count of.
    """
    count = len(parts)
    if count < 2 or not sum(wholes):
        return None
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    part, whole = draws @ np.asarray(parts), draws @ np.asarray(wholes)
    ratios = 100 * part[whole > 0] / whole[whole > 0]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
