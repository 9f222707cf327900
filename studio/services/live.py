"""What a job does right now: how fast, in how much memory, what is measured and answered. Its cost does not grow with the run."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import Any

import psutil

from db.models import Job, JobKind
from studio import backends
from studio.services import curves, lease, runs
from studio.services.curves import Measured
from studio.services.job_views import find_job
from studio.workspace import Workspace

MEMORY_SECONDS = 2.0  # how long figures of memory are good for: viewers that look meanwhile share them


@dataclass(frozen=True)
class Memory:
    """Bytes: what the job's processes hold, what of the machine's is in use, and what of its GPUs' together.

    ``job`` is ``None`` of a job without a process on this machine, the GPU's where there is none. Of a cluster's machines only
    what the engine itself noted is known: what it holds, on its GPU where it has one.
    """

    job: int | None
    used: int | None
    total: int | None
    gpu_used: int | None
    gpu_total: int | None


@dataclass(frozen=True)
class LiveView:
    """A job as it runs. Rates are means over the newest steps, ``None`` before the first and of jobs that did not note them.

    ``samples`` is what the engine wrote: ``step``, ``stage`` and ``turns`` (said, reference, heard, answer).
    """

    learning_rate: float | None
    tokens_per_second: float | None
    turns_per_second: float | None
    memory: Memory | None
    measured: list[Measured]
    samples: dict[str, Any] | None


def live_view(ws: Workspace, job_id: int) -> LiveView:
    """A job as it runs; memory only as long as it has a process.

    Raises:
        StudioError: no such job.
    """
    with ws.read() as session:
        job = find_job(session, job_id)
    folder = ws.path(job.folder)
    newest = runs.newest_metrics(folder)
    return LiveView(
        learning_rate=newest[-1].get("lr") if newest else None,
        tokens_per_second=_rate(newest, "tokens"),
        turns_per_second=_rate(newest, "turns"),
        memory=_memory(job, folder, newest) if job.status in ("running", "saving") else None,
        measured=curves.measured(folder / "train" / "metrics.jsonl"),
        samples=runs.samples(folder),
    )


def _rate(lines: list[dict[str, Any]], key: str) -> float | None:
    known = [line for line in lines if key in line]
    seconds = sum(line["seconds"] for line in known)
    return sum(line[key] for line in known) / seconds if seconds else None


def _memory(job: Job, folder: Path, newest: list[dict[str, Any]]) -> Memory:
    on_cluster = job.kind == JobKind.TRAIN and backends.named(job.backend).kind == "ray"
    if on_cluster and not runs.progress(folder):  # it is scored here
        held = newest[-1].get("memory_gb") if newest else None
        return Memory(round(held * 1e9) if held is not None else None, None, None, None, None)
    now = int(time.monotonic() / MEMORY_SECONDS)
    here = job.host in (None, gethostname())
    tree = _tree(job.pid, job.pid_started, now) if here and job.pid is not None and job.pid_started is not None else None
    machine = psutil.virtual_memory()
    gpu_used, gpu_total = _gpus(now) if lease.has_gpu() else (None, None)
    return Memory(tree, machine.total - machine.available, machine.total, gpu_used, gpu_total)


@lru_cache(maxsize=16)
def _tree(pid: int, started: float, _: int) -> int | None:
    """What a process and all below it hold; ``None`` when it is gone."""
    if not runs.alive(pid, started):
        return None
    total = 0
    try:
        for process in (found := psutil.Process(pid), *found.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:  # it ended meanwhile
                continue
    except psutil.NoSuchProcess:
        return None
    return total


@lru_cache(maxsize=1)
def _gpus(_: int) -> tuple[int | None, int | None]:
    """What is in use of all GPUs of this machine, and what they have; nothing where the driver's program does not say."""
    command = ["nvidia-smi", "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        rows = [[int(part) * 2**20 for part in line.split(",")] for line in said.splitlines()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
    return sum(used for used, _ in rows), sum(total for _, total in rows)
