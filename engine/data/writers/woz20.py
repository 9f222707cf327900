"""WOZ 2.0: ``woz_train_en.json``, ``woz_validate_en.json``, ``woz_test_en.json``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport
from engine.data.writers import WriteError, as_said, by_split, text_only, write_json
from engine.dialogue import Dialogue, Turn, accepted

_FILES = {"train": "train", "dev": "validate", "test": "test"}
_SLOTS = {"area": "area", "food": "food", "pricerange": "price range"}


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Write each split into its file; the first accepted form of a value stands for all.

    Raises:
        WriteError: a state has another domain or slot than the layout.
    """
    report = PreparationReport("WOZ 2.0", "all splits")
    text_only(report, dialogues)
    for split, part in by_split(dialogues).items():
        entries = [
            {"dialogue_idx": _number(dialogue, index), "dialogue": _exchanges(dialogue, report)}
            for index, dialogue in enumerate(part)
        ]
        write_json(folder / f"woz_{_FILES[split]}_en.json", entries)
    report.count(list(dialogues))
    return report


def _number(dialogue: Dialogue, index: int) -> int:
    match = re.fullmatch(rf"woz20-{dialogue.split}-(\d+)", dialogue.dialogue_id)
    return int(match[1]) if match else index


def _exchanges(dialogue: Dialogue, report: PreparationReport) -> list[dict[str, Any]]:
    """An exchange is the agent's words, then the user's; either may be empty."""
    exchanges: list[dict[str, Any]] = []
    said: list[str] = []
    for turn in dialogue.turns:
        if turn.speaker == "agent":
            said.append(turn.transcript or "")
            continue
        exchanges.append(_exchange(len(exchanges), " ".join(said), turn, dialogue, report))
        said = []
    if said:
        exchanges.append(_exchange(len(exchanges), " ".join(said), Turn(0, "user", ""), dialogue, report))
    return exchanges


def _exchange(index: int, system: str, turn: Turn, dialogue: Dialogue, report: PreparationReport) -> dict[str, Any]:
    beliefs: list[dict[str, Any]] = []
    for domain, slots in (turn.state or {}).items():
        for slot, value in slots.items():
            if domain != "restaurant" or slot not in _SLOTS:
                raise WriteError(
                    f"dialogue {dialogue.dialogue_id}, turn {turn.turn_id}: WOZ 2.0 holds restaurant area, food and "
                    f"pricerange only, not {domain}-{slot}; write another layout"
                )
            if len(accepted(value)) > 1:
                report.mend("value with several forms: the first was written", f"{dialogue.dialogue_id} turn {turn.turn_id}")
            beliefs.append({"slots": [[_SLOTS[slot], accepted(value)[0]]], "act": "inform"})
    text = turn.transcript or ""
    return {
        "turn_idx": index,
        "system_transcript": system,
        "transcript": text,
        "asr": [[turn.heard or text, 1.0]],
        "turn_label": [],
        "belief_state": beliefs,
        "system_acts": [],
    } | as_said(system, text)
