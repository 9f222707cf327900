"""ConvLab's unified format (Zhu et al. 2022), in which ConvLab-3 keeps MultiWOZ, SGD and some twenty other corpora.

Folder: one of its data sets, with ``data.zip`` (or what it holds, ``data/dialogues.json``): a list of dialogues with
``data_split`` (train, validation, test) and turns whose ``state`` stands in user turns, every slot named and "" where unset.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport, each_dialogue, in_layout, own_split, require, state_value, within, words
from engine.data.readers.files import read_json
from engine.dialogue import Dialogue, State, Turn

_SPLITS = {"train": ["train"], "dev": ["validation"], "test": ["test"]}
DIALOGUES = "data/dialogues.json"


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; domains and slots are lower-case, "a|b" is the list of both, "none" is a value.

    Raises:
        CorpusError: no data set of ConvLab's, or its dialogues are not in the unified format.
    """
    split, (part,) = own_split(_SPLITS, split)
    path = require(folder, "data.zip", DIALOGUES, "dialogues.json")
    report = PreparationReport("ConvLab unified format", split)
    with in_layout(path, "ConvLab's unified format"):
        dialogues = each_dialogue(
            _load(path), lambda data: _dialogue(data, split, report) if data["data_split"] == part else None
        )
    report.note("the licence is the data set's own: see its README")
    report.count(dialogues)
    return dialogues, report


def _load(path: Path) -> Any:
    if path.suffix != ".zip":
        return read_json(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(DIALOGUES))
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def _dialogue(data: dict[str, Any], split: str, report: PreparationReport) -> Dialogue:
    name = data["dialogue_id"]
    dialogue = Dialogue(name, [], split, data["dataset"])
    for number, entry in enumerate(data["turns"]):
        with within(f"turn {number}"):
            turn_id, speaker = entry["utt_idx"], "user" if entry["speaker"] == "user" else "agent"
            turn = Turn(turn_id, speaker, words(entry, entry["utterance"], f"{name}-{turn_id}"))
            if not turn.transcript:
                report.drop(f"{speaker} turn without words", f"{name} turn {turn_id}")
                continue
            if speaker == "user" and "state" in entry:
                turn.state = _state(entry["state"], report)
            dialogue.turns.append(turn)
    return dialogue


def _state(raw: dict[str, dict[str, str]], report: PreparationReport) -> State:
    state: State = {}
    for domain, slots in sorted(raw.items()):
        for slot, text in sorted(slots.items()):
            if (value := state_value(text, report, unset=("", "not mentioned", "not given"))) is not None:
                state.setdefault(domain.lower(), {})[slot.lower()] = value
    return state
