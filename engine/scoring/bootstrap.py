"""Confidence intervals by resampling dialogues: the turns of one share their errors, so they are drawn together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]


def draws(dialogues: int, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """``(resamples, dialogues)``: how often each dialogue is drawn when as many as there are are drawn with replacement."""
    shares = np.full(dialogues, 1 / dialogues)
    return np.random.default_rng(seed).multinomial(dialogues, shares, size=resamples).astype(np.float64)


def percentages(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """In percent; not a number where there is nothing to count of."""
    return np.divide(100 * parts, wholes, out=np.full(np.shape(parts), np.nan), where=wholes > 0)


def percentile_interval(values: np.ndarray) -> Interval | None:
    """What 95 % of the values lie between; those that are not a number do not count. None where there is no other."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_interval(parts: Sequence[int], wholes: Sequence[int], *, resamples: int = 1000, seed: int = 0) -> Interval | None:
    """95 % percentile bootstrap interval of ``100 * sum(parts) / sum(wholes)``, in percent.

    Args:
        parts: per dialogue, what is counted (turns that are right, words that are wrong).
        wholes: per dialogue, what it is counted of (turns, reference words).
        seed: the same seed and data give the same interval.

    Returns:
        (low, high), or None where fewer than two dialogues have anything to count of.
    """
    if np.count_nonzero(wholes) < 2:
        return None
    drawn = draws(len(parts), resamples=resamples, seed=seed)
    return percentile_interval(percentages(drawn @ np.asarray(parts), drawn @ np.asarray(wholes)))
