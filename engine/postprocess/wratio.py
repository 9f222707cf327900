"""Similarity as fuzzywuzzy 0.18 with python-Levenshtein gives it: whole numbers from 0 to 100.

Both published evaluators decide with it, and rapidfuzz is not the same in two ways that change their figures: it does
not round, and its ``partial_ratio`` tries every window of the longer string where fuzzywuzzy tries only those at which
a block of an edit path begins. So the measure is composed here from rapidfuzz's edit operations, and
`extract` uses rapidfuzz's own ``WRatio``, which is never smaller, to decide which entries are worth composing it for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from rapidfuzz import fuzz, process
from rapidfuzz.distance import Indel, Levenshtein

_SLACK = 1.5  # fuzzywuzzy rounds twice on the way, and takes more than 99.5 for 100
_LATIN_1 = dict.fromkeys(range(128, 256))
_NOT_A_WORD = re.compile(r"\W")


@lru_cache(maxsize=256)  # WRatio compares names of one word three times
def ratio(first: str, second: str) -> int:
    """Twice the characters in common, in order, by all characters; 0 where one string is empty and the other is not."""
    if first == second:
        return 100
    if not first or not second:
        return 0
    return round(100 * Indel.normalized_similarity(first, second))


@lru_cache(maxsize=256)
def partial_ratio(first: str, second: str) -> int:
    """`ratio` of the shorter string with the windows of the longer one that matching blocks point to; the best of them."""
    if first == second:
        return 100
    if not first or not second:
        return 0
    shorter, longer = (first, second) if len(first) <= len(second) else (second, first)
    best = 0.0
    for block in Levenshtein.opcodes(shorter, longer).as_matching_blocks():
        start = max(block.b - block.a, 0)
        similarity = Indel.normalized_similarity(shorter, longer[start : start + len(shorter)])
        if similarity > 0.995:
            return 100
        best = max(best, similarity)
    return round(100 * best)


def wratio(first: str, second: str) -> int:
    """fuzzywuzzy's WRatio of two strings that `simplify` has seen."""
    if not first or not second:
        return 0
    lengths = max(len(first), len(second)) / min(len(first), len(second))
    whole = ratio(first, second)
    if lengths < 1.5:
        return round(max(whole, 0.95 * _sorted_words(first, second, ratio), 0.95 * _common_words(first, second, ratio)))
    scale = 0.6 if lengths > 8 else 0.9
    words = max(_sorted_words(first, second, partial_ratio), _common_words(first, second, partial_ratio))
    return round(max(whole, partial_ratio(first, second) * scale, words * 0.95 * scale))


def simplify(text: str) -> str:
    """Letters, digits and underscores in lower case; Latin-1 letters with accents vanish, everything else separates words."""
    return _lower_words(text.translate(_LATIN_1))


def simplify_query(text: str) -> str:
    """As `simplify`, but lower case first: fuzzywuzzy treats what it looks for twice, what it compares it with once."""
    return simplify(_lower_words(text))


def extract(query: str, entries: Sequence[str], bounds: np.ndarray) -> list[tuple[int, int]]:
    """The two entries most similar to a query: [(index, score), ...], the best first, of equal ones the first.

    Args:
        query: as `simplify_query` gives it.
        entries: as `simplify` gives them; not empty.
        bounds: rapidfuzz's WRatio of each, from `upper_bounds`.
    """
    if not query:  # nothing is like nothing: the first entry it is
        return [(index, 0) for index in range(min(2, len(entries)))]
    found: list[tuple[int, int]] = []
    for index in np.argsort(-bounds, kind="stable"):
        if len(found) > 1 and bounds[index] + _SLACK < found[1][1]:
            break
        found = sorted([*found, (int(index), wratio(query, entries[index]))], key=lambda item: (-item[1], item[0]))[:2]
    return found


def upper_bounds(queries: Sequence[str], entries: Sequence[str]) -> np.ndarray:
    """rapidfuzz's WRatio, (queries, entries): with `_SLACK` added never smaller than `wratio`."""
    return process.cdist(queries, entries, scorer=fuzz.WRatio, dtype=np.float32, workers=-1)


def _lower_words(text: str) -> str:
    return _NOT_A_WORD.sub(" ", text).lower().strip()


def _sorted_words(first: str, second: str, compare: Callable[[str, str], int]) -> int:
    return compare(" ".join(sorted(first.split())), " ".join(sorted(second.split())))


def _common_words(first: str, second: str, compare: Callable[[str, str], int]) -> int:
    """The words both have, alone and followed by each side's others: the best of the three comparisons."""
    if first == second:
        return 100
    mine, theirs = set(first.split()), set(second.split())
    common = " ".join(sorted(mine & theirs))
    one, other = (" ".join([common, *sorted(rest)]).strip() for rest in (mine - theirs, theirs - mine))
    return max(compare(common, one), compare(common, other), compare(one, other))
