"""How predictions were made, and of which recordings: what their file says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What must be the same for all turns of one scoring, where it is known; the keys are those of `engine.tracking.predictions`.
SETTINGS = ("checkpoint", "checkpoint_hash", "history", "history_hash", "speakers", "decoding")


def same_recording(turn: Mapping[str, Any], heard: Mapping[str, Any]) -> bool:
    """Whether ``audio``, ``start``, ``end`` and ``channel`` are the same; also where one side does not name its audio.

    A recording is known by its file's name: where it lies may change.
    """
    if not (turn.get("audio") and heard.get("audio")):
        return True
    return _piece(turn) == _piece(heard)


def _piece(turn: Mapping[str, Any]) -> tuple[Any, ...]:
    return Path(turn["audio"]).name, turn.get("start"), turn.get("end"), turn.get("channel")
