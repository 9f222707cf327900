"""What readers share about files: JSON, text lines, recordings that may be missing, one-turn dialogues."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
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


def below(folder: Path, *suffixes: str) -> dict[str, Path]:
    """Every file below ``folder`` that ends in one of ``suffixes``, by its name without the suffix, in order of the names.

    Of one recording in several formats, the suffix named first wins.
    """
    found: dict[str, Path] = {}
    ranks: dict[str, int] = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in suffixes or name.startswith("."):
                continue
            rank = suffixes.index(suffix.lower())
            if rank < ranks.get(stem, len(suffixes)):
                found[stem], ranks[stem] = Path(parent, name), rank
    return dict(sorted(found.items()))


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
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    voice: str | None = None,
    state: State | None = None,
) -> Dialogue:
    """A dialogue of one user turn, as speech recognition corpora have them."""
    turn = Turn(0, "user", transcript, str(path.absolute()), start, end, channel, state, voice)
    return Dialogue(name, [turn], split, source, licence)
