"""Dialogues into the layouts of public corpora, so that other people's tools can use them; each the inverse of a reader.

A writer is a function ``write(folder, dialogues) -> report``: reading the folder with the reader of the same name gives the
dialogues back, as far as the layout can hold them (typed corpora have no audio); what it cannot hold is in the report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.data.readers import AS_SAID, UNSET, PreparationReport
from engine.data.spoken_form import to_spoken
from engine.dialogue import SPLITS, Dialogue, Turn, Value, accepted, iterate_slots


class WriteError(ValueError):
    """Dialogues that a layout cannot hold. The message names the dialogue, the reason and what to do."""


@dataclass(frozen=True)
class Layout:
    """A layout this package writes: one line about it, and its writer."""

    summary: str
    write: Callable[[Path, Sequence[Dialogue]], PreparationReport]


def layouts() -> dict[str, Layout]:
    """Every layout, by the name of its reader."""
    from engine.data.writers import audiofolder, convlab, dstc11, multiwoz, sgd, spokenwoz, table, woz20

    return {
        "spokenwoz": Layout("SpokenWOZ: a stereo WAV file a call, with texts and states", spokenwoz.write),
        "multiwoz": Layout("MultiWOZ 2.1: data.json and the lists of dev and test", multiwoz.write),
        "multiwoz22": Layout("MultiWOZ 2.2: SGD's layout, slots named restaurant-bookday", partial(sgd.write, multiwoz=True)),
        "sgd": Layout("Schema-Guided Dialogue: train, dev and test with a schema each", sgd.write),
        "convlab": Layout("ConvLab-3's unified format: data.zip", convlab.write),
        "woz20": Layout("WOZ 2.0: restaurant dialogues with area, food and pricerange", woz20.write),
        "dstc11": Layout("speech-aware MultiWOZ (DSTC11): the text manifests", dstc11.write),
        "table": Layout("a table of turns, turns.csv, which holds everything", table.write),
        "audiofolder": Layout("Hugging Face audiofolder: a sound file a turn, metadata.csv", audiofolder.write),
    }


def by_split(dialogues: Iterable[Dialogue]) -> dict[str, list[Dialogue]]:
    """The dialogues of each split that has some."""
    found: dict[str, list[Dialogue]] = {split: [] for split in SPLITS}
    for dialogue in dialogues:
        found[dialogue.split].append(dialogue)
    return {split: part for split, part in found.items() if part}


def positions(dialogue: Dialogue, alternate: bool = False) -> Iterator[Turn]:
    """The turns such that each stands at its own number, with turns without words in the gaps.

    Args:
        alternate: the layout knows the speaker from the place: users stand at even ones, agents at odd ones.
    """
    place = 0
    for turn in dialogue.turns:
        target = max(place, turn.turn_id)
        if alternate and target % 2 != (turn.speaker == "agent"):
            target += 1
        for gap in range(place, target):
            yield Turn(gap, "agent" if gap % 2 else "user", "")
        yield turn
        place = target + 1


def joined(value: Value) -> str:
    """All accepted forms of a value as one text, "a|b"."""
    return "|".join(accepted(value))


def no_values(report: PreparationReport, dialogues: Sequence[Dialogue]) -> None:
    """Say which values are none where a layout's reader knows "none" as an unset slot."""
    for dialogue in dialogues:
        for turn in dialogue.turns:
            for domain, slot, value in iterate_slots(turn.state or {}):
                for form in UNSET.intersection(accepted(value)):
                    where = f"{dialogue.dialogue_id} turn {turn.turn_id} {domain}-{slot}"
                    report.drop(f"value {form!r}: in this layout the slot is unset then", where)


def as_said(*texts: str, read: Callable[[str], str] = to_spoken) -> dict[str, bool]:
    """What an entry says besides, where its reader would change words: that they are written as they were said."""
    return {AS_SAID: True} if any(read(text) != text for text in texts) else {}


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + ".partial")
    partial_file.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    partial_file.replace(path)


def text_only(report: PreparationReport, dialogues: Sequence[Dialogue], needs_state: bool = True) -> None:
    """Say what a layout of typed dialogues has no place for."""
    if any(turn.audio for dialogue in dialogues for turn in dialogue.turns):
        report.note("the layout has no place for audio: text and states were written")
    incomplete(report, dialogues, needs_state)


def incomplete(report: PreparationReport, dialogues: Sequence[Dialogue], needs_state: bool = True) -> None:
    """Say which turns lack what a layout cannot leave open."""
    for dialogue in dialogues:
        for turn in dialogue.turns:
            where = f"{dialogue.dialogue_id} turn {turn.turn_id}"
            if turn.transcript is None:
                report.mend("turn without a transcript: written with an empty one", where)
            if needs_state and turn.speaker == "user" and turn.state is None:
                report.mend("user turn without a state: written with what was known before, or none", where)
