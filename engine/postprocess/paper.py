"""Paper 1's fuzzy pass (arXiv 2506.08633, its evaluator's preprocessing), step for step, faults included.

1. Schema: a domain the schema lacks is dropped, and so is one that holds text. A slot it lacks is renamed to the
   FIRST schema slot that is similar enough (`_similarity` above 0.7), and then takes that slot's place even if the model
   had filled it properly; where none is that similar it is deleted.
2. Values: every value of every slot but time, leaveat, arriveby, people and stars becomes the entry with the highest
   WRatio (`engine.postprocess.wratio`), however low that is.

Nothing is normalised first: a domain in capitals is an unknown domain, ``do not care`` is a name like others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rapidfuzz.distance import Indel, Postfix, Prefix

EXEMPT = ("time", "leaveat", "arriveby", "people", "stars")

_SIMILAR = 0.7

# The slots the authors' program knows, in its order, which decides what an unknown slot becomes.
_SCHEMA = {
    "hotel": ["area", "day", "internet", "name", "parking", "people", "pricerange", "stars", "stay", "type"],
    "train": ["arriveby", "day", "departure", "destination", "leaveat", "people"],
    "attraction": ["area", "name", "type"],
    "restaurant": ["area", "day", "food", "name", "people", "pricerange", "time"],
    "taxi": ["arriveby", "departure", "destination", "leaveat"],
    "hospital": ["department"],
}
MULTIWOZ_SCHEMA: Mapping[str, Sequence[str]] = _SCHEMA
SPOKENWOZ_SCHEMA: Mapping[str, Sequence[str]] = _SCHEMA | {"profile": ["email", "idnumber", "name", "phonenumber", "platenumber"]}


def repair_schema(state: Mapping[str, Any], schema: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Step 1. Values stay as they are, whatever they are."""
    repaired: dict[str, Any] = {}
    for domain, slots in state.items():
        if domain not in schema or isinstance(slots, str):
            continue
        repaired[domain] = dict(slots) if isinstance(slots, dict) else slots
        for name in slots if isinstance(slots, dict) else ():
            if name in schema[domain]:
                continue
            value = repaired[domain].pop(name)
            similar = next((slot for slot in schema[domain] if _similarity(name, slot) > _SIMILAR), None)
            if similar is not None:
                repaired[domain][similar] = value
    return repaired


def _similarity(first: str, second: str) -> float:
    """``seqratio`` of python-Levenshtein 0.27: characters in common, in order, by all; 0 to 1, with one fault.

    Once it has set the common beginning and end aside, it compares what is left of the longer name with the BEGINNING
    of the shorter one, not with what is left of it. So "title" is not 0.67 but 0.89 of "time", and is renamed to it.
    """
    shorter, longer = (first, second) if len(first) <= len(second) else (second, first)
    start = Prefix.similarity(shorter, longer)
    end = Postfix.similarity(shorter[start:], longer[start:])
    left, other_left = len(shorter) - start - end, len(longer) - start - end
    if left:
        distance = Indel.distance(shorter[:left], longer[start : start + other_left])
    else:
        distance = other_left
    length = len(first) + len(second)
    return (length - distance) / length
