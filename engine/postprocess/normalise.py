"""One normaliser for values: model output, gold states, ontology entries and people's typing obey the same rules.

Rules, in order, each for a difference that carries no meaning in a dialogue state:

1. Unicode compatibility form, case folded, accents removed ("Lutèce" -> "lutece": a recogniser writes either).
2. Apostrophes, brackets and backslashes removed, as paper 1's evaluator does ("Kettle'S Yard" and "kettle 's yard"
   -> "kettles yard"); "&" -> "and"; white space collapsed; punctuation at both ends removed.
3. British spelling, which the public corpora use: "center" -> "centre", "theater" -> "theatre".
4. Ways of saying that anything will do -> ``dontcare``.
5. By slot: times -> 24-hour ``HH:MM``; counts -> digits; codes lose the blanks and hyphens of being read out in groups;
   "free" parking or internet -> "yes"; compounds of the ``type`` slot joined ("guest house" -> "guesthouse").

Every rule is idempotent: normalising twice changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal

from engine.dialogue import DONTCARE, State, accepted

SlotType = Literal["time", "count", "code", "text"]

# How the corpora name one slot: some systems write `leave`, DSTC11's test reference `bookday`, WOZ 2.0 `price range`.
_SLOT_ALIASES = {"leave": "leaveat", "arrive": "arriveby"} | {f"book{slot}": slot for slot in ("day", "people", "stay", "time")}
_TIME_SLOTS = ("time", "leaveat", "arriveby")
_COUNT_SLOTS = ("people", "stars", "stay", "size", "numberofseats", "numberofrooms", "numberofdays")
_CODE_MARKS = ("phone", "idnumber", "plate", "email", "postcode", "zipcode", "reference")

_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: str(number) for number, word in enumerate(_COUNTED)}
_SPELLINGS = {"center": "centre", "theater": "theatre"}
_COMPOUNDS = {"guest house": "guesthouse", "night club": "nightclub", "concert hall": "concerthall"}
_DONTCARE = {
    *(DONTCARE, "dont care", "do nt care", "do not care", "doesnt matter", "does nt matter", "does not matter"),
    *("any", "anything", "anywhere", "no preference"),
}
_NAMED_TIMES = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}
_TIME = re.compile(
    r"(?:(?:at|by|after|before) )?"
    r"(?:(?P<hour>\d{1,2})(?: ?[:.] ?(?P<minute>\d\d))?|(?P<packed>\d{3,4}))"
    r" ?(?:(?P<half>[ap])\.? ?m|(?P<clock>o ?clock))?"
)


def slot_type(slot: str) -> SlotType:
    """What kind of value a slot holds, told from its name; the type decides how values are normalised and compared."""
    slot = normalise_slot(slot)
    if slot.endswith(_TIME_SLOTS):
        return "time"
    if slot.endswith(_COUNT_SLOTS):
        return "count"
    return "code" if any(mark in slot for mark in _CODE_MARKS) else "text"


def normalise_slot(name: str) -> str:
    """A domain's or slot's name in one spelling: lower case, without blanks or underscores, corpus variants joined."""
    name = re.sub(r"[\s_]+", "", name.lower())
    return _SLOT_ALIASES.get(name, name)


@lru_cache(maxsize=1 << 16)
def normalise_value(value: str, slot: str = "") -> str:
    """One value in the normal form described above; ``slot`` (without its domain) switches on the rules of its type.

    The result may be empty: the value said nothing.
    """
    value = _plain(value)
    if value in _DONTCARE:
        return DONTCARE
    kind = slot_type(slot)
    if kind == "time":
        return _time(value)
    if kind == "count":
        return _NUMBERS.get(value, value)
    if kind == "code":
        return re.sub(r"\s" if "@" in value else r"[\s-]", "", value)
    slot = normalise_slot(slot)
    if slot in ("parking", "internet") and value == "free":
        return "yes"
    return _COMPOUNDS.get(value, value) if slot == "type" else value


def normalise_state(state: State) -> State:
    """The state with names and values in normal form.

    A value of several accepted forms stays a list unless they become one. Slots that say nothing (an empty value,
    MultiWOZ's "not mentioned") and domains without slots are left out; of two spellings of one slot the later wins.
    """
    result: State = {}
    for domain, slots in state.items():
        for slot, value in slots.items():
            forms = dict.fromkeys(normalise_value(form, slot) for form in accepted(value))
            said = [form for form in forms if form not in ("", "not mentioned")]
            if said:
                result.setdefault(normalise_slot(domain), {})[normalise_slot(slot)] = said if len(said) > 1 else said[0]
    return result


def _plain(value: str) -> str:
    decomposed = unicodedata.normalize("NFKD", value.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    text = unicodedata.normalize("NFC", bare.casefold())
    text = re.sub(r"\s+['’`](?=s\b)", "", text)  # tokenised text parts the genitive: "rosa 's"
    text = re.sub(r"['’`()\\]", "", text).replace("&", " and ")
    words = text.split()
    return " ".join(_SPELLINGS.get(word, word) for word in words).strip(" .,;:!?")


def _time(value: str) -> str:
    """``HH:MM`` if the whole value is a time of day, else the value as it is; a bare "5" is left alone."""
    if value in _NAMED_TIMES:
        return _NAMED_TIMES[value]
    match = _TIME.fullmatch(value)
    if not match or not (match["minute"] or match["packed"] or match["half"] or match["clock"]):
        return value
    digits = match["packed"] or match["hour"] + (match["minute"] or "00")
    hour, minute = int(digits[:-2]), int(digits[-2:])
    if match["half"] and hour <= 12:
        hour = hour % 12 + (12 if match["half"] == "p" else 0)
    return f"{hour:02}:{minute:02}" if hour < 24 and minute < 60 else value
