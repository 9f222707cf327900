"""The curves of runs, read as they grow: each line of ``metrics.jsonl`` once, however long the run, however many look."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

KEPT = 2000  # points of a curve that are kept at most, and half of them at least once there are as many
CURVES = 32  # runs whose curves are kept; of those nobody looked at for longest, the file is read again
CHUNK = 2**20  # bytes read at once
MARK = 200  # bytes before the place reached, by which a file that a resumed run wrote anew is known


@dataclass(frozen=True)
class MetricPoint:
    """One point of the curves: a training step."""

    step: int
    stage: str
    loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class Measured:
    """WER or JGA (percent) of the model as it stood after a step, on the held-out turns it is watched on or on dev dialogues;
    ``measure`` says which and of how many turns."""

    step: int
    measure: str
    percent: float


MEASURES = {
    "held_out_wer": "word error rate",
    "held_out_jga": "joint goal accuracy",
    "eval_wer": "word error rate, dev",
    "eval_jga": "joint goal accuracy, dev",
}
BESIDE = {"eval_seconds", "held_out_seconds"}  # what measuring took, beside a step's own seconds


class Curve:
    """What is known of one file: every ``stride``-th line, the newest, what was measured, and how far it was read."""

    _points: list[MetricPoint]
    _measured: list[Measured]
    _beside: dict[str, float]
    _newest: bytes
    _mark: bytes
    _offset: int
    _lines: int
    _stride: int

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._forget()

    def read(self) -> tuple[list[MetricPoint], list[Measured], dict[str, float]]:
        """The points, what was measured, oldest first, and the seconds of that by stage, after reading what was written since;
        empty without a file."""
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    start = max(0, self._offset - MARK)
                    file.seek(start)
                    if file.read(self._offset - start) != self._mark:  # a resumed run dropped the lines it computes again
                        self._forget()
                        file.seek(0)
                    half = b""  # of a line that is not written to its end yet, or goes on in the next chunk
                    while chunk := file.read(CHUNK):
                        half = self._take(half + chunk)
            except FileNotFoundError:
                self._forget()
            newest = None if (self._lines - 1) % self._stride == 0 else _point(self._newest)
            return [*self._points, *filter(None, [newest])], list(self._measured), dict(self._beside)

    def _take(self, text: bytes) -> bytes:
        """Note the whole lines; what is left comes back."""
        read = text[: text.rfind(b"\n") + 1]
        for line in read.splitlines():
            if self._lines % self._stride == 0 and (point := _point(line)):
                self._points.append(point)
            if b'"eval_' in line or b'"held_out_' in line:
                self._take_measures(parse(line))
            self._lines += 1
            self._newest = line
        self._offset += len(read)
        self._mark = (self._mark + read)[-MARK:]
        while len(self._points) > KEPT:
            self._points, self._stride = self._points[::2], self._stride * 2
        self._measured = self._measured[-KEPT:]
        return text[len(read) :]

    def _take_measures(self, values: dict[str, Any]) -> None:
        for key, name in MEASURES.items():
            if values.get(key) is not None:
                turns = values.get(f"{key}_turns")
                of = f" ({turns} turn{'s' if turns > 1 else ''})" if turns else ""
                self._measured.append(Measured(values["step"], name + of, values[key]))
        for key in BESIDE & values.keys():
            self._beside[values["stage"]] = self._beside.get(values["stage"], 0.0) + values[key]

    def _forget(self) -> None:
        self._points, self._measured, self._beside = [], [], {}
        self._stride, self._lines, self._offset = 1, 0, 0
        self._mark = b""
        self._newest = b""


_curves: OrderedDict[Path, Curve] = OrderedDict()
_lock = threading.Lock()


def read(path: Path, after_step: int = 0, max_points: int = KEPT) -> list[MetricPoint]:
    """The points of a run after ``after_step``, thinned evenly to at most ``max_points``; the newest is always among them."""
    points = [point for point in _curve(path).read()[0] if point.step > after_step]
    stride = max(1, -(-len(points) // max(1, max_points)))
    return points[::-1][::stride][::-1]


def measured(path: Path) -> list[Measured]:
    """What was measured of a run while it trained, oldest first; the newest where there is very much."""
    return _curve(path).read()[1]


def seconds_beside(path: Path) -> dict[str, float]:
    """How long measuring took beside the steps, by stage."""
    return _curve(path).read()[2]


def _curve(path: Path) -> Curve:
    with _lock:
        curve = _curves.setdefault(path, Curve(path))
        _curves.move_to_end(path)
        while len(_curves) > CURVES:
            _curves.popitem(last=False)
        return curve


def parse(line: bytes | str) -> dict[str, Any]:
    """A line of ``metrics.jsonl``; empty where it is broken, as a power cut may leave it."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def _point(line: bytes) -> MetricPoint | None:
    values = parse(line)
    return MetricPoint(**{field.name: values[field.name] for field in fields(MetricPoint)}) if values else None
