"""How predictions were made, and of which recordings: what their file says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.json_text import FileError
from engine.scoring.align import AlignedTurns

ORACLE_HISTORY = "oracle (an upper bound: it holds the reference's own words)"
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


def made_with(aligned: AlignedTurns) -> dict[str, Any]:
    """How a file's predictions were made, as far as it says: ``checkpoint``, ``history``, ``decoding`` and others of `SETTINGS`.

    Raises:
        FileError: its lines differ in that, or a turn was heard in another recording than the reference's.
    """
    made: dict[str, Any] = {}
    for pairs in aligned.turns.values():
        for gold, answer in pairs:
            if answer is None:
                continue
            for key in SETTINGS:
                value = answer.details.get(key)
                if value and value != made.setdefault(key, value):
                    raise FileError(
                        f"{aligned.predictions.where(answer.dialogue, answer.index)}: made with {key} {value!r}, lines before it "
                        f"with {made[key]!r}; a score is of one system: make the predictions anew, or score each part alone"
                    )
            if not same_recording(gold.details, answer.details):
                raise FileError(
                    f"{aligned.predictions.where(answer.dialogue, answer.index)}: heard in {_named(answer.details)}, while the "
                    f"reference's turn is {_named(gold.details)}; score against the manifest that the predictions were made from"
                )
    return made


def described(made: Mapping[str, Any]) -> str:
    """`made_with` for people, in one line."""
    parts = []
    if "checkpoint" in made:
        parts.append(f"checkpoint {made['checkpoint']}" + (f" ({made['checkpoint_hash']})" if "checkpoint_hash" in made else ""))
    if "history" in made:
        parts.append(f"history {ORACLE_HISTORY if made['history'] == 'oracle' else made['history']}")
    if "speakers" in made:
        parts.append(f"speakers {made['speakers']}")
    if isinstance(decoding := made.get("decoding"), dict):
        parts += [f"{key.replace('_', ' ')} {value}" for key, value in decoding.items()]
    return ", ".join(parts)


def _named(turn: Mapping[str, Any]) -> str:
    name, start, end, channel = _piece(turn)
    piece = "" if start is None and end is None else f" from {start or 0} to {end if end is not None else 'the end'} s"
    return f"{name}{piece}" + ("" if channel is None else f", channel {channel}")
