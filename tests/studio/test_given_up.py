"""A job that was taken from its process: two must never write the same run."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from socket import gethostname
from uuid import UUID

import psutil
import pytest

from db.models import Job, JobKind, JobStatus
from db.repositories import jobs
from studio import worker
from studio.backends.local import MARK
from studio.jobs import shell
from studio.jobs.shell import Ended, GivenUpError, Shell
from studio.services import runs, training
from studio.workspace import Workspace, open_workspace
from tests.studio.job_runs import SLOW, training_on, wait

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]


@pytest.fixture
def queued(start, monkeypatch: pytest.MonkeyPatch) -> Callable[..., training.JobView]:
    """Queue a job that no process is started for."""
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    return start


def claim(ws: Workspace, job_id: int, host: str) -> None:
    with ws.write() as session:
        assert jobs.claim(session, job_id, host, os.getpid(), runs.started_at(psutil.Process())) is not None
    (ws.path(f"runs/{job_id}") / runs.HEARTBEAT).touch()


def give_up(ws: Workspace, job_id: int) -> None:
    with ws.write() as session:
        jobs.end(session.get_one(Job, job_id), JobStatus.INTERRUPTED, "no sign of it")


@pytest.mark.databases("sqlite", "postgresql")
def test_a_process_that_was_given_up_writes_nothing_over_the_one_that_went_on(ws: Workspace, queued) -> None:
    job = queued()
    claim(ws, job.id, "a")
    given_up = Shell(ws, job.id)
    give_up(ws, job.id)
    writes = (lambda: given_up.say("training"), given_up.put_back, lambda: given_up.end(Ended(JobStatus.FINISHED)))
    for goes_on in (lambda: None, lambda: training.resume_job(ws, job.id), lambda: claim(ws, job.id, "b")):
        goes_on()
        before = training.job_view(ws, job.id)
        for write in writes:
            with pytest.raises(GivenUpError, match=f"Job {job.id} was given up for dead"):
                write()
        after = training.job_view(ws, job.id)
        assert (after.status, after.phase, after.error) == (before.status, before.phase, before.error)
    assert after.status == "running"
    Shell(ws, job.id).end(Ended(JobStatus.FINISHED))
    assert training.job_view(ws, job.id).status == "finished"


def process_of(ws: Workspace, job_id: int, monkeypatch: pytest.MonkeyPatch) -> threading.Thread:
    """The job's process, as a thread of the test."""
    monkeypatch.setenv(MARK, "")  # which the process sets for what it starts
    monkeypatch.setattr(sys, "argv", ["worker", str(job_id), "--home", str(ws.home)])
    thread = threading.Thread(target=worker.main)
    thread.start()
    return thread


def test_a_process_that_was_given_up_ends_its_engine_and_leaves(ws: Workspace, queued, monkeypatch) -> None:
    monkeypatch.setattr(shell, "LOOK_SECONDS", 0.1)
    before = set(psutil.Process().children())
    job = queued(steps=500, **SLOW)
    process = process_of(ws, job.id, monkeypatch)
    wait(ws, job.id, training_on(1))
    (engine,) = set(psutil.Process().children()) - before
    give_up(ws, job.id)
    process.join(timeout=20)
    assert not process.is_alive() and not engine.is_running()
    found = training.job_view(ws, job.id)
    assert (found.status, found.error) == ("interrupted", "no sign of it")


def test_a_process_gives_signs_of_life_whatever_it_does(ws: Workspace, queued, monkeypatch) -> None:
    monkeypatch.setattr(shell, "BEAT_SECONDS", 0.05)
    signs = []

    def hash_for_long(shell: Shell) -> Ended:
        heartbeat = shell.folder / runs.HEARTBEAT
        os.utime(heartbeat, (1, 1))
        deadline = time.monotonic() + 10
        while not runs.heard_from(shell.folder) and time.monotonic() < deadline:
            time.sleep(0.02)
        signs.append(runs.heard_from(shell.folder))
        return Ended(JobStatus.FINISHED)

    monkeypatch.setitem(worker.KINDS, JobKind.TRAIN, hash_for_long)
    process_of(ws, queued().id, monkeypatch).join(timeout=60)
    assert signs == [True]


def test_a_clock_that_is_wrong_makes_no_process_of_another_machine_dead(ws: Workspace, queued, monkeypatch) -> None:
    job = queued()
    claim(ws, job.id, "elsewhere")
    now = time.time
    with monkeypatch.context() as wrong:
        wrong.setattr(runs.time, "time", lambda: now() + 3600)
        assert training.reconcile(ws) == []
    os.utime(job.folder / runs.HEARTBEAT, (now() - 600, now() - 600))
    assert training.reconcile(ws) == [job.id]


def test_a_process_of_before_a_restart_of_the_machine_is_gone_whoever_has_its_number(
    ws: Workspace, queued, monkeypatch, tmp_path: Path
) -> None:
    job = queued()
    boot = tmp_path / "boot_id"
    boot.write_text(str(UUID(int=UUID(runs.BOOT_ID.read_text().strip()).int ^ 1)))
    other = subprocess.Popen(["sleep", "60"])
    try:
        with monkeypatch.context() as before:
            before.setattr(runs, "BOOT_ID", boot)
            started = runs.started_at(psutil.Process(other.pid))
            assert runs.alive(other.pid, started)
        with ws.write() as session:
            jobs.claim(session, job.id, gethostname(), other.pid, started)
        training.stop_job(ws, job.id)
        for name in (runs.STOP, runs.HEARTBEAT):  # long enough ago to be ended as one that does not hear
            (job.folder / name).touch()
            os.utime(job.folder / name, (1, 1))
        open_workspace(ws.home)
        assert other.poll() is None, "it has nothing to do with the job"
        assert training.job_view(ws, job.id).status == "interrupted"
    finally:
        other.kill()
        other.wait()
