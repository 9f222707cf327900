"""One long recording of a call: cut into turns, put right by somebody, stored as a dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from engine import segmentation
from engine.audio import AudioError
from engine.dialogue import SPEAKERS, SPLITS, Dialogue, Turn
from engine.segmentation import MIN_SILENCE, Channels, CutTurn
from studio.errors import StudioError
from studio.services import imports
from studio.services.exchange import MANIFEST, Source
from studio.workspace import Workspace

__all__ = ["MIN_SILENCE", "cut", "store"]


def cut(path: str | Path, channels: str = "auto", min_silence: float = MIN_SILENCE, user_channel: int = 0) -> list[CutTurn]:
    """The turns of a call, in the order they begin.

    Raises:
        StudioError: not a usable recording, or no speech in it.
    """
    try:
        return segmentation.cut_call(path, cast(Channels, channels), min_silence, user_channel)
    except AudioError as error:
        raise StudioError(str(error).replace(str(path), Path(path).name)) from error


def store(
    ws: Workspace, project_id: int, path: str | Path, table: Sequence[Sequence[Any]], name: str, split: str, author: str
) -> None:
    """Store a call as a dialogue, its turns as somebody left them; rows are speaker, start, end, channel, in any order.

    Raises:
        StudioError: a row makes no turn, no name, or the project has that dialogue or one of its name.
    """
    name = name.strip()
    if not name:
        raise StudioError("The dialogue needs a name: type one.")
    if split not in SPLITS:
        raise StudioError(f"There is no split {split!r}; choose of {', '.join(SPLITS)}.")
    found = sorted((_turn(number, row) for number, row in enumerate(table, 1) if any(map(_given, row))), key=_start)
    if not found:
        raise StudioError("There is no turn to store: cut the recording first.")
    turns = [
        Turn(number, turn.speaker, None, str(Path(path).absolute()), turn.start, turn.end, turn.channel)
        for number, turn in enumerate(found)
    ]
    planned = imports.plan(ws, project_id, Source(Path(path), MANIFEST, [Dialogue(name, turns, split)]))
    if there := planned.those("there"):
        raise StudioError(f"This call is in the project already, as {there[0].known_as!r}.")
    imports.carry_out(ws, project_id, planned, author)


def _start(turn: CutTurn) -> float:
    return turn.start


def _given(cell: Any) -> bool:
    return cell is not None and cell == cell and str(cell).strip() != ""  # an empty cell may be NaN, which equals nothing


def _turn(number: int, row: Sequence[Any]) -> CutTurn:
    speaker, start, end, channel = row
    try:
        turn = CutTurn(str(speaker).strip().lower(), float(start), float(end), int(channel) if _given(channel) else None)
    except (TypeError, ValueError) as error:
        raise StudioError(f"Row {number} has a time or channel that is no number: put it right.") from error
    if turn.speaker not in SPEAKERS:
        raise StudioError(f"Row {number} has the speaker {speaker!r}: write {' or '.join(SPEAKERS)}.")
    if not 0 <= turn.start < turn.end:
        raise StudioError(f"Row {number} ends ({turn.end} s) before it starts ({turn.start} s): put its times right.")
    return turn
