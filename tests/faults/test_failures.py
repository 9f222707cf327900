"""Why a job failed: real runs that meet the real thing, told apart in one line with advice, and what is left is good.

``pytest -m slow tests/faults/test_failures.py`` (some minutes; as root, where file systems may be mounted).
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch

from db.models import Job
from db.repositories import jobs, settings
from engine.checkpoints import load_checkpoint
from studio.services import dialogues, queueing, room, training
from studio.services.training import JobView
from studio.workspace import Workspace, open_workspace
from tests.faults.test_random_kills import ended, learned, nothing_is_half_written, wait
from tests.studio.tiny_runs import TinyRuns, tiny_models  # noqa: F401

pytestmark = pytest.mark.slow
Mount = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount something on a folder: the arguments before it are the command's. Calling it with the folder alone undoes that."""
    mounted: list[Path] = []

    def put(folder: Path, *how: str | Path) -> None:
        if not how:
            subprocess.run(["umount", "--lazy", folder], check=True)
            mounted.remove(folder)
            return
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("needs the right to mount a file system")
        done = subprocess.run(["mount", *how, folder], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
        if folder not in mounted:
            mounted.append(folder)

    yield put
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], capture_output=True)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Jobs stay in the queue until this is called."""
    start_next = training.start_next
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    return lambda: monkeypatch.setattr(training, "start_next", start_next)


def trainer(ws: Workspace, job_id: int) -> psutil.Process:
    """The engine's process of a job that trains."""
    with ws.read() as session:
        (found,) = psutil.Process(session.get_one(Job, job_id).pid).children()
    return found


def failed(ws: Workspace, job: JobView, failure: str, sentence: str) -> JobView:
    job = wait(ws, job.id, ended)
    assert (job.status, job.failure) == ("failed", failure), f"{job.error}\n{job.log_tail}"
    assert sentence in (job.error or "") and "\n" not in (job.error or "")
    return job


def same(job: JobView, other: JobView) -> None:
    (losses, weights), (other_losses, other_weights) = learned(job), learned(other)
    assert losses == other_losses
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def fill(folder: Path) -> Path:
    """Take all room there is on the disk of a folder."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue
    return filler


def test_a_disk_that_fills_up_ends_the_job_and_with_room_again_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path,
    mount: Mount,
    tiny_models: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything is on the full disk: database, log and runs. The next job waits for room, and for nobody to start it."""
    monkeypatch.setattr(room, "LEAST", 2_000_000)
    monkeypatch.setattr(jobs, "PATIENCE", timedelta())
    (tmp_path / "small").mkdir()
    mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=24m", "tmpfs")
    ws = open_workspace(tmp_path / "small" / "workspace")
    tiny = TinyRuns(ws, tiny_models)
    undisturbed = wait(ws, tiny.start(30).id, ended)
    assert undisturbed.status == "finished", undisturbed.log_tail
    job = tiny.start(30)
    saved = job.folder / "train" / "resume" / "state.safetensors"
    deadline = time.monotonic() + 180
    while not saved.exists():
        assert time.monotonic() < deadline, training.job_view(ws, job.id).log_tail
        time.sleep(0.01)
    behind = tiny.start(3)
    filler = fill(tmp_path / "small")
    job = failed(ws, job, "disk", "The disk is full: make room on it, then resume")
    held = training.job_view(ws, behind.id)
    assert (held.status, held.waits_for or "") == (
        "queued",
        f"waits for room on the disk, which job {job.id} found full: 0.0 GB are free, 0.0 GB are needed",
    )
    nothing_is_half_written(job)
    load_checkpoint(undisturbed.folder / "train" / "checkpoint")
    assert 0 < job.step < 30
    filler.unlink()
    behind = wait(ws, behind.id, ended)
    assert (behind.status, behind.error) == ("finished", None), behind.log_tail
    training.resume_job(ws, job.id)
    job = wait(ws, job.id, ended)
    assert (job.status, job.error, job.failure) == ("finished", None, None), job.log_tail
    same(job, undisturbed)


def test_a_disk_that_becomes_read_only_or_goes_away_is_told_from_a_full_one(
    ws: Workspace,
    mount: Mount,
    tiny_models: Path,  # noqa: F811
) -> None:
    job = TinyRuns(ws, tiny_models).start(3000)
    wait(ws, job.id, lambda found: found.step >= 3)
    mount(job.folder, "--bind", job.folder)
    mount(job.folder, "-o", "remount,bind,ro")
    job = failed(ws, job, "disk", "cannot be written any more: make it writable, then resume")
    mount(job.folder)
    training.resume_job(ws, job.id)
    step = job.step
    wait(ws, job.id, lambda found: found.status == "running" and found.step > step)
    job.folder.rename(job.folder.with_name("elsewhere"))
    job = failed(ws, job, "disk", "is gone")
    job.folder.with_name("elsewhere").rename(job.folder)
    job = training.resume_job(ws, job.id)
    wait(ws, job.id, lambda found: found.status == "running" and found.step > step)
    training.stop_job(ws, job.id)
    assert wait(ws, job.id, ended).status == "stopped"


def test_a_loss_that_is_no_number_keeps_the_weights_before_it(ws: Workspace, tiny_models: Path) -> None:  # noqa: F811
    job = TinyRuns(ws, tiny_models).start(30, None, "only.learning_rate=1e30", "only.warmup=0")
    job = failed(ws, job, "loss", "start a new job with a lower learning rate")
    load_checkpoint(next((job.folder / "kept").iterdir()))


def test_a_recording_that_is_gone_is_named(ws: Workspace, tiny_models: Path, held) -> None:  # noqa: F811
    tiny = TinyRuns(ws, tiny_models)
    job = tiny.start(30)
    sound = min((job.folder / "snapshot" / "audio").iterdir())
    kept = sound.rename(sound.with_suffix(".away"))
    held()
    training.start_next(ws)
    job = failed(ws, job, "data", f"{sound.name}: no such audio file")
    kept.rename(sound)
    training.resume_job(ws, job.id)
    assert wait(ws, job.id, ended).status == "finished"


def test_base_models_that_are_gone_are_named_by_jobs_of_each_kind(
    ws: Workspace,
    tiny_models: Path,  # noqa: F811
    tmp_path: Path,
    held,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queueing, "start_next", lambda ws: None)
    models = shutil.copytree(tiny_models, tmp_path / "models")
    tiny = TinyRuns(ws, models, held_out=True)
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, tiny.base_id)
    spoken = dialogues.create_dialogue(ws, tiny.project_id, "spoken")
    dialogues.add_user_turn(ws, spoken.id, ws.path("tmp/noise.wav"))
    queued = [
        tiny.start(3),
        queueing.start_evaluation(ws, tiny.project_id, tiny.base_id),
        queueing.start_prediction(ws, tiny.project_id),
    ]
    for file in (models / "qwen2").glob("*.safetensors"):
        file.unlink()
    held()
    training.start_next(ws)
    for job in queued:
        failed(ws, job, "weights", "Weights are missing or damaged: ")


def test_memory_that_runs_out_is_told_whether_the_system_kills_or_refuses(ws: Workspace, tiny_models: Path) -> None:  # noqa: F811
    tiny = TinyRuns(ws, tiny_models)
    job = tiny.start(3000)
    wait(ws, job.id, lambda found: found.step >= 3)
    trainer(ws, job.id).send_signal(signal.SIGKILL)  # as the system does
    job = failed(ws, job, "memory", "The machine's memory ran out: close what else uses it and resume")
    training.resume_job(ws, job.id)
    step = job.step
    wait(ws, job.id, lambda found: found.status == "running" and found.step > step)
    trainer(ws, job.id).rlimit(psutil.RLIMIT_AS, (2**20, 2**20))  # no page more
    failed(ws, job, "memory", "The machine's memory ran out")
