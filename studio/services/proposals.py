"""What to train: stage 1 for what is misheard, stage 2 for what is misunderstood, or both; from the corrections so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEAR, UNDERSTAND = "hear", "adapt"  # the stages of the recipes for corrections
FEW = 10  # wrong slots; fewer may be so by chance
CLEAR = 2 / 3  # the share of the errors from which on one kind alone is worth training


@dataclass(frozen=True)
class Proposal:
    """Stages to run, and why."""

    stages: tuple[str, ...]
    why: str


def propose(errors: Mapping[tuple[str, str], tuple[int, int]]) -> Proposal:
    """Choose stages by how often the checkpoint in use misheard and misunderstood each slot (`verdicts.counts`)."""
    misheard, misunderstood = (sum(counts[kind] for counts in errors.values()) for kind in (0, 1))
    total = misheard + misunderstood
    if not total:
        why = (
            "No wrong answer of the checkpoint in use is known yet in the dialogues to train on, so one stage, adapt, teaches "
            "both words and states."
        )
        return Proposal((UNDERSTAND,), why)
    few = f" Only {total} of its errors were judged yet: few to choose by." if total < FEW else ""
    if misheard >= CLEAR * total:
        why = f"{misheard} of {total} wrong slots were misheard{_most(errors, 0)}: stage hear teaches the words.{few}"
        return Proposal((HEAR,), why)
    if misunderstood >= CLEAR * total:
        why = (
            f"{misunderstood} of {total} wrong slots were misunderstood although the words were right{_most(errors, 1)}: "
            f"stage adapt teaches the states.{few}"
        )
        return Proposal((UNDERSTAND,), why)
    both = f"{misheard} of {total} wrong slots were misheard, {misunderstood} misunderstood"
    why = f"{both}: both stages, hear and then adapt.{few}"
    return Proposal((HEAR, UNDERSTAND), why)


def _most(errors: Mapping[tuple[str, str], tuple[int, int]], kind: int) -> str:
    place = max(errors, key=lambda place: errors[place][kind])
    return f", most often {' '.join(place)}"
