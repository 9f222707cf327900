"""Predictions on disk: one JSON object a turn, written as soon as it is made, so that an interrupted scoring can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.dialogue import ManifestError, State


@dataclass(frozen=True)
class TrackedTurn:
    """A user turn's prediction, with where it belongs and how it was made.

    ``history`` names what stood for earlier user turns, ``speakers`` whose turns stood there at all, ``decoding`` the settings
    of the search, ``checkpoint`` the checkpoint's name. ``audio`` with ``start``, ``end`` (seconds) and ``channel`` is what was
    heard. ``fuzzy``, where it was asked for, is the state after matching with the ontology: ``mode``, ``ontology``, ``state``,
    and under ``matches`` what was heard, score, runner-up and its score, by domain and slot.
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
    history: str = "own"
    speakers: str = "user+agent"
    decoding: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = ""
    audio: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    fuzzy: dict[str, Any] | None = None

    def settings(self) -> dict[str, Any]:
        """What must be the same for two turns to be of one scoring."""
        return {
            "history": self.history,
            "speakers": self.speakers,
            "decoding": dict(self.decoding),
            "checkpoint": self.checkpoint,
        }

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def read_partial(path: Path) -> list[TrackedTurn]:
    """The turns an interrupted scoring left; a last line that broke off is taken away from the file.

    Raises:
        ManifestError: a line that is no prediction.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    known = {item.name for item in fields(TrackedTurn)}
    turns = []
    for number, line in enumerate(whole.decode("utf-8").splitlines(), 1):
        try:
            data = json.loads(line)
            turns.append(TrackedTurn(**{key: value for key, value in data.items() if key in known}))
        except (ValueError, TypeError, AttributeError) as error:
            raise ManifestError(f"{path}, line {number}: no prediction to go on from: {error}") from error
    return turns
