"""What a job's folder tells: metrics, log, and whether its process still lives.

runs/<job id>/train/      the engine's own: metrics.jsonl, resume/, checkpoint/, result.json
runs/<job id>/log.txt     everything the job's processes said
runs/<job id>/stop        somebody asked it to end
runs/<job id>/heartbeat   touched by the job's process as long as it lives
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from studio.services import curves
from studio.services.curves import MetricPoint

HEARTBEAT = "heartbeat"
SILENCE = 120.0  # seconds without a heartbeat after which a process of another machine counts as gone
REPRODUCTION = "reproduction.json"  # what became of a rerun beside the first run
_CLOCK = 2.0  # seconds; two readings of the same start may differ that much, the machine's own start is told in whole ones


def read_metrics(folder: Path, after_step: int, max_points: int) -> list[MetricPoint]:
    """The points after ``after_step``, thinned evenly; the newest is always among them."""
    return curves.read(folder / "train" / "metrics.jsonl", after_step, max_points)


def last_metrics(folder: Path) -> dict[str, Any]:
    """The newest line of ``metrics.jsonl``, empty before the first step."""
    lines = _tail(folder / "train" / "metrics.jsonl", 4096).splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return json.loads(whole[-1]) if whole and whole[-1].startswith("{") else {}


def log_tail(folder: Path, lines: int = 40) -> str:
    """The end of the job's log."""
    return "\n".join(_tail(folder / "log.txt", 16_384).splitlines()[-lines:])


def result(folder: Path) -> dict[str, Any]:
    """The engine's ``result.json``, empty when training ended without one."""
    try:
        return json.loads((folder / "train" / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def reproduction(folder: Path) -> dict[str, Any] | None:
    """Whether a rerun came to the same; ``None`` where it is no rerun or has not finished."""
    try:
        return json.loads((folder / REPRODUCTION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def why_failed(folder: Path, exit_code: int) -> str:
    """One sentence on a training process that failed: the engine's own, or what can be told from outside."""
    own = result(folder).get("error")
    if own:
        return str(own)
    log = log_tail(folder)
    if "out of memory" in log.lower():
        return "Memory ran out: lower the stage's max_positions, or free the GPU, and resume."
    if "No space left on device" in log:
        return "The disk is full: make room and resume."
    if exit_code < 0:
        return f"Training was killed (signal {-exit_code}), often because memory ran out: free some and resume."
    last = log.splitlines()[-1].strip() if log else "it wrote nothing"
    return f"Training broke off ({last}): see the log, then resume or start anew."


def started_at(process: psutil.Process) -> float:
    """When a process was started, in seconds after the machine was: setting the clock does not change it."""
    return process.create_time() - psutil.boot_time()


def alive(pid: int | None, started: float | None) -> bool:
    """Whether the process is there and is still the same one: process ids are used again."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(started_at(process) - started) < _CLOCK and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def heard_from(folder: Path) -> bool:
    """Whether the job's process gave a sign of life lately, wherever it is."""
    try:
        return time.time() - (folder / HEARTBEAT).stat().st_mtime < SILENCE
    except FileNotFoundError:
        return False


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


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
