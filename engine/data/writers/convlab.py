"""ConvLab's unified format: ``data.zip`` with ``data/dialogues.json`` and ``data/ontology.json``."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport
from engine.data.readers.convlab import DIALOGUES
from engine.data.writers import as_said, joined, positions, text_only
from engine.dialogue import Dialogue, Ontology, State

_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_ACTS: dict[str, list[Any]] = {"categorical": [], "non-categorical": [], "binary": []}


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Write all splits; a state names every slot of the dialogues, "" where it is unset."""
    report = PreparationReport("ConvLab unified format", "all splits")
    text_only(report, dialogues, needs_state=False)
    slots = Ontology.from_dialogues(dialogues).values
    unset = {domain: dict.fromkeys(names, "") for domain, names in slots.items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "data.zip.partial"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            DIALOGUES, json.dumps([_dialogue(dialogue, unset) for dialogue in dialogues], ensure_ascii=False, indent=1)
        )
        archive.writestr("data/ontology.json", json.dumps(_ontology(slots, unset), ensure_ascii=False, indent=1))
    partial.replace(folder / "data.zip")
    report.count(list(dialogues))
    return report


def _dialogue(dialogue: Dialogue, unset: dict[str, dict[str, str]]) -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    domains: dict[str, None] = {}
    for turn in positions(dialogue):
        speaker = "user" if turn.speaker == "user" else "system"
        entry: dict[str, Any] = {
            "speaker": speaker,
            "utterance": turn.transcript or "",
            "utt_idx": len(turns),
            "dialogue_acts": _ACTS,
        } | as_said(turn.transcript or "")
        if speaker == "user" and turn.state is not None:
            domains |= dict.fromkeys(turn.state)
            entry["state"] = _state(turn.state, unset)
        turns.append(entry)
    return {
        "dataset": dialogue.source or "spoken-dst-studio",
        "data_split": _SPLITS[dialogue.split],
        "dialogue_id": dialogue.dialogue_id,
        "original_id": dialogue.dialogue_id,
        "domains": list(domains),
        "goal": {"description": "", "inform": {}, "request": {}},
        "turns": turns,
    }


def _state(state: State, unset: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    given = {domain: {slot: joined(value) for slot, value in slots.items()} for domain, slots in state.items()}
    return {domain: slots | given.get(domain, {}) for domain, slots in unset.items()}


def _ontology(slots: dict[str, dict[str, list[str]]], unset: dict[str, dict[str, str]]) -> dict[str, Any]:
    domains = {
        domain: {
            "description": domain,
            "slots": {
                name: {"description": name, "is_categorical": False, "possible_values": values} for name, values in names.items()
            },
        }
        for domain, names in slots.items()
    }
    return {"domains": domains, "intents": {}, "state": unset, "dialogue_acts": _ACTS}
