"""References and predictions as files: what the published evaluators read, and what the engine writes itself.

| | one JSON document (the evaluators') | JSON Lines (ours) |
|---|---|---|
| reference | ``{"id": [state of user turn 1, ...]}`` | a manifest (`engine.dialogue`) |
| prediction | ``{"id": [{"response", "state", "active_domains"}, ...]}`` | ``evaluate --predictions`` |

Each may be gzip'ed. What a file is, is told from its content. Turns of the evaluators' files are counted, ours have
numbers; where both sides have numbers they decide which turn answers which, else the order does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.dialogue import ManifestError, read_manifest
from engine.json_text import FileError, line_of, parse, read_text


@dataclass(frozen=True)
class Entry:
    """One user turn of a file: the dialogue as it is named there, and the turn's place in it.

    ``state`` is as it was read, None without a label; ``turn_id`` is None where turns are counted.
    ``details`` are the further keys of our own predictions, as they were read: ``confidence``, ``raw``, ``valid`` and others;
    of a manifest's turns ``audio``, ``start``, ``end`` and ``channel``.
    """

    dialogue: str
    index: int
    state: Any
    transcript: str | None = None
    turn_id: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class ScoredFile:
    """A reference or prediction file, and where in it everything stands."""

    path: str
    dialogues: dict[str, list[Entry]] = field(default_factory=dict)
    find: Callable[..., int] = lambda *_: 1

    def where(self, dialogue: str, index: int | None = None, *names: str | None) -> str:
        """File and line of a dialogue, of its turn at ``index``, or of a domain or slot of that turn."""
        return f"{self.path}, line {self.find(dialogue, index, *[name for name in names if name is not None])}"


def read_reference(path: str | Path) -> ScoredFile:
    """Read gold states: the evaluators' JSON or a manifest.

    Raises:
        FileError: not such a file; with the line and the reason.
    """
    text = read_text(path)
    first = _first_line(text)
    if first is not None and "turns" in first:
        return _manifest(path, text)
    if first is not None and "dialogue_id" in first:
        raise FileError(f"{path}, line 1: looks like predictions (a turn a line); the reference must hold whole dialogues")
    return _counted(path, text, "state")


def read_predictions(path: str | Path) -> ScoredFile:
    """Read predicted states: the evaluators' JSON, or what ``evaluate --predictions`` wrote.

    Raises:
        FileError: not such a file; with the line and the reason.
    """
    text = read_text(path)
    first = _first_line(text)
    if first is not None and "turns" in first:
        raise FileError(f"{path}, line 1: looks like a manifest, which holds no predictions; give it as the reference")
    if first is not None and ("dialogue_id" in first or "turn_id" in first):
        return _numbered(path, text)
    return _counted(path, text, "turn")


def _first_line(text: str) -> dict[str, Any] | None:
    """The first line as an object if it is one by itself, as in JSON Lines."""
    try:
        first = json.loads(text.lstrip().split("\n", 1)[0])
    except (ValueError, RecursionError):
        return None
    return first if isinstance(first, dict) else None


def _counted(path: str | Path, text: str, holds: str) -> ScoredFile:
    """The evaluators' layouts; ``holds`` says whether a dialogue is a list of states or of turns with a state."""
    data = parse(path, text)

    def find(dialogue: str, index: int | None = None, *names: str) -> int:
        keys: list[str | int] = [dialogue] if index is None else [dialogue, index]
        return line_of(text, *keys, *(["state"] if holds == "turn" and names else []), *names)

    file = ScoredFile(str(path), find=find)
    if not isinstance(data, dict):
        raise FileError(f"{path}, line 1: must hold an object of dialogues, not {_kind(data)}")
    if not data:
        raise FileError(f"{path}, line 1: holds no dialogue, so there is nothing to score")
    for dialogue, turns in data.items():
        if not isinstance(turns, list):
            raise FileError(f"{file.where(dialogue)}: dialogue {dialogue!r} must hold a list of turns, not {_kind(turns)}")
        entries = file.dialogues.setdefault(dialogue, [])
        for index, turn in enumerate(turns):
            where = f"dialogue {dialogue!r}, user turn {index + 1}"
            if not isinstance(turn, dict):
                raise FileError(f"{file.where(dialogue, index)}: {where} must be an object, not {_kind(turn)}")
            if holds == "turn":
                if "state" not in turn:
                    raise FileError(f"{file.where(dialogue, index)}: {where}: {_missing(turn, 'state')}")
                state = turn["state"]
            elif isinstance(turn.get("state"), dict) and "response" in turn:
                raise FileError(f"{file.where(dialogue, index)}: looks like predictions; a reference holds the states alone")
            else:
                state = turn
            if not isinstance(state, dict):
                raise FileError(
                    f"{file.where(dialogue, index, 'state')}: {where}: the state must be an object of domains, not {_kind(state)}"
                )
            entries.append(Entry(dialogue, index, state))
    return file


def _numbered(path: str | Path, text: str) -> ScoredFile:
    """A turn a line: ``dialogue_id``, ``turn_id``, ``state``, and ``transcript`` if there is one; other keys are not read."""
    lines: dict[tuple[str, int], int] = {}
    found: dict[str, dict[int, tuple[Any, str | None, dict[str, Any]]]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        turn = parse(path, line, number)
        if not isinstance(turn, dict):
            raise FileError(f"{place}: must hold an object, not {_kind(turn)}")
        for key in ("dialogue_id", "turn_id", "state"):
            if key not in turn:
                raise FileError(f"{place}: {_missing(turn, key)}")
        dialogue, turn_id, state = turn["dialogue_id"], turn["turn_id"], turn["state"]
        transcript = turn.get("transcript")
        for key, value, wanted in (
            ("dialogue_id", dialogue, str),
            ("turn_id", turn_id, int),
            ("state", state, dict),
            ("transcript", transcript, str | None),
        ):
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise FileError(f"{place}: {key} must not be {_kind(value)}")
        if (dialogue, turn_id) in lines:
            raise FileError(
                f"{place}: turn {turn_id} of dialogue {dialogue!r} occurs twice, first in line {lines[dialogue, turn_id]}"
            )
        lines[dialogue, turn_id] = number
        found.setdefault(dialogue, {})[turn_id] = (state, transcript, _details(turn, place))
    if not found:
        raise FileError(f"{path}, line 1: holds no turn, so there is nothing to score")
    dialogues = {
        dialogue: [
            Entry(dialogue, index, state, transcript, turn_id, details)
            for index, (turn_id, (state, transcript, details)) in enumerate(sorted(turns.items()))
        ]
        for dialogue, turns in found.items()
    }

    def find(dialogue: str, index: int | None = None, *_: str) -> int:
        return lines[dialogue, dialogues[dialogue][index or 0].turn_id or 0]

    return ScoredFile(str(path), dialogues, find)


def _details(turn: dict[str, Any], place: str) -> dict[str, Any]:
    """What else a line says. Raises FileError where a key that reports read holds something else."""
    details = {key: value for key, value in turn.items() if key not in ("dialogue_id", "turn_id", "state", "transcript")}
    for key, wanted in (("raw", str), ("valid", bool), ("confidence", dict)):
        if not isinstance(details.get(key, wanted()), wanted):
            raise FileError(f"{place}: {key} must not be {_kind(details[key])}")
    for domain, slots in details.get("confidence", {}).items():
        for slot, value in slots.items() if isinstance(slots, dict) else [("", slots)]:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                name = f"{domain}-{slot}" if slot else domain
                raise FileError(f"{place}: confidence of {name!r} must be a number from 0 to 1 by domain and slot, not {value!r}")
    return details


def _manifest(path: str | Path, text: str) -> ScoredFile:
    """The user turns a system is to answer: those with audio where any dialogue has audio, else all."""
    try:
        dialogues = read_manifest(path)
    except ManifestError as error:
        raise FileError(str(error)) from error
    spoken = any(turn.audio for dialogue in dialogues for turn in dialogue.user_turns())
    entries = {
        dialogue.dialogue_id: [
            Entry(dialogue.dialogue_id, index, turn.state, turn.transcript, turn.turn_id, vars(turn))
            for index, turn in enumerate(turn for turn in dialogue.user_turns() if turn.audio or not spoken)
        ]
        for dialogue in dialogues
    }
    entries = {dialogue: turns for dialogue, turns in entries.items() if turns}
    if not entries:
        raise FileError(f"{path}, line 1: holds no user turn, so there is nothing to score")
    numbers = (number for number, line in enumerate(text.split("\n"), 1) if line.strip())
    lines = {dialogue.dialogue_id: number for dialogue, number in zip(dialogues, numbers, strict=True)}
    return ScoredFile(str(path), entries, lambda dialogue, *_: lines[dialogue])


def _missing(turn: dict[str, Any], key: str) -> str:
    near = get_close_matches(key, turn, 1, 0.6)
    hint = f"; did you mean {near[0]!r}?" if near else f" (there are {', '.join(map(repr, turn)) or 'no keys'})"
    return f"the key {key!r} is missing{hint}"


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
