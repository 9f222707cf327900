"""Schema-Guided Dialogue, and MultiWOZ 2.2 in its layout: ``SPLIT/dialogues_001.json`` and so on, ``SPLIT/schema.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport
from engine.data.writers import as_said, by_split, no_values, positions, text_only, write_json
from engine.dialogue import Dialogue, Ontology, State, accepted

_PER_FILE = 128  # dialogues, as published
_BOOKED = {"restaurant": {"day", "people", "time"}, "hotel": {"day", "people", "stay"}, "train": {"people"}}


def write(folder: Path, dialogues: Sequence[Dialogue], multiwoz: bool = False) -> PreparationReport:
    """Write each split into its folder; a service is a domain, and a slot's value the list of its accepted forms."""
    report = PreparationReport("MultiWOZ 2.2" if multiwoz else "SGD", "all splits")
    text_only(report, dialogues)
    if multiwoz:
        no_values(report, dialogues)
    for split, part in by_split(dialogues).items():
        entries = [_dialogue(dialogue, multiwoz) for dialogue in part]
        for old in (folder / split).glob("dialogues_*.json"):
            old.unlink()
        for number, first in enumerate(range(0, len(entries), _PER_FILE), 1):
            write_json(folder / split / f"dialogues_{number:03d}.json", entries[first : first + _PER_FILE])
        write_json(folder / split / "schema.json", _schema(part, multiwoz))
    report.count(list(dialogues))
    return report


def _dialogue(dialogue: Dialogue, multiwoz: bool) -> dict[str, Any]:
    services: dict[str, None] = {}
    turns: list[dict[str, Any]] = []
    for turn in positions(dialogue):
        frames: list[dict[str, Any]] = []
        if turn.speaker == "user" and turn.state is not None:
            services |= dict.fromkeys(turn.state)  # a service once spoken about keeps its frame, empty where nothing is left
            frames = [_frame(service, turn.state, multiwoz) for service in services]
        speaker = "USER" if turn.speaker == "user" else "SYSTEM"
        text = turn.transcript or ""
        entry = {"speaker": speaker, "utterance": text, "frames": frames} | as_said(text)
        turns.append({"turn_id": str(len(turns))} | entry if multiwoz else entry)
    name = dialogue.dialogue_id
    if multiwoz:
        own = name.removeprefix("multiwoz-")
        name = f"{own.upper() if own != name else own}.json"
    return {
        "dialogue_id": name.removeprefix(f"sgd-{dialogue.split}-"),
        "services": list(services),
        "turns": turns,
    }


def _frame(service: str, state: State, multiwoz: bool) -> dict[str, Any]:
    values = {_slot(service, slot, multiwoz): accepted(value) for slot, value in state.get(service, {}).items()}
    intent = {"active_intent": "NONE", "requested_slots": [], "slot_values": values}
    return {"service": service, "slots": [], "actions": [], "state": intent}


def _slot(service: str, slot: str, multiwoz: bool) -> str:
    if not multiwoz:
        return slot
    return f"{service}-book{slot}" if slot in _BOOKED.get(service, ()) else f"{service}-{slot}"


def _schema(dialogues: list[Dialogue], multiwoz: bool) -> list[dict[str, Any]]:
    found = Ontology.from_dialogues(dialogues).values
    return [
        {
            "service_name": service,
            "description": service,
            "slots": [
                {"name": _slot(service, slot, multiwoz), "description": slot, "is_categorical": False, "possible_values": values}
                for slot, values in slots.items()
            ],
            "intents": [],
        }
        for service, slots in found.items()
    ]
