"""Scores of slot filling (paper 2): partial-match and exact precision, recall and F1.

A value is compared in normal form (`engine.postprocess.normalise`), with the accepted form that fits it best. Exact: equal or
nothing. Partial: each filled slot earns the share of its answer's tokens that the reference has (precision), and each slot to be
filled the share of its reference's tokens that the answer has (recall). The paper's summary says no more than "partial match":
token overlap is our reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.dialogue import Ontology, Value, accepted
from engine.postprocess.normalise import normalise_slot, normalise_value
from engine.scoring.partial import best_overlap, harmonic_mean
from engine.scoring.states import ScoreError


@dataclass(frozen=True)
class FilledSlots:
    """One triplet: the slots asked for with their values ("" for a distractor), and what was answered.

    ``answer`` is None when it was not a JSON object of texts; ``context`` is how many earlier turns the model read.
    """

    asked: dict[str, Value]
    answer: dict[str, str] | None
    context: int = 0

    @property
    def distractors(self) -> int:
        return sum(not accepted(value)[0] for value in self.asked.values())


@dataclass
class SlotTally:
    """Counts over slots. An answer for a slot that has no value, or was not asked for, is a spurious one."""

    reference_slots: int = 0
    answered_slots: int = 0
    correct: int = 0
    partial_precision: float = 0.0
    partial_recall: float = 0.0
    distractors: int = 0
    filled_distractors: int = 0

    def add(self, reference: list[str], answer: str, asked: bool) -> None:
        """Count one slot; ``reference`` and ``answer`` are in normal form, empty where there is no value."""
        self.distractors += asked and not reference
        self.filled_distractors += asked and not reference and bool(answer)
        self.reference_slots += bool(reference)
        self.answered_slots += bool(answer)
        if reference and answer:
            self.correct += answer in reference
            precision, recall = best_overlap(reference, answer)
            self.partial_precision += precision
            self.partial_recall += recall

    def to_json(self) -> dict[str, Any]:
        """Percentages; None where nothing could be counted."""
        exact = _scores(self.correct, self.correct, self.answered_slots, self.reference_slots)
        partial = _scores(self.partial_precision, self.partial_recall, self.answered_slots, self.reference_slots)
        counts = {"reference_slots": self.reference_slots, "answered_slots": self.answered_slots, "correct": self.correct}
        return {
            "partial": partial,
            "exact": exact,
            "filled_distractors": 100 * self.filled_distractors / self.distractors if self.distractors else None,
            "counts": counts | {"distractors": self.distractors},
        }


def score_slot_filling(triplets: Sequence[FilledSlots], trained: Ontology) -> dict[str, Any]:
    """Score slot filling in total and in groups.

    Args:
        triplets: what was asked and answered.
        trained: the slots the model was trained on.

    Returns:
        A JSON object: ``partial`` and ``exact`` (each ``precision``, ``recall``, ``f1``), ``filled_distractors`` (per cent of
        the distractors that got a value), ``counts``, ``triplets``, ``perfect`` (per cent of triplets with every slot right),
        ``invalid_outputs``; and the same under

        - ``domains``: ``in_domain`` and ``out_of_domain``, by whether training had the slot's domain;
        - ``slots``: ``seen`` and ``unseen``, by whether training had a slot of that name in any domain;
        - ``context`` and ``distractors``: by the number of context turns, of distractors.

    Raises:
        ScoreError: there is nothing to score.
    """
    if not triplets:
        raise ScoreError("there is no slot-filling triplet to score; python -m engine prepare triplets makes them")
    domains = {normalise_slot(domain) for domain in trained.values}
    names = {normalise_slot(slot) for slots in trained.values.values() for slot in slots}
    total = SlotTally()
    groups: dict[str, dict[Any, SlotTally]] = {"domains": {}, "slots": {}, "context": {}, "distractors": {}}
    perfect = 0
    for triplet in triplets:
        right = triplet.answer is not None
        for slot, reference, answer, asked in _slots(triplet):
            domain, _, name = slot.partition("-")
            keys = {
                "domains": "in_domain" if domain in domains else "out_of_domain",
                "slots": "seen" if name in names else "unseen",
                "context": triplet.context,
                "distractors": triplet.distractors,
            }
            for tally in (total, *(groups[group].setdefault(key, SlotTally()) for group, key in keys.items())):
                tally.add(reference, answer, asked)
            right &= answer in reference if reference else not answer
        perfect += right
    return total.to_json() | {
        "triplets": len(triplets),
        "perfect": 100 * perfect / len(triplets),
        "invalid_outputs": sum(triplet.answer is None for triplet in triplets),
        **{group: {str(key): tallies[key].to_json() for key in sorted(tallies)} for group, tallies in groups.items()},
    }


def _slots(triplet: FilledSlots) -> Iterable[tuple[str, list[str], str, bool]]:
    """Every slot asked for or answered, in normal form: name, accepted forms, answer, whether it was asked for."""
    asked = {_name(key): accepted(value) for key, value in triplet.asked.items()}
    answers = {_name(key): value for key, value in (triplet.answer or {}).items()}
    for slot in dict.fromkeys((*asked, *answers)):
        plain = slot.partition("-")[2]
        forms = [normalise_value(form, plain) for form in asked.get(slot, ())]
        yield slot, [form for form in forms if form], normalise_value(answers.get(slot, ""), plain), slot in asked


def _name(key: str) -> str:
    domain, _, slot = key.partition("-")
    return f"{normalise_slot(domain)}-{normalise_slot(slot)}"


def _scores(precise: float, recalled: float, answered: int, wanted: int) -> dict[str, float | None]:
    precision = 100 * precise / answered if answered else None
    recall = 100 * recalled / wanted if wanted else None
    both = precision is not None and recall is not None
    return {"precision": precision, "recall": recall, "f1": harmonic_mean(precision or 0.0, recall or 0.0) if both else None}
