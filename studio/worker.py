"""The job process, ``python -m studio.worker JOB_ID --home HOME``: train, register, score, start the next job.

It is started by ``scheduling.start_next`` in a session of its own and needs nothing of the studio but the workspace: the
studio may end meanwhile. What it does is in the database (status and phase) and the job's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from db.models import Checkpoint, Evaluation, Job, JobStatus
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs
from studio.errors import StudioError
from studio.services import checkpoints, runs, training
from studio.services.snapshots import HELD_OUT, TRAIN
from studio.workspace import Workspace, attach

CHECKPOINT = "train/checkpoint"  # there only when it is complete
POLL_SECONDS = 0.2
STOP_SECONDS = 120.0  # what a trainer gets to save after it was asked to stop
STOPPED = 3  # the engine's exit code for "saved and stopped on request"


class _Run:
    """One claimed job."""

    def __init__(self, ws: Workspace, job_id: int) -> None:
        self.ws = ws
        self.job_id = job_id
        self.folder = ws.path(f"runs/{job_id}")
        self.stop_file = self.folder / "stop"

    def run(self) -> None:
        """Take the job from running to its end."""
        if not (self.folder / CHECKPOINT).is_dir():  # else it was killed after training
            code = self.train()
            if code == STOPPED:
                return self.end(JobStatus.STOPPED)
            if code != 0:
                if self.stop_file.exists() and code < 0:
                    return self.end(JobStatus.STOPPED, "It did not save in time: resume goes on from an earlier step.")
                return self.end(JobStatus.FAILED, runs.why_failed(self.folder, code))
        checkpoint_id, base_id = self.register()
        failures = [
            self.score(base_id, "scoring the base checkpoint"),
            self.score(checkpoint_id, "scoring the new checkpoint"),
        ]
        with self.ws.read() as session:
            wanted = self.job(session).use_when_finished
        if wanted:
            checkpoints.use(self.ws, checkpoint_id)
        return self.end(JobStatus.FINISHED, next(filter(None, failures), None))

    def train(self) -> int:
        """Run the engine's training; returns its exit code."""
        with self.ws.write() as session:
            job = self.job(session)
            job.phase = "training"
            base = checkpoints.folder(self.ws, job.base)
            command = ["train", job.recipe, "--manifest", str(self.folder / TRAIN), "--out", str(self.folder / "train")]
            command += ["--base", str(base), "--resume"]
            command += [part for override in job.overrides for part in ("--set", override)]
        (self.folder / "train" / "result.json").unlink(missing_ok=True)
        return self.watch(subprocess.Popen(engine_command() + command, stdin=subprocess.DEVNULL))

    def register(self) -> tuple[int, int]:
        """Enter the new checkpoint; returns its id and its base's."""
        with self.ws.write() as session:
            job = self.job(session)
            job.status, job.phase = JobStatus.SAVING, "saving the checkpoint"
            if job.checkpoint is None:
                path = f"{job.folder}/{CHECKPOINT}"
                job.checkpoint = Checkpoint(name=f"run-{job.id}", path=path, parent_id=job.base_id)
                session.flush()
            return job.checkpoint.id, job.base_id

    def score(self, checkpoint_id: int, phase: str) -> str | None:
        """Evaluate a checkpoint on the held-out dialogues unless that was done; returns a sentence if it failed."""
        with self.ws.write() as session:
            job = self.job(session)
            manifest_hash = job.snapshot.held_out_sha256 if job.snapshot is not None else None
            if manifest_hash is None:
                return None
            job.phase = phase
            if checkpoint_rows.scores(session, checkpoint_id, manifest_hash) is not None:
                return None
            path = checkpoints.folder(self.ws, session.get_one(Checkpoint, checkpoint_id))
        output = self.folder / f"scores-{checkpoint_id}.json"
        command = [*engine_command(), "evaluate", "--checkpoint", str(path), "--manifest", str(self.folder / HELD_OUT), "--json"]
        with output.open("wb") as file:
            code = self.watch(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file))
        scores = _last_object(output)
        if code != 0 or scores is None:
            return (
                "The checkpoint is trained, but scoring on the held-out dialogues failed: see the log, then resume the job "
                "to score again."
            )
        with self.ws.write() as session:
            snapshot = self.job(session).snapshot
            labels_id = snapshot.labels_id if snapshot is not None else None
            session.add(
                Evaluation(checkpoint_id=checkpoint_id, manifest_sha256=manifest_hash, scores=scores, labels_id=labels_id)
            )
        return None

    def watch(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process of the engine: pass a wish to stop on, end it if it is not heard."""
        asked: float | None = None
        try:
            while process.poll() is None:
                if self.stop_file.exists():
                    asked = asked if asked is not None else time.monotonic()
                    # again each time: the engine clears the file when it starts
                    (self.folder / "train").mkdir(exist_ok=True)
                    (self.folder / "train" / "stop").touch()
                    if time.monotonic() - asked > STOP_SECONDS:
                        _end_tree(process)
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:  # this process breaks off: it must not leave a trainer nobody watches
                _end_tree(process)
        return process.returncode

    def end(self, status: JobStatus, error: str | None = None) -> None:
        with self.ws.write() as session:
            jobs.end(self.job(session), status, error)

    def job(self, session: Any) -> Job:
        return session.get_one(Job, self.job_id)


def engine_command() -> list[str]:
    """How the engine is called; ``DST_STUDIO_ENGINE`` names another program with the same arguments (tests do)."""
    return shlex.split(os.environ.get("DST_STUDIO_ENGINE", "")) or [sys.executable, "-m", "engine"]


def main() -> int:
    """Claim the job and run it; do nothing when another process has it or it is another's turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job_id", type=int)
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    ws = attach(arguments.home)
    with ws.write() as session:  # where this fails the job stays in the queue: whoever looks at jobs starts another process
        if jobs.claim(session, arguments.job_id, os.getpid(), runs.started_at(psutil.Process())) is None:
            return 0
    run = _Run(ws, arguments.job_id)
    try:
        run.run()
    except StudioError as error:
        run.end(JobStatus.FAILED, str(error))
    except Exception as error:
        run.end(JobStatus.FAILED, f"The job broke off ({error}): see the log, then resume it.")
        raise
    finally:
        training.start_next(ws)
    return 0


def _last_object(output: Path) -> dict[str, Any] | None:
    """The JSON object on the last line, whatever a library printed before it."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    try:
        value = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children, and nothing else of the group: this process is in it."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
