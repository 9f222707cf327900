"""Schema-Guided Dialogue (Rastogi et al. 2020), CC BY-SA 4.0.

Folder: ``train``, ``dev``, ``test``, each with ``dialogues_*.json``, as published, or each packed as ``train.tgz``. The
state is cumulative in each service's frame of a user turn; a slot's value is a list of accepted forms.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.data.readers import CorpusError, PreparationReport, each_dialogue, in_layout, own_split, require, within, words
from engine.dialogue import Dialogue, State, Turn

LICENCE = "CC BY-SA 4.0"


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; a domain is a service ("restaurants_1"), all forms of a value are kept.

    Raises:
        CorpusError: the split is missing, empty, or not in SGD's layout.
    """
    split, _ = own_split({split: [split] for split in ("train", "dev", "test")}, split)
    path = require(folder, split, f"{split}.tgz")
    report = PreparationReport("SGD", split)
    dialogues = parse_files(path, "SGD", lambda data: _dialogue(data, split, report))
    report.count(dialogues)
    return dialogues, report


def parse_files(path: Path, corpus: str, parse: Callable[[dict[str, Any]], Dialogue]) -> list[Dialogue]:
    """Every dialogue of the ``dialogues_*.json`` in a folder or archive, in the order of the files' names.

    Raises:
        CorpusError: there is none, or a file is not in the corpus's layout; the message names file, dialogue and turn.
    """
    dialogues: list[Dialogue] = []
    with in_layout(path, corpus):
        for name, text in _files(path):
            with in_layout(name, corpus):
                dialogues += each_dialogue(json.loads(text), parse)
    if not dialogues:
        raise CorpusError(f"{path}: expected dialogues_*.json files, found none")
    return dialogues


def service_states(frames: list[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """The slots and values, each with all its forms, of every service a user turn has a frame for."""
    return {frame["service"].lower(): frame["state"]["slot_values"] for frame in frames}


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and text of every ``dialogues_*.json``, in the order of the names."""
    if path.is_dir():
        for file in sorted(path.glob("dialogues_*.json")):
            yield str(file), file.read_bytes()
        return
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if Path(member.name).match("dialogues_*.json")]
        for member in sorted(members, key=lambda member: member.name):
            if content := archive.extractfile(member):
                yield f"{path}/{member.name}", content.read()


def _dialogue(data: dict[str, Any], split: str, report: PreparationReport) -> Dialogue:
    name = f"sgd-{split}-{data['dialogue_id']}"
    dialogue = Dialogue(name, [], split, "sgd", LICENCE)
    services: dict[str, dict[str, list[str]]] = {}
    for turn_id, entry in enumerate(data["turns"]):
        with within(f"turn {turn_id}"):
            speaker = "user" if entry["speaker"] == "USER" else "agent"
            if speaker == "user":
                services |= service_states(entry["frames"])
            turn = Turn(turn_id, speaker, words(entry, entry["utterance"], f"{name}-{turn_id}"))
            if not turn.transcript:
                report.drop(f"{speaker} turn without words", f"{name} turn {turn_id}")
                continue
            if speaker == "user":
                turn.state = _state(services)
            dialogue.turns.append(turn)
    return dialogue


def _state(services: dict[str, dict[str, list[str]]]) -> State:
    """Lower-case; a value with one form is that form."""
    state: State = {}
    for service, slots in sorted(services.items()):
        for slot, forms in sorted(slots.items()):
            if forms:
                folded = list(dict.fromkeys(form.lower() for form in forms))
                state.setdefault(service, {})[slot] = folded[0] if len(folded) == 1 else folded
    return state
