"""A job whose process lives and does nothing any more: told by how long it usually takes from one sign of it to the next.

A training gives a sign after each step, batch of an evaluation, answered turn and save (``train/pulse.json``), other work after
each turn or dialogue (``progress.json``); the job's own process by its heartbeat. Nobody is ended for being silent: people look
at the log and decide.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from db.models import Job, JobKind, JobStatus
from studio.services import runs

USUAL, SLOWEST = 20, 5  # so many times as long as is usual, and as the slowest lately, is told; but none before LEAST
LEAST = 120.0  # seconds
UNKNOWN = 1800.0  # seconds where it is not known yet what is usual: models may have to be fetched, or a cluster be free
PROCESS = 300.0  # seconds without a heartbeat, which is given every other second whatever the process does
WHAT = {"evaluating": "batch of the evaluation", "answering": "sample answer"}  # what is waited for, if it is no step


@dataclass(frozen=True)
class Silence:
    """For how many seconds nothing came, how many are usual (``None``: not known yet), and what is said of it."""

    seconds: float
    usual_seconds: float | None
    sentence: str


def of(job: Job, folder: Path, unit: str) -> Silence | None:
    """What is to be told of a job, if it is silent for much longer than is usual; ``unit`` is what it counts."""
    if job.status not in (JobStatus.RUNNING, JobStatus.SAVING) or job.started is None:
        return None
    begun = job.started.timestamp()
    if (quiet := runs.quiet_seconds(folder / runs.HEARTBEAT, begun)) > PROCESS:
        return _told(job, quiet, None, f"Its process is there, and gave no sign for {roughly(quiet)}: it may be suspended")
    if job.kind == JobKind.TRAIN and not (folder / "train" / "checkpoint").is_dir():
        return _training(job, folder, begun)
    counted = runs.progress(folder)
    if not counted or counted["step"] >= counted["total_steps"]:
        return None
    quiet, usual = time.time() - max(begun, counted.get("changed", 0.0)), counted.get("usual_seconds")
    return _told(job, quiet, usual, _missing(unit, quiet, usual)) if quiet > _limit(usual, None) else None


def _training(job: Job, folder: Path, begun: float) -> Silence | None:
    pulse = folder / "train" / "pulse.json"
    quiet = min(runs.quiet_seconds(path, begun) for path in (pulse, folder / "train" / "metrics.jsonl"))
    known = runs.pulse(folder) if runs.quiet_seconds(pulse, 0.0) <= time.time() - begun else {}  # else an earlier start's
    usual = known.get("usual_seconds")
    if quiet <= _limit(usual, known.get("slowest_seconds")):
        return None
    if (doing := known.get("doing")) == "saving":
        pace = f"; a save usually takes {_seconds(usual)}" if usual is not None else ""
        return _told(job, quiet, usual, f"It has been saving for {roughly(quiet)}{pace}")
    return _told(job, quiet, usual, _missing(WHAT.get(str(doing), "step"), quiet, usual))


def _limit(usual: float | None, slowest: float | None) -> float:
    return max(LEAST, USUAL * usual, SLOWEST * (slowest or 0.0)) if usual is not None else UNKNOWN


def _missing(what: str, quiet: float, usual: float | None) -> str:
    pace = f"; one usually takes {_seconds(usual)}" if usual is not None else "; how long one takes is not known yet"
    return f"No {what} for {roughly(quiet)}{pace}"


def _told(job: Job, quiet: float, usual: float | None, what: str) -> Silence:
    advice = "look at the log, or stop it" if job.status == JobStatus.RUNNING else "it is ended soon if it does not hear the wish"
    return Silence(quiet, usual, f"{what}: {advice}. What was saved stays.")


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 100 else roughly(value)


def roughly(seconds: float) -> str:
    """A time that is not known exactly, in two digits at most: ``40 seconds``, ``12 minutes``, ``1.5 hours``, ``3 days``."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            number = f"{seconds / length:.2g}" if seconds < 10 * length else f"{round(seconds / length)}"
            return f"{number} {unit}s"
    return f"{max(1, round(seconds, -1)):.0f} seconds" if seconds >= 10 else "a few seconds"
