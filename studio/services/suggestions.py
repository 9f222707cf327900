"""Values to choose from when a slot is corrected, ranked by how close they are to what was said, in spelling and in sound.

A recogniser that mishears writes words that sound alike ("wagga map" for "wagamama"); a model that misreads writes words that
look alike. So each known value is compared with every stretch of the transcript of about its length, twice: by characters, and
by their metaphone codes. Digits are known by the words that sound like their names ("for too people").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jellyfish
import numpy as np
from rapidfuzz import fuzz, process

from engine.dialogue import DONTCARE, Ontology, State, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value, slot_type

Place = tuple[str, str]  # domain, slot
CLOSE = 60.0  # what sounds and looks less alike is no suggestion
SAID = 90.0  # as alike, in spelling or in sound, has to be what is offered where the model heard nothing
_LOOKS = 75.0  # and at least as alike in spelling: many short words sound the same
_SHORTEST = 4  # letters: "yes" and "5" are said of much
_LONGEST = 5  # words
_LIKE_NUMBERS = {"won": "1", "too": "2", "tree": "3", "fore": "4", "ate": "8"}
_LIKE_NUMBERS_OF = {"to": "2", "for": "4"}  # said of much, so only before what is counted
_COUNTED = frozenset(["people", "persons", "adults", "guests", "nights", "days", "stars", "star", "tickets", "seats", "rooms"])


@dataclass(frozen=True)
class Suggestion:
    """A value of the ontology. ``spelling`` and ``sound`` are 0 to 100; ``heard`` is the stretch of speech it resembles."""

    value: str
    spelling: float
    sound: float
    heard: str

    @property
    def score(self) -> float:
        """The better of the two counts more: a value need only look alike or sound alike."""
        best, other = max(self.spelling, self.sound), min(self.spelling, self.sound)
        return 0.7 * best + 0.3 * other


def suggest(said: Sequence[str], values: Sequence[str] | Mapping[str, str], slot: str, limit: int = 5) -> list[Suggestion]:
    """The closest values, best first.

    Args:
        said: what was said in this turn and what the model wrote into the slot; empty texts are skipped.
        values: the slot's known values; or spellings, each with the value it stands for.
        slot: its name, which decides how values are written (`engine.postprocess.normalise`).
        limit: at most so many.
    """
    spellings = values if isinstance(values, Mapping) else {value: value for value in values}
    known = {normal: value for form, value in reversed(list(spellings.items())) if (normal := normalise_value(form, slot))}
    longest = max((len(form.split()) for form in known), default=0)
    # A code is read out in groups of digits, so its stretches have more words than it has.
    length = longest + 1 if slot_type(slot) == "text" else 12
    heard = (stretch for text in said for stretch in _stretches(normalise_value(text), length))
    stretches = list(dict.fromkeys(normalise_value(stretch, slot) for stretch in heard))
    if not known or not stretches:
        return []
    spelling = process.cdist(list(known), stretches, scorer=fuzz.ratio)
    sound = spelling
    if slot_type(slot) == "text":
        sound = process.cdist([_sound(value) for value in known], [_sound(text) for text in stretches], scorer=fuzz.ratio)
    elif slot_type(slot) == "count":
        sound = process.cdist(list(known), [_number(text) for text in stretches], scorer=fuzz.ratio)
    best = (spelling + sound).argmax(1)
    rows = np.arange(len(known))
    found = [
        Suggestion(value, float(looks), float(sounds), stretches[place])
        for value, looks, sounds, place in zip(known.values(), spelling[rows, best], sound[rows, best], best, strict=True)
    ]
    close = sorted((suggestion for suggestion in found if suggestion.score >= CLOSE), key=lambda suggestion: -suggestion.score)
    best_of = {suggestion.value: suggestion for suggestion in reversed(close)}  # a value is offered once, however it is spelled
    return [suggestion for suggestion in close if best_of[suggestion.value] is suggestion][:limit]


def missing(
    said: str, state: State, previous: State, known: Ontology, limit: int = 2, decided: Collection[Place] = ()
) -> list[tuple[Place, str]]:
    """Slots without a value, each with a known one that was as good as said and stands in no slot; the closest first.

    Names and other words only: numbers and times fit too many slots. A value of several domains is offered for those that the
    dialogue is about, if any.

    Args:
        said: the turn's words.
        state: what stands after the turn.
        previous: what stood before it.
        decided: slots that somebody decided on in this turn; that they have no value, too.
    """
    stretches = [stretch for stretch in dict.fromkeys(_stretches(normalise_value(said), _LONGEST)) if len(stretch) >= _SHORTEST]
    places = _without_value(state, known, decided) if stretches else {}
    if not places:
        return []
    forms = list(places)
    close: dict[str, Any] = {"scorer": fuzz.ratio, "score_cutoff": SAID}
    spelling = process.cdist(forms, stretches, **close)
    sound = process.cdist([_sound(form) for form in forms], [_sound(stretch) for stretch in stretches], **close)
    best = (spelling + sound).argmax(1)
    found: list[tuple[float, bool, Place, str]] = []
    for row in np.flatnonzero((spelling.max(1) > 0) | (sound.max(1) > 0)):
        looks = fuzz.ratio(forms[row], stretches[best[row]])
        if looks < _LOOKS:
            continue
        score = looks + float(max(spelling[row, best[row]], sound[row, best[row]]))
        here = {place: value for place, value in places[forms[row]].items() if place[0] in state or place[0] in previous}
        found += [(score, bool(here), place, value) for place, value in (here or places[forms[row]]).items()]
    found.sort(key=lambda one: one[:2], reverse=True)
    best_of: dict[Place, str] = {}
    for _, _, place, value in found:
        best_of.setdefault(place, value)
    return list(best_of.items())[:limit]


def _without_value(state: State, known: Ontology, decided: Collection[Place]) -> dict[str, dict[Place, str]]:
    """Normal forms of known values that stand in no slot, each with the slots without a value that it may be of."""
    taken = {normalise_value(form, slot) for _, slot, value in iterate_slots(state) for form in accepted(value)} | {DONTCARE}
    found: dict[str, dict[Place, str]] = {}
    for domain, slot, _ in iterate_slots(known.values):
        if slot in state.get(domain, {}) or (domain, slot) in decided or slot_type(slot) != "text":
            continue
        for form, value in known.spellings(domain, slot).items():
            normal = normalise_value(form, slot)
            if len(normal) >= _SHORTEST and normal not in taken:
                found.setdefault(normal, {}).setdefault((domain, slot), value)
    return found


def _stretches(text: str, longest: int) -> list[str]:
    words = text.split()
    return [
        " ".join(words[start : start + length])
        for length in range(1, min(longest, len(words)) + 1)
        for start in range(len(words) - length + 1)
    ]


def _number(text: str) -> str:
    """The digit that a stretch of speech sounds like, else the stretch."""
    word, _, noun = text.partition(" ")
    return _LIKE_NUMBERS_OF.get(word, text) if noun in _COUNTED else _LIKE_NUMBERS.get(text, text)


@lru_cache(maxsize=1 << 16)
def _sound(text: str) -> str:
    """How the words sound. Blanks are left out: where a word ends is not heard; "th" (0) is often heard as "t"."""
    return jellyfish.metaphone(text).replace(" ", "").replace("0", "T")
