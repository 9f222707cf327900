"""Partial matches: credit for the words of a value that are right ("the curry garden" for "curry garden")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def overlap(reference: Sequence[str], answer: Sequence[str]) -> tuple[float, float]:
    """Shared tokens, counted with their repetitions, as shares of the answer's (precision) and the reference's (recall)."""
    shared = sum((Counter(reference) & Counter(answer)).values())
    return (shared / len(answer) if answer else 0.0), (shared / len(reference) if reference else 0.0)


def best_overlap(forms: Iterable[str], answer: str) -> tuple[float, float]:
    """`overlap` with the accepted form that fits best; an answer that is one of the forms is wholly right, even an empty one."""
    shares = [(1.0, 1.0) if form == answer else overlap(form.split(), answer.split()) for form in forms]
    return max(shares, key=lambda share: harmonic_mean(*share))


def harmonic_mean(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
