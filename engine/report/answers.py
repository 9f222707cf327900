"""What a system answered, read from the JSON Lines that ``evaluate --predictions`` and ``track --json`` write."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.dialogue import State, check_state
from engine.scoring import ScoreError


@dataclass(frozen=True)
class Answer:
    """One user turn's answer. ``transcript`` is None where there is none; ``confidence``: 0 to 1, by domain and slot."""

    dialogue_id: str
    turn_id: int
    transcript: str | None
    state: State
    confidence: dict[str, dict[str, float]] = field(default_factory=dict)
    raw: str = ""
    valid: bool = True


def read_answers(path: Path) -> list[Answer]:
    """Read a predictions file.

    Raises:
        ScoreError: naming the file, the line and the reason.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ScoreError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    answers: list[Answer] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                answers.append(_answer(json.loads(line)))
            except (ValueError, TypeError, KeyError) as error:
                reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
                raise ScoreError(f"{path}, line {number}: {reason}") from error
    return answers


def _answer(data: Any) -> Answer:
    if not isinstance(data, dict):
        raise ValueError("a line must be one JSON object, a turn's prediction")
    return Answer(
        str(data["dialogue_id"]),
        int(data["turn_id"]),
        data.get("transcript"),
        check_state(data["state"]),
        data.get("confidence", {}),
        data.get("raw", ""),
        data.get("valid", True),
    )
