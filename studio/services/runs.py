"""What a job's folder tells: metrics, log, and whether its process still lives.

runs/<job id>/train/      the engine's own: metrics.jsonl, samples.json, resume/, checkpoint/, result.json
runs/<job id>/result.json, progress.json   the same of jobs that train nothing (`studio.jobs.own`)
runs/<job id>/import.json   what an import found and how much of it came in
runs/<job id>/log.txt     everything the job's processes said
runs/<job id>/stop        somebody asked it to end
runs/<job id>/heartbeat   touched by the job's process as long as it lives
runs/<job id>/clock       touched by who looks at it from another machine, to know the disk's time
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil

from studio.services import curves
from studio.services.curves import MetricPoint
from studio.workspace import Workspace, disk_errors

HEARTBEAT, CLOCK, STOP, LOG = "heartbeat", "clock", "stop", "log.txt"
RESULT, PROGRESS, IMPORT = "result.json", "progress.json", "import.json"
SILENCE = 120.0  # seconds without a heartbeat after which a process of another machine counts as gone
REPRODUCTION = "reproduction.json"  # what became of a rerun beside the first run
KEEP = "keep"  # in a job's options: it is only to make a checkpoint of its last save; how it had ended
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # another one after each start of the machine
_BOOTS, _BOOT_SECONDS = 9973, 1e9  # how many starts are told apart, each by so many seconds: more than any machine runs
_CLOCK = 2.0  # seconds; two readings of the same start may differ that much, the machine's own start is told in whole ones


def read_metrics(folder: Path, after_step: int, max_points: int) -> list[MetricPoint]:
    """The points after ``after_step``, thinned evenly; the newest is always among them."""
    return curves.read(folder / "train" / "metrics.jsonl", after_step, max_points)


def seconds_beside(folder: Path) -> dict[str, float]:
    """How long measuring took beside the steps, by stage."""
    return curves.seconds_beside(folder / "train" / "metrics.jsonl")


def newest_metrics(folder: Path) -> list[dict[str, Any]]:
    """The newest lines of ``metrics.jsonl``, some ten of them, oldest first."""
    lines = _tail(folder / "train" / "metrics.jsonl", 4096).splitlines(keepends=True)
    return [found for line in lines if line.startswith("{") and line.endswith("\n") and (found := curves.parse(line))]


def has_save(folder: Path) -> bool:
    """Whether a training left a resume point."""
    found = (folder / "train" / "resume").glob("*")
    return any(file.suffix != ".partial" and not file.name.startswith(".tmp") for file in found)


def last_metrics(folder: Path) -> dict[str, Any]:
    """The newest line of ``metrics.jsonl``, empty before the first step."""
    return next(reversed(newest_metrics(folder)), {})


def samples(folder: Path) -> dict[str, Any] | None:
    """What the model answered to a few held-out turns when it was last asked while training; ``None`` before that."""
    return _object(folder / "train" / "samples.json") or None


def pulse(folder: Path) -> dict[str, Any]:
    """The newest sign of a training (`engine.training.pulse`); empty before the first."""
    return _object(folder / "train" / "pulse.json")


def progress(folder: Path) -> dict[str, Any]:
    """How far a job is with what is no training, empty before it is known: ``step``, ``total_steps``, ``eta_seconds``, when
    ``step`` last ``changed`` (seconds of the clock) and ``usual_seconds`` of one."""
    return _object(folder / PROGRESS)


class Progress:
    """Tells how far a job is, and how long it takes to the end at the pace since the first step: what is loaded before that
    does not count.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROGRESS
        self._before: int | None = None  # steps when it began
        self._first: tuple[float, int] | None = None
        self._done, self._changed = -1, 0.0

    def tell(self, done: int, total: int, loading: bool = False) -> None:
        """Write it down. While something is ``loading`` nobody knows when the next step is due."""
        now = time.monotonic()
        if done != self._done:
            self._done, self._changed = done, time.time()
        if self._before is None or done < self._before:
            self._before, self._first = done, None
        if self._first is None and done > self._before:
            self._first = now, done
        left = usual = None
        if self._first is not None and done > self._first[1]:
            usual = (now - self._first[0]) / (done - self._first[1])
            left = (total - done) * usual
        found = {"step": done, "total_steps": total, "eta_seconds": left}
        with suppress(OSError):  # a disk that is full is told by the work itself
            _write_object(self._path, found | {"changed": self._changed, "usual_seconds": None if loading else usual})


def log_tail(folder: Path, lines: int = 40) -> str:
    """The end of the job's log, without colours; of a progress bar that was drawn over and over, its last state."""
    text = _COLOURS.sub("", _tail(folder / LOG, 16_384))
    drawn = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return "\n".join(drawn[:-1][-lines:] if drawn[-1:] == [""] else drawn[-lines:])


def log_size(folder: Path) -> int:
    """How long the job's log is now."""
    try:
        return (folder / LOG).stat().st_size
    except OSError:
        return 0


def log_since(folder: Path, begin: int) -> str:
    """The end of what was said since the log was ``begin`` long."""
    return _tail(folder / LOG, min(16_384, log_size(folder) - begin))


def result(folder: Path) -> dict[str, Any]:
    """What a child of the job's process left in ``result.json``, empty when it ended without."""
    return _object(folder / RESULT)


def write_result(folder: Path, sentence: str, failure: str | None = None) -> None:
    """Leave word of what went wrong; its kind where it was the end."""
    with suppress(OSError):  # the disk may be what failed
        _write_object(folder / RESULT, {"error": sentence, "failure": failure})


def import_found(folder: Path) -> dict[str, Any]:
    """What an import found: ``facts``, ``findings``, how many dialogues are ``new``; ``imported`` once that is known."""
    return _object(folder / IMPORT)


def write_import(folder: Path, found: dict[str, Any]) -> None:
    """Tell what an import found."""
    with suppress(OSError):  # the disk may be what ended it
        _write_object(folder / IMPORT, found)


def reproduction(folder: Path) -> dict[str, Any] | None:
    """Whether a rerun came to the same; ``None`` where it is no rerun or has not finished."""
    return _object(folder / REPRODUCTION) or None


def started_at(process: psutil.Process) -> float:
    """At which start of the machine a process was started, and when: a number for that start, plus the seconds since it. Setting
    the clock does not change it, and after a restart of the machine no process has it.
    """
    return _boot(BOOT_ID) + process.create_time() - psutil.boot_time()


def alive(pid: int | None, started: float | None) -> bool:
    """Whether the process is there and is still the same one: process ids are used again."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(started_at(process) - started) < _CLOCK and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@cache
def _boot(boot_id: Path) -> float:
    """The number for this start of the machine, in the seconds that keep it apart; 0 where the system does not name it."""
    try:
        return UUID(boot_id.read_text(encoding="ascii").strip()).int % _BOOTS * _BOOT_SECONDS
    except (OSError, ValueError):
        return 0.0


def heard_from(folder: Path) -> bool:
    """Whether the job's process gave a sign of life lately, wherever it is. Both times are the disk's: the clocks of two machines
    may differ by more than that.
    """
    clock, now = folder / CLOCK, time.time()
    with suppress(OSError):
        clock.touch()
        now = clock.stat().st_mtime
    return quiet_seconds(folder / HEARTBEAT, 0.0, now) < SILENCE


def quiet_seconds(path: Path, since: float, now: float | None = None) -> float:
    """For how long a file was not touched, counted from ``since`` (seconds of the clock) where it was not since then."""
    with suppress(OSError):
        since = max(since, path.stat().st_mtime)
    return (time.time() if now is None else now) - since


def _object(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write_object(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


@contextmanager
def prepared(ws: Workspace) -> Iterator[Path]:
    """A folder for what a job needs, to be filled before the job is written: nobody's save waits for that. `move_into` puts its
    content into the job's folder; it is gone when the block ends.
    """
    folder = ws.path(f"tmp/job-{uuid4().hex}")
    with disk_errors(ws.home):
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def move_into(folder: Path, content: Path) -> None:
    """Move everything in the folder ``content`` into a job's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in content.iterdir():
        shutil.move(part, folder / part.name)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make way for a new job's folder, and take it away if filling it goes wrong. What lies there may be a killed start's, or
    a checkpoint trained after the database was backed up: it is kept aside.
    """
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"{folder.name}.aside-{number}")).exists():
            number += 1
        folder.rename(aside)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
