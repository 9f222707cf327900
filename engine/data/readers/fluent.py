"""Fluent Speech Commands (Lugosch et al. 2019): single commands with action, object and location; academic licence.

Folder: ``fluent_speech_commands_dataset`` with ``data/{train,valid,test}_data.csv`` (columns ``path``, ``speakerId``,
``transcription``, ``action``, ``object``, ``location``) and the WAV files in ``wavs/speakers``.
"""

from __future__ import annotations

from pathlib import Path

from engine.data.readers import PreparationReport, own_split, require
from engine.data.readers.files import read_table, usable, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue, Value

LICENCE = "Fluent Speech Commands public licence (academic use)"
_SPLITS = {"train": ["train"], "dev": ["valid"], "test": ["test"]}
_SLOTS = ("action", "object", "location")


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; every recording is a dialogue of one turn with the state ``{"command": {"action": ...}}``; the value
    "none" is no slot.

    Raises:
        CorpusError: the split's table is missing or lacks a column.
    """
    split, (part,) = own_split(_SPLITS, split)
    table = require(folder, f"data/{part}_data.csv", depth=1)
    report = PreparationReport("Fluent Speech Commands", split)
    dialogues = []
    for row in read_table(table, ",", ("path", "speakerId", "transcription", *_SLOTS)):
        if usable(path := table.parents[1] / row["path"], report):
            slots: dict[str, Value] = {slot: row[slot].lower() for slot in _SLOTS if row[slot] not in ("", "none")}
            text = normalise_transcript(row["transcription"])
            name = f"fluent-{path.parent.name}-{path.stem}"
            state = {"command": slots} if slots else {}
            dialogues.append(utterance(name, split, "fluent", LICENCE, text, path, voice=row["speakerId"], state=state))
    report.count(dialogues)
    return dialogues, report
