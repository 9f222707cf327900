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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.dialogue import Dialogue, ManifestError, Turn, read_manifest
from engine.json_text import FileError, line_of, nearest, parse, read_text
from engine.postprocess import FuzzyMatcher, FuzzyMode, read_value_lists
from engine.scoring.profiles import Profile

_LINES = "JSON Lines hold one object a line, each in a single line"


@dataclass(frozen=True)
class Entry:
    """One user turn of a file: the dialogue as it is named there, and the turn's place in it.

    ``state`` is as it was read, None without a label; ``turn_id`` is None where turns are counted.
    ``details`` are the further keys of our own predictions, as they were read: ``confidence``, ``raw``, ``valid`` and others;
    of a manifest's turns ``audio``, ``start``, ``end`` and ``channel``.
    ``depth`` is 1 for the dialogue's first user turn; those that no system is to answer count too.
    """

    dialogue: str
    index: int
    state: Any
    transcript: str | None = None
    turn_id: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 0


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
    line = _line_keys(text)
    if line & {"state", "turn_id"} and "turns" not in line:
        raise FileError(f"{path}, line 1: looks like predictions (a turn a line); the reference must hold whole dialogues")
    return _manifest(path, text) if line else _counted(path, text, "state")


def read_predictions(path: str | Path) -> ScoredFile:
    """Read predicted states: the evaluators' JSON, or what ``evaluate --predictions`` wrote.

    Raises:
        FileError: not such a file; with the line and the reason.
    """
    text = read_text(path)
    line = _line_keys(text)
    if "turns" in line:
        raise FileError(f"{path}, line 1: looks like a manifest, which holds no predictions; give it as the reference")
    return _numbered(path, text) if line else _counted(path, text, "turn")


def read_matcher(path: str | Path, mode: FuzzyMode, profile: Profile, built_from: str | None = None) -> FuzzyMatcher:
    """The matcher with a file of known values, as a profile needs it: `but` and `mwzeval` have normal forms of their own.

    Raises:
        FileError: as `read_value_lists`.
    """
    ontology, ours = read_value_lists(path, built_from)
    return FuzzyMatcher(ontology, mode, lists_dontcare=not ours, normalise=profile.name == "strict")


def _line_keys(text: str) -> set[str]:
    """The keys of a line if the text is JSON Lines, though its first line be damaged or misspelt; else none."""
    first, second = (_keys(line) for line in (*text.lstrip().split("\n", 2), "")[:2])
    marks = {"dialogue_id", "turn_id", "turns"}
    return first if first & marks or (first and second) else second if second & marks else set()


def _keys(line: str) -> set[str]:
    """The keys of a line that is an object by itself."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()


def _counted(path: str | Path, text: str, holds: str) -> ScoredFile:
    """The evaluators' layouts; ``holds`` says whether a dialogue is a list of states or of turns with a state."""
    data = parse(path, text)

    def find(dialogue: str, index: int | None = None, *names: str) -> int:
        keys: list[str | int] = [dialogue] if index is None else [dialogue, index]
        return line_of(text, *keys, *(["state"] if holds == "turn" and names else []), *names)

    file = ScoredFile(str(path), find=find)
    if not isinstance(data, dict):
        raise FileError(f"{path}, line 1: must hold an object of dialogues, not {_kind(data)}; {_LINES}")
    if not isinstance(data.get("dialogue_id", []), list):
        raise FileError(f"{path}, line 1: one object over several lines; {_LINES}")
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
            entries.append(Entry(dialogue, index, state, depth=index + 1))
    return file


def _numbered(path: str | Path, text: str) -> ScoredFile:
    """A turn a line: ``dialogue_id``, ``turn_id``, ``state``, and ``transcript`` in all or none; other keys are not read."""
    lines: dict[tuple[str, int], int] = {}
    words: dict[bool, tuple[str, dict[str, Any]]] = {}  # by whether there is a transcript, the first such line
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
        words.setdefault("transcript" in turn, (place, turn))
        if (dialogue, turn_id) in lines:
            raise FileError(
                f"{place}: turn {turn_id} of dialogue {dialogue!r} occurs twice, first in line {lines[dialogue, turn_id]}"
            )
        lines[dialogue, turn_id] = number
        found.setdefault(dialogue, {})[turn_id] = (state, transcript, _details(turn, place))
    if len(words) == 2:
        place, turn = words[False]
        raise FileError(f"{place}: {_missing(turn, 'transcript')}, which other lines have")
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


def turns_to_answer(dialogues: Sequence[Dialogue]) -> dict[str, list[tuple[int, Turn]]]:
    """The user turns a system is to answer, each with its depth: those with audio where any dialogue has audio, else all.

    Dialogues without any are left out.
    """
    spoken = any(turn.audio for dialogue in dialogues for turn in dialogue.user_turns())
    found = {
        dialogue.dialogue_id: [(depth, turn) for depth, turn in enumerate(dialogue.user_turns(), 1) if turn.audio or not spoken]
        for dialogue in dialogues
    }
    return {dialogue: turns for dialogue, turns in found.items() if turns}


def _manifest(path: str | Path, text: str) -> ScoredFile:
    try:
        dialogues = read_manifest(path)
    except ManifestError as error:
        raise FileError(str(error)) from error
    entries = {
        dialogue: [
            Entry(dialogue, index, turn.state, turn.transcript, turn.turn_id, vars(turn), depth=depth)
            for index, (depth, turn) in enumerate(turns)
        ]
        for dialogue, turns in turns_to_answer(dialogues).items()
    }
    if not entries:
        raise FileError(f"{path}, line 1: holds no user turn, so there is nothing to score")
    numbers = (number for number, line in enumerate(text.split("\n"), 1) if line.strip())
    lines = {dialogue.dialogue_id: number for dialogue, number in zip(dialogues, numbers, strict=True)}
    return ScoredFile(str(path), entries, lambda dialogue, *_: lines[dialogue])


def _missing(turn: dict[str, Any], key: str) -> str:
    hint = nearest(key, turn) or f" (there are {', '.join(map(repr, turn)) or 'no keys'})"
    return f"the key {key!r} is missing{hint}"


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
