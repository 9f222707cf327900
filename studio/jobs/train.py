"""Training: run the engine, enter the checkpoint, score it, put it in use if that was wished and the gate lets it pass."""

from __future__ import annotations

from dataclasses import replace

from db.models import Checkpoint, JobStatus
from studio import backends
from studio.jobs import evaluate
from studio.jobs.shell import STOPPED, Ended, Shell
from studio.services import checkpoints, lease, promotion, provenance, reruns, runs
from studio.services.snapshots import HELD_OUT, TRAIN

CHECKPOINT = "train/checkpoint"  # there only when it is complete
UNSCORED = (
    "The checkpoint is trained, but scoring on the held-out dialogues failed: see the log, then resume the job to score again."
)


def run(shell: Shell) -> Ended:
    """Take the job from running to its end."""
    if not (shell.folder / CHECKPOINT).is_dir():  # else it was killed after training
        code = _train(shell)
        if code == STOPPED:
            return Ended(JobStatus.STOPPED)
        if code != 0:
            if shell.stop_asked and code < 0:
                return Ended(JobStatus.STOPPED, "It did not save in time: resume goes on from an earlier step.")
            return Ended(JobStatus.FAILED, *shell.why(runs.result(shell.folder / "train"), code))
    checkpoint_id, base_id = _register(shell)
    with shell.ws.read() as session:
        wanted, used_id = shell.job(session).use_when_finished, checkpoints.in_use_id(session)
    phases = {
        **({base_id: "scoring the base checkpoint"} if base_id is not None else {}),
        used_id: "scoring the checkpoint in use",  # the gate compares with it
        checkpoint_id: "scoring the new checkpoint",
    }
    failures = evaluate.score(shell, phases)
    if failures and failures[0].status == JobStatus.STOPPED:
        return failures[0]
    (shell.folder / runs.PROGRESS).unlink(missing_ok=True)  # what counts is the training again
    reruns.judge(shell.ws, shell.job_id)
    if wanted and used_id != checkpoint_id:  # else it was killed after that
        said = promotion.promote_finished(shell.ws, checkpoint_id, f"job {shell.job_id}")
        with shell.ws.write() as session:
            shell.job(session).gate = said
    return replace(failures[0], status=JobStatus.FINISHED, error=UNSCORED) if failures else Ended(JobStatus.FINISHED)


def _train(shell: Shell) -> int:
    """Run the engine's training; returns its exit code."""
    out = shell.folder / "train"
    with shell.ws.write() as session:
        job = shell.job(session)
        job.phase = "training"
        command = ["train", *provenance.recipe_arguments(shell.folder, job)]
        command += ["--manifest", str(shell.folder / TRAIN), "--out", str(out), "--resume"]
        if job.base is not None:
            command += ["--base", str(checkpoints.folder(shell.ws, job.base))]
        if (shell.folder / HELD_OUT).is_file():
            command += ["--watch", str(shell.folder / HELD_OUT)]
        backend = backends.named(job.backend)
    (out / "result.json").unlink(missing_ok=True)
    if backend.kind != "ray":
        lease.take_for_job(shell.ws, f"job {shell.job_id}")
    code = shell.watch(backend.start(command, shell.folder), out / "stop")
    # The engine's word counts: a launcher's exit code tells no stop from a failure, nor from a crash when all was done
    return {"stopped": STOPPED, "finished": 0}.get(runs.result(out).get("status", ""), code) if code else 0


def _register(shell: Shell) -> tuple[int, int | None]:
    """Enter the new checkpoint; returns its id and its base's, if it has one."""
    with shell.ws.write() as session:
        job = shell.job(session)
        job.status, job.phase = JobStatus.SAVING, "saving the checkpoint"
        if job.checkpoint is None:
            job.checkpoint = Checkpoint(name=f"run-{job.id}", path=f"{job.folder}/{CHECKPOINT}", parent_id=job.base_id)
            session.flush()
        return job.checkpoint.id, job.base_id
