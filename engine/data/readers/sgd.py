"""Schema-Guided Dialogue (Rastogi et al. 2020), CC BY-SA 4.0.

Folder: ``train``, ``dev``, ``test``, each with ``dialogues_*.json``, as published, or each packed as ``train.tgz``. The
state is cumulative in each service's frame of a user turn; a slot's value is a list of accepted forms.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.data.readers import CorpusError, PreparationReport, require
from engine.data.spoken_form import to_spoken
from engine.dialogue import Dialogue, State, Turn

LICENCE = "CC BY-SA 4.0"


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; a domain is a service ("restaurants_1"), all forms of a value are kept.

    Raises:
        CorpusError: the split is missing, empty, or not in SGD's layout.
    """
    path = require(folder, split, f"{split}.tgz")
    report = PreparationReport("SGD", split)
    try:
        dialogues = [_dialogue(data, split, report) for text in _files(path) for data in json.loads(text)]
    except (KeyError, TypeError, ValueError, tarfile.TarError, EOFError) as error:
        raise CorpusError(f"{path}: not in the layout of SGD ({type(error).__name__}: {error})") from error
    if not dialogues:
        raise CorpusError(f"{path}: expected dialogues_*.json files, found none")
    report.count(dialogues)
    return dialogues, report


def _files(path: Path) -> Iterator[bytes]:
    """The text of every ``dialogues_*.json``, in the order of the names."""
    if path.is_dir():
        for file in sorted(path.glob("dialogues_*.json")):
            yield file.read_bytes()
        return
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if Path(member.name).match("dialogues_*.json")]
        for member in sorted(members, key=lambda member: member.name):
            if content := archive.extractfile(member):
                yield content.read()


def _dialogue(data: dict[str, Any], split: str, report: PreparationReport) -> Dialogue:
    name = f"sgd-{split}-{data['dialogue_id']}"
    dialogue = Dialogue(name, [], split, "sgd", LICENCE)
    state: State = {}
    for turn_id, entry in enumerate(data["turns"]):
        speaker = "user" if entry["speaker"] == "USER" else "agent"
        if speaker == "user":
            state = state | {
                frame["service"].lower(): {
                    slot: forms for slot, forms in sorted(frame["state"]["slot_values"].items()) if forms
                }
                for frame in entry["frames"]
            }
        turn = Turn(turn_id, speaker, to_spoken(entry["utterance"], f"{name}-{turn_id}"))
        if not turn.transcript:
            report.dropped[f"{speaker} turn without words"] += 1
            continue
        if speaker == "user":
            turn.state = {service: _folded(slots) for service, slots in sorted(state.items()) if slots}
        dialogue.turns.append(turn)
    return dialogue


def _folded(slots: dict[str, Any]) -> dict[str, Any]:
    """Lower-case; a value with one form is that form."""
    folded = {slot: list(dict.fromkeys(form.lower() for form in forms)) for slot, forms in slots.items()}
    return {slot: forms[0] if len(forms) == 1 else forms for slot, forms in folded.items()}
