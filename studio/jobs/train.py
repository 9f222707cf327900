"""Training: run the engine, enter the checkpoint, score it, put it in use if that was wished and the gate lets it pass."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from db.models import Checkpoint, FailureKind, JobStatus
from db.repositories import checkpoints as checkpoint_rows
from studio import backends
from studio.backends import Running
from studio.errors import StudioError
from studio.jobs import evaluate
from studio.jobs.shell import STOPPED, Ended, Shell
from studio.services import checkpoints, lease, promotion, provenance, reruns, runs
from studio.services.failures import LESS
from studio.services.snapshots import HELD_OUT, TRAIN

SAVE_SECONDS = 600.0  # in which a save that goes on changes some file
CHECKPOINT = "train/checkpoint"  # there only when it is complete
SCORING_STOPPED = "The checkpoint is trained, not scored yet: resume to score it."


def run(shell: Shell) -> Ended:
    """Take the job from running to its end."""
    with shell.ws.read() as session:
        before = shell.job(session).options.get(runs.KEEP)
    if before is not None:
        return _keep_last_save(shell, before)
    if not (shell.folder / CHECKPOINT).is_dir():  # else it was killed after training
        if (leaked := evaluate.refused(shell, trains=True)) is not None:
            return leaked
        code = _train(shell)
        if code == STOPPED:
            _keep(shell, "stopped", "step")
            return Ended(JobStatus.STOPPED)
        if code != 0:
            if shell.stop_asked and code < 0:
                return Ended(JobStatus.STOPPED, "It did not save in time: resume goes on from an earlier step.")
            why, kind = shell.why(runs.result(shell.folder / "train"), code, LESS)
            kept = _keep(shell, "last_good", "last-good")
            return Ended(JobStatus.FAILED, f"{why} {kept} has the weights before that: start from it." if kept else why, kind)
    checkpoint_id, base_id = _register(shell)
    with shell.ws.read() as session:
        wanted, used_id = shell.job(session).use_when_finished, checkpoints.in_use_id(session)
    phases = {
        **({base_id: "scoring the base checkpoint"} if base_id is not None else {}),
        used_id: "scoring the checkpoint in use",  # the gate compares with it
        checkpoint_id: "scoring the new checkpoint",
    }
    leaked = evaluate.refused(shell, trains=False)  # training takes long: another one may be in use by now
    failures = [leaked] if leaked is not None else evaluate.score(shell, phases)
    if failures and failures[0].status == JobStatus.STOPPED:
        return replace(failures[0], error=SCORING_STOPPED)
    (shell.folder / runs.PROGRESS).unlink(missing_ok=True)  # what counts is the training again
    reruns.judge(shell.ws, shell.job_id)
    if wanted and used_id != checkpoint_id:  # else it was killed after that
        said = promotion.promote_finished(shell.ws, checkpoint_id, f"job {shell.job_id}")
        with shell.ws.write() as session:
            shell.job(session).gate = said
    if failures:
        why = f"The checkpoint is trained, not scored: {failures[0].error} After that, resume the job to score again."
        return replace(failures[0], status=JobStatus.FINISHED, error=why)
    return Ended(JobStatus.FINISHED)


def _keep_last_save(shell: Shell, before: dict[str, Any]) -> Ended:
    """Have a checkpoint made of the last save; the job ends as it had ended ``before``."""
    code = _train(shell, keep=True)
    name = _keep(shell, "stopped", "step") if code == STOPPED else None
    why = None if name else shell.why(runs.result(shell.folder / "train"), code)[0]
    with shell.ws.write() as session:
        job = shell.job(session)
        job.options = {key: value for key, value in job.options.items() if key != runs.KEEP}
    told = f"{name} has the weights of the last save." if name else f"No checkpoint could be made of the last save: {why}"
    failure = FailureKind(before["failure"]) if before["failure"] is not None else None
    return Ended(JobStatus(before["status"]), " ".join(filter(None, (before["error"], told))), failure)


def _train(shell: Shell, keep: bool = False) -> int:
    """Run the engine's training, or have it only ``keep`` its last save as a checkpoint; returns its exit code."""
    out = shell.folder / "train"
    with shell.ws.write() as session:
        job = shell.job(session)
        job.phase = "keeping the last save" if keep else "training"
        command = ["train", *provenance.recipe_arguments(shell.folder, job)]
        command += ["--manifest", str(shell.folder / TRAIN), "--out", str(out), "--resume", *(["--keep"] if keep else [])]
        if job.base is not None:
            command += ["--base", str(checkpoints.folder(shell.ws, job.base))]
        if (shell.folder / HELD_OUT).is_file():
            command += ["--watch", str(shell.folder / HELD_OUT)]
        backend = backends.named(job.backend)
    (out / "result.json").unlink(missing_ok=True)
    if backend.is_here:
        lease.take_for_job(shell.ws, shell.job_id)
    running = backend.start(command, shell.folder)
    told, saves = _told_of(shell, running), _saves(out)
    code = shell.watch(running, out / "stop", told, hears_after=lambda: _hears_after(shell), saves=saves)
    # The engine's word counts: a launcher's exit code tells no stop from a failure, nor from a crash when all was done
    return {"stopped": STOPPED, "finished": 0}.get(runs.result(out).get("status", ""), code) if code else 0


def _told_of(shell: Shell, running: Running) -> Callable[[], None]:
    """Have the job's phase say what keeps people from knowing how it is."""
    told = None

    def tell() -> None:
        nonlocal told
        if (trouble := running.trouble) != told:
            with suppress(StudioError):  # the database cannot be reached either: it is told as soon as it can
                shell.say(trouble or ("saving, to stop" if shell.stop_asked else "training"))
                told = trouble

    return tell


def _hears_after(shell: Shell) -> float:
    """Seconds until the engine has surely looked for a wish to stop, as it does between steps: twice its slowest lately."""
    return 2 * max((line.get("seconds", 0.0) for line in runs.newest_metrics(shell.folder)), default=0.0)


def _saves(out: Path) -> Callable[[], bool]:
    """Whether the engine says that it saves, and what lies in its folder changed lately: tens of gigabytes take their time, and
    the disk more of it when all is written and has yet to reach it.
    """
    seen: set[tuple[Path, int, int]] = set()
    since = time.monotonic()

    def look() -> bool:
        nonlocal seen, since
        if runs.pulse(out.parent).get("doing") != "saving":
            return False
        found = set()
        with suppress(OSError):  # something is renamed into place meanwhile
            for path in out.rglob("*"):
                if path != out / "stop":  # which is this process's
                    found.add((path, (status := path.stat()).st_size, status.st_mtime_ns))
        if found != seen:
            seen, since = found, time.monotonic()
        return time.monotonic() - since < SAVE_SECONDS

    return look


def _keep(shell: Shell, left: str, what: str) -> str | None:
    """Enter a checkpoint that the engine left on the way, so that it can be scored, compared and started from; its name.

    It is moved out of the engine's folder, which is cleared of it when the run goes on. One that was kept after as many steps
    before is the same, and is there again if it was deleted. Where this fails the job ends as it would have without.
    """
    found, step = shell.folder / "train" / left, runs.last_metrics(shell.folder).get("step")
    if step is None or not found.is_dir():  # before the first step it is the base
        return None
    name, path = f"run-{shell.job_id}-{what}-{step}", f"runs/{shell.job_id}/kept/{what}-{step}"
    try:
        with shell.ws.write() as session:
            known = checkpoint_rows.named(session, name)
            if known is not None and known.deleted is None:
                shutil.rmtree(found)
                return name
            shutil.rmtree(shell.ws.path(path), ignore_errors=True)  # moved, but not entered: it was killed between
            shell.ws.path(path).parent.mkdir(exist_ok=True)
            found.rename(shell.ws.path(path))
            if known is not None:
                known.deleted = known.deleted_by = None
            else:
                job = shell.job(session)
                job.kept.append(Checkpoint(name=name, path=path, parent_id=job.base_id))
    except (OSError, StudioError) as error:
        print(f"{name} was not kept: {error}", flush=True)
        return None
    return name


def _register(shell: Shell) -> tuple[int, int | None]:
    """Enter the new checkpoint; returns its id and its base's, if it has one. The job runs on: a stop ends the scoring."""
    with shell.ws.write() as session:
        job = shell.job(session)
        if job.checkpoint is None:
            job.checkpoint = Checkpoint(name=f"run-{job.id}", path=f"{job.folder}/{CHECKPOINT}", parent_id=job.base_id)
            session.flush()
        provenance.add_base_models(shell.folder, job)
        return job.checkpoint.id, job.base_id
