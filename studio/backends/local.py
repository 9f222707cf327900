"""On this machine: a child process, with a launcher's processes below it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import psutil

MARK = "DST_STUDIO_WORKER"  # in the environment of everything a job's process starts: whose it is, whatever its group


class LocalProcess:
    """A process of this machine and those it started."""

    trouble: str | None = None

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def end(self) -> None:
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        self._process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait()


def start(command: Sequence[str], output: IO[bytes] | None = None) -> LocalProcess:
    """Start a program; it says what it says to ``output``, or where this process does."""
    return LocalProcess(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output))


def mark(pid: int, started: float) -> str:
    """What marks the processes of one job process: its id and start time."""
    return f"{pid}@{started:.2f}"


def end(pid: int) -> None:
    """End one process."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.kill()
        psutil.wait_procs([process], timeout=10)


def end_marked(pid: int, started: float) -> None:
    """End what a dead job process left running.

    A process group would not do: torch's launcher starts each of its processes in a session of its own.
    """
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark(pid, started):
                process.kill()
                orphans.append(process)
        except (psutil.Error, OSError):
            continue
    psutil.wait_procs(orphans, timeout=10)
