"""MultiWOZ 2.1 (Eric et al. 2020) in the original log layout, as ConvLab distributes it; MIT.

Folder: ``multiwoz21_train.json.gz``, ``..._val...``, ``..._test...`` (or ConvLab's ``train.json`` and so on). User and
system turns alternate from the user's; the state after user turn 2k stands in ``metadata`` of entry 2k+1.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from engine.data.readers import CorpusError, PreparationReport, require
from engine.data.spoken_form import to_spoken
from engine.dialogue import DONTCARE, Dialogue, State, Turn, Value

LICENCE = "MIT"
_FILES = {"train": "train", "dev": "val", "test": "test"}
_UNSET = {"", "not mentioned", "none", "not given"}
_DONTCARE = {"dontcare", "dont care", "don't care", "do n't care", "do nt care"}


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; slot names are lower-case (``leaveat``) without "book", a value "a|b" becomes the list of both.

    Raises:
        CorpusError: the split's file is missing or is not in MultiWOZ 2.1's layout.
    """
    name = _FILES[split]
    path = require(folder, f"multiwoz21_{name}.json.gz", f"{name}.json.gz", f"{name}.json")
    report = PreparationReport("MultiWOZ 2.1", split)
    raw = path.read_bytes()
    try:
        data = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        dialogues = [_dialogue(name, entry["log"], split, report) for name, entry in data.items()]
    except (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError) as error:
        raise CorpusError(f"{path}: not in the layout of MultiWOZ 2.1 ({type(error).__name__}: {error})") from error
    report.count(dialogues)
    return dialogues, report


def _dialogue(name: str, log: list[dict[str, Any]], split: str, report: PreparationReport) -> Dialogue:
    name = f"multiwoz-{name.removesuffix('.json').lower()}"
    dialogue = Dialogue(name, [], split, "multiwoz21", LICENCE)
    for turn_id, entry in enumerate(log):
        speaker = "agent" if turn_id % 2 else "user"
        turn = Turn(turn_id, speaker, to_spoken(entry["text"], f"{name}-{turn_id}"))
        if not turn.transcript:
            report.dropped[f"{speaker} turn without words"] += 1
            continue
        if speaker == "user":
            if turn_id + 1 == len(log):
                report.dropped["last user turn without a state"] += 1
                continue
            turn.state = _state(log[turn_id + 1]["metadata"], report)
        dialogue.turns.append(turn)
    return dialogue


def _state(metadata: dict[str, Any], report: PreparationReport) -> State:
    state: State = {}
    for domain, parts in metadata.items():
        slots = {
            slot.lower(): value
            for slot, raw in (parts["semi"] | parts["book"]).items()
            if slot != "booked" and (value := _value(raw, report)) is not None
        }
        if slots:
            state[domain] = dict(sorted(slots.items()))
    return dict(sorted(state.items()))


def _value(raw: str, report: PreparationReport) -> Value | None:
    value = " ".join(raw.lower().split())
    if value in _UNSET:
        return None
    if value in _DONTCARE:
        if value != DONTCARE:
            report.mended[f"value {value!r} is {DONTCARE!r}"] += 1
        return DONTCARE
    if "|" in value:
        report.mended["value with several forms"] += 1
        return value.split("|")
    return value
