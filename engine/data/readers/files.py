"""What readers share about files: JSON, text lines, recordings that may be missing, one-turn dialogues."""

from __future__ import annotations

import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine import audio
from engine.data.readers import CorpusError, PreparationReport
from engine.dialogue import Dialogue, State, Turn

_ROUNDING = 0.05  # seconds a segment may end after its file; word times are rounded up


def read_json(path: Path) -> Any:
    """A JSON file, plain or gzip.

    Raises:
        CorpusError: not JSON, not UTF-8, or cut short; with line and column.
    """
    try:
        raw = path.read_bytes()
        return json.loads((gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{path}, line {error.lineno}, column {error.colno}: not in the layout of JSON ({error.msg}); fetch it again"
        ) from error
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: not in the layout of JSON ({error}); fetch it again") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file with their numbers from 1, empty ones left out.

    Raises:
        CorpusError: the file is not UTF-8; with the line.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError as error:
                raise CorpusError(f"{path}, line {number}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
            if line.strip():
                yield number, line


def read_table(path: Path, delimiter: str, columns: Sequence[str], quoted: bool = True) -> Iterator[dict[str, str]]:
    """The rows of a table with a header line, each column as text (the empty text where a row is short).

    Args:
        columns: those that must be there.
        quoted: fields may stand in quotation marks; False where a quotation mark is a character like others.

    Raises:
        CorpusError: not UTF-8, a column is missing, or a row would be lost; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a byte-order mark first
            rows = csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise CorpusError(f"{path}: the header line lacks the column {' and '.join(missing)}")
            for row in rows:
                if row.pop(None, None) is not None:  # DictReader's key for surplus fields
                    raise CorpusError(f"{path}, line {rows.line_num}: more fields than the header line names; mend the row")
                if any("\n" in (value or "") for value in row.values()):
                    raise CorpusError(f"{path}, line {rows.line_num}: a field spans lines; close or remove its quotation mark")
                yield {key: value or "" for key, value in row.items()}
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        raise CorpusError(f"{path}: not a table of values with {delimiter!r} between them: {error}") from error


def all_below(folder: Path, *suffixes: str) -> list[Path]:
    """Every file below ``folder`` whose name ends in one of ``suffixes``, in a fixed order; hidden ones are left out."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if name.lower().endswith(suffixes) and name[0] != "."]
    return found


def below(folder: Path, *suffixes: str) -> dict[str, Path]:
    """The files of `all_below` by their names without the suffix; of one recording in several formats, the suffix named
    first wins."""
    found: dict[str, tuple[int, Path]] = {}
    for path in all_below(folder, *suffixes):
        rank = next(rank for rank, suffix in enumerate(suffixes) if path.name.lower().endswith(suffix))
        stem = path.name[: -len(suffixes[rank])]
        if stem not in found or rank < found[stem][0]:
            found[stem] = (rank, path)
    return {stem: path for stem, (_, path) in sorted(found.items())}


def usable(path: Path, report: PreparationReport) -> bool:
    """Whether the recording of one utterance is there; if not, that is reported. It is not opened: there may be a million."""
    if not path.is_file():
        report.drop("audio file missing", path.name)
    elif path.stat().st_size == 0:
        report.drop("audio file empty", path.name)
    else:
        return True
    return False


class Recordings:
    """The recordings of a corpus: each is looked at once; what cannot be used is reported, not fatal."""

    def __init__(self, report: PreparationReport) -> None:
        self.report = report
        self._seconds: dict[Path, float | None] = {}

    def seconds(self, path: Path) -> float | None:
        """Its length, or None (reported once) if it is missing or cannot be decoded."""
        if path not in self._seconds:
            self._seconds[path] = None
            if not path.is_file():
                self.report.drop("audio file missing", path.name)
            else:
                try:
                    self._seconds[path] = audio.duration(path)
                except audio.AudioError as error:
                    reason = str(error).removeprefix(f"{path}: ")
                    self.report.drop(f"audio file unusable: {reason}", path.name)
        return self._seconds[path]

    def segment(self, path: Path, start: float, end: float, where: str) -> tuple[float, float] | None:
        """The segment within its file, or None (reported) if it holds nothing."""
        length = self.seconds(path)
        if length is None:
            return None
        if end > length + _ROUNDING and start < length:
            self.report.mend("segment ends after its recording: cut there", where)
        start, end = round(max(0.0, start), 3), round(min(end, length), 3)
        if end <= start:
            self.report.drop("times make no segment of the recording", where)
            return None
        return start, end


def utterance(
    name: str,
    split: str,
    source: str,
    licence: str,
    transcript: str | None,
    path: Path,
    *,
    segment: tuple[float, float] | None = None,
    channel: int | None = None,
    voice: str | None = None,
    state: State | None = None,
) -> Dialogue:
    """A dialogue of one user turn, as speech recognition corpora have them; ``segment`` is its start and end in seconds."""
    start, end = segment or (None, None)
    turn = Turn(0, "user", transcript, str(path.absolute()), start, end, channel, state, voice)
    return Dialogue(name, [turn], split, source, licence)
