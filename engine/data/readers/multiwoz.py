"""MultiWOZ 2.1 (Eric et al. 2020), 2.2 (Zang et al. 2020), 2.3 (Han et al. 2021) and 2.4 (Ye et al. 2022); MIT.

Folders: 2.1, 2.3 and 2.4 are ``data.json`` with ``valListFile`` and ``testListFile`` (``.json`` or ``.txt``, one id a line), or
one ``train.json``, ``val.json``, ``test.json`` each as ConvLab has them (gzip too). User and system turns alternate from the
user's; the state after user turn 2k stands in ``metadata`` of entry 2k+1. 2.2 is ``train``, ``dev``, ``test`` with
``dialogues_*.json`` in SGD's layout; slots are named ``restaurant-bookday``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.data.readers import CorpusError, PreparationReport, in_layout, own_split, require, state_value, within, words
from engine.data.readers.files import read_json, read_lines
from engine.data.readers.sgd import parse_files, service_states
from engine.dialogue import Dialogue, State, Turn

LICENCE = "MIT"
_SPLITS = {"train": ["train"], "dev": ["val"], "test": ["test"]}


def read(folder: Path, split: str, version: str = "2.1") -> tuple[list[Dialogue], PreparationReport]:
    """Read one split of 2.1, 2.3 or 2.4; slot names are lower-case (``leaveat``) without "book", "a|b" is the list of both.

    Raises:
        CorpusError: the split's file is missing or is not in MultiWOZ's layout.
    """
    split, (name,) = own_split(_SPLITS, split)
    packed = f"multiwoz{version.replace('.', '')}_{name}.json.gz"
    path = require(folder, packed, f"{name}.json.gz", f"{name}.json", "data.json", depth=2)
    report = PreparationReport(f"MultiWOZ {version}", split)
    source = f"multiwoz{version.replace('.', '')}"
    with in_layout(path, f"MultiWOZ {version}"):
        data = read_json(path)
        if path.name == "data.json":
            data = _of_split(data, path.parent, split)
        dialogues = []
        for name, entry in data.items():
            with within(f"dialogue {name}"):
                dialogues.append(_dialogue(name, entry["log"], split, source, report))
    report.count(dialogues)
    return dialogues, report


def read_22(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split of 2.2; slot names without domain and "book", all forms of a value are kept.

    Raises:
        CorpusError: the split is missing, empty, or not in MultiWOZ 2.2's layout.
    """
    split, _ = own_split({split: [split] for split in ("train", "dev", "test")}, split)
    path = require(folder, split, f"{split}.tgz", depth=2)
    report = PreparationReport("MultiWOZ 2.2", split)
    dialogues = parse_files(path, "MultiWOZ 2.2", lambda data: _dialogue_22(data, split, report))
    report.count(dialogues)
    return dialogues, report


def _of_split(data: dict[str, Any], folder: Path, split: str) -> dict[str, Any]:
    """The dialogues of a split; what neither list names is the training split."""
    listed: dict[str, set[str]] = {}
    for part, name in (("dev", "valListFile"), ("test", "testListFile")):
        try:
            found = require(folder, f"{name}.json", f"{name}.txt")
        except CorpusError as error:
            raise CorpusError(f"{error}; where a version lacks the lists, copy those of MultiWOZ 2.1 here") from error
        listed[part] = {line.strip().removesuffix(".json").lower() for _, line in read_lines(found)}
    listed["train"] = {_key(name) for name in data} - listed["dev"] - listed["test"]
    return {name: entry for name, entry in data.items() if _key(name) in listed[split]}


def _key(name: str) -> str:
    return name.removesuffix(".json").lower()


def _dialogue(name: str, log: list[dict[str, Any]], split: str, source: str, report: PreparationReport) -> Dialogue:
    name = f"multiwoz-{_key(name)}"
    dialogue = Dialogue(name, [], split, source, LICENCE)
    for turn_id, entry in enumerate(log):
        with within(f"turn {turn_id}"):
            speaker = "agent" if turn_id % 2 else "user"
            turn = Turn(turn_id, speaker, words(entry, entry["text"], f"{name}-{turn_id}"))
            if not turn.transcript:
                report.drop(f"{speaker} turn without words", f"{name} turn {turn_id}")
                continue
            if speaker == "user":
                if turn_id + 1 == len(log):
                    report.drop("last user turn without a state", f"{name} turn {turn_id}")
                    continue
                with within(f"its state in turn {turn_id + 1}"):
                    metadata = log[turn_id + 1]["metadata"]
                    turn.state = _state(metadata, report) if metadata else None  # not even empty slots: nobody labelled it
            dialogue.turns.append(turn)
    return dialogue


def _state(metadata: dict[str, Any], report: PreparationReport) -> State:
    state: State = {}
    for domain, parts in metadata.items():
        slots = {
            slot.lower(): value
            for slot, raw in (parts["semi"] | parts["book"]).items()
            if slot != "booked" and (value := state_value(raw, report)) is not None
        }
        if slots:
            state[domain] = dict(sorted(slots.items()))
    return dict(sorted(state.items()))


def _dialogue_22(data: dict[str, Any], split: str, report: PreparationReport) -> Dialogue:
    name = f"multiwoz-{_key(data['dialogue_id'])}"
    dialogue = Dialogue(name, [], split, "multiwoz22", LICENCE)
    services: dict[str, dict[str, list[str]]] = {}
    for turn_id, entry in enumerate(data["turns"]):
        with within(f"turn {turn_id}"):
            speaker = "user" if entry["speaker"] == "USER" else "agent"
            turn = Turn(turn_id, speaker, words(entry, entry["utterance"], f"{name}-{turn_id}"))
            if speaker == "user":
                services |= service_states(entry["frames"])
                turn.state = _state_22(services, report)
            if turn.transcript:
                dialogue.turns.append(turn)
            else:
                report.drop(f"{speaker} turn without words", f"{name} turn {turn_id}")
    return dialogue


def _state_22(services: dict[str, dict[str, list[str]]], report: PreparationReport) -> State:
    state: State = {}
    for service, slots in services.items():
        for slot, forms in slots.items():
            own = slot.startswith(f"{service}-")  # a domain may have a hyphen
            domain, name = (service, slot.removeprefix(f"{service}-")) if own else slot.partition("-")[::2]
            if (value := state_value(forms, report)) is not None:
                state.setdefault(domain, {})[name.removeprefix("book")] = value
    return {domain: dict(sorted(slots.items())) for domain, slots in sorted(state.items())}
