"""Scoring profiles: what counts as the same slot and the same value. A figure without its profile's name means nothing.

- ``strict``: our own normaliser on both sides, then equality;
- ``but``: paper 1's evaluator, github.com/BUTSpeechFIT/MultiWOZ_Evaluation at 513ab5b;
- ``mwzeval``: github.com/Tomiinek/MultiWOZ_Evaluation at 7f19ee0.

The last two agree with the published programs to the last digit, faults included; docs/scoring.md lists the faults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

from engine.dialogue import DONTCARE
from engine.postprocess.normalise import normalise_state
from engine.postprocess.wratio import partial_ratio
from engine.scoring import aliases

Slot = tuple[str, str]
Values = dict[Slot, Any]

_NAME_SLOTS = ("name", "destination", "departure")
_TIME_SLOTS = ("arrive", "leave", "arriveby", "leaveat", "time")
_FREE_SLOTS = ("parking", "internet")
_PUNCTUATION = str.maketrans("", "", "'’()\\")


class StateError(ValueError):
    """A state a profile cannot score. ``domain`` and ``slot`` say where in it, as written there."""

    def __init__(self, reason: str, domain: str | None = None, slot: str | None = None) -> None:
        super().__init__(reason)
        self.domain, self.slot = domain, slot


class Profile(Protocol):
    """How states become comparable, and when two values count as one.

    ``margin`` is what the published programs add to each divisor so as never to divide by zero. With ``skips_missing``
    the predictions decide what is scored: a dialogue or turn they lack is not counted. ``has_ser`` is False where the
    original defines no slot error rate.
    """

    name: str
    margin: float
    skips_missing: bool
    has_ser: bool

    def gold(self, state: Any) -> Values:
        """A reference state as flat, comparable values. Raises StateError."""

    def predicted(self, state: Any) -> Values:
        """A predicted state as flat, comparable values. Raises StateError."""

    def same(self, predicted: Any, gold: Any) -> bool:
        """Whether the value is right: what JGA and SER count."""

    def credited(self, predicted: Any, gold: Any) -> bool:
        """Whether the value is right for slot precision, recall and F1."""


class Strict:
    """Names and values in normal form; a gold value of several accepted forms is met by any of them."""

    name = "strict"
    margin = 0.0
    skips_missing = False
    has_ser = True

    def gold(self, state: Any) -> Values:
        normal = normalise_state(_texts(state))
        return {
            (domain, slot): [forms] if isinstance(forms, str) else forms
            for domain, slots in normal.items()
            for slot, forms in slots.items()
        }

    def predicted(self, state: Any) -> Values:
        return {slot: forms[0] for slot, forms in self.gold(state).items()}

    def same(self, predicted: str, gold: list[str]) -> bool:
        return predicted in gold

    credited = same


class But:
    """Paper 1's evaluator. Exact values for JGA and SER; for precision, recall and F1 any likeness at all will do."""

    name = "but"
    margin = 1e-10
    skips_missing = True
    has_ser = True

    def gold(self, state: Any) -> Values:
        return self._values(_first_forms(state), numbers=False)

    def predicted(self, state: Any) -> Values:
        return self._values(state, numbers=True)

    def same(self, predicted: str, gold: str) -> bool:
        return predicted == gold

    def credited(self, predicted: str, gold: str) -> bool:
        return _similarity(predicted, gold) > 0.95  # of 100: the original's threshold is a hundred times too low

    def _values(self, state: Any, numbers: bool) -> Values:
        values: Values = {}
        for domain, slots in _domains(state):
            normal: dict[str, str] = {}
            for name, value in slots.items():
                if isinstance(value, int) and numbers:
                    value = str(value)
                if not isinstance(value, str):
                    raise StateError(f"holds {_json_kind(value)} where text is needed", domain, name)
                slot = name.lower().replace(" ", "")
                normal[slot] = _but_value(slot, value)
            for slot, value in normal.items():  # only now: the original normalises `booktime` as no time slot
                values[domain, slot.removeprefix("book")] = value
        return values


class MwzEval:
    """Tomiinek's evaluator: values are the same if fuzzywuzzy's partial ratio is above 95; it has no slot error rate.

    Args:
        without_dontcare: leave slots that are ``dontcare`` out of the reference, as its own loader of MultiWOZ 2.2 does.
    """

    name = "mwzeval"
    margin = 1e-10
    skips_missing = True
    has_ser = False

    def __init__(self, without_dontcare: bool = False) -> None:
        self.without_dontcare = without_dontcare

    def gold(self, state: Any) -> Values:
        if self.without_dontcare:
            state = {
                domain: {slot: value for slot, value in slots.items() if DONTCARE not in _as_list(value)}
                for domain, slots in _domains(state)
            }
        return self.predicted(_first_forms(state))

    def predicted(self, state: Any) -> Values:
        values: Values = {}
        for domain, slots in _domains(state):
            for name, value in slots.items():
                slot = name.lower().replace(" ", "")
                slot = {"arriveby": "arrive", "leaveat": "leave"}.get(slot, slot)
                try:
                    values[domain, slot] = _mwzeval_value(slot, value)
                except AttributeError:
                    raise StateError(f"holds {_json_kind(value)} where text is needed", domain, name) from None
                except ValueError:
                    raise StateError(f"holds a time that is none, {value!r}, at which the original stops", domain, name) from None
        return values

    def same(self, predicted: Any, gold: Any) -> bool:
        if predicted is None or gold is None:
            return False
        if predicted == gold:
            return True
        for value in (predicted, gold):
            if isinstance(value, bool | int | float):
                raise StateError(f"holds {_json_kind(value)}, which the original cannot compare with text")
        return bool(predicted and gold) and _similarity(str(predicted), str(gold)) > 95

    credited = same


STRICT = Strict()
PROFILES: Mapping[str, Profile] = {"strict": STRICT, "but": But(), "mwzeval": MwzEval()}

_similarity = lru_cache(maxsize=1 << 16)(partial_ratio)


@lru_cache(maxsize=1 << 16)
def _but_value(slot: str, value: str) -> str:
    value = value.lower().translate(_PUNCTUATION)
    if slot in _NAME_SLOTS:
        name = _name(value).replace("bed and breakfast", "b and b")
        return aliases.BUT_NAMES.get(name, name)
    if slot in _TIME_SLOTS:
        return _but_time(value.strip())
    return _other(slot, value)


def _but_time(time: str) -> str:
    """A blank before am and pm, one leading zero less. The original's further rules stand behind its return."""
    for half in ("am", "pm"):
        if found := re.search(rf"\d{half}", time):
            # the original puts the digit it found first in place of all
            time = re.sub(rf"\d{half}", found[0].replace(half, f" {half}"), time)
    return time[1:] if len(time) > 1 and time[0] == "0" and time[1] != ":" else time


def _mwzeval_value(slot: str, value: Any) -> Any:
    if slot in _NAME_SLOTS:
        name = _name(value)
        return aliases.NAMES.get(name, name)
    return _mwzeval_time(value.strip().lower()) if slot in _TIME_SLOTS else _other(slot, value)


def _mwzeval_time(time: str) -> str:
    """``HH:MM``, mostly: twelve hours are added to every pm, 12:30 pm included; am is only taken away."""
    if time in aliases.TIMES:
        return aliases.TIMES[time]
    for beginning, known in aliases.TIME_BEGINNINGS.items():
        if time.startswith(beginning):
            return known
    if time.startswith("by"):
        time = time[3:]
    for word in ("after", "afer"):
        if time.startswith(word):
            time = time[len(word) :].strip()
    for half in ("am", "a.m."):
        if time.endswith(half):
            time = time[: -len(half)].strip()
    if time.endswith(("pm", "p.m.")):
        for half in ("pm", "p.m."):
            if time.endswith(half):
                time = time[: -len(half)].strip()
        hour, *minutes = time.split(":")
        if len(minutes) == 1:
            return f"{int(hour) + 12}:{minutes[0]}"
        if not minutes and hour.isdigit():
            return f"{int(hour) + 12}:00"
    if not time:
        return "00:00"
    if time[-1] in ".,?":
        time = time[:-1]
    if time.isdigit():
        return f"{time[:2]}:{time[2:]}" if len(time) == 4 else time.zfill(2) + ":00"
    if ":" in time:
        time = time.replace(" ", "")
    if len(time) == 4 and time[1] == ":":
        hour, *rest = time.split(":")
        return f"{hour.zfill(2)}:{rest[0]}"
    return time


def _name(value: str) -> str:
    return value.strip().lower().replace(" & ", " and ").replace("&", " and ").replace(" '", "'")


def _other(slot: str, value: Any) -> Any:
    """The rules both evaluators share for the remaining slots."""
    if slot == "type":
        return aliases.TYPES.get(value, value) if isinstance(value, str) else value
    if slot == "food":
        food = value.strip().lower()
        return aliases.FOODS.get(food, food)
    return "yes" if slot in _FREE_SLOTS and value == "free" else value


def _domains(state: Any) -> list[tuple[str, dict[str, Any]]]:
    """A state's domains with their slots. Raises StateError."""
    if not isinstance(state, dict):
        raise StateError(f"the state must be an object of domains, not {_json_kind(state)}")
    for domain, slots in state.items():
        if not isinstance(slots, dict):
            raise StateError(f"a domain must hold an object of slots, not {_json_kind(slots)}", domain)
    return list(state.items())


def _texts(state: Any) -> dict[str, dict[str, Any]]:
    """The state with numbers written as text. Raises StateError at anything but texts, whole numbers and lists of texts."""
    result: dict[str, dict[str, Any]] = {}
    for domain, slots in _domains(state):
        result[domain] = {}
        for slot, value in slots.items():
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if (not value and isinstance(value, list)) or not all(isinstance(form, str) for form in _as_list(value)):
                raise StateError(f"must hold text or a list of texts, not {_json_kind(value)}", domain, slot)
            result[domain][slot] = value
    return result


def _first_forms(state: Any) -> dict[str, dict[str, Any]]:
    """The state with the first of several accepted forms, as the published reference files are made."""
    return {
        domain: {slot: value[0] if isinstance(value, list) and value else value for slot, value in slots.items()}
        for domain, slots in _domains(state)
    }


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _json_kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
