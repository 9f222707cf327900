"""Links from a number to the turns it was counted on: the page's address after ``#`` holds what the list shows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from markupsafe import Markup

Filters = dict[str, str | int]


def rounded(share: float) -> float:
    """A sum of shares as the page's script rounds it: it adds in another order."""
    return math.floor(share * 1e6 + 0.5) / 1e6


@dataclass(frozen=True)
class Link:
    """A filter of the list of turns, and what the list must then count; the page's script reads both (`assets/page.js`).

    The keys of ``filters`` are those of the filter form; the keys of ``counts`` are those of the list's own sums, as
    "turns", "right" or "deletions"; those of word shares are rounded, see `rounded`.
    """

    filters: Filters = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)

    @property
    def href(self) -> str:
        return "#" + urlencode(self.filters or {"status": ""})

    def attribute(self) -> Markup:
        """What the list must count, for the tests that follow every link."""
        return Markup(' data-counts="{}"').format(json.dumps(dict(self.counts))) if self.counts else Markup("")
