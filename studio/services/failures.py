"""Why a job failed: its kind, and one sentence with advice."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from db.models import FailureKind
from engine.failures import KINDS, kind_in, kind_of
from studio.errors import StudioError

KILLED = (-9, 128 + 9)  # SIGKILL, as this system and as a shell has it: what the system does to who takes too much memory
CHILD_KILLED = "signal 9 (sigkill)"  # what torchrun says of one of its processes
END = 40  # lines at the end of a log that may tell why
ROOM = 1_000_000  # bytes that have to be free for a job to write anything
LESS = ", or resume with less memory, which the Train page has a button for"  # of a training
ADVICE = {
    FailureKind.GPU_MEMORY: "The GPU's memory ran out: free the GPU and resume{less}.",
    FailureKind.MEMORY: "The machine's memory ran out: close what else uses it and resume{less}.",
    FailureKind.LOSS: "The loss is no finite number any more, and resumed it would come to the same: start a new job with a "
    "lower learning rate; the log names the turns it happened on, whose recordings may be broken.",
    FailureKind.DATA: "Its data cannot be used: {said}",
    FailureKind.WEIGHTS: "Weights are missing or damaged: {said}",
    FailureKind.DISK: "The disk is full: make room on it, then resume; the last save is whole.",
}


def of(error: Exception) -> tuple[str, FailureKind]:
    """One sentence on an error of a job's own process, and its kind."""
    sentence = str(error) if isinstance(error, StudioError) else f"It broke off ({error}): see the log, then resume it."
    return sentence, FailureKind(kind_of(error))


def why(folder: Path, told: dict[str, Any], exit_code: int, log: str, less: str = "") -> tuple[str, FailureKind]:
    """One sentence on a process of a job that failed, and its kind: by its own word, else by what can be told from outside.

    Args:
        told: what it left, with ``error`` and ``failure``; may be empty.
        log: what it said. Only where it left no sentence, and only at the end: what went wrong before did not end it.
        less: how it could do with less memory, if it could.
    """
    said, kind = told.get("error"), FailureKind(told["failure"]) if told.get("failure") in KINDS else FailureKind.OTHER
    end = "\n".join(log.splitlines()[-END:])
    if kind == FailureKind.OTHER:
        kind = FailureKind(kind_in(said or end))
    if kind == FailureKind.OTHER and (CHILD_KILLED in end.lower() or (said is None and exit_code in KILLED)):
        kind = FailureKind.MEMORY
    if kind not in (FailureKind.GPU_MEMORY, FailureKind.MEMORY, FailureKind.LOSS) and (trouble := disk_trouble(folder)):
        return trouble, FailureKind.DISK
    if kind in ADVICE:
        return ADVICE[kind].format(said=said or _last_line(log), less=less), kind
    if said:
        return str(said), kind
    if exit_code < 0:
        return f"It was ended by somebody or something else (signal {-exit_code}): resume it.", kind
    return f"It broke off ({_last_line(log)}): see the log, then resume or start anew.", kind


def disk_trouble(folder: Path) -> str | None:
    """What is wrong with the disk of a job's folder now, if anything: tried, for rights and quotas tell only half of it."""
    probe = folder / "probe"
    try:
        with probe.open("wb") as file:
            file.write(b"\0" * ROOM)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ADVICE[FailureKind.DISK]
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return f"The disk of {folder} cannot be written any more: make it writable, then resume; the last save is whole."
        return f"The folder {folder} is gone, or its disk is ({error.strerror}): put it back, then resume."
    finally:
        with suppress(OSError):
            probe.unlink()
    return None


def _last_line(log: str) -> str:
    lines = log.strip().splitlines()
    return lines[-1].strip() if lines else "it wrote nothing"
