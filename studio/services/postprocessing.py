"""What post-processing makes of the model's values: the nearest thing a project's ontology knows, and how near it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from engine.dialogue import Ontology, State, accepted, iterate_slots
from engine.postprocess.fuzzy import FuzzyMatcher
from engine.postprocess.normalise import normalise_value


@dataclass(frozen=True)
class Processed:
    """A value after post-processing. Scores: 0 to 100; ``score`` is ``None`` where nothing is compared (an open slot, a time).

    ``accepted``: ``value`` is the ontology's entry; else it is the model's value in normal form.
    """

    value: str
    score: float | None
    runner_up: str | None
    runner_up_score: float
    accepted: bool


def process(state: State, known: Ontology) -> dict[tuple[str, str], Processed]:
    """Post-process every value of a state as `engine.postprocess.fuzzy` does in the mode ``typed``, by domain and slot."""
    found = {}
    for domain, slot, value in iterate_slots(state):
        heard = accepted(value)[0]
        spellings = tuple(known.spellings(domain, slot).items())
        match = _matcher(domain, slot, spellings).match(domain, slot, heard)
        if match is None:
            found[domain, slot] = Processed(normalise_value(heard, slot), None, None, 0.0, accepted=False)
        else:
            second = match.runner_up_score
            found[domain, slot] = Processed(match.value, match.score, match.runner_up, second, match.accepted)
    return found


@lru_cache(maxsize=512)
def _matcher(domain: str, slot: str, spellings: tuple[tuple[str, str], ...]) -> FuzzyMatcher:
    """Preparing an ontology of thousands of values takes longer than asking it: one slot at a time, and kept."""
    synonyms: dict[str, list[str]] = {}
    for spelling, value in spellings:
        synonyms.setdefault(value, []).append(spelling)
    return FuzzyMatcher(Ontology({domain: {slot: list(synonyms)}}, synonyms={domain: {slot: synonyms}}), "typed")
