"""Fuzzy matching: what the model wrote, moved to the nearest thing the ontology knows.

``paper`` does what paper 1 does (arXiv 2506.08633, its evaluator's fuzzy pass): WRatio without threshold, so that every
value becomes a known one; all slots but time, leaveat, arriveby, people and stars.

``typed`` compares by slot type and leaves a value alone when nothing known is close, or two entries are equally close.
Its thresholds were chosen on corrupted SpokenWOZ and speech-aware MultiWOZ dev states: they put 69-72 % of the wrong
venue names right, and move 8 % of the names that the ontology lacks (WRatio without threshold: 80 % and 100 %).

In both, ``dontcare`` is no name and stays, and an empty list in the ontology marks an open slot, whose values pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rapidfuzz import fuzz, process, utils

from engine.dialogue import DONTCARE, Ontology, State, accepted, iterate_slots
from engine.postprocess.normalise import SlotType, normalise_slot, normalise_value, slot_type

FuzzyMode = Literal["paper", "typed"]

_PAPER_EXEMPT = {"time", "leaveat", "arriveby", "people", "stars"}
_TYPED_THRESHOLD: dict[SlotType, float] = {"code": 85.0, "text": 80.0}
_NAME_THRESHOLD = 70.0  # domains and slots; the authors' value for slots


@dataclass(frozen=True)
class Match:
    """One value compared with the ontology. Scores: 0 to 100; ``runner_up`` is None where only one value is known.

    ``value`` is what the state holds afterwards: the ontology's entry as written there if ``accepted``, else the heard
    value in normal form.
    """

    heard: str
    value: str
    score: float
    runner_up: str | None
    runner_up_score: float
    accepted: bool


class FuzzyMatcher:
    """Repairs states with an ontology; built once, it remembers every value it has compared.

    Args:
        ontology: the known domains, slots and values. One without domains repairs nothing: values are only normalised.
        mode: ``paper`` for figures comparable with paper 1, ``typed`` for work.
    """

    def __init__(self, ontology: Ontology, mode: FuzzyMode = "typed") -> None:
        if mode not in ("paper", "typed"):
            raise ValueError(f"fuzzy mode {mode!r} is neither 'paper' nor 'typed'")
        self.ontology = ontology
        self.mode = mode
        self._domains = {normalise_slot(domain): domain for domain in ontology.values}
        self._slots = {
            domain: {normalise_slot(slot): slot for slot in slots} for domain, slots in ontology.values.items()
        }
        self._entries = {
            (domain, slot): self._prepare(values, slot)
            for domain, slots in ontology.values.items()
            for slot, values in slots.items()
            if self._is_matched(slot)
        }
        self._memo: dict[tuple[str, str, str], Match] = {}

    def apply(self, state: State) -> tuple[State, dict[str, dict[str, Match]]]:
        """Repair names and values of a predicted state.

        A domain or slot the ontology lacks becomes the most similar one it has, or is dropped; a slot the model named
        properly wins over a repaired one. Values that are not matched come back in normal form, empty ones are dropped.

        Returns:
            The repaired state, names and entries spelled as in the ontology, and the matches made, by domain and slot.
        """
        repaired: State = {}
        matches: dict[str, dict[str, Match]] = {}
        exact: set[tuple[str, str]] = set()
        for heard_domain, heard_slot, forms in iterate_slots(state):
            heard = accepted(forms)[0]
            domain = _closest(heard_domain, self._domains)
            slot = None if domain is None else _closest(heard_slot, self._slots.get(domain, {}))
            if domain is None or slot is None or not normalise_value(heard, slot):
                continue
            if normalise_slot(heard_slot) == normalise_slot(slot):
                exact.add((domain, slot))
            elif (domain, slot) in exact:
                continue
            match = self.match(domain, slot, heard)
            repaired.setdefault(domain, {})[slot] = match.value if match else normalise_value(heard, slot)
            if match:
                matches.setdefault(domain, {})[slot] = match
        return repaired, matches

    def match(self, domain: str, slot: str, heard: str) -> Match | None:
        """Compare one value with the ontology's entries; None where nothing is compared (open slot, time, dontcare)."""
        entries = self._entries.get((domain, slot))
        if not entries or normalise_value(heard, slot) == DONTCARE:
            return None
        key = (domain, slot, heard)
        if key not in self._memo:
            self._memo[key] = self._compare(entries, slot, heard)
        return self._memo[key]

    def _is_matched(self, slot: str) -> bool:
        return (
            normalise_slot(slot) not in _PAPER_EXEMPT if self.mode == "paper" else slot_type(slot) in _TYPED_THRESHOLD
        )

    def _prepare(self, values: Iterable[str], slot: str) -> dict[str, str]:
        """Entries by the form they are compared in; of two that look alike the first stands for both."""
        entries: dict[str, str] = {}
        for value in values:
            entries.setdefault(value if self.mode == "paper" else normalise_value(value, slot), value)
        return entries

    def _compare(self, entries: dict[str, str], slot: str, heard: str) -> Match:
        forms, normal, kind = list(entries), normalise_value(heard, slot), slot_type(slot)
        if self.mode == "paper":
            scores = _scores(fuzz.WRatio, heard, forms, utils.default_process)
        else:
            scores = _typed_scores(normal, forms, kind)
        order = np.argsort(-scores, kind="stable")[:2]  # of equal entries the first leads, as in the authors' library
        best, second = (float(scores[index]) for index in (order[0], order[-1]))
        alone = len(order) == 1
        sure = self.mode == "paper" or (best >= _TYPED_THRESHOLD[kind] and (alone or best > second))
        return Match(
            heard=heard,
            value=entries[forms[order[0]]] if sure else normal,
            score=best,
            runner_up=None if alone else entries[forms[order[1]]],
            runner_up_score=0.0 if alone else second,
            accepted=sure,
        )


def _scores(scorer: Callable[..., float], value: str, forms: list[str], processor: Any = None) -> np.ndarray:
    return process.cdist([value], forms, scorer=scorer, processor=processor, dtype=np.float64)[0]


def _typed_scores(value: str, forms: list[str], kind: SlotType) -> np.ndarray:
    """Similarity of ``value`` to each form, by character: every digit of a code counts, and recognisers misspell names.

    Names are also said shortened ("acorn" for "acorn guest house"): if the words of a value all occur in a longer form,
    it scores 90.
    """
    scores = _scores(fuzz.ratio, value, forms)
    if kind == "text":
        longer = np.array([len(form) > len(value) for form in forms])
        scores = np.maximum(scores, 0.9 * longer * _scores(fuzz.token_set_ratio, value, forms))
    return scores


def _closest(name: str, known: dict[str, str]) -> str | None:
    """The known spelling of a domain or slot; None if none is similar. Where nothing is known, every name passes."""
    normal = normalise_slot(name)
    if not known or normal in known:
        return known.get(normal, name)
    found = process.extractOne(normal, list(known), scorer=fuzz.ratio, score_cutoff=_NAME_THRESHOLD)
    return known[found[0]] if found else None
