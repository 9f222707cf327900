"""What looks wrong in a dialogue state: hints for the person who corrects it, never a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product

from rapidfuzz import fuzz

from engine.dialogue import DONTCARE, Ontology, State, Value, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value, slot_type

NEARLY = 85.0  # similarity (0 to 100) from which two names look like one
_GIVES_UP = re.compile(
    r"\b(no longer|instead|rather|actually|cancel|never ?mind|forget|scratch|skip|remove|without|wrong|mistake|i mean(t)?"
    r"|chang(e|ed|ing) (my|the|it|that|this|to|from)|different|another"
    r"|(do|does|did|wo|will|would)(n'?t| not)( really| actually)? (need|want|have to|matter|like)"
    r"|not (a|an|any|the|that|this|in|for|what|right|correct|need|want|looking|interested|necessary|important))\b"
)
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MINDS_NOT = re.compile(
    r"\b(do(es)?( not|n'?t)( really)? (care|mind|matter)|no preference|not (picky|particular)|whatever|whichever)\b"
)
# Also what may be an answer to "any area?" or "which one?".
_MAY_NOT_MIND = re.compile(r"\b(any\w*|either|all|no|not|none|preferences?|flexible|open|up to you|surprise me)\b")
_NONE = ("none", "not mentioned", "")
# With what a word of a slot's name begins where the slot says when something begins and when it ends, and the hint.
_ORDERS = (
    (("depart", "leav"), ("arriv",), "it arrives at {}, before it leaves at {}"),
    (("start",), ("end",), "it ends at {}, before it starts at {}"),
)


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
    words = re.sub("[’‘ʼ`]", "'", said.lower())
    checks = (_values(state, ontology), _minding(state, previous, words), _gone(state, previous, words), _order(state))
    return [hint for check in (*checks, _twins(state, previous)) for hint in check]


def _values(state: State, ontology: Ontology) -> Iterator[Hint]:
    for domain, slot, written in _forms(state):
        normal = normalise_value(written, slot)
        known = ontology.values.get(domain, {}).get(slot)
        if normal in _NONE:
            yield Hint(domain, slot, f'"{written}" is no value: remove the slot if nothing was said, or choose {DONTCARE}')
        elif slot_type(slot) == "time" and not _CLOCK.fullmatch(normal) and not _tells_time(normal, state[domain][slot], slot):
            yield Hint(domain, slot, f'"{written}" is no time of day, such as 18:30 or 6:30 pm')
        elif known is None:
            yield Hint(domain, slot, "this slot is not in the ontology")
        elif known and normal != DONTCARE and normal not in {normalise_value(entry, slot) for entry in known}:
            spellings = {normalise_value(form, slot): entry for form, entry in ontology.spellings(domain, slot).items()}
            if normal in spellings:
                yield Hint(domain, slot, f'"{written}" is another spelling of "{spellings[normal]}": write it so')
            else:
                yield Hint(domain, slot, f'"{written}" is not in the ontology')


def _tells_time(normal: str, value: Value, slot: str) -> bool:
    """Whether a form that is no clock time may stand for one: any will do, or it is how another form, which is one, is said."""
    clock = any(_CLOCK.fullmatch(form) for form in _normal(value, slot))
    return normal == DONTCARE or (clock and re.search("[a-z]", normal) is not None)


def _minding(state: State, previous: State, words: str) -> Iterator[Hint]:
    """What the user does not mind taken for what they did not mention, and the other way round."""
    indifferent = list(dict.fromkeys((d, s) for d, s, form in _forms(state) if normalise_value(form, s) == DONTCARE))
    if not indifferent and _MINDS_NOT.search(words):
        yield Hint("", "", f"the user seems not to mind something, and no slot is {DONTCARE}")
    if words and not _MINDS_NOT.search(words) and not _MAY_NOT_MIND.search(words):
        for domain, slot in indifferent:
            if slot not in previous.get(domain, {}):
                yield Hint(domain, slot, f"{DONTCARE} is for what the user does not mind: remove the slot if nothing was said")


def _gone(state: State, previous: State, words: str) -> Iterator[Hint]:
    """Slots and domains that vanished although the user took nothing back."""
    if _GIVES_UP.search(words):
        return
    for domain, slots in previous.items():
        if slots and not state.get(domain):
            yield Hint(domain, "", f"the whole domain {domain} is gone, and the user did not take it back")
            continue
        for slot in slots.keys() - state.get(domain, {}).keys():
            yield Hint(domain, slot, f'"{accepted(slots[slot])[0]}" is gone, and the user did not take it back')


def _order(state: State) -> Iterator[Hint]:
    """What ends before it begins; of a journey the way out and the way back each by itself."""
    for domain, slots in state.items():
        for beginnings, ends, text in _ORDERS:
            begins, over = _times(slots, beginnings), _times(slots, ends)
            for leg in begins:
                if over.get(leg, begins[leg]) < begins[leg]:
                    yield Hint(domain, "", text.format(over[leg], begins[leg]))


def _times(slots: Mapping[str, Value], stems: tuple[str, ...]) -> dict[frozenset[str], str]:
    """The times of day of slots a word of whose name begins so, by the rest of the name, which tells the leg of a journey."""
    found = {}
    for slot, value in slots.items():
        words = re.findall("[a-z]+", slot.lower())
        rest = frozenset(word for word in words if not word.startswith(stems)) - {"time", "at", "by"}
        time = _normal(value, slot)[0]
        if any(word.startswith(stems) for word in words) and _CLOCK.fullmatch(time):
            found[rest] = time
    return found


def _twins(state: State, previous: State) -> Iterator[Hint]:
    """Two values of a state, or of one slot from turn to turn, that differ by a letter or two."""
    names = {(d, s): _normal(value, s) for d, s, value in iterate_slots(state) if slot_type(s) == "text"}
    for ((home, one), first), ((domain, other), second) in combinations(names.items(), 2):
        for name, twin in _nearly(second, first):
            place = one if home == domain else f"{home} {one}"
            yield Hint(domain, other, f'"{name}" and "{twin}" ({place}) are nearly the same')
    for (domain, slot), forms in names.items():
        for name, before in _nearly(forms, _normal(previous.get(domain, {}).get(slot, ""), slot)):
            yield Hint(domain, slot, f'"{name}" was "{before}" a turn ago: nearly the same')


def _nearly(forms: list[str], others: list[str]) -> list[tuple[str, str]]:
    """The two closest of the accepted forms of two values, if they look like one name and are not; else nothing."""
    if {*forms} & {*others}:
        return []
    pairs = [pair for pair in product(forms, others) if fuzz.ratio(*pair) >= NEARLY and _digits(pair[0]) == _digits(pair[1])]
    return [max(pairs, key=lambda pair: fuzz.ratio(*pair))] if pairs else []


def _digits(text: str) -> str:
    """Names with other numbers are other names: the 10th of march and the 11th."""
    return re.sub(r"\D", "", text)


def _forms(state: State) -> Iterator[tuple[str, str, str]]:
    """Domain, slot and form of every accepted form."""
    return ((domain, slot, form) for domain, slot, value in iterate_slots(state) for form in accepted(value))


def _normal(value: Value, slot: str) -> list[str]:
    return [normalise_value(form, slot) for form in accepted(value)]
