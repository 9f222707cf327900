"""Scoring checkpoints on held-out dialogues: a job of its own, and the end of every training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from db.models import Checkpoint, Evaluation, JobStatus
from db.repositories import checkpoints as checkpoint_rows
from studio import backends
from studio.backends import local
from studio.jobs.shell import Ended, Shell
from studio.services import checkpoints, lease
from studio.services.snapshots import HELD_OUT


def run(shell: Shell) -> Ended:
    """Score the job's checkpoint, and the one in use, which the gate compares it with."""
    with shell.ws.read() as session:
        scored_id, used_id = shell.job(session).base_id, checkpoints.in_use_id(session)
    assert scored_id is not None
    for checkpoint_id, phase in {used_id: "scoring the checkpoint in use", scored_id: "scoring the checkpoint"}.items():
        failed = score(shell, checkpoint_id, phase)
        if failed is not None:
            return failed
    return Ended(JobStatus.FINISHED)


def score(shell: Shell, checkpoint_id: int, phase: str) -> Ended | None:
    """Evaluate a checkpoint on the job's held-out dialogues unless that was done; how it failed or was stopped, if so."""
    with shell.ws.write() as session:
        job = shell.job(session)
        manifest_hash = job.snapshot.held_out_sha256 if job.snapshot is not None else None
        if manifest_hash is None:
            return None
        job.phase = phase
        known = checkpoint_rows.evaluation(session, checkpoint_id, manifest_hash)
        if known is not None and known.predictions is not None:
            return None
        path = checkpoints.folder(shell.ws, session.get_one(Checkpoint, checkpoint_id))
    lease.take_for_job(shell.ws, f"job {shell.job_id}")
    output = shell.folder / f"scores-{checkpoint_id}.json"
    predictions = shell.folder / f"predictions-{checkpoint_id}.jsonl"
    command = [*backends.engine_command(), "evaluate", "--checkpoint", str(path)]
    command += ["--manifest", str(shell.folder / HELD_OUT), "--json", "--predictions", str(predictions), "--resume"]
    with output.open("wb") as file:
        code = shell.watch(local.start(command, file))
    scores = _last_object(output)
    if code != 0 or scores is None:
        if shell.stop_asked:
            return Ended(JobStatus.STOPPED)
        return Ended(JobStatus.FAILED, *shell.why(scores or {}, code))
    with shell.ws.write() as session:
        snapshot = shell.job(session).snapshot
        evaluation = checkpoint_rows.evaluation(session, checkpoint_id, manifest_hash)
        if evaluation is None:
            evaluation = Evaluation(checkpoint_id=checkpoint_id, manifest_sha256=manifest_hash)
            session.add(evaluation)
        evaluation.scores = scores
        evaluation.predictions = predictions.relative_to(shell.ws.home).as_posix()
        evaluation.labels_id = snapshot.labels_id if snapshot is not None else None
    return None


def _last_object(output: Path) -> dict[str, Any] | None:
    """The JSON object on the last line, whatever a library printed before it."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    try:
        value = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
