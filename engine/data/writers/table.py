"""A table of turns, ``turns.csv``, for spreadsheets and the reader `table`: all that a turn holds but instructions."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport
from engine.data.readers.table import NEEDED, SILENCE
from engine.dialogue import Dialogue, Turn

COLUMNS = (
    *NEEDED,
    *("transcript", "state", "heard", "translation", "audio", "start", "end", "channel", "voice", "split", "source", "licence"),
)


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Write ``turns.csv``; audio stays where it is, named from the folder."""
    report = PreparationReport("table of turns", "all splits")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "turns.csv.partial"
    with partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for dialogue in dialogues:
            for turn in dialogue.turns:
                if turn.instructions:
                    report.mend("instructions have no column: left out", f"{dialogue.dialogue_id} turn {turn.turn_id}")
                rows.writerow(_row(dialogue, turn, folder))
    partial.replace(folder / "turns.csv")
    report.count(list(dialogues))
    return report


def _row(dialogue: Dialogue, turn: Turn, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {key: value for key, value in vars(turn).items() if key in COLUMNS}
    row |= {key: getattr(dialogue, key) for key in ("dialogue_id", "split", "source", "licence")}
    row["transcript"] = SILENCE if turn.transcript == "" else " ".join((turn.transcript or "").split())
    for key in ("state", "translation"):
        row[key] = "" if row[key] is None else json.dumps(row[key], ensure_ascii=False)
    if turn.audio:
        row["audio"] = Path(os.path.relpath(turn.audio, folder)).as_posix()
    return row
