"""SLURP (Bastianelli et al. 2020): single commands to a home assistant with intents and entities; text CC BY 4.0, audio
CC BY-NC 4.0.

Folder: the repository with ``dataset/slurp/{train,train_synthetic,devel,test}.jsonl`` and ``audio/slurp_real``,
``audio/slurp_synth`` with the FLAC files. A sentence was recorded several times.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport, in_layout, own_split, require
from engine.data.readers.files import read_lines, usable, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue, State

LICENCE = "CC BY 4.0 (text), CC BY-NC 4.0 (audio)"
_SPLITS = {"train": ["train", "train_synthetic"], "dev": ["devel"], "test": ["test"]}


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; every recording is a dialogue of one turn. The state's domain is the scenario, its slots are the entity
    types, and ``intent`` holds the action.

    ``--split train`` takes the synthetic part too where it is here; name ``train_synthetic`` for it alone.

    Raises:
        CorpusError: the split's file is missing or not in SLURP's layout.
    """
    own = split
    split, parts = own_split(_SPLITS, split)
    if own == "train" and not list(folder.glob("**/train_synthetic.jsonl")):
        parts = ["train"]
    report = PreparationReport("SLURP", split)
    dialogues: list[Dialogue] = []
    for part in parts:
        texts = require(folder, f"dataset/slurp/{part}.jsonl", f"slurp/{part}.jsonl", f"{part}.jsonl")
        audio = require(folder, "audio/slurp_synth" if part == "train_synthetic" else "audio/slurp_real", "audio", depth=1)
        for number, line in read_lines(texts):
            with in_layout(f"{texts}, line {number}", "SLURP"):
                data = json.loads(line)
                state = _state(data, report)
                transcript = normalise_transcript(data["sentence"])
                names = [recording["file"] for recording in data["recordings"]]
            for name in names:
                if usable(path := audio / name, report):
                    stem = Path(name).stem.removeprefix("audio-")
                    source = f"slurp {part}"
                    dialogues.append(utterance(f"slurp-{stem}", split, source, LICENCE, transcript, path, state=state))
    report.count(dialogues)
    return dialogues, report


def _state(data: dict[str, Any], report: PreparationReport) -> State:
    words = {token["id"]: token["surface"] for token in data["tokens"]}
    slots: dict[str, str] = {"intent": data["action"]}
    for entity in data["entities"]:
        value = normalise_transcript(" ".join(words[position] for position in entity["span"]))
        slot = entity["type"]
        if slot in slots:
            report.mend("several entities of one type: joined by a comma", str(data["slurp_id"]))
            value = f"{slots[slot]}, {value}"
        slots[slot] = value
    return {data["scenario"]: dict(sorted(slots.items()))}
