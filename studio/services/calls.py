"""One long recording of a call: cut into turns, put right by somebody in a table, stored as a dialogue.

A table has a row for each turn: speaker, start, end (seconds), channel (counted from 0; empty where all speak on one).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from engine import audio, segmentation
from engine.audio import MAX_TURN_SECONDS, AudioError
from engine.dialogue import SPEAKERS, SPLITS, Dialogue, Turn
from engine.segmentation import Channels, CutTurn
from studio.errors import StudioError
from studio.services import imports
from studio.services.exchange import MANIFEST, Source
from studio.workspace import Workspace, disk_errors

COLUMNS = ("speaker", "start", "end", "channel")
MIN_SILENCE = segmentation.MIN_SILENCE
KINDS: tuple[Channels, ...] = ("auto", "separate", "mixed")
_SLACK = 0.05  # seconds by which a row may reach beyond the recording's end, as `engine.audio.load` has it
Table = Sequence[Sequence[Any]]


def cut(path: str | Path, channels: str = "auto", min_silence: float = MIN_SILENCE, user_channel: int = 0) -> list[list[Any]]:
    """The table of a call, its turns in the order they begin.

    Raises:
        StudioError: not a usable recording, no such way to cut it, or no speech in it.
    """
    if channels not in KINDS:
        raise StudioError(f"There is no way {channels!r} to cut a call; choose of {', '.join(KINDS)}.")
    try:
        found = segmentation.cut_call(path, channels, min_silence, user_channel)
    except AudioError as error:
        raise _by_name(path, error) from error
    return [_row(turn) for turn in found]


def check(path: str | Path, table: Table) -> list[CutTurn]:
    """The turns of a table, in the order they begin; rows without anything in them count as none.

    Raises:
        StudioError: naming the row that makes no turn of this recording, or the two that overlap; or there is none.
    """
    found = {number: _turn(number, row) for number, row in enumerate(table, 1) if any(map(_given, row))}
    if not found:
        raise StudioError("There is no turn to store: cut the recording first.")
    for number, turn in found.items():
        _check_place(path, number, turn)
        if turn.end - turn.start > MAX_TURN_SECONDS:
            long = f"{turn.end - turn.start:.0f} s long; a turn has {MAX_TURN_SECONDS:.0f} s at most"
            raise StudioError(f"Row {number} is {long}: split it.")
    ordered = sorted(found.items(), key=lambda item: (item[1].start, item[1].end))
    for place, (number, turn) in enumerate(ordered):
        for other, later in ordered[place + 1 :]:
            if later.start >= turn.end:
                break
            if None in (turn.channel, later.channel) or turn.channel == later.channel:
                first, second = sorted((number, other))
                raise StudioError(
                    f"Rows {first} and {second} overlap from {later.start:g} to {min(turn.end, later.end):g} s on one channel: "
                    "put their times right, or merge them."
                )
    return [turn for _, turn in ordered]


def store(ws: Workspace, project_id: int, path: str | Path, table: Table, name: str, split: str, author: str) -> None:
    """Store a call as a dialogue, its turns as somebody left them in the table, whose rows may be in any order.

    Raises:
        StudioError: as ``check``; no name, or the project has that dialogue or one of its name.
    """
    name = name.strip()
    if not name:
        raise StudioError("The dialogue needs a name: type one.")
    if split not in SPLITS:
        raise StudioError(f"There is no split {split!r}; choose of {', '.join(SPLITS)}.")
    place = str(Path(path).absolute())
    turns = [
        Turn(number, turn.speaker, None, place, turn.start, turn.end, turn.channel)
        for number, turn in enumerate(check(path, table))
    ]
    planned = imports.plan(ws, project_id, Source(Path(path), MANIFEST, [Dialogue(name, turns, split)]))
    if there := planned.those("there"):
        raise StudioError(f"This call is in the project already, as {there[0].known_as!r}.")
    imports.carry_out(ws, project_id, planned, author)


def piece(path: str | Path, table: Table, number: int) -> tuple[int, Any]:
    """What row ``number`` (from 1) sounds like: the sample rate, and samples (samples,) as 16-bit integers.

    Raises:
        StudioError: no such row, or it is no part of the recording.
    """
    turn = _numbered(table, number)
    _check_place(path, number, turn)
    try:
        rate = audio.sampling_rate(path)
        samples = audio.load(path, turn.start, turn.end, turn.channel, sample_rate=rate)
    except AudioError as error:
        raise StudioError(f"Row {number}: {_by_name(path, error)}") from error
    return rate, np.clip(np.round(samples * 32_768.0), -32_768, 32_767).astype(np.int16)


def split_row(path: str | Path, table: Table, number: int) -> list[list[Any]]:
    """The table with row ``number`` (from 1) cut in two where it is quietest in its middle.

    Raises:
        StudioError: no such row, or it cannot be cut.
    """
    turn = _numbered(table, number)
    _check_place(path, number, turn)
    try:
        middle = segmentation.quietest(path, turn.start, turn.end, turn.channel)
    except AudioError as error:
        raise StudioError(f"Row {number}: {_by_name(path, error)}") from error
    parts = [[turn.speaker, turn.start, middle, turn.channel], [turn.speaker, middle, turn.end, turn.channel]]
    return [*map(list, table[: number - 1]), *parts, *map(list, table[number:])]


def merge_rows(table: Table, number: int) -> list[list[Any]]:
    """The table with row ``number`` (from 1) and the next one of its channel as one row, of the former's speaker.

    Raises:
        StudioError: no such row, or none after it.
    """
    turn = _numbered(table, number)
    others = {place: _turn(place, row) for place, row in enumerate(table, 1) if place != number and any(map(_given, row))}
    later = [(o.start, place) for place, o in others.items() if o.channel == turn.channel and o.start >= turn.start]
    if not later:
        raise StudioError(f"There is no row after row {number} on its channel: choose an earlier one to merge.")
    _, next_ = min(later)
    joined = [turn.speaker, turn.start, max(turn.end, others[next_].end), turn.channel]
    return [joined if place == number else list(row) for place, row in enumerate(table, 1) if place != next_]


def delete_row(table: Table, number: int) -> list[list[Any]]:
    """The table without row ``number`` (from 1).

    Raises:
        StudioError: no such row.
    """
    _row_there(table, number)
    return [list(row) for place, row in enumerate(table, 1) if place != number]


def write_table(path: str | Path, table: Table) -> None:
    """Write a table as CSV, or as TSV where the file is called so, to be edited and read again.

    Raises:
        StudioError: the file cannot be written.
    """
    path = Path(path)
    with disk_errors(path.parent), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=_delimiter(path), lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(table)


def read_table(path: str | Path) -> list[list[Any]]:
    """The rows of a table that ``write_table`` wrote and somebody edited; spreadsheets' CSV is read too.

    Raises:
        StudioError: no such file, no text, or columns are missing.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(f"{path} cannot be read as text ({error}): give a CSV or TSV file in UTF-8.") from error
    heads = text.partition("\n")[0]
    delimiter = ";" if ";" in heads and "," not in heads else "\t" if "\t" in heads else _delimiter(path)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    if missing := [name for name in COLUMNS[:3] if name not in (reader.fieldnames or ())]:
        raise StudioError(f"{path} has no column {missing[0]!r}: its first line names {', '.join(COLUMNS)}.")
    return [[row.get(name) for name in COLUMNS] for row in reader]


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() in (".tsv", ".txt") else ","


def _row(turn: CutTurn) -> list[Any]:
    return [turn.speaker, turn.start, turn.end, turn.channel]


def _row_there(table: Table, number: int) -> None:
    if not 1 <= number <= len(table):
        raise StudioError(f"There is no row {number}: choose one from 1 to {len(table)}.")


def _numbered(table: Table, number: int) -> CutTurn:
    _row_there(table, number)
    return _turn(number, table[number - 1])


def _check_place(path: str | Path, number: int, turn: CutTurn) -> None:
    """Whether a row lies in the recording, on one of its channels."""
    try:
        seconds = audio.duration(path)
    except AudioError as error:
        raise _by_name(path, error) from error
    channels = soundfile.info(str(path)).channels
    if turn.end > seconds + _SLACK:
        beyond = f"ends at {turn.end:g} s, beyond the recording's {seconds:.2f} s"
        raise StudioError(f"Row {number} {beyond}: put its times right.")
    if turn.channel is not None and not 0 <= turn.channel < channels:
        there = "channel 0 alone" if channels == 1 else f"channels 0 to {channels - 1}"
        raise StudioError(f"Row {number} is of channel {turn.channel}, and the recording has {there}: put it right.")


def _by_name(path: str | Path, error: AudioError) -> StudioError:
    """People know an upload by its name."""
    return StudioError(str(error).replace(str(path), Path(path).name))


def _given(cell: Any) -> bool:
    return cell is not None and cell == cell and str(cell).strip() != ""  # an empty cell may be NaN, which equals nothing


def _turn(number: int, row: Sequence[Any]) -> CutTurn:
    speaker, start, end, channel = row
    try:
        times = float(start), float(end)
        which = float(channel) if _given(channel) else None  # a spreadsheet may write 1.0
    except (TypeError, ValueError) as error:
        raise StudioError(f"Row {number} has a time or channel that is no number: put it right.") from error
    if not all(map(math.isfinite, times)) or (which is not None and not which.is_integer()):
        raise StudioError(f"Row {number} has a time or channel that is no number: put it right.")
    turn = CutTurn(str(speaker).strip().lower(), *times, None if which is None else int(which))
    if turn.speaker not in SPEAKERS:
        raise StudioError(f"Row {number} has the speaker {speaker!r}: write {' or '.join(SPEAKERS)}.")
    if turn.start < 0:
        raise StudioError(f"Row {number} starts ({turn.start:g} s) before the recording: put its times right.")
    if turn.end <= turn.start:
        raise StudioError(f"Row {number} ends ({turn.end:g} s) before it starts ({turn.start:g} s): put its times right.")
    return turn
