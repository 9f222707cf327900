"""Predictions on disk: one JSON object a turn, written as soon as it is made, so that an interrupted scoring can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from engine.dialogue import State
from engine.json_text import FileError, decode, parse, read_text
from engine.postprocess import FuzzyMode
from engine.scoring.provenance import SETTINGS


@dataclass(frozen=True)
class MatchedState:
    """A state after matching with the ontology: ``matches`` holds what was heard, score, runner-up and its score, by domain and
    slot; ``ontology`` the splits that the known values come from."""

    mode: FuzzyMode
    ontology: str
    state: State
    matches: dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class TrackedTurn:
    """A user turn's prediction, with where it belongs and how it was made.

    ``history`` names what stood for earlier user turns, ``speakers`` whose turns stood there at all, ``decoding`` the settings
    of the search, ``checkpoint`` the checkpoint's name; the two hashes tell histories from files, and checkpoints, of one name
    apart. ``audio`` with ``start``, ``end`` (seconds) and ``channel`` is what was heard. ``fuzzy`` is the state after matching,
    where that was asked for. ``transcript_confidence`` and ``ctc_transcript`` are those of `TurnPrediction`. Files of before the
    latter and the hashes were kept have none.
    """

    dialogue_id: str
    turn_id: int
    transcript: str
    state: State
    confidence: dict[str, dict[str, float]]
    raw: str
    valid: bool
    seconds: float
    guarded: bool = False
    calibrated: bool = False
    transcript_confidence: float | None = None
    ctc_transcript: str | None = None
    history: str = "own"
    speakers: str = "user+agent"
    decoding: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = ""
    checkpoint_hash: str = ""
    history_hash: str = ""
    audio: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    fuzzy: MatchedState | None = None

    def settings(self) -> dict[str, Any]:
        """What must be the same for two turns to be of one scoring, as far as it is known; see `engine.scoring.provenance`."""
        return {key: value for key in SETTINGS if (value := getattr(self, key))}

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


_TURN = TypeAdapter(TrackedTurn)


def refuse_to_overwrite(path: Path) -> None:
    """Ask before the work: hours of predictions are not to be lost to a command repeated.

    Raises:
        FileError: the file holds something.
    """
    if path.exists() and path.stat().st_size:
        raise FileError(f"{path} holds something already: go on from it with --resume, lose it with --overwrite, or name another")


_BEGINNING = b'{"dialogue_id": '  # of every line


def read_predictions(path: Path) -> list[TrackedTurn]:
    """The turns of a file of predictions, in its order; keys that are not known are left out.

    Raises:
        FileError: no such file, not UTF-8, a line that is no prediction, or a turn that occurs twice.
    """
    return _turns(path, read_text(path))


def read_partial(path: Path) -> list[TrackedTurn]:
    """The turns an interrupted scoring left, none if it never began; a last line that broke off is taken away from the file.

    Raises:
        FileError: see `read_predictions`; a file of something else is left as it is.
    """
    if not path.exists():
        return []
    content = path.read_bytes() if path.is_file() else b""
    size = content.rfind(b"\n") + 1
    rest = content[size:]
    if not rest or not _BEGINNING.startswith(rest[: len(_BEGINNING)]):
        return read_predictions(path) if content or path.is_dir() else []
    turns = _turns(path, decode(path, content[:size]))
    path.write_bytes(content[:size])
    return turns


def _turns(path: Path, text: str) -> list[TrackedTurn]:
    turns: dict[tuple[str, int], TrackedTurn] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        parse(path, line, number)
        place = f"{path}, line {number}"
        try:
            turn = _TURN.validate_json(line, strict=True)
        except ValidationError as error:
            fault = error.errors()[0]
            key = "-".join(str(part) for part in fault["loc"] if part != "str")
            reason = f"{key}: {fault['msg'].lower()}" if key else fault["msg"].lower()
            raise FileError(f"{place}: no prediction that `evaluate --predictions` wrote ({reason})") from error
        if turns.setdefault((turn.dialogue_id, turn.turn_id), turn) is not turn:
            raise FileError(f"{place}: turn {turn.turn_id} of dialogue {turn.dialogue_id!r} occurs twice")
    return list(turns.values())
