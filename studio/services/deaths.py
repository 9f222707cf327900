"""What can be told of a job's process that ended without a word."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
from safetensors import SafetensorError, safe_open

from db.models import FailureKind, Job, JobKind
from studio.services.failures import LESS
from studio.services.runs import HEARTBEAT

CGROUP = Path("/sys/fs/cgroup")
CLOCK = 60.0  # seconds by which the clock may have been set right since the machine's start
MEMORY = "close what else uses memory"

_children: dict[int, subprocess.Popen[bytes]] = {}  # processes of jobs that this process started


def remember(process: subprocess.Popen[bytes]) -> None:
    """Keep a process of a job: only who started it learns how it ended."""
    for pid, child in list(_children.items()):
        if child.poll() == 0:
            del _children[pid]
    _children[process.pid] = process


def note_kills(folder: Path) -> None:
    """Keep in a job's folder where the system counts the processes it ends for lack of memory, and how many there were."""
    for counter in _counters():
        if (number := _kills(counter)) is not None:
            with suppress(OSError):  # the disk is full or gone: others tell that
                (folder / HEARTBEAT).write_text(f"{number} {counter}", encoding="utf-8")
            return


def why(job: Job, folder: Path) -> tuple[str, FailureKind | None]:
    """One sentence on how a job's process ended, as far as that can be told on its machine, and the kind of that.

    Args:
        job: it ran on this machine.
    """
    child = _children.pop(job.pid, None) if job.pid is not None else None
    code = child.poll() if child is not None else None
    restarted = job.started is not None and psutil.boot_time() > job.started.timestamp() + CLOCK
    told, kind = _ended(code, killed_since(folder), restarted)
    trains = job.kind == JobKind.TRAIN and not (folder / "train" / "checkpoint").is_dir()
    less = LESS if kind == FailureKind.MEMORY and trains else ""
    return f"{told}{less}; {_resume(job, folder)}.", kind


def of_deaf(job: Job, folder: Path) -> str:
    """One sentence on a job whose process was ended because it did not hear the wish to stop."""
    return f"Its process did not hear the wish to stop and was ended; {_resume(job, folder)}."


def killed_since(folder: Path) -> bool | None:
    """Whether the system ended a process for lack of memory since `note_kills`; ``None`` where that cannot be told."""
    try:
        before, counter = (folder / HEARTBEAT).read_text(encoding="utf-8").split(" ", 1)
    except (OSError, ValueError):
        return None
    now = _kills(Path(counter))
    return now > int(before) if now is not None else None


def _ended(code: int | None, killed: bool | None, restarted: bool) -> tuple[str, FailureKind | None]:
    """``code`` is negative for a signal; ``None`` and 0 are not known."""
    if restarted:
        return "The machine was started again while it ran", None
    if killed and code in (None, 0, -signal.SIGKILL):
        return f"The system ended processes for lack of memory, its own probably among them: {MEMORY}", FailureKind.MEMORY
    if code == -signal.SIGKILL and killed is None:
        return f"Ended by signal 9; the machine probably ran out of memory: {MEMORY}", FailureKind.MEMORY
    if code == -signal.SIGKILL:
        told = "Ended by signal 9, and not by the kernel for lack of memory: somebody killed it, or a guard such as systemd-oomd"
        return told, None
    if code is not None and code < 0:
        return f"Ended by signal {-code}: somebody or something ended it", None
    if code:
        return f"It ended with code {code}: the log may say why", None
    return "It ended without a word", None


def _resume(job: Job, folder: Path) -> str:
    if job.kind != JobKind.TRAIN:
        return "resume goes on with what is left"
    if (folder / "train" / "checkpoint").is_dir():
        return "the checkpoint is trained, and resume goes on behind that"
    try:
        with safe_open(folder / "train" / "resume" / "state.safetensors", "np") as file:
            return f"resume goes on from step {json.loads(file.metadata()['head'])['done']}"
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return "nothing was saved yet, and resume begins again"


def _counters() -> list[Path]:
    """Where the system may count them: for the control group of this process (version 2, then 1), else for the machine."""
    found: list[Path] = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                found.insert(0, CGROUP / place.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                found.append(CGROUP / "memory" / place.lstrip("/") / "memory.oom_control")
    return [*found, Path("/proc/vmstat")]


def _kills(counter: Path) -> int | None:
    try:
        lines = counter.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, StopIteration):
        return None
