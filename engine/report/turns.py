"""The turns of a report: what was said and meant, what each system answered, and how every slot and word was judged.

The judgements come from `engine.scoring`, asked about one turn at a time; so the numbers of the report, which it gives
for all turns together, are the sums of what the list of turns shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from engine.dialogue import Dialogue, State, Turn, accepted, iterate_slots
from engine.postprocess import FuzzyMatcher
from engine.postprocess.normalise import normalise_slot
from engine.report.answers import Answer
from engine.scoring import bootstrap_interval, score_states
from engine.scoring.wer import align

Row = dict[str, Any]  # one turn, as the page's script reads it

KINDS = {"correct": "correct", "substitutions": "substitution", "insertions": "insertion", "deletions": "deletion"}

_PAIR_STATUS = {(False, True): "fixed", (True, False): "broken", (False, False): "still-wrong", (True, True): "still-right"}


@dataclass(frozen=True)
class System:
    """One system: its name, its answers by (dialogue, turn), and its scores."""

    name: str
    answers: dict[tuple[str, int], Answer]
    scores: dict[str, Any]


def turn_rows(dialogues: Sequence[Dialogue], systems: Sequence[System], matcher: FuzzyMatcher | None) -> list[Row]:
    """One JSON object for each user turn that the systems answered, in the order of the references."""
    rows = []
    for number, dialogue in enumerate(dialogues):
        depth = 0
        for turn in dialogue.user_turns():
            answers = [system.answers.get((dialogue.dialogue_id, turn.turn_id)) for system in systems]
            if None in answers:
                continue
            depth += 1
            rows.append(
                {
                    "dialogue": number,
                    "turn": turn.turn_id,
                    "depth": depth,
                    "said": turn.transcript,
                    "scored": turn.state is not None,
                    "answers": [_answer(turn, answer, matcher) for answer in answers if answer],
                }
            )
    return rows


def pair_status(row: Row, slots: Collection[str] | None = None) -> str:
    """fixed, broken, still-wrong or still-right; looking only at ``slots``, and empty where none of them occurs."""
    kinds = [
        [slot["plain"] for name, slot in answer["slots"].items() if slot["plain"] and (slots is None or name in slots)]
        for answer in row["answers"]
    ]
    if slots is not None and not any(kinds):
        return ""
    first, second = (all(kind == "correct" for kind in found) for found in kinds)
    return _PAIR_STATUS[first, second]


def by_dialogue(rows: Sequence[Row], systems: int) -> list[tuple[int, list[Counter[str]]]]:
    """The place of each dialogue, and each system's counts of its turns and words; the last system's lowest JGA first."""
    found: dict[int, list[Counter[str]]] = {}
    for row in rows:
        counts = found.setdefault(row["dialogue"], [Counter() for _ in range(systems)])
        for own, answer in zip(counts, row["answers"], strict=True):
            for kind, said, heard in answer.get("words", []):
                own["words"] += len(said.split())
                own["word_errors"] += max(len(said.split()), len(heard.split())) if kind != "equal" else 0
            own["turns"] += 1
            own["scored"] += row["scored"]
            own["right"] += bool(answer["right"]["plain"])
    return sorted(found.items(), key=lambda item: (share(item[1][-1]["right"], item[1][-1]["scored"]) or 0.0, item[0]))


def add_depth_intervals(systems: Sequence[System], rows: Sequence[Row]) -> None:
    """Give every depth's JGA its 95 % interval: a dialogue has one turn of a depth, so the turns are what is drawn."""
    for number, system in enumerate(systems):
        for view, scores in (("plain", system.scores), ("fuzzy", system.scores.get("fuzzy") or {})):
            right: dict[str, list[int]] = {}
            for row in rows:
                if row["scored"]:
                    right.setdefault(str(row["depth"]), []).append(bool(row["answers"][number]["right"][view]))
            for depth, tally in scores.get("per_depth", {}).items():
                tally["jga_interval"] = bootstrap_interval(right[depth], [1] * len(right[depth]))


def share(part: int, whole: int) -> float | None:
    """In percent; None of nothing."""
    return 100 * part / whole if whole else None


def _answer(turn: Turn, answer: Answer, matcher: FuzzyMatcher | None) -> dict[str, Any]:
    repaired, matches = matcher.apply(answer.state) if matcher else ({}, {})
    confidence = {_key(domain, slot): value for domain, slots in answer.confidence.items() for slot, value in slots.items()}
    found = {_key(domain, slot): match for domain, slots in matches.items() for slot, match in slots.items()}
    gold, predicted, fuzzy = _flat(turn.state or {}), _flat(answer.state), _flat(repaired)
    plain_right, plain = _judge(turn.state, answer.state)
    fuzzy_right, fuzzy_kinds = _judge(turn.state, repaired) if matcher else (None, {})
    slots: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys([*gold, *predicted, *fuzzy]):
        slot: dict[str, Any] = {"gold": gold.get(key), "predicted": predicted.get(key), "plain": plain.get(key)}
        if key in confidence and key in predicted:
            slot["confidence"] = confidence[key]
        if matcher:
            slot |= {"fuzzy": fuzzy_kinds.get(key), "repaired": fuzzy.get(key)}
        if match := found.get(key):
            slot["match"] = [round(match.score, 1), match.runner_up, round(match.runner_up_score, 1), match.accepted]
        slots[key] = slot
    row: dict[str, Any] = {"heard": answer.transcript, "right": {"plain": plain_right, "fuzzy": fuzzy_right}, "slots": slots}
    if turn.transcript is not None and answer.transcript is not None:
        row["words"] = align(turn.transcript, answer.transcript)
    return row | {"raw": answer.raw, "valid": answer.valid}


def _judge(gold: State | None, predicted: State) -> tuple[bool | None, dict[str, str]]:
    """Whether the whole state is right, and the kind of every slot in it; None where there is no state label."""
    if gold is None:
        return None, {}
    scores = score_states({"": [predicted]}, {"": [gold]})
    kinds = {
        slot: next(kind for count, kind in KINDS.items() if getattr(tally, count)) for slot, tally in scores.per_slot.items()
    }
    return bool(scores.total.joint_correct), kinds


def slot_domains(rows: Sequence[Row], dialogues: Sequence[Dialogue], systems: Sequence[System]) -> dict[str, str]:
    """The domain of every slot that was judged, in the order in which the slots first occur."""
    states = [turn.state for dialogue in dialogues for turn in dialogue.turns if turn.state]
    states += [answer.state for system in systems for answer in system.answers.values()]
    domains = {_key(domain, slot): normalise_slot(domain) for state in states for domain, slot, _ in iterate_slots(state)}
    judged = [name for row in rows for answer in row["answers"] for name in answer["slots"] if answer["slots"][name]["plain"]]
    return {name: domains[name] for name in dict.fromkeys(judged)}


def _flat(state: State) -> dict[str, str]:
    return {_key(domain, slot): " | ".join(accepted(value)) for domain, slot, value in iterate_slots(state)}


def _key(domain: str, slot: str) -> str:
    return f"{normalise_slot(domain)}-{normalise_slot(slot)}"
