"""Scoring checkpoints on held-out dialogues: a job of its own, and the end of every training."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from db.models import Checkpoint, Evaluation, FailureKind, JobStatus, Snapshot
from db.repositories import checkpoints as checkpoint_rows
from studio import backends
from studio.backends import local
from studio.jobs.shell import Ended, Shell
from studio.services import checkpoints, lease, manifests, runs
from studio.services.snapshots import HELD_OUT, leak


def run(shell: Shell) -> Ended:
    """Score the job's checkpoint, and the one in use, which the gate compares it with."""
    if (leaked := refused(shell, trains=False)) is not None:
        return leaked
    with shell.ws.read() as session:
        scored_id, used_id = shell.job(session).base_id, checkpoints.in_use_id(session)
    assert scored_id is not None
    failed = score(shell, {used_id: "scoring the checkpoint in use", scored_id: "scoring the checkpoint"})
    return failed[0] if failed else Ended(JobStatus.FINISHED)


def refused(shell: Shell, trains: bool) -> Ended | None:
    """How the job ends before anything is started, where what happened since it was queued makes its scores worthless;
    ``trains``: it has yet to train.
    """
    with shell.ws.read() as session:
        found = leak(shell.ws, session, shell.job(session), trains)
    return Ended(JobStatus.FAILED, f"Something changed since it was queued. {found}", FailureKind.DATA) if found else None


def score(shell: Shell, phases: dict[int, str]) -> list[Ended]:
    """Evaluate checkpoints on the job's held-out dialogues, but none twice; how each ended that failed, or alone how it was
    stopped. ``phases`` says in plain words what is scored.
    """
    with shell.ws.read() as session:
        snapshot = shell.job(session).snapshot
        if snapshot is None or snapshot.held_out_sha256 is None:
            return []
        known = {id_: checkpoint_rows.evaluation(session, id_, snapshot.held_out_sha256) for id_ in phases}
    wanted = [id_ for id_, found in known.items() if found is None or found.predictions is None]
    if not wanted:
        return []
    lease.take_for_job(shell.ws, shell.job_id)
    dialogues = manifests.read(shell.folder / HELD_OUT)
    turns = sum(bool(turn.audio) for dialogue in dialogues for turn in dialogue.user_turns())
    progress = runs.Progress(shell.folder)
    failed = []
    for place, checkpoint_id in enumerate(wanted):
        shell.say(phases[checkpoint_id])
        told = partial(_tell, progress, place * turns, turns, len(wanted) * turns)
        ended = _score(shell, checkpoint_id, snapshot, told)
        if ended is not None and ended.status == JobStatus.STOPPED:
            return [ended]
        failed += [ended] if ended is not None else []
    return failed


def _tell(progress: runs.Progress, before: int, turns: int, total: int, done: int, loading: bool) -> None:
    progress.tell(before + min(done, turns), total, loading)


def _score(shell: Shell, checkpoint_id: int, snapshot: Snapshot, told: Callable[[int, bool], None]) -> Ended | None:
    """Evaluate one and write down its scores; ``told`` gets the number of turns that it has answered, and whether it has yet
    to begin."""
    with shell.ws.read() as session:
        path = checkpoints.folder(shell.ws, session.get_one(Checkpoint, checkpoint_id))
    output = shell.folder / f"scores-{checkpoint_id}.json"
    predictions = shell.folder / f"predictions-{checkpoint_id}.jsonl"
    command = [*backends.engine_command(), "evaluate", "--checkpoint", str(path)]
    command += ["--manifest", str(shell.folder / HELD_OUT), "--json", "--predictions", str(predictions), "--resume"]
    count = _lines_of(predictions)
    before = count()

    def tell() -> None:
        told(done := count(), done == before)

    with output.open("wb") as file:
        code = shell.watch(local.start(command, file), each=tell)
    tell()
    scores = _last_object(output)
    if code != 0 or scores is None:
        if shell.stop_asked:
            return Ended(JobStatus.STOPPED)
        return Ended(JobStatus.FAILED, *shell.why(scores or {}, code))
    manifest_hash = snapshot.held_out_sha256
    assert manifest_hash is not None
    with shell.ws.write() as session:
        evaluation = checkpoint_rows.evaluation(session, checkpoint_id, manifest_hash)
        if evaluation is None:
            evaluation = Evaluation(checkpoint_id=checkpoint_id, manifest_sha256=manifest_hash)
            session.add(evaluation)
        evaluation.scores = scores
        evaluation.predictions = predictions.relative_to(shell.ws.home).as_posix()
        evaluation.labels_id = snapshot.labels_id
    return None


def _lines_of(path: Path) -> Callable[[], int]:
    """How many lines a file has that grows; each is read once."""
    read = lines = 0

    def count() -> int:
        nonlocal read, lines
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(read)
            fresh = file.read()
            read, lines = read + len(fresh), lines + fresh.count(b"\n")
        return lines

    return count


def _last_object(output: Path) -> dict[str, Any] | None:
    """The JSON object on the last line, whatever a library printed before it."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    try:
        value = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
