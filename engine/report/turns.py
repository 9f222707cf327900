"""The turns of a report: what was said and meant, what each system answered, and how every slot and word was judged.

The judgements come from `engine.scoring`, asked about one turn at a time; so the numbers of the report, which it gives
for all turns together, are the sums of what the list of turns shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.dialogue import State
from engine.scoring import Profile
from engine.scoring.align import AlignedTurns, Matches
from engine.scoring.files import Entry
from engine.scoring.reliability import bin_of
from engine.scoring.robustness import Perturbed
from engine.scoring.states import Outcome, judge_turn
from engine.scoring.wer import align_words, count_errors

Row = dict[str, Any]  # one turn, as the page's script reads it
Place = tuple[str, int]  # dialogue and index of the user turn
BINS = 10  # of confidence

_COLUMNS = {"plain": "predicted", "fuzzy": "repaired"}  # the views whose values always stand in the list
_PAIR_STATUS = {(False, True): "fixed", (True, False): "broken", (False, False): "still-wrong", (True, True): "still-right"}


@dataclass(frozen=True)
class System:
    """One system: its name, its answers, the same after fuzzy matching with the matches made (if any were), its scores, its
    answers with names and codes perturbed."""

    name: str
    aligned: AlignedTurns
    matched: AlignedTurns | None
    matches: Sequence[Matches]
    scores: dict[str, Any]
    perturbed: Mapping[str, Perturbed] = field(default_factory=dict)

    def views(self) -> dict[str, AlignedTurns]:
        """What the list of turns can show of it: its answers as they are, matched, perturbed, perturbed and matched."""
        views = {"plain": self.aligned} | ({"fuzzy": self.matched} if self.matched else {})
        for kind, found in self.perturbed.items():
            if kind != "unchanged":
                views |= {kind: found.plain, f"{kind}-fuzzy": found.fuzzy}
        return views

    def answers(self) -> dict[Place, tuple[Entry, dict[str, State], Matches]]:
        """Every answer, its state in each view, and the matches."""
        plain = self.aligned.answers()
        states = {view: [entry.state for entry in turns.answers()] for view, turns in self.views().items()}
        matches = self.matches or [{}] * len(plain)
        places = ((dialogue, index) for dialogue, index, answer in _places(self.aligned) if answer)
        seen = [dict(zip(states, found, strict=True)) for found in zip(*states.values(), strict=True)]
        return dict(zip(places, zip(plain, seen, matches, strict=True), strict=True))


def _places(aligned: AlignedTurns) -> Iterator[tuple[str, int, Entry | None]]:
    for dialogue, pairs in aligned.turns.items():
        for index, (_, answer) in enumerate(pairs):
            yield dialogue, index, answer


def turn_rows(systems: Sequence[System], profile: Profile) -> tuple[list[Row], dict[str, str]]:
    """One JSON object for each user turn that any system answered, in the order of the reference; and each slot's domain.

    A system that left a turn out, as some profiles allow, has None there.
    """
    answers = [system.answers() for system in systems]
    words = [system.scores.get("wer") is not None for system in systems]
    domains: dict[str, str] = {}
    rows = []
    for number, (dialogue, pairs) in enumerate(systems[0].aligned.turns.items()):
        for index, (gold, _) in enumerate(pairs):
            found = [own.get((dialogue, index)) for own in answers]
            if not any(found):
                continue
            row: Row = {"dialogue": number, "turn": index if gold.turn_id is None else gold.turn_id, "depth": gold.depth}
            row |= {"said": gold.transcript, "scored": gold.state is not None, "answers": []}
            for answer, heard in zip(found, words, strict=True):
                row["answers"].append(answer and _answer(profile, gold, *answer, heard, domains))
            rows.append(row)
    return rows, domains


def _answer(
    profile: Profile,
    gold: Entry,
    entry: Entry,
    states: Mapping[str, State],
    matches: Matches,
    heard: bool,
    domains: dict[str, str],
) -> Row:
    repaired = states.get("fuzzy")
    values = {_COLUMNS.get(view, view): profile.predicted(state) for view, state in states.items()}
    if gold.state is not None:
        values["gold"] = profile.gold(gold.state)
    outcomes = {
        view: [] if gold.state is None else judge_turn(profile, gold.state, state, gold.dialogue, gold.index)
        for view, state in states.items()
    }
    domains |= {"-".join(slot): slot[0] for found in values.values() for slot in found}
    slots: dict[str, dict[str, Any]] = {"-".join(slot): {} for found in values.values() for slot in found}
    for kind in ("gold", "predicted", *(["repaired"] if repaired is not None else [])):
        texts = {"-".join(slot): _text(value) for slot, value in values.get(kind, {}).items()}
        for name, slot in slots.items():
            slot[kind] = texts.get(name)
    for view in (view for view in states if view not in _COLUMNS):
        texts = {"-".join(slot): _text(value) for slot, value in values[view].items()}
        for name, slot in slots.items():
            if texts.get(name) != slot["predicted"]:
                slot.setdefault("perturbed", {})[view] = texts.get(name)
    for view, found in outcomes.items():
        kinds = {"-".join(outcome.slot): outcome for outcome in found}
        for name, slot in slots.items():
            slot[view] = _kind(kinds[name]) if name in kinds else None
            if name in kinds and kinds[name].credited != kinds[name].same:
                slot.setdefault("credited", {})[view] = kinds[name].credited
            if slot[view] == "substitution" and kinds[name].word_precision:
                slot.setdefault("shares", {})[view] = [kinds[name].word_precision, kinds[name].word_recall]
    for name, confidence in _by_slot(profile, entry.state, entry.details.get("confidence") or {}):
        if name in slots:
            slots[name] |= {"confidence": confidence, "bin": bin_of(confidence, BINS)}
    for name, match in _by_slot(profile, repaired or {}, matches):
        if name in slots:
            slots[name]["match"] = [round(match.score, 1), match.runner_up, round(match.runner_up_score, 1), match.accepted]
    row: Row = {"heard": entry.transcript, "slots": slots}
    if heard and gold.transcript is not None:
        row["words"] = align_words(gold.transcript, entry.transcript or "")
    return (
        row
        | {"raw": entry.details.get("raw", ""), "valid": entry.details.get("valid", True)}
        | ({"guarded": True} if entry.details.get("guarded") else {})
    )


def _kind(outcome: Outcome) -> str:
    if outcome.in_gold and outcome.in_prediction:
        return "correct" if outcome.same else "substitution"
    return "deletion" if outcome.in_gold else "insertion"


def _by_slot(profile: Profile, state: State, values: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """What is known about slots named as in ``state``, by the names the profile gives them."""
    for domain, slots in values.items():
        for slot, value in slots.items():
            if slot in state.get(domain, {}):
                for name in profile.predicted({domain: {slot: state[domain][slot]}}):
                    yield "-".join(name), value


def _text(value: Any) -> str:
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)


def is_right(answer: Row, view: str = "plain", slots: Collection[str] | None = None) -> bool:
    """Whether all slots of an answer are right, or those among ``slots``."""
    return all(slot[view] in ("correct", None) for name, slot in answer["slots"].items() if slots is None or name in slots)


def pair_status(row: Row, slots: Collection[str] | None = None) -> str:
    """fixed, broken, still-wrong or still-right; looking only at ``slots``, and empty where none of them occurs."""
    occurs = (answer["slots"][name]["plain"] for answer in row["answers"] for name in slots or () if name in answer["slots"])
    if slots is not None and not any(occurs):
        return ""
    first, second = (is_right(answer, "plain", slots) for answer in row["answers"])
    return _PAIR_STATUS[first, second]


def confidences(rows: Sequence[Row], number: int) -> tuple[list[float], list[bool]]:
    """Of every judged slot that a system answered with a confidence: the confidence, and whether its value is right."""
    slots = [slot for row in rows if row["answers"][number] for slot in row["answers"][number]["slots"].values()]
    known = [slot for slot in slots if slot["plain"] and "confidence" in slot]
    return [slot["confidence"] for slot in known], [slot["plain"] == "correct" for slot in known]


def by_dialogue(rows: Sequence[Row], systems: int) -> list[tuple[int, list[Counter[str]]]]:
    """The place of each dialogue, and each system's counts of its turns and words; the last system's lowest JGA first."""
    found: dict[int, list[Counter[str]]] = {}
    for row in rows:
        counts = found.setdefault(row["dialogue"], [Counter() for _ in range(systems)])
        for own, answer in zip(counts, row["answers"], strict=True):
            if answer is None:
                continue
            errors, words = count_errors(answer.get("words", []))
            own["word_errors"] += errors
            own["words"] += words
            own["turns"] += 1
            own["scored"] += row["scored"]
            own["right"] += row["scored"] and is_right(answer)
    return sorted(found.items(), key=lambda item: (share(item[1][-1]["right"], item[1][-1]["scored"]) or 0.0, item[0]))


def share(part: int, whole: int) -> float | None:
    """In percent; None of nothing."""
    return 100 * part / whole if whole else None
