"""The job process, ``python -m studio.worker JOB_ID --home HOME``: train, register, score, start the next job.

It is started by ``scheduling.start_next`` in a session of its own and needs nothing of the studio but the workspace: the
studio may end meanwhile. What it does is in the database (status and phase) and the job's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from socket import gethostname
from typing import Any

import psutil

from db.models import Checkpoint, Evaluation, Job, JobStatus
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs
from studio import backends
from studio.backends import Running, local
from studio.backends.local import MARK, mark
from studio.errors import StudioError
from studio.services import checkpoints, lease, promotion, provenance, reruns, runs, training
from studio.services.runs import HEARTBEAT
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
        with self.ws.read() as session:
            wanted, used_id = self.job(session).use_when_finished, checkpoints.in_use_id(session)
        phases = {
            base_id: "scoring the base checkpoint",
            used_id: "scoring the checkpoint in use",  # the gate compares with it
            checkpoint_id: "scoring the new checkpoint",
        }
        failures = [self.score(*found) for found in phases.items()]
        reruns.judge(self.ws, self.job_id)
        if wanted and used_id != checkpoint_id:  # else it was killed after that
            said = promotion.promote_finished(self.ws, checkpoint_id, f"job {self.job_id}")
            with self.ws.write() as session:
                self.job(session).gate = said
        return self.end(JobStatus.FINISHED, next(filter(None, failures), None))

    def train(self) -> int:
        """Run the engine's training; returns its exit code."""
        with self.ws.write() as session:
            job = self.job(session)
            job.phase = "training"
            base = checkpoints.folder(self.ws, job.base)
            command = ["train", *provenance.recipe_arguments(self.folder, job)]
            command += ["--manifest", str(self.folder / TRAIN), "--out", str(self.folder / "train")]
            command += ["--base", str(base), "--resume"]
            backend = backends.named(job.backend)
        (self.folder / "train" / "result.json").unlink(missing_ok=True)
        if backend.kind != "ray":
            lease.take_for_job(self.ws, f"job {self.job_id}")
        code = self.watch(backend.start(command, self.folder))
        # The engine's word counts: a launcher's exit code tells no stop from a failure, nor from a crash when all was done
        return {"stopped": STOPPED, "finished": 0}.get(runs.result(self.folder).get("status", ""), code) if code else 0

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
            known = checkpoint_rows.evaluation(session, checkpoint_id, manifest_hash)
            if known is not None and known.predictions is not None:
                return None
            path = checkpoints.folder(self.ws, session.get_one(Checkpoint, checkpoint_id))
        lease.take_for_job(self.ws, f"job {self.job_id}")
        output = self.folder / f"scores-{checkpoint_id}.json"
        predictions = self.folder / f"predictions-{checkpoint_id}.jsonl"
        command = [*backends.engine_command(), "evaluate", "--checkpoint", str(path)]
        command += ["--manifest", str(self.folder / HELD_OUT), "--json", "--predictions", str(predictions), "--resume"]
        with output.open("wb") as file:
            code = self.watch(local.start(command, file))
        scores = _last_object(output)
        if code != 0 or scores is None:
            return (
                "The checkpoint is trained, but scoring on the held-out dialogues failed: see the log, then resume the job "
                "to score again."
            )
        with self.ws.write() as session:
            snapshot = self.job(session).snapshot
            evaluation = checkpoint_rows.evaluation(session, checkpoint_id, manifest_hash)
            if evaluation is None:
                evaluation = Evaluation(checkpoint_id=checkpoint_id, manifest_sha256=manifest_hash)
                session.add(evaluation)
            evaluation.scores = scores
            evaluation.predictions = predictions.relative_to(self.ws.home).as_posix()
            evaluation.labels_id = snapshot.labels_id if snapshot is not None else None
        return None

    def watch(self, running: Running) -> int:
        """Wait for the engine: pass a wish to stop on, end it if that is not heard."""
        asked: float | None = None
        code = None
        try:
            while (code := running.poll()) is None:
                (self.folder / HEARTBEAT).touch()
                if self.stop_file.exists():
                    asked = asked if asked is not None else time.monotonic()
                    # again each time: the engine clears the file when it starts
                    (self.folder / "train").mkdir(exist_ok=True)
                    (self.folder / "train" / "stop").touch()
                    if time.monotonic() - asked > STOP_SECONDS:
                        running.end()
                time.sleep(POLL_SECONDS)
        finally:
            if code is None:  # this process breaks off: it must not leave a trainer nobody watches
                running.end()
        return code

    def end(self, status: JobStatus, error: str | None = None) -> None:
        with self.ws.write() as session:
            jobs.end(self.job(session), status, error)

    def job(self, session: Any) -> Job:
        return session.get_one(Job, self.job_id)


def main() -> int:
    """Claim the job and run it; do nothing when another process has it or it is another's turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job_id", type=int)
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    ws = attach(arguments.home)
    started = runs.started_at(psutil.Process())
    os.environ[MARK] = mark(os.getpid(), started)
    with ws.write() as session:  # where this fails the job stays in the queue: whoever looks at jobs starts another process
        if jobs.claim(session, arguments.job_id, gethostname(), os.getpid(), started) is None:
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
        lease.release(ws)
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


if __name__ == "__main__":
    sys.exit(main())
