"""Whether confidences mean what they say: how often slots of a confidence are right, and the calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bin:
    """Slots whose confidence lies in ``[low, high)``: how many, their mean confidence, the share of them that is right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def bin_of(confidence: float, bins: int = 10) -> int:
    """Which of the equal-width bins a confidence from 0 to 1 falls into, from 0; 1 belongs to the last."""
    return min(int(confidence * bins), bins - 1)


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Equal-width bins of confidence, empty ones left out: the data of a reliability plot."""
    inside: dict[int, list[tuple[float, bool]]] = {}
    for pair in zip(confidences, right, strict=True):
        inside.setdefault(bin_of(pair[0], bins), []).append(pair)
    return [
        Bin(
            number / bins,
            (number + 1) / bins,
            len(pairs),
            sum(confidence for confidence, _ in pairs) / len(pairs),
            sum(bool(good) for _, good in pairs) / len(pairs),
        )
        for number, pairs in sorted(inside.items())
    ]


def ece(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: the bins' distance of confidence and accuracy, weighted by count (Guo et al. 2017)."""
    found = reliability(confidences, right, bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in found) / max(1, len(confidences))
