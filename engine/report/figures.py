"""What the report's plots show, each mark with the turns it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from engine.report import plots
from engine.report.links import Filters, Link
from engine.report.plots import Mark
from engine.report.tables import interval
from engine.report.turns import BINS, Row, System, by_dialogue, confidences, share
from engine.scoring.reliability import ece, reliability


@dataclass(frozen=True)
class Figure:
    title: str
    note: str
    drawing: Markup


def figures(dialogues: Sequence[str], systems: Sequence[System], rows: Sequence[Row]) -> list[Figure]:
    """The plots for which there is something to show."""
    drawn = [_by_depth(systems), _words_and_states(dialogues, systems, rows), _reliability(systems, rows), _by_slot(systems)]
    return [figure for figure in drawn if figure]


def _by_depth(systems: Sequence[System]) -> Figure | None:
    marks = []
    for number, system in enumerate(systems):
        for depth, tally in system.scores["per_depth"].items():
            turns, right, bounds = tally["counts"]["turns"], tally["counts"]["joint_correct"], tally["jga_interval"]
            if tally["jga"] is not None:
                label = f"{system.name}, depth {depth}: JGA {tally['jga']:.1f} %, {right} of {turns} turns"
                label += f" (95 % interval {interval(bounds)})" if bounds else ""
                link = Link(_where(number, depth=depth, scored=1), {"turns": turns, "right": right})
                marks.append(Mark(int(depth), tally["jga"], number, label, link, bounds))
    if not marks:
        return None
    title = "JGA by turn depth"
    drawing = plots.line_plot(marks, "user turn of the dialogue", "JGA (%)", title)
    return Figure(title, "How errors propagate along a dialogue. Whiskers: 95 % intervals.", drawing)


def _reliability(systems: Sequence[System], rows: Sequence[Row]) -> Figure | None:
    marks, errors = [], []
    for number, system in enumerate(systems):
        values, right = confidences(rows, number)
        if not values:
            continue
        errors.append(f"{system.name} {100 * ece(values, right, BINS):.1f} %")
        for found in reliability(values, right, BINS):
            place = round(found.low * BINS)
            label = f"{system.name}: {found.count} slots of confidence {found.confidence:.2f}, {100 * found.accuracy:.1f} % right"
            counts = {"bin_slots": found.count, "bin_correct": round(found.accuracy * found.count)}
            link = Link(_where(number, bin=place, scored=1), counts)
            marks.append(Mark(100 * found.confidence, 100 * found.accuracy, number, label, link))
    if not marks:
        return None
    note = f"Expected calibration error: {', '.join(errors)}. On the dashed line, confidence is what it says."
    return Figure("Reliability of the confidence", note, plots.reliability_plot(marks, "Reliability of the confidence"))


def _by_slot(systems: Sequence[System]) -> Figure | None:
    names = dict.fromkeys(name for system in systems for name in system.scores["per_slot"])
    rows = []
    for name in names:
        marks = []
        for number, system in enumerate(systems):
            tally = system.scores["per_slot"].get(name)
            if tally and tally["counts"]["reference_slots"]:
                link = Link(_where(number, slot=name, scored=1), {"correct": tally["counts"]["correct"]})
                marks.append(Mark(0, tally["slot_f1"], number, f"{system.name}, {name}: F1 {tally['slot_f1']:.1f} %", link))
        if marks:
            rows.append((name, marks))
    if not rows:
        return None
    return Figure(
        "Slot F1",
        "In percent, for the slots that the reference has.",
        plots.bar_plot(rows, "Slot F1, in percent"),
    )


def _words_and_states(dialogues: Sequence[str], systems: Sequence[System], rows: Sequence[Row]) -> Figure | None:
    marks = []
    for place, counts in by_dialogue(rows, len(systems)):
        for number, own in enumerate(counts):
            errors, right = share(own["word_errors"], own["words"]), share(own["right"], own["scored"])
            if errors is not None and right is not None:
                label = f"{systems[number].name}, {dialogues[place]}: WER {errors:.1f} %, JGA {right:.1f} %"
                link = Link(_where(number, dialogue=dialogues[place]), {"turns": own["turns"]})
                marks.append(Mark(errors, right, number, label, link))
    if not marks:
        return None
    title = "WER against JGA"
    note = "One mark a dialogue; the table per dialogue lists them too."
    return Figure(title, note, plots.scatter_plot(marks, "WER (%)", "JGA (%)", title))


def _where(number: int, **filters: str | int) -> Filters:
    return filters | ({"system": number} if number else {})
