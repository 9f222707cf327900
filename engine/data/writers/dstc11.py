"""Speech-aware MultiWOZ (DSTC11): ``train_manifest.txt``, ``dev_manifest.txt``, ``test_manifest.txt``, one turn a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.data.readers import PreparationReport
from engine.data.writers import WriteError, by_split, joined, no_values, text_only
from engine.dialogue import Dialogue, Turn, iterate_slots


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Write each split into its manifest; turns count from 1.

    Raises:
        WriteError: a value holds ";", which ends it in this layout, or a domain "-", which ends that.
    """
    report = PreparationReport("DSTC11", "all splits")
    text_only(report, dialogues, needs_state=False)
    no_values(report, dialogues)
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in by_split(dialogues).items():
        path = folder / f"{split}_manifest.txt"
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(f"{line}\n" for line in _lines(part)), encoding="utf-8")
        partial.replace(path)
    report.count(list(dialogues))
    return report


def _lines(dialogues: list[Dialogue]) -> Iterator[str]:
    users = 0
    for dialogue in dialogues:
        shift = 1 if any(turn.turn_id == 0 for turn in dialogue.turns) else 0
        for turn in dialogue.turns:
            text = " ".join((turn.transcript or "").split())
            name = dialogue.dialogue_id
            yield (
                f"line_nr: {users} dialog_id: {name}.json turn_id: {turn.turn_id + shift} text: {turn.speaker}: {text} "
                f"state: {_state(dialogue, turn)}".rstrip()
            )
            users += turn.speaker == "user"


def _state(dialogue: Dialogue, turn: Turn) -> str:
    for domain in turn.state or {}:
        if "-" in domain:
            raise WriteError(
                f"dialogue {dialogue.dialogue_id}, turn {turn.turn_id}: the domain {domain!r} holds a hyphen, which ends it "
                "in DSTC11's manifests; write another layout"
            )
    pairs = [f"{domain}-{slot}={joined(value)}" for domain, slot, value in iterate_slots(turn.state or {})]
    for pair in pairs:
        if ";" in pair:
            raise WriteError(
                f"dialogue {dialogue.dialogue_id}, turn {turn.turn_id}: {pair!r} holds a semicolon, which ends a value "
                "in DSTC11's manifests; write another layout"
            )
    return "; ".join(pairs)
