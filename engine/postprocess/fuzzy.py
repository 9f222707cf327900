"""Fuzzy matching: what the model wrote, moved to the nearest thing the ontology knows.

``paper`` does what paper 1's evaluator does, to the last digit (see `engine.postprocess.paper`): every value becomes a
known one, and a wrong slot name may push out a right one.

``typed`` is for work. It compares by slot type and leaves a value alone when nothing known is close. Where two entries are
equally close it asks which the audio supports, if it can (`Support`), else it leaves the value alone too. ``dontcare``
is no name and stays. An empty list in the ontology marks an open slot, whose values pass.
Its thresholds were chosen on corrupted SpokenWOZ and speech-aware MultiWOZ dev states; docs/scoring.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from rapidfuzz import fuzz, process

from engine.dialogue import DONTCARE, Ontology, State
from engine.postprocess import paper, wratio
from engine.postprocess.normalise import SlotType, normalise_slot, normalise_value, slot_type

FuzzyMode = Literal["paper", "typed"]

# How much the audio supports each candidate value of (domain, slot): any scores, the more the better; None if it cannot tell.
Support = Callable[[str, str, Sequence[str]], Sequence[float] | None]

_THRESHOLD: dict[SlotType, float] = {"code": 85.0, "text": 80.0}
_NAME_THRESHOLD = 70.0  # domains and slots; the authors' value for slots
_NEAR_TIE = 3.0  # points: entries this close to the best are asked about, one letter of a long name


class MatchError(ValueError):
    """A value that cannot be compared. ``domain`` and ``slot`` say where."""

    def __init__(self, reason: str, domain: str, slot: str | None = None) -> None:
        super().__init__(reason)
        self.domain, self.slot = domain, slot


@dataclass(frozen=True)
class Match:
    """One value compared with the ontology. Scores: 0 to 100; ``runner_up`` is None where only one value is known.

    ``value`` is what the state holds afterwards: the ontology's entry as written there if ``accepted``, else the heard
    value in normal form. ``tied`` are the entries that are as close as the best, or nearly, and ``tied_scores`` how close;
    ``by_audio`` says that the audio chose among them, ``runner_up`` is then the closest of the others.
    """

    heard: str
    value: str
    score: float
    runner_up: str | None
    runner_up_score: float
    accepted: bool
    tied: tuple[str, ...] = ()
    by_audio: bool = False
    tied_scores: tuple[float, ...] = ()


class FuzzyMatcher:
    """Repairs states with an ontology; built once, it remembers every value it has compared.

    Args:
        ontology: the known domains, slots and values. One without domains repairs nothing.
        mode: ``paper`` for figures comparable with paper 1, ``typed`` for work.
        lists_dontcare: whether the values hold ``dontcare`` where it occurs, as the published lists do. Ours never do;
            ``paper`` then takes it for an entry of every list, as it is in lists made from states.
        normalise: whether ``typed`` brings values it does not move into normal form; False leaves them as they are, for
            a scoring profile with rules of its own.
    """

    def __init__(
        self,
        ontology: Ontology,
        mode: FuzzyMode = "typed",
        *,
        lists_dontcare: bool = False,
        normalise: bool = True,
    ) -> None:
        if mode not in ("paper", "typed"):
            raise ValueError(f"fuzzy mode {mode!r} is neither 'paper' nor 'typed'")
        self.ontology = ontology
        self.mode = mode
        self.normalise = normalise and mode == "typed"
        self._domains = {normalise_slot(domain): domain for domain in ontology.values}
        self._slots = {domain: {normalise_slot(slot): slot for slot in slots} for domain, slots in ontology.values.items()}
        extra = {DONTCARE: DONTCARE} if mode == "paper" and not lists_dontcare else {}
        self._entries = {
            (domain, slot): self._prepare(self._spellings(domain, slot) | extra, slot)
            for domain, slots in ontology.values.items()
            for slot, values in slots.items()
            if values and self._is_matched(slot)
        }
        self._memo: dict[tuple[str, str, str], Match] = {}

    def apply(self, state: State, support: Support | None = None) -> tuple[State, dict[str, dict[str, Match]]]:
        """Repair names and values of a predicted state.

        In ``typed`` mode a domain or slot the ontology lacks becomes the most similar one it has, or is dropped; a slot
        the model named properly wins over a repaired one. Values that are not matched come back in normal form, empty
        ones are dropped.

        Args:
            support: asked in ``typed`` mode where entries tie.

        Returns:
            The repaired state, names and entries spelled as in the ontology, and the matches made, by domain and slot.

        Raises:
            MatchError: in ``paper`` mode, a domain that is no object or a value that is no text.
        """
        return self.apply_all([state], support)[0]

    def apply_all(
        self, states: Sequence[State], support: Support | None = None
    ) -> list[tuple[State, dict[str, dict[str, Match]]]]:
        """`apply` for many states; what they have in common is compared once, and each slot's values in one batch."""
        repaired = [self._repair(state) for state in states]
        wanted: dict[tuple[str, str], dict[str, None]] = {}
        for state in repaired:
            for domain, slot, heard in self._matched_values(state):
                if (domain, slot, heard) not in self._memo:
                    wanted.setdefault((domain, slot), {})[heard] = None
        for (domain, slot), values in wanted.items():
            for heard, match in zip(values, self._compare(domain, slot, list(values)), strict=True):
                self._memo[domain, slot, heard] = match
        return [self._move(state, support) for state in repaired]

    def match(self, domain: str, slot: str, heard: str, support: Support | None = None) -> Match | None:
        """Compare one value with the ontology's entries; None where nothing is compared (open slot, time, dontcare)."""
        if (domain, slot) not in self._entries or (self.mode == "typed" and normalise_value(heard, slot) == DONTCARE):
            return None
        if (domain, slot, heard) not in self._memo:
            self._memo[domain, slot, heard] = self._compare(domain, slot, [heard])[0]
        match = self._memo[domain, slot, heard]
        if support is None or not match.tied:
            return match
        scores = support(domain, slot, match.tied)
        if scores is None:
            return match
        near = list(zip(match.tied, match.tied_scores, strict=True))
        value, score = near.pop(int(np.argmax(scores)))
        runner_up, second = near[0]
        return replace(match, value=value, score=score, runner_up=runner_up, runner_up_score=second, accepted=True, by_audio=True)

    def _is_matched(self, slot: str) -> bool:
        return slot not in paper.EXEMPT if self.mode == "paper" else slot_type(slot) in _THRESHOLD

    def _spellings(self, domain: str, slot: str) -> dict[str, str]:
        """What a value may look like, with the entry it then is; the authors know no synonyms."""
        if self.mode == "typed":
            return self.ontology.spellings(domain, slot)
        return {value: value for value in self.ontology.values[domain][slot]}

    def _prepare(self, spellings: Mapping[str, str], slot: str) -> dict[str, str]:
        """Entries by the form they are compared in; of two that look alike the first stands for both."""
        entries: dict[str, str] = {}
        for spelling, value in spellings.items():
            entries.setdefault(wratio.simplify(spelling) if self.mode == "paper" else normalise_value(spelling, slot), value)
        return entries

    def _repair(self, state: State) -> dict[str, dict[str, Any]]:
        """The state with the ontology's names."""
        if self.mode == "paper":
            return paper.repair_schema(state, self.ontology.values) if self.ontology.values else dict(state)
        repaired: dict[str, dict[str, Any]] = {}
        exact: set[tuple[str, str]] = set()
        for heard_domain, slots in state.items():
            domain = _closest(heard_domain, self._domains)
            if not isinstance(slots, dict):
                raise MatchError("must hold an object of slots", heard_domain)
            for heard_slot, value in slots.items():
                slot = None if domain is None else _closest(heard_slot, self._slots.get(domain, {}))
                heard = _text(value, heard_domain, heard_slot)
                if domain is None or slot is None or not normalise_value(heard, slot):
                    continue
                if normalise_slot(heard_slot) == normalise_slot(slot):
                    exact.add((domain, slot))
                elif (domain, slot) in exact:
                    continue
                repaired.setdefault(domain, {})[slot] = heard
        return repaired

    def _matched_values(self, state: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
        for domain, slots in state.items():
            if not isinstance(slots, dict):
                raise MatchError("must hold an object of slots", domain)
            for slot, value in slots.items():
                if (domain, slot) not in self._entries:
                    continue
                if self.mode == "paper" and isinstance(value, int):
                    raise MatchError(f"holds {value!r} where text is needed to find the nearest known value", domain, slot)
                heard = _text(value, domain, slot)
                if self.mode == "paper" or normalise_value(heard, slot) != DONTCARE:
                    yield domain, slot, heard

    def _move(self, state: dict[str, dict[str, Any]], support: Support | None) -> tuple[State, dict[str, dict[str, Match]]]:
        moved: State = {}
        matches: dict[str, dict[str, Match]] = {}
        for domain, slots in state.items():
            moved[domain] = {}
            for slot, value in slots.items():
                heard = value[0] if isinstance(value, list) and value else value
                match = self.match(domain, slot, heard, support) if isinstance(heard, str) else None
                if match:
                    matches.setdefault(domain, {})[slot] = match
                if match and (match.accepted or self.normalise):
                    moved[domain][slot] = match.value
                else:
                    moved[domain][slot] = normalise_value(heard, slot) if self.normalise else heard
        return moved, matches

    def _compare(self, domain: str, slot: str, values: Sequence[str]) -> list[Match]:
        entries = self._entries[domain, slot]
        forms = list(entries)
        if self.mode == "paper":
            queries = [wratio.simplify_query(value) for value in values]
            bounds = wratio.upper_bounds(queries, forms)
            return [
                _paper_match(heard, entries, wratio.extract(query, forms, row))
                for heard, query, row in zip(values, queries, bounds, strict=True)
            ]
        kind = slot_type(slot)
        normal = [normalise_value(value, slot) for value in values]
        scores = _typed_scores(normal, forms, kind)
        known = list(dict.fromkeys(entries.values()))
        if len(known) < len(forms):  # an entry is as close as the closest of its spellings
            mine = [[place for place, form in enumerate(forms) if entries[form] == value] for value in known]
            scores = np.stack([scores[:, places].max(1) for places in mine], axis=1)
        return [
            _typed_match(heard, form, known, row, _THRESHOLD[kind])
            for heard, form, row in zip(values, normal, scores, strict=True)
        ]


def _text(value: Any, domain: str, slot: str) -> str:
    """A value as text: the first of several forms, a whole number as its digits. Raises MatchError at anything else."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, int) and not isinstance(first, bool):
        return str(first)
    if not isinstance(first, str):
        raise MatchError(f"holds {value!r} where text is needed to find the nearest known value", domain, slot)
    return first


def _paper_match(heard: str, entries: dict[str, str], found: Sequence[tuple[int, int]]) -> Match:
    known = list(entries.values())
    (best, score), *others = found
    runner_up, second = (known[others[0][0]], others[0][1]) if others else (None, 0)
    return Match(heard, known[best], float(score), runner_up, float(second), accepted=True)


def _typed_match(heard: str, normal: str, known: Sequence[str], scores: np.ndarray, threshold: float) -> Match:
    order = np.argsort(-scores, kind="stable")
    best, second = (float(scores[order[index]]) for index in (0, min(1, len(order) - 1)))
    alone = len(order) == 1
    near = [int(index) for index in order if scores[index] >= max(best - _NEAR_TIE, threshold)]
    near = near if len(near) > 1 and best < 100 else []
    sure = best >= threshold and (alone or best > second)
    return Match(
        heard=heard,
        value=known[order[0]] if sure else normal,
        score=best,
        runner_up=None if alone else known[order[1]],
        runner_up_score=0.0 if alone else second,
        accepted=sure,
        tied=tuple(known[index] for index in near),
        tied_scores=tuple(float(scores[index]) for index in near),
    )


def _typed_scores(values: Sequence[str], forms: Sequence[str], kind: SlotType) -> np.ndarray:
    """Similarity of values to forms, by character: every digit of a code counts, and recognisers misspell names.

    Names are also said shortened ("acorn" for "acorn guest house"): if the words of a value all occur in a longer form,
    it scores 90.
    """
    scores = process.cdist(values, forms, scorer=fuzz.ratio, dtype=np.float64, workers=-1)
    if kind == "text":
        words = process.cdist(values, forms, scorer=fuzz.token_set_ratio, dtype=np.float64, workers=-1)
        longer = np.array([[len(form) > len(value) for form in forms] for value in values])
        scores = np.maximum(scores, 0.9 * longer * words)
    return scores


def _closest(name: str, known: dict[str, str]) -> str | None:
    """The known spelling of a domain or slot; None if none is similar. Where nothing is known, every name passes."""
    normal = normalise_slot(name)
    if not known or normal in known:
        return known.get(normal, name)
    found = process.extractOne(normal, list(known), scorer=fuzz.ratio, score_cutoff=_NAME_THRESHOLD)
    return known[found[0]] if found else None
