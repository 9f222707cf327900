"""The same job wherever its engine runs: same states, log, metrics, stop and resume; with the real engine on tiny models."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from studio import backends
from studio.backends import Backend, local
from studio.errors import StudioError
from studio.services import placement, training
from studio.services.training import JobView
from studio.workspace import Workspace
from tests.studio.tiny_runs import TinyRuns, tiny_models  # noqa: F401

pytestmark = pytest.mark.databases("sqlite")


def wait(ws: Workspace, job_id: int, until: Callable[[JobView], bool] = lambda job: not job.active) -> JobView:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        job = training.job_view(ws, job_id)
        if until(job) or not job.active:
            return job
        time.sleep(0.1)
    raise AssertionError(f"still {job.status}, {job.phase}, step {job.step}: {job.log_tail}")


def losses(job: JobView) -> list[float]:
    return [json.loads(line)["loss"] for line in (job.folder / "train" / "metrics.jsonl").read_text().splitlines()]


STEPS = 24


@pytest.fixture
def tiny(ws: Workspace, tiny_models: Path) -> TinyRuns:  # noqa: F811
    return TinyRuns(ws, tiny_models)


def stopped_and_resumed(ws: Workspace, tiny: TinyRuns, backend: str) -> JobView:
    """A run that is stopped after its first steps and goes on."""
    job = wait(ws, tiny.start(STEPS, backend).id, lambda job: job.step >= 1)
    assert job.status == "running", job.log_tail
    training.stop_job(ws, job.id)
    stopped = wait(ws, job.id)
    assert (stopped.status, stopped.error) == ("stopped", None), stopped.log_tail
    assert 1 <= stopped.step < STEPS
    training.resume_job(ws, job.id)
    finished = wait(ws, job.id)
    assert (finished.status, finished.step, finished.error) == ("finished", STEPS, None), finished.log_tail
    return finished


def test_a_job_of_two_processes_stops_goes_on_and_ends_like_any_other(ws: Workspace, tiny: TinyRuns) -> None:
    stopped_and_resumed(ws, tiny, "torchrun:2")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["accelerate:2", "ray"])
def test_wherever_a_job_runs_it_learns_the_same(ws: Workspace, tiny: TinyRuns, backend: str, request) -> None:
    there = stopped_and_resumed(ws, tiny, f"ray:2@{request.getfixturevalue('cluster')}" if backend == "ray" else backend)
    here = wait(ws, tiny.start(STEPS).id)
    assert losses(there) == pytest.approx(losses(here), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torchrun:2", "ray"])
def test_what_a_killed_job_left_running_is_ended_and_its_last_save_kept(
    ws: Workspace, tiny: TinyRuns, backend: str, request
) -> None:
    """A launcher's processes are in sessions of their own, those of Ray children of its own."""
    place = f"ray@{request.getfixturevalue('cluster')}" if backend == "ray" else backend
    job = wait(ws, tiny.start(100_000, place).id, lambda job: job.step >= 5)  # saved every third step
    worker, trainers = processes(job)
    assert trainers, job.log_tail
    worker.kill()
    psutil.wait_procs([worker], timeout=5)
    assert training.reconcile(ws) == [job.id]
    psutil.wait_procs(trainers, timeout=10)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in trainers)
    assert training.job_view(ws, job.id).status == "interrupted"
    kept = wait(ws, training.keep_last_save(ws, job.id).id)
    assert (kept.status, kept.can_resume) == ("interrupted", True), kept.log_tail
    assert "has the weights of the last save" in (kept.error or "")


def processes(job: JobView) -> tuple[psutil.Process, list[psutil.Process]]:
    """The job's own process, and the engine's."""
    lines = {process: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    (worker,) = [process for process, line in lines.items() if "studio.worker" in line and str(job.folder.parents[1]) in line]
    return worker, [process for process, line in lines.items() if f"{job.folder}/train" in line]


def test_processes_of_others_are_left_alone() -> None:
    others = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={local.MARK: local.mark(1, 1.0)})
    try:
        local.end_marked(1, 2.0)
        assert others.poll() is None
        local.end_marked(1, 1.0)
        assert others.poll() is not None
    finally:
        others.kill()


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("local", Backend()),
        ("torchrun:4", Backend("torchrun", 4)),
        ("ray@http://head:8265", Backend("ray", address="http://head:8265")),
        ("ray:2gpu@http://head:8265", Backend("ray", 2, True, "http://head:8265")),
    ],
)
def test_a_backend_is_named_by_a_text(name: str, backend: Backend) -> None:
    assert (backends.named(name), backend.name) == (backend, name)


@pytest.mark.parametrize("name", ["", "local:2", "torchrun", "torchrun:0", "ray", "ray:2", "slurm", "torchrun:2@http://head"])
def test_a_backend_that_is_none_is_refused_before_a_job_is_queued(ws: Workspace, name: str) -> None:
    with pytest.raises(StudioError, match="There is no backend"):
        placement.set_default_backend(ws, name)


class Head:
    """A real Ray cluster of one node, which can be taken down and started anew at the same address."""

    address = "http://127.0.0.1:8214"

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def start(self) -> None:
        ray = [sys.executable, "-m", "ray.scripts.scripts"]
        options = ["--head", "--port", "8213", "--dashboard-port", "8214", "--num-cpus", "2", "--disable-usage-stats"]
        started = subprocess.run([*ray, "start", *options, "--temp-dir", str(self.temporary)], capture_output=True, text=True)
        assert started.returncode == 0, started.stderr

    def stop(self) -> None:
        its = [p for p in psutil.process_iter(["cmdline"]) if str(self.temporary) in " ".join(p.info["cmdline"] or [])]
        for process in its:
            process.kill()
        psutil.wait_procs(its, timeout=10)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    pytest.importorskip("ray")
    found = Head(tmp_path_factory.mktemp("r"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def cluster(head: Head) -> str:
    """The address of a cluster that is there."""
    return head.address


@pytest.mark.slow
def test_a_real_cluster_that_dies_interrupts_its_job_and_the_next_waits_until_it_is_back(
    ws: Workspace, tiny: TinyRuns, head: Head
) -> None:
    place = f"ray@{head.address}"
    job = wait(ws, tiny.start(100_000, place).id, lambda job: job.step >= 1)
    second = tiny.start(STEPS, place)
    head.stop()
    silent = wait(ws, job.id, lambda job: "does not answer since" in job.phase)
    assert silent.status == "running"
    head.start()
    ended = wait(ws, job.id)
    assert (ended.status, ended.can_resume) == ("interrupted", True), ended.log_tail
    assert wait(ws, second.id).status == "finished"
    training.resume_job(ws, job.id)
    assert wait(ws, job.id, lambda now: now.phase == "training").status == "running"
    training.stop_job(ws, job.id)
    assert wait(ws, job.id).status == "stopped"
