"""Named-entity robustness: what remains of a score when names are misspelt or worded otherwise, and what matching saves.

Recognisers misspell names and people shorten them. Every predicted value of a slot that holds names or codes is
perturbed, and the predictions are scored again, as they are and after fuzzy matching.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.dialogue import DONTCARE, State, accepted
from engine.postprocess import FuzzyMatcher
from engine.postprocess.normalise import normalise_slot, normalise_value, slot_type
from engine.scoring.align import AlignedTurns
from engine.scoring.profiles import Profile
from engine.scoring.states import SCORES, StateScores

_ENTITY_SLOTS = ("name", "destination", "departure")
NOTHING_TO_PERTURB = "no predicted slot holds names or codes, so there was nothing to misspell or paraphrase"
_GENERIC = ("restaurant", "hotel", "guesthouse", "house", "college", "museum", "lodge", "bar", "cafe", "station", "centre")


@dataclass(frozen=True)
class Perturbed:
    """Predictions with ``values`` different names and codes changed, as they are then and after matching."""

    values: int
    plain: AlignedTurns
    fuzzy: AlignedTurns


def perturb(aligned: AlignedTurns, matcher: FuzzyMatcher, seed: int = 0) -> dict[str, Perturbed]:
    """Unchanged, misspelt and paraphrased predictions (``unchanged``, ``typos``, ``paraphrases``).

    Raises:
        FileError: a state cannot be matched, with its file and line.
    """
    kinds: dict[str, Callable[[str, str, random.Random], str]] = {
        "unchanged": lambda value, _slot, _random: value,
        "typos": lambda value, _slot, generator: misspell(value, generator),
        "paraphrases": lambda value, slot, generator: paraphrase(value, slot, generator),
    }
    found = {}
    for kind, change in kinds.items():
        states, changed = _perturb([answer.state for answer in aligned.answers()], change, seed)
        turns = aligned.with_states(states)
        found[kind] = Perturbed(changed, turns, turns.matched(matcher)[0])
    return found


def score_perturbed(aligned: AlignedTurns, profile: Profile, matcher: FuzzyMatcher, seed: int = 0) -> dict[str, Any]:
    """`score_kinds` of what `perturb` makes of predictions. Raises FileError."""
    return score_kinds(perturb(aligned, matcher, seed), profile, matcher, seed)


def score_kinds(perturbed: Mapping[str, Perturbed], profile: Profile, matcher: FuzzyMatcher, seed: int = 0) -> dict[str, Any]:
    """Score perturbed predictions.

    Returns:
        ``seed``, and under ``kinds`` for each: how many ``values`` were changed, and the scores with their intervals and
        counts ``plain`` and ``fuzzy``, the latter with ``mode``, ``ontology`` and ``oracle``.

    Raises:
        FileError: a state cannot be scored, with its file and line.
    """
    origin = matcher.ontology.origin()
    return {
        "seed": seed,
        "kinds": {
            kind: {
                "values": found.values,
                "plain": _scores(found.plain.score(profile)),
                "fuzzy": {"mode": matcher.mode} | origin | _scores(found.fuzzy.score(profile)),
            }
            for kind, found in perturbed.items()
        },
    }


def _scores(scores: StateScores) -> dict[str, Any]:
    total = scores.total_json()
    return {key: total.get(key) for score in SCORES for key in (score, f"{score}_interval")} | {"counts": total["counts"]}


def misspell(value: str, generator: random.Random) -> str:
    """One letter or digit left out, doubled, replaced by another, or swapped with the next."""
    places = [index for index, char in enumerate(value) if char.isalnum()]
    if not places:
        return value
    index = generator.choice(places)
    char = value[index]
    letters = string.digits if char.isdigit() else string.ascii_lowercase
    following = value[index + 1 : index + 2]
    changed = generator.choice(
        [
            value[:index] + value[index + 1 :] if len(value) > 1 else value * 2,
            value[:index] + char + value[index:],
            value[:index] + generator.choice([letter for letter in letters if letter != char.lower()]) + value[index + 1 :],
            value[:index] + following + char + value[index + 2 :],
        ]
    )
    return changed if changed != value else value[:index] + char + value[index:]  # two equal letters swapped


def paraphrase(value: str, slot: str, generator: random.Random) -> str:
    """The same thing as people also say it: with or without an article, "&" for "and", a generic word left out or put first.

    Codes are read out in groups instead.
    """
    if slot_type(slot) == "code":
        return value if "@" in value or len(value) < 4 else f"{value[:-4]} {value[-4:]}".strip()
    words = value.split()
    without = [word for word in words if word.lower() not in _GENERIC]
    forms = [value.removeprefix("the ") if words[:1] == ["the"] else f"the {value}"]
    if "and" in words:
        forms.append(value.replace(" and ", " & "))
    if without and len(without) < len(words):
        forms += [" ".join(without), " ".join([*[word for word in words if word not in without], *without])]
    return generator.choice([form for form in forms if form != value] or [value])


def _perturb(states: list[State], change: Callable[[str, str, random.Random], str], seed: int) -> tuple[list[State], int]:
    """States with names and codes changed, a value alike wherever it occurs, and how many different ones that were."""
    changed: dict[tuple[str, str, str], str] = {}
    result = []
    for state in states:
        result.append({domain: dict(slots) if isinstance(slots, dict) else slots for domain, slots in state.items()})
        for domain, slots in result[-1].items():
            for slot, value in slots.items() if isinstance(slots, dict) else ():
                heard = accepted(value)[0] if isinstance(value, str | list) and value else value
                if not isinstance(heard, str) or not _is_entity(slot) or normalise_value(heard, slot) in ("", DONTCARE):
                    continue
                key = (domain, slot, heard)
                if key not in changed:
                    changed[key] = change(heard, slot, random.Random(f"{seed} {domain} {slot} {heard}"))
                slots[slot] = changed[key]
    return result, sum(value != new for (*_, value), new in changed.items())


def _is_entity(slot: str) -> bool:
    return normalise_slot(slot).endswith(_ENTITY_SLOTS) or slot_type(slot) == "code"
