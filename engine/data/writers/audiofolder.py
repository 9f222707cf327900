"""Hugging Face's audiofolder: ``load_dataset("audiofolder", data_dir=...)`` gives a row for every turn that has a recording.

``train``, ``validation`` and ``test`` each hold ``audio/`` and ``metadata.csv`` (``file_name``, ``dialogue_id``, ``turn_id``,
``speaker``, ``transcription``, ``state`` as JSON, ``history`` as a JSON list of the turns before). Beside them
``manifest.jsonl`` holds the whole dialogues on the same sound files, for this engine.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import audio
from engine.data.readers import PreparationReport
from engine.data.writers import by_split
from engine.dialogue import Dialogue, write_manifest

_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
COLUMNS = ("file_name", "dialogue_id", "turn_id", "speaker", "transcription", "state", "history")


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Cut every turn's sound out of its recording into mono FLAC at its own sampling rate and write the tables.

    A turn whose recording cannot be used stays in the manifest as text, and is reported.
    """
    report = PreparationReport("audiofolder", "all splits")
    written: list[Dialogue] = []
    for split, part in by_split(dialogues).items():
        place = folder / _SPLITS[split]
        place.mkdir(parents=True, exist_ok=True)
        with (place / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS)
            rows.writeheader()
            for dialogue in part:
                cut = _cut(dialogue, place, report)
                rows.writerows(_rows(cut, place))
                written.append(cut)
    write_manifest(folder / "manifest.jsonl", written)
    report.count(written)
    return report


def _cut(dialogue: Dialogue, place: Path, report: PreparationReport) -> Dialogue:
    """The dialogue with each turn's sound in a file of its own."""
    turns = []
    for turn in dialogue.turns:
        turn = replace(turn)
        if turn.audio:
            name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', dialogue.dialogue_id)}-{turn.turn_id:03d}.flac"
            try:
                rate = audio.sampling_rate(turn.audio)
                samples = audio.load(turn.audio, turn.start, turn.end, turn.channel, rate)
                audio.save_flac(place / "audio" / name, samples, rate)
                turn.audio = str((place / "audio" / name).absolute())
            except audio.AudioError as error:
                report.drop(f"sound of a turn: {error}", f"{dialogue.dialogue_id} turn {turn.turn_id}")
                turn.audio = None
            turn.start = turn.end = turn.channel = None
        turns.append(turn)
    return replace(dialogue, turns=turns)


def _rows(dialogue: Dialogue, place: Path) -> Iterator[dict[str, Any]]:
    history: list[dict[str, str]] = []
    for turn in dialogue.turns:
        if turn.audio:
            yield {
                "file_name": Path(turn.audio).relative_to(place.absolute()).as_posix(),
                "dialogue_id": dialogue.dialogue_id,
                "turn_id": turn.turn_id,
                "speaker": turn.speaker,
                "transcription": turn.transcript or "",
                "state": "" if turn.state is None else json.dumps(turn.state, ensure_ascii=False),
                "history": json.dumps(history, ensure_ascii=False),
            }
        history.append({"speaker": turn.speaker, "transcription": turn.transcript or ""})
