"""What to train: stage 1 for what is misheard, stage 2 for what is misunderstood, or both; from the corrections so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEAR, UNDERSTAND = "hear", "adapt"  # the stages of the recipes for corrections
CLEAR = 2 / 3  # the share of the errors from which on one kind alone is worth training


@dataclass(frozen=True)
class Proposal:
    """Stages to run, and why."""

    stages: tuple[str, ...]
    why: str


def propose(errors: Mapping[tuple[str, str], tuple[int, int]]) -> Proposal:
    """Choose stages by how often each slot was misheard and misunderstood (`verdicts.counts`)."""
    misheard, misunderstood = (sum(counts[kind] for counts in errors.values()) for kind in (0, 1))
    total = misheard + misunderstood
    if not total:
        return Proposal((UNDERSTAND,), "No correction was judged yet, so both words and states are taught in one stage, adapt.")
    if misheard >= CLEAR * total:
        why = f"{misheard} of {total} wrong slots were misheard{_most(errors, 0)}: stage hear teaches the words."
        return Proposal((HEAR,), why)
    if misunderstood >= CLEAR * total:
        why = (
            f"{misunderstood} of {total} wrong slots were misunderstood although the words were right{_most(errors, 1)}: "
            "stage adapt teaches the states."
        )
        return Proposal((UNDERSTAND,), why)
    why = f"{misheard} of {total} wrong slots were misheard, {misunderstood} misunderstood: both stages, hear and then adapt."
    return Proposal((HEAR, UNDERSTAND), why)


def _most(errors: Mapping[tuple[str, str], tuple[int, int]], kind: int) -> str:
    place = max(errors, key=lambda place: errors[place][kind])
    return f", most often {' '.join(place)}"
