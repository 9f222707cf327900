"""A job that lives and does nothing any more: people are told, nothing is ended for it, and a wish to stop ends it still."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import gethostname

import psutil
import pytest
from typer.testing import CliRunner

from db.models import Job, JobKind, JobStatus, utc_now
from db.repositories import jobs
from studio import cli
from studio.jobs import shell, train
from studio.jobs.shell import Shell
from studio.pages.job_html import progress_html
from studio.services import runs, scheduling, silence, training
from studio.workspace import Workspace
from tests.studio.job_runs import SLOW, process_of, training_on, wait
from tests.studio.tiny_runs import TinyRuns, tiny_models  # noqa: F401

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def suspend() -> Iterator[Callable[[psutil.Process], None]]:
    """Stop a process as Ctrl+Z does; what the test leaves stopped is ended."""
    stopped = []

    def stop(process: psutil.Process) -> None:
        process.send_signal(signal.SIGSTOP)
        stopped.append(process)

    yield stop
    for process in stopped:
        if process.is_running():
            process.kill()


def test_a_trainer_that_hangs_is_told_by_its_usual_step_and_ended_by_nobody(
    ws: Workspace,
    tiny_models: Path,  # noqa: F811
    suspend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the real engine, which says itself what is usual."""
    job = wait(ws, TinyRuns(ws, tiny_models, held_out=True).start(100_000).id, training_on(8))
    assert job.silence is None
    usual = runs.pulse(job.folder)
    assert usual["doing"] in ("training", "saving", "answering") and usual["slowest_seconds"] >= usual["usual_seconds"] > 0
    monkeypatch.setattr(silence, "LEAST", 1.0)
    (trainer,) = process_of(ws, job.id).children()
    suspend(trainer)
    hanging = wait(ws, job.id, lambda job: job.silence is not None, seconds=60)
    assert hanging.status == "running" and hanging.silence is not None
    assert hanging.silence.seconds > 1 and hanging.silence.usual_seconds is not None
    assert hanging.silence.sentence.endswith(": look at the log, or stop it. What was saved stays.")
    assert hanging.silence.sentence in progress_html(hanging)
    found = CliRunner().invoke(cli.app, ["jobs", "list", "--json", "--home", str(ws.home)]).stdout
    assert json.loads(found)[0]["silence"]["usual_seconds"] == pytest.approx(hanging.silence.usual_seconds)
    assert hanging.silence.sentence[:12] in CliRunner().invoke(cli.app, ["jobs", "list", "--home", str(ws.home)]).stdout
    trainer.send_signal(signal.SIGCONT)
    monkeypatch.setattr(silence, "LEAST", 30.0)
    assert wait(ws, job.id, training_on(hanging.step + 2)).silence is None
    training.stop_job(ws, job.id)
    assert wait(ws, job.id).status == "stopped"


STEP = {"doing": "training", "usual_seconds": 3.0, "slowest_seconds": 4.0}


@pytest.mark.parametrize(
    ("sign", "ago", "told"),
    [
        (STEP, 110, None),
        (STEP, 720, "No step for 12 minutes; one usually takes 3 s: look at the log, or stop it. What was saved stays."),
        (STEP | {"usual_seconds": 60.0}, 720, None),
        (STEP | {"slowest_seconds": 200.0}, 720, None),
        (STEP | {"doing": "evaluating", "usual_seconds": 0.5}, 150, "No batch of the evaluation for 2.5 minutes; one usually"),
        (STEP | {"doing": "answering"}, 150, "No sample answer for 2.5 minutes"),
        (STEP | {"doing": "saving", "usual_seconds": 70.0}, 720, None),
        (STEP | {"doing": "saving"}, 720, "It has been saving for 12 minutes; a save usually takes 3 s"),
        (STEP | {"doing": "saving", "usual_seconds": None}, 720, None),
        ({"doing": "starting", "usual_seconds": None}, 1200, None),
        ({"doing": "starting", "usual_seconds": None}, 3600, "No step for 60 minutes; how long one takes is not known yet"),
    ],
)
def test_what_is_much_depends_on_what_is_usual(tmp_path: Path, sign: dict, ago: float, told: str | None) -> None:
    begun = utc_now().timestamp() - 7200
    job = Job(kind=JobKind.TRAIN, status=JobStatus.RUNNING, started=utc_now().fromtimestamp(begun).astimezone())
    (tmp_path / "heartbeat").touch()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "pulse.json").write_text(json.dumps(sign))
    os.utime(tmp_path / "train" / "pulse.json", (time.time() - ago,) * 2)
    found = silence.of(job, tmp_path, "step")
    assert (found is None) == (told is None), found
    if found is not None and told is not None:
        assert found.sentence.startswith(told)
    job.started = utc_now()  # it was resumed: what an earlier start was slow in counts no more
    assert silence.of(job, tmp_path, "step") is None


def test_a_scoring_that_hangs_is_told_too_but_not_while_a_model_is_loaded(tmp_path: Path, monkeypatch) -> None:
    job = Job(kind=JobKind.EVALUATE, status=JobStatus.RUNNING, started=utc_now())
    (tmp_path / "heartbeat").touch()
    clock = [1000.0]
    monkeypatch.setattr(runs.time, "monotonic", lambda: clock[0])
    progress = runs.Progress(tmp_path)

    def told(done: int, loading: bool = False, ago: float = 600.0) -> str | None:
        progress.tell(done, 8, loading)
        kept = runs.progress(tmp_path)
        (tmp_path / "progress.json").write_text(json.dumps(kept | {"changed": kept["changed"] - ago}))
        job.started = utc_now().fromtimestamp(time.time() - 5000).astimezone()
        clock[0] += 2
        found = silence.of(job, tmp_path, "turn")
        return found and found.sentence.split(":")[0]

    assert told(0, loading=True) is None
    assert [told(done) for done in (1, 2)] == [None, "No turn for 10 minutes; one usually takes 2 s"]
    assert told(4, loading=True) is None, "the next checkpoint is loaded"
    assert told(5, ago=60.0) is None
    assert told(8) is None, "it counts up its scores"


def test_a_process_that_gives_no_sign_is_told(tmp_path: Path) -> None:
    job = Job(kind=JobKind.IMPORT, status=JobStatus.RUNNING, started=utc_now().fromtimestamp(time.time() - 5000).astimezone())
    (tmp_path / "heartbeat").touch()
    os.utime(tmp_path / "heartbeat", (time.time() - 720,) * 2)
    found = silence.of(job, tmp_path, "dialogue")
    assert found is not None and found.sentence.startswith("Its process is there, and gave no sign for 12 minutes: it may be")
    job.status = JobStatus.FINISHED
    assert silence.of(job, tmp_path, "dialogue") is None


@pytest.mark.usefixtures("fake_engine")
def test_a_suspended_trainer_is_ended_when_somebody_stops_its_job(ws: Workspace, start, suspend, monkeypatch) -> None:
    monkeypatch.setattr(shell, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    job = start(steps=500, **SLOW)
    with ws.write() as session:
        jobs.claim(session, job.id, gethostname(), os.getpid(), runs.started_at(psutil.Process()))

    def hang_and_stop() -> None:
        wait(ws, job.id, training_on(2))
        living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
        (trainer,) = [child for child in living if "fake_engine.py" in " ".join(child.cmdline())]
        suspend(trainer)
        training.stop_job(ws, job.id)

    asking = threading.Thread(target=hang_and_stop)
    asking.start()
    ended = train.run(Shell(ws, job.id))
    asking.join()
    assert (ended.status, ended.error) == ("stopped", "It did not save in time: resume goes on from an earlier step.")


@pytest.mark.usefixtures("fake_engine")
def test_a_job_that_gives_a_sign_once_the_machine_is_awake_again_goes_on_with_its_save(ws: Workspace, start, monkeypatch) -> None:
    """Its clock has gone on while it slept: both the wish to stop and the last sign are hours old then."""
    monkeypatch.setenv("FAKE_SAVE", "2")
    job = wait(ws, start(steps=500, **SLOW).id, training_on(2))
    training.stop_job(ws, job.id)
    looks = iter((True, False))
    monkeypatch.setattr(scheduling, "AWAKE", 0.1)
    monkeypatch.setattr(scheduling, "_is_deaf", lambda *_: next(looks, False))
    assert scheduling.reconcile(ws) == [] and next(looks, None) is None
    stopped = wait(ws, job.id)
    assert (stopped.status, stopped.error) == ("stopped", None)


@pytest.mark.usefixtures("fake_engine")
def test_a_suspended_job_process_is_ended_when_somebody_stops_its_job(ws: Workspace, start, suspend, monkeypatch) -> None:
    job = wait(ws, start(steps=500, **SLOW).id, training_on(2))
    worker = process_of(ws, job.id)
    (trainer,) = worker.children()
    suspend(worker)
    monkeypatch.setattr(scheduling, "DEAF", 1.0)
    time.sleep(1.2)
    assert training.job_view(ws, job.id).status == "running", "nobody asked for its end"
    training.stop_job(ws, job.id)
    stopped = wait(ws, job.id, seconds=60)
    assert stopped.status == "stopped" and (stopped.error or "").startswith("Its process did not hear the wish to stop and was")
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE
    monkeypatch.setenv("FAKE_STEP", "0.001")
    training.resume_job(ws, job.id)
    assert wait(ws, job.id).status == "finished"
