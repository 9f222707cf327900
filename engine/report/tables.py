"""The report's tables: figures of `engine.scoring`, each linked to the turns it was counted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.report.links import Filters, Link, rounded
from engine.report.turns import Row, System, by_dialogue, is_right, pair_status, share
from engine.scoring.robustness import NOTHING_TO_PERTURB
from engine.scoring.states import PARTIAL_SCORES

SLOT_COUNTS = ("reference_slots", "predicted_slots", "correct", "substitutions", "insertions", "deletions")
STATE_SCORES = {
    "jga": "JGA %",
    "ser": "SER %",
    "slot_precision": "slot precision %",
    "slot_recall": "slot recall %",
    "slot_f1": "slot F1 %",
    "partial_precision": "slot precision %, partial",
    "partial_recall": "slot recall %, partial",
    "partial_f1": "slot F1 %, partial",
}
_WORD_ERRORS = {"insertions": "insert", "deletions": "delete", "substitutions": "substitute"}
_SLOT_ERRORS = {"substitutions": "substitution", "insertions": "insertion", "deletions": "deletion"}


@dataclass(frozen=True)
class Cell:
    """A figure or text; ``note`` follows in small print, ``oracle`` marks what was matched with test values."""

    text: str
    link: Link | None = None
    note: str = ""
    oracle: bool = False


NOTHING = Cell("–")


@dataclass(frozen=True)
class Table:
    """A table; ``groups`` are headings over several columns, as (text, columns), and each row begins with its name."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    groups: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Breakdown:
    """One of the tables per domain, slot or turn depth: its key in the scores, and the filter that leads to its turns."""

    key: str
    filter: str
    name: str
    right: str
    note: str


BREAKDOWNS = (
    Breakdown("per_domain", "domain", "domain", "right %", "“Right”: all of the domain is right, of the turns where it occurs."),
    Breakdown("per_slot", "slot", "slot", "right %", "“Right”: its value is right, of the turns where it occurs."),
    Breakdown("per_depth", "depth", "turn depth", "JGA %", "Depth 1 is the first user turn; errors are carried along."),
)


def percent(value: float | None) -> str:
    """A percentage as the tables show it."""
    return NOTHING.text if value is None else f"{value:.2f}"


def interval(bounds: Sequence[float] | None) -> str:
    """A 95 % interval as the tables show it."""
    return f"{bounds[0]:.1f}–{bounds[1]:.1f}" if bounds else ""


def state_table(systems: Sequence[System], comparison: Mapping[str, Any] | None) -> Table:
    """JGA, SER and slot scores of all turns, as answered and after fuzzy matching; of two systems, their difference."""
    fuzzy = systems[0].scores["fuzzy"]
    names = ["as answered", f"after fuzzy matching ({fuzzy['mode']})"] if fuzzy else ["as answered"]
    note = "In brackets: 95 % intervals, by resampling dialogues."
    rows = []
    for key, name in STATE_SCORES.items():
        cells = [Cell(name)]
        for number, system in enumerate(systems):
            cells.append(_state_cell(system.scores, key, {}, number))
            if fuzzy:
                cells.append(_state_cell(system.scores["fuzzy"], key, {"match": "fuzzy"}, number))
        if all(cell.text == NOTHING.text for cell in cells[1:]):
            continue
        if comparison:
            cells += _difference_cells(comparison, key)
        rows.append(cells)
    if not comparison:
        return Table("Dialogue states", ["score", *names], rows, note)
    note += f" p: paired randomisation test over {comparison['dialogues']} dialogues."
    groups = [("", 1), *((system.name, len(names)) for system in systems), ("difference, as answered", 2)]
    return Table("Dialogue states", ["score", *names * 2, "points", "p"], rows, note, groups)


def robustness_table(systems: Sequence[System], robustness: Sequence[Mapping[str, Any]]) -> Table:
    """Scores with the predicted names and codes misspelt and paraphrased, with and without fuzzy matching."""
    body = []
    for kind in robustness[0]["kinds"]:
        cells = [Cell(kind)]
        for number, found in enumerate(robustness):
            row = found["kinds"][kind]
            cells.append(Cell(str(row["values"])))
            shown = kind if kind != "unchanged" else ""
            matches = {"plain": shown, "fuzzy": f"{shown}-fuzzy".lstrip("-")}
            cells += [
                _state_cell(row[view], score, {"match": match} if match else {}, number)
                for score in ("jga", "slot_f1")
                for view, match in matches.items()
            ]
        body.append(cells)
    columns = ["values changed", "JGA %", "JGA % fuzzy", "slot F1 %", "slot F1 % fuzzy"]
    groups = [("", 1), *((system.name, len(columns)) for system in systems)] if len(systems) == 2 else ()
    note = "Predicted names and codes are changed before scoring; the turns that a number leads to show what they became."
    if not any(row["values"] for found in robustness for row in found["kinds"].values()):
        note = f"Here {NOTHING_TO_PERTURB}."
    return Table("Named-entity robustness", ["predictions", *columns * len(systems)], body, note, groups)


def word_table(systems: Sequence[System], rows: Sequence[Row], comparison: Mapping[str, Any] | None) -> Table:
    """WER and what it is made of; words written for non-speech; answers that are not JSON; of two systems, the WER's change."""
    columns = [_word_cells(system.scores, rows, number) for number, system in enumerate(systems)]
    body = [[Cell(name), *(column.get(name, NOTHING) for column in columns)] for name in max(columns, key=len)]
    if not comparison:
        return Table("Transcripts", ["score", "all turns"], body)
    for row in body:
        row += _difference_cells(comparison, "wer" if row[0].text == "WER %" else "")
    return Table("Transcripts", ["score", *(system.name for system in systems), "difference, points", "p"], body)


def breakdown_table(which: Breakdown, systems: Sequence[System], rows: Sequence[Row], domains: Mapping[str, str]) -> Table:
    """Right turns, SER, F1 and what they are made of, for each domain, slot or depth and each system."""
    paired, fuzzy = len(systems) == 2, systems[0].scores["fuzzy"]
    keys = dict.fromkeys(key for system in systems for key in system.scores[which.key])
    columns = ["turns", which.right, "SER %", "F1 %"]
    if not paired:
        columns += ["precision %", "recall %", "wrong value", "not in reference", "missing"]
    if fuzzy:
        columns += [f"{which.right} fuzzy", "F1 % fuzzy"]
    body = []
    for key in sorted(keys, key=lambda key: _order(which.key, key, systems)):
        cells = [Cell(key)]
        for number, system in enumerate(systems):
            tally = system.scores[which.key].get(key)
            own = _tally_cells(tally, {which.filter: key}, number, paired) if tally else []
            if fuzzy and own and (matched := system.scores["fuzzy"][which.key].get(key)):
                own += _fuzzy_cells(matched, {which.filter: key}, number, fuzzy["oracle"])
            cells += own + [NOTHING] * (len(columns) - len(own))
        if paired:
            changed = _changes(which.filter, key, rows, domains)
            cells += [
                Cell(str(changed[status]), Link({which.filter: key, "status": status}, {"turns": changed[status]}))
                for status in ("fixed", "broken")
            ]
        body.append(cells)
    title = f"Per {which.name}"
    if paired:
        groups = [("", 1), *((system.name, len(columns)) for system in systems), ("change", 2)]
        return Table(title, [which.name, *columns * 2, "fixed", "broken"], body, which.note, groups)
    return Table(title, [which.name, *columns], body, which.note)


def dialogue_table(dialogues: Sequence[str], systems: Sequence[System], rows: Sequence[Row]) -> Table:
    """Every dialogue with its words and turns, those with the lowest JGA first."""
    heard = any(system.scores.get("wer") is not None for system in systems)
    body = []
    for place, counts in by_dialogue(rows, len(systems)):
        cells = [
            Cell(dialogues[place], Link({"dialogue": dialogues[place]}, {"turns": counts[0]["turns"]})),
            Cell(str(counts[0]["turns"])),
        ]
        for number, own in enumerate(counts):
            where: Filters = {"dialogue": dialogues[place]}
            if heard:
                words = {"reference_words": own["words"]}
                cells.append(Cell(percent(share(own["word_errors"], own["words"])), _link(number, where, words)))
            cells.append(Cell(percent(share(own["right"], own["scored"])), _link(number, where, {"right": own["right"]})))
        body.append(cells)
    columns = ["WER %", "JGA %"] if heard else ["JGA %"]
    groups = [("", 2), *((system.name, len(columns)) for system in systems)] if len(systems) == 2 else ()
    return Table("Per dialogue", ["dialogue", "turns", *columns * len(systems)], body, "Lowest JGA first.", groups)


def status_cells(systems: Sequence[System], rows: Sequence[Row]) -> list[tuple[str, Cell]]:
    """How many turns are fixed, broken, still wrong, still right (of two systems), or wrong and right (of one)."""
    if len(systems) == 2:
        names = ["fixed", "broken", "still-wrong", "still-right"]
        found = Counter(pair_status(row) if _comparable(row) else "unscored" for row in rows)
    else:
        names = ["wrong", "right"]
        found = Counter(("right" if is_right(row["answers"][0]) else "wrong") if row["scored"] else "unscored" for row in rows)
    names += ["unscored"] if found["unscored"] else []
    return [(name, Cell(str(found[name]), Link({"status": name}, {"turns": found[name]}))) for name in names]


def _difference_cells(comparison: Mapping[str, Any], key: str) -> list[Cell]:
    found = comparison["scores"].get(key)
    if not found:
        return [NOTHING, NOTHING]
    change = Cell(f"{found['difference']:+.2f}", note=interval(found["interval"]))
    return [change, NOTHING if found["p_value"] is None else Cell(f"{found['p_value']:.4f}")]


def _link(number: int, filters: Filters, counts: Mapping[str, float]) -> Link:
    return Link(filters | ({"system": number} if number else {}), counts)


def _state_cell(scores: Mapping[str, Any], key: str, filters: Filters, number: int) -> Cell:
    counts = scores["counts"]
    if scores.get(key) is None:
        return NOTHING
    if key == "jga":
        expected = {"right": counts["joint_correct"], "wrong": counts["turns"] - counts["joint_correct"]}
    else:
        expected = {name: counts[name] for name in SLOT_COUNTS}
    if key in PARTIAL_SCORES:
        expected |= {name: rounded(counts[name]) for name in ("precision_credit", "recall_credit")}
    link = _link(number, {"scored": 1, **filters}, expected)
    return Cell(percent(scores[key]), link, interval(scores.get(f"{key}_interval")), bool(filters and scores.get("oracle")))


def _word_cells(scores: Mapping[str, Any], rows: Sequence[Row], number: int) -> dict[str, Cell]:
    words = scores.get("words", {"nonspeech": 0})
    cells = {}

    def count(name: str, key: str, filters: Filters, counted: str) -> None:
        cells[name] = Cell(str(words[key]), _link(number, filters, {counted: words[key]}))

    if scores.get("wer") is not None:
        errors = {f"word_{kind}": words[kind] for kind in _WORD_ERRORS}
        cells["WER %"] = Cell(percent(scores["wer"]), _link(number, {"words": "any"}, errors), interval(scores["wer_interval"]))
        for kind, filtered in _WORD_ERRORS.items():
            count(f"words: {kind}", kind, {"words": filtered}, f"word_{kind}")
        count("words said", "reference_words", {}, "reference_words")
    if words["nonspeech"]:
        count("turns without speech", "nonspeech", {"speech": "none"}, "turns")
        written = {"turns": round(words["nonspeech_rate"] * words["nonspeech"] / 100)}
        link = _link(number, {"speech": "none", "words": "any"}, written)
        bounds = interval(words["nonspeech_interval"])
        cells["words written for them, % of these turns"] = Cell(percent(words["nonspeech_rate"]), link, bounds)
        count("words written for them", "nonspeech_insertions", {"speech": "none"}, "word_insertions")
    answers = [row["answers"][number] for row in rows if row["answers"][number]]
    if not any(answer["raw"] for answer in answers):
        return cells
    invalid = sum(not answer["valid"] for answer in answers)
    return cells | {"answers that are not JSON": Cell(str(invalid), _link(number, {"invalid": 1}, {"turns": invalid}))}


def _tally_cells(tally: Mapping[str, Any], where: Filters, number: int, paired: bool) -> list[Cell]:
    counts = tally["counts"]
    slots = {name: counts[name] for name in SLOT_COUNTS}
    where = {"scored": 1, **where}
    bounds = {score: "" if paired else interval(tally.get(f"{score}_interval")) for score in ("jga", "ser", "slot_f1")}
    right = {"right": counts["joint_correct"], "wrong": counts["turns"] - counts["joint_correct"]}
    cells = [
        Cell(str(counts["turns"]), _link(number, where, {"turns": counts["turns"]})),
        Cell(percent(tally["jga"]), _link(number, where, right), bounds["jga"]),
        Cell(percent(tally["ser"]), _link(number, where, slots), bounds["ser"]),
        Cell(percent(tally["slot_f1"]), _link(number, where, slots), bounds["slot_f1"]),
    ]
    if paired:
        return cells
    cells += [Cell(percent(tally[name]), _link(number, where, slots)) for name in ("slot_precision", "slot_recall")]
    return cells + [
        Cell(str(counts[name]), _link(number, {**where, "kind": kind}, {name: counts[name]}))
        for name, kind in _SLOT_ERRORS.items()
    ]


def _fuzzy_cells(tally: Mapping[str, Any], where: Filters, number: int, oracle: bool) -> list[Cell]:
    counts = tally["counts"]
    expected = {"turns": counts["turns"], "right": counts["joint_correct"], "correct": counts["correct"]}
    link = _link(number, {"scored": 1, "match": "fuzzy", **where}, expected)
    return [Cell(percent(tally[name]), link, oracle=oracle) for name in ("jga", "slot_f1")]


def _changes(filtered: str, key: str, rows: Sequence[Row], domains: Mapping[str, str]) -> Counter[str]:
    """How many turns of one domain, slot or depth the second system fixed and broke."""
    if filtered == "depth":
        return Counter(pair_status(row) for row in rows if _comparable(row) and row["depth"] == int(key))
    slots = {key} if filtered == "slot" else {slot for slot, domain in domains.items() if domain == key}
    return Counter(status for row in rows if _comparable(row) and (status := pair_status(row, slots)))


def _order(table: str, key: str, systems: Sequence[System]) -> int:
    """Depths by number; what the reference has before what only answers have, else as it first occurs."""
    if table == "per_depth":
        return int(key)
    return not any(key in system.scores[table] and system.scores[table][key]["counts"]["reference_slots"] for system in systems)


def _comparable(row: Row) -> bool:
    """Whether a turn has a state label and both answers."""
    return row["scored"] and all(row["answers"])
