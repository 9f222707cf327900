"""The spoken form of written text: what a person says, lower-case, no punctuation but the apostrophe.

Transcripts are normalised as the spoken DST papers do (punctuation except ' removed); numbers, times, prices, dates,
phone and reference numbers are read out. Where people read the same thing in several ways, a seed decides: a corpus is
varied and still the same on every run. Dialogue state values are not touched: they stay in their written form.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

Match = re.Match[str]

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH = "|".join(_MONTHS) + "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
_CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "pence"), "€": ("euro", "cent")}
_ADDRESS = (
    r"(?:\s+\w+){0,3}\s+(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|way|court|ct|place|pl|plaza|"
    r"parkway|highway|terrace|circle)\b"
)  # what follows a house number
_ABBREVIATIONS = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miss",
    "dr": "doctor",
    "rd": "road",
    "ave": "avenue",
    "blvd": "boulevard",
    "ln": "lane",
    "approx": "approximately",
    "dept": "department",
    "etc": "et cetera",
    "vs": "versus",
    "ok": "okay",
    "w/": "with",
    "min": "minutes",
    "mins": "minutes",
    "hr": "hour",
    "hrs": "hours",
}
_STATES = {
    "AZ": "arizona",
    "CA": "california",
    "GA": "georgia",
    "IL": "illinois",
    "MD": "maryland",
    "NSW": "new south wales",
    "NV": "nevada",
    "NY": "new york",
    "OR": "oregon",
    "PA": "pennsylvania",
    "TX": "texas",
    "WA": "washington",
}
_SPELLED = "ATM|BA|DC|FM|ID|LA|LAX|NYC|SFO|UA|UK|US|USA"  # initialisms; capitals without a vowel are spelled anyway


def normalise_transcript(text: str) -> str:
    """Lower-case, accents dropped, punctuation except ' removed, single spaces. Numbers stay as they are."""
    text = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'").replace("`", "'"))
    text = "".join(char for char in text if not unicodedata.combining(char)).lower()
    text = re.sub(r"[^\w\s']|_", " ", text)
    text = re.sub(r"(?<!\w)'+|'+(?!\w)", " ", text)  # quotation marks; an apostrophe stands inside a word
    return " ".join(text.split())


def to_spoken(text: str, seed: int | str = 0) -> str:
    """``text`` as a person would say it, normalised like `normalise_transcript`.

    Args:
        seed: chooses among several readings ("17:45": "seventeen forty five", "quarter to six in the evening", ...).
            The same text and seed always give the same words.

    Returns:
        Lower-case words (a-z, ', and letters of other scripts), single spaces; no digits.
    """
    return _read_out(text, _RULES, random.Random(f"{seed}|{text}"))


def comparable(text: str) -> str:
    """The form in which transcripts, reference or recognised, are compared: spoken, with one reading for every number.

    So a number is as far from the same number as its words are, whatever else is said; case, blanks and final stops do
    not count. It is for comparing alone: what is spoken or trained on is `to_spoken`.
    """
    return _read_out(" ".join(text.lower().split()), [rule for rule in _RULES if rule not in _BY_CONTEXT], _First())


def _read_out(text: str, rules: Iterable[Rule], rng: random.Random) -> str:
    text = _untokenise(unicodedata.normalize("NFKC", text))
    for pattern, read in rules:
        text = pattern.sub(lambda match, read=read: f" {read(match, rng)} ", text)  # type: ignore[misc]
    # once more, for what punctuation tore apart ("don;t"): the spoken form of the spoken form is itself
    return normalise_transcript(_untokenise(normalise_transcript(text)))


class _First(random.Random):
    """Draws nothing: of several readings it takes the first."""

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def random(self) -> float:
        return 1.0


def number_words(number: int) -> str:
    """A cardinal from 0 up: 126 is "one hundred twenty six"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")
    for scale, name in _SCALES:
        if number >= scale:
            head, rest = divmod(number, scale)
            return f"{number_words(head)} {name}" + (f" {number_words(rest)}" if rest else "")
    raise AssertionError("every number from 100 up has a scale")


def ordinal_words(number: int) -> str:
    """An ordinal from 0 up: 21 is "twenty first"."""
    *head, last = number_words(number).split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*head, last])


def _untokenise(text: str) -> str:
    """Undo the spaces tokenised corpora put into words ("does n't", "john 's") and mend quotes used as apostrophes."""
    text = re.sub(r"[’‘`]", "'", text)
    text = re.sub(r"(?<=\bo)\"(?=\s*clock)", "'", text, flags=re.I)
    text = re.sub(r"\s+(n't|'(?:s|d|m|re|ve|ll|clock))\b", r"\1", text, flags=re.I)
    text = re.sub(r"\b(that|what|it|there|here|where|who|how|let) s\b", r"\1's", text, flags=re.I)
    text = re.sub(r"\b(do|does|did|is|was|are|would|could|should|ca|wo)n t\b", r"\1n't", text, flags=re.I)
    return re.sub(r"\b(can|gon|wan)\s(not|na)\b(?<!can na)", r"\1\2", text, flags=re.I)


def _digits(text: str, rng: random.Random) -> str:
    """Letters and digits one by one, as phone, reference and postcode are read; nought is read one way throughout."""
    nought = rng.choice(("zero", "oh"))
    doubles = rng.random() < 0.3
    chars = [char for char in text if char.isalnum()]
    words: list[str] = []
    index = 0
    while index < len(chars):
        char = chars[index]
        word = (nought if int(char) == 0 else _ONES[int(char)]) if char.isdecimal() else char
        twice = doubles and char.isdecimal() and chars[index : index + 2] == [char, char]
        words.append(f"double {word}" if twice else word)
        index += 2 if twice else 1
    return " ".join(words)


def _pairs(number: str) -> str:
    """House numbers and years: 1202 is "twelve oh two", 726 is "seven twenty six", 1900 "nineteen hundred"."""
    head, tail = int(number[:-2]), int(number[-2:])
    if tail == 0:
        return f"{number_words(head)} hundred"
    return f"{number_words(head)} {'oh ' if tail < 10 else ''}{number_words(tail)}"


def _time(match: Match, rng: random.Random) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    half = (match["half"] or "")[:1].lower()
    if hour > 23 or minute > 59:
        return f"{number_words(hour)} {number_words(minute)}"
    half_said = bool(half) or bool(re.match(r"\s*(in the|at night|o'?clock)", match.string[match.end() :], re.I))
    on_24_hours = hour > 12 or match["hour"].startswith("0")
    suffix = f" {half} m" if half else ""
    readings = [_clock(hour, minute, bool(suffix)) + suffix]
    if on_24_hours and not half_said:
        readings = [_clock(hour, minute, False), f"{_clock(_hour12(hour), minute, True)} {'p' if hour > 11 else 'a'} m"]
    elif on_24_hours and half:
        readings = [_clock(_hour12(hour), minute, True) + suffix]
    if fraction := _fraction(hour, minute):
        day_part = "" if half_said or not on_24_hours else f" in the {_day_part(hour)}"
        readings.append(fraction + suffix + day_part)
    return rng.choice(readings)


def _clock(hour: int, minute: int, half_follows: bool) -> str:
    if minute == 0:
        if half_follows:
            return number_words(hour)
        return f"{number_words(hour)} hundred" if hour > 12 else f"{number_words(_hour12(hour))} o'clock"
    return f"{number_words(hour)} {'oh ' if minute < 10 else ''}{number_words(minute)}"


def _fraction(hour: int, minute: int) -> str:
    next_hour = number_words(_hour12(hour + 1))
    this_hour = number_words(_hour12(hour))
    return {15: f"quarter past {this_hour}", 30: f"half past {this_hour}", 45: f"quarter to {next_hour}"}.get(minute, "")


def _hour12(hour: int) -> int:
    return (hour - 1) % 12 + 1


def _day_part(hour: int) -> str:
    return "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"


def _hour_half(match: Match, rng: random.Random) -> str:
    return f"{number_words(int(match['hour']))} {match['half'][0].lower()} m"


def _price(match: Match, rng: random.Random) -> str:
    whole = int(match["whole"].replace(",", ""))
    unit, cents_unit = _CURRENCIES[match["sign"]]
    cents = int(match["cents"] or 0)
    if not cents:
        return f"{number_words(whole)} {unit}{'' if whole == 1 else 's'}"
    exact = f"{number_words(whole)} {unit}{'' if whole == 1 else 's'} and {number_words(cents)} "
    exact += cents_unit if cents_unit == "pence" or cents == 1 else f"{cents_unit}s"
    return rng.choice((exact, f"{number_words(whole)} {'oh ' if cents < 10 else ''}{number_words(cents)}"))


def _date(match: Match, rng: random.Random) -> str:
    month, day = int(match["month"]), int(match["day"])
    if month > 12 and day <= 12:
        month, day = day, month  # 14/3: the day comes first
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return f"{number_words(month)} {number_words(day)}" + (f" {_pairs(match['year'])}" if match["year"] else "")
    name = _MONTHS[month - 1]
    said = rng.choice((f"{name} {ordinal_words(day)}", f"the {ordinal_words(day)} of {name}"))
    return said + (f" {_year(match['year'])}" if match["year"] else "")


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3].lower()))


def _year(year: str) -> str:
    return number_words(int(year)) if year.startswith("200") else _pairs(year)


def _decimal(match: Match, rng: random.Random) -> str:
    whole, rest = number_words(int(match["whole"].replace(",", ""))), match["rest"]
    return whole if set(rest) == {"0"} else f"{whole} point {' '.join(_ONES[int(digit)] for digit in rest)}"


def _mixed(match: Match, rng: random.Random) -> str:
    """A token of letters and digits: a reference or postcode is spelled; "2tickets" is a slip of the space bar."""
    token = match[0]
    slip = re.fullmatch(r"(\d{1,2})([a-z]{3,})", token)
    return f"{number_words(int(slip[1]))} {slip[2]}" if slip else _digits(token, rng)


def _spell(match: Match, rng: random.Random) -> str:
    return " ".join(char for char in match[0] if char.isalnum())


def _plain(match: Match, rng: random.Random) -> str:
    digits = match[0].replace(",", "")
    if (len(digits) > 4 and "," not in match[0]) or (len(digits) > 1 and digits[0] == "0") or len(digits) > 12:
        return _digits(digits, rng)  # nobody reads a phone number as a quantity
    return number_words(int(digits))


Reader = Callable[[Match, random.Random], str]
Rule = tuple[re.Pattern[str], Reader]
_HALF = r"(?P<half>[ap]\.?\s?m\b\.?)"


def _rule(pattern: str, read: Reader, flags: int = re.I) -> Rule:
    return re.compile(pattern, flags | re.A), read


def _phone(match: Match, rng: random.Random) -> str:
    return _digits(match[0], rng)


def _month_day(match: Match, rng: random.Random) -> str:
    return f"{_month(match['name'])} {ordinal_words(int(match['day']))}"


def _abbreviation(match: Match, rng: random.Random) -> str:
    return _ABBREVIATIONS[match[0].lower().rstrip(".")]


def _words(form: str) -> Reader:
    """The same words for every match; ``\\1`` stands for a group."""
    return lambda match, rng: match.expand(form)


# What a number is called by the words around it.
_TIME_OF_FOUR_DIGITS = _rule(rf"\b(at|by|after|before|around)\s+([01]\d|2[0-3])([0-5]\d)\b(?!{_ADDRESS})", _words(r"\1 \2:\3"))
_HOUSE_NUMBER = _rule(rf"\b\d{{3,4}}\b(?={_ADDRESS})", lambda m, r: _pairs(m[0]))
_BY_CONTEXT = (_TIME_OF_FOUR_DIGITS, _HOUSE_NUMBER)

# From the specific to the general: a later rule sees only what the earlier ones left.
_RULES: tuple[Rule, ...] = (
    _rule(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", lambda m, r: m[0].replace("@", " at ").replace(".", " dot ")),
    _rule(r"\bwww\.[\w.-]+\b|\b[a-z][\w-]*\.(?:com|org|net|co\.uk)\b", lambda m, r: m[0].replace(".", " dot ")),
    _rule(r"([$£€]\s?\d+(?:\.\d{2})?)\s?-\s?(?=[$£€]?\d)", _words(r"\1 to ")),
    _rule(r"(?P<sign>[$£€])\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.(?P<cents>\d{2}))?(?![\d.]*\d)", _price),
    _TIME_OF_FOUR_DIGITS,
    _rule(rf"(?<![\d:])(?P<hour>\d{{1,2}})\s?:\s?(?P<minute>\d{{2}})(?!\d)\s*{_HALF}?", _time),
    _rule(rf"(?<![\d.])(?P<hour>\d{{1,2}})\.(?P<minute>\d{{2}})\s*{_HALF}", _time),
    _rule(rf"(?<![\d.:])(?P<hour>\d{{1,2}})\s*{_HALF}", _hour_half),
    _rule(r"(?<![\d/])(?P<month>\d{1,2})/(?P<day>\d{1,2})(?:/(?P<year>\d{4}))?(?![\d/])", _date),
    _rule(r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b", _date),
    _rule(r"\b(\d{1,9})\s?(?:st|nd|rd|th)\b", lambda m, r: ordinal_words(int(m[1]))),
    _rule(rf"\b(?P<name>{_MONTH})\.?\s+(?P<day>\d{{1,2}})\b(?!\s?:)", _month_day),
    _rule(r"(?<![\d-])\+?\(?\d{2,5}\)?(?:[\s-]\d{2,7}){1,4}(?![\d-])(?<=\d{4})", _phone),
    _HOUSE_NUMBER,
    _rule(r"\b(?:19|20)\d{2}\b", lambda m, r: _year(m[0])),
    _rule(r"(?<![\w.])(?P<whole>\d{1,3}(?:,\d{3})+|\d{1,9})\.(?P<rest>\d+)(?![\w.]*\d)", _decimal),
    _rule(r"\b(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]+\b", _mixed),
    _rule(rf"(?<=,)\s*(?:{'|'.join(_STATES)})\b", lambda m, r: _STATES[m[0].strip()], 0),
    _rule(rf"\b(?:{_SPELLED}|[BCDFGHJKLMNPQRSTVWXZ]{{2,5}})\b", _spell, 0),
    _rule(r"\b(?:[A-Za-z]\.){2,}", _spell),
    _rule(rf"\b({'|'.join(_ONES)}|thirty|forty|fifty|o'clock)\s+([ap])m\b", _words(r"\1 \2 m")),
    _rule(r"\bSt\.?(?=\s+[A-Z])", _words("saint"), 0),
    _rule(r"\bst\b\.?", _words("street")),
    _rule(rf"(?<!\w)(?:{'|'.join(_ABBREVIATIONS)})(?!\w)\.?", _abbreviation),
    _rule(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+", _plain),
    _rule(r"&", _words("and")),
    _rule(r"%", _words("percent")),
    _rule(r"#", _words("number")),
    _rule(r"\+", _words("plus")),
)
