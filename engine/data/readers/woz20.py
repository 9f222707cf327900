"""WOZ 2.0 (Mrksic et al. 2017, "Neural Belief Tracker"): typed restaurant dialogues, Apache-2.0, 600/200/400.

Folder: ``woz_train_en.json``, ``woz_validate_en.json``, ``woz_test_en.json``. A turn holds the system's words *before*
the user's; the first system turn is empty. The state is ``belief_state``'s inform acts; requests are no state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport, each_dialogue, in_layout, own_split, require, within, words
from engine.data.readers.files import read_json
from engine.dialogue import Dialogue, State, Turn

LICENCE = "Apache-2.0"
_SPLITS = {"train": ["train"], "dev": ["validate"], "test": ["test"]}
_SLOTS = {"area": "area", "food": "food", "price range": "pricerange"}
# Slips of the annotators; the right-hand side is what the rest of the corpus writes.
_MENDED_VALUES = {("area", "center"): "centre", ("area", "east side"): "east", ("food", "corsican"): "corsica"}


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; the state has the domain ``restaurant`` with area, food and pricerange.

    Raises:
        CorpusError: the split's file is missing or is not in WOZ 2.0's layout.
    """
    split, (name,) = own_split(_SPLITS, split)
    path = require(folder, f"woz_{name}_en.json")
    report = PreparationReport("WOZ 2.0", split)
    with in_layout(path, "WOZ 2.0"):
        dialogues = each_dialogue(read_json(path), lambda data: _dialogue(data, split, report), "dialogue_idx")
    report.count(dialogues)
    return dialogues, report


def _dialogue(data: dict[str, Any], split: str, report: PreparationReport) -> Dialogue:
    name = f"woz20-{split}-{int(data['dialogue_idx']):04d}"
    dialogue = Dialogue(name, [], split, "woz20", LICENCE)
    for number, exchange in enumerate(data["dialogue"]):
        with within(f"turn {number}"):
            said = {"agent": exchange["system_transcript"], "user": exchange["transcript"]}
            for speaker, text in said.items():
                turn_id = len(dialogue.turns)
                transcript = words(exchange, text, f"{name}-{turn_id}")
                if speaker == "user":
                    if not transcript:
                        report.drop("user turn without words", f"{name} turn {turn_id}")
                        continue
                    dialogue.turns.append(Turn(turn_id, speaker, transcript, state=_state(exchange["belief_state"], report)))
                elif transcript:
                    dialogue.turns.append(Turn(turn_id, speaker, transcript))
    return dialogue


def _state(acts: list[dict[str, Any]], report: PreparationReport) -> State:
    slots: dict[str, str] = {}
    for act in acts:
        if act["act"] != "inform":
            continue
        for name, value in act["slots"]:
            slot = _SLOTS[name]
            mended = _MENDED_VALUES.get((slot, value), value)
            if mended != value:
                report.mend(f"{slot} {value!r} is written {mended!r} elsewhere")
            if slot in slots:
                report.mend(f"{slot} annotated twice in one turn")
            slots[slot] = mended
    return {"restaurant": dict(sorted(slots.items()))} if slots else {}
