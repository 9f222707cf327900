"""What looks wrong in a dialogue state: hints for the person who corrects it, never a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from rapidfuzz import fuzz

from engine.dialogue import DONTCARE, Ontology, State, accepted, iterate_slots
from engine.postprocess.normalise import normalise_slot, normalise_value, slot_type

NEARLY = 85.0  # similarity (0 to 100) from which two names look like one
_GIVES_UP = re.compile(r"\b(no longer|instead|rather|actually|change|cancel|never ?mind|forget|not|don'?t|sorry|scratch)\b")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MINDS_NOT = re.compile(
    r"\b(do(es)?( not|n'?t)( really)? (care|mind|matter)|no preference|not (picky|particular)|whatever|whichever)\b"
)
# Also what may be an answer to "any area?" or "which one?".
_MAY_NOT_MIND = re.compile(r"\b(any\w*|either|all|no|not|none|preferences?|flexible|open|up to you|surprise me)\b")
_NONE = ("none", "not mentioned", "")


@dataclass(frozen=True)
class Hint:
    """One doubtful thing; ``slot`` is empty if it is about a whole domain, and ``domain`` too if about the whole state."""

    domain: str
    slot: str
    text: str


def lint(state: State, previous: State, said: str, ontology: Ontology) -> list[Hint]:
    """Hints on the state after a turn.

    Args:
        state: as it stands.
        previous: the state after the user turn before.
        said: what the user said in this turn.
        ontology: the project's slots and values; a slot without values is open.
    """
    checks = (_values(state, ontology), _minding(state, previous, said), _gone(state, previous, said), _order(state))
    return [hint for check in (*checks, _twins(state, previous)) for hint in check]


def _values(state: State, ontology: Ontology) -> Iterator[Hint]:
    for domain, slot, value in iterate_slots(state):
        written = accepted(value)[0]
        normal = normalise_value(written, slot)
        known = ontology.values.get(domain, {}).get(slot)
        if normal in _NONE:
            yield Hint(domain, slot, f'"{written}" is no value: remove the slot if nothing was said, or choose {DONTCARE}')
        elif slot_type(slot) == "time" and normal != DONTCARE and not _CLOCK.fullmatch(normal):
            yield Hint(domain, slot, f'"{written}" is no time of day, such as 18:30 or 6:30 pm')
        elif known is None:
            yield Hint(domain, slot, "this slot is not in the ontology")
        elif known and normal != DONTCARE and normal not in {normalise_value(entry, slot) for entry in known}:
            spellings = {normalise_value(form, slot): entry for form, entry in ontology.spellings(domain, slot).items()}
            if normal in spellings:
                yield Hint(domain, slot, f'"{written}" is another spelling of "{spellings[normal]}": write it so')
            else:
                yield Hint(domain, slot, f'"{written}" is not in the ontology')


def _minding(state: State, previous: State, said: str) -> Iterator[Hint]:
    """What the user does not mind taken for what they did not mention, and the other way round."""
    words = said.lower()
    indifferent = [(d, s) for d, s, value in iterate_slots(state) if normalise_value(accepted(value)[0], s) == DONTCARE]
    if not indifferent and _MINDS_NOT.search(words):
        yield Hint("", "", f"the user seems not to mind something, and no slot is {DONTCARE}")
    if words and not _MINDS_NOT.search(words) and not _MAY_NOT_MIND.search(words):
        for domain, slot in indifferent:
            if slot not in previous.get(domain, {}):
                yield Hint(domain, slot, f"{DONTCARE} is for what the user does not mind: remove the slot if nothing was said")


def _gone(state: State, previous: State, said: str) -> Iterator[Hint]:
    """Slots and domains that vanished although the user took nothing back."""
    if _GIVES_UP.search(said.lower()):
        return
    for domain, slots in previous.items():
        if slots and not state.get(domain):
            yield Hint(domain, "", f"the whole domain {domain} is gone, and the user did not take it back")
            continue
        for slot in slots.keys() - state.get(domain, {}).keys():
            yield Hint(domain, slot, f'"{accepted(slots[slot])[0]}" is gone, and the user did not take it back')


def _order(state: State) -> Iterator[Hint]:
    for domain, slots in state.items():
        times = {normalise_slot(slot): normalise_value(accepted(value)[0], slot) for slot, value in slots.items()}
        leave, arrive = times.get("leaveat", ""), times.get("arriveby", "")
        if leave[2:3] == arrive[2:3] == ":" and arrive < leave:
            yield Hint(domain, "", f"it arrives at {arrive}, before it leaves at {leave}")


def _twins(state: State, previous: State) -> Iterator[Hint]:
    """Two values of one domain, or of one slot from turn to turn, that differ by a letter or two."""
    for domain, slots in state.items():
        names = {slot: normalise_value(accepted(value)[0], slot) for slot, value in slots.items() if slot_type(slot) == "text"}
        for (one, first), (other, second) in combinations(names.items(), 2):
            if first != second and fuzz.ratio(first, second) >= NEARLY:
                yield Hint(domain, other, f'"{second}" and "{first}" ({one}) are nearly the same')
        for slot, name in names.items():
            before = normalise_value(accepted(previous.get(domain, {}).get(slot, ""))[0], slot)
            if name != before and fuzz.ratio(name, before) >= NEARLY:
                yield Hint(domain, slot, f'"{name}" was "{before}" a turn ago: nearly the same')
