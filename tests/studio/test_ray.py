"""Jobs of a Ray cluster that goes away and comes back, or not: a small server stands for its dashboard, and for its client."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import gethostname
from types import ModuleType, SimpleNamespace

import pytest

from db.repositories import jobs
from studio import backends, worker
from studio.backends import LostError, ray
from studio.backends.local import MARK
from studio.services import scheduling, training
from studio.services.training import JobView
from studio.workspace import Workspace, open_workspace

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.usefixtures("fake_engine")]


class Cluster:
    """A dashboard that can be taken down and started again at the same address, and what was submitted to it."""

    def __init__(self) -> None:
        self.server: ThreadingHTTPServer | None = None
        self.port = 0
        self.hangs = False
        self.submitted: dict[str, subprocess.Popen] = {}
        self.lost: str | None = None  # what it says once the node is gone that ran what was submitted
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        cluster = self

        class Dashboard(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                while cluster.hangs:
                    time.sleep(0.05)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps([] if "jobs" in self.path else {"ray_version": "2"}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Dashboard)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    # What Ray's JobSubmissionClient does
    def submit_job(self, *, entrypoint: str, submission_id: str, **_: object) -> None:
        self._check()
        self.submitted[submission_id] = subprocess.Popen(["sh", "-c", entrypoint])

    def get_job_info(self, submission: str) -> SimpleNamespace:
        self._check()
        if submission not in self.submitted:
            raise RuntimeError(f"Request failed with status code 404: Job {submission} does not exist.")
        code = self.submitted[submission].poll()
        if self.lost is not None:
            failed = SimpleNamespace(value="FAILED", is_terminal=lambda: True)
            return SimpleNamespace(status=failed, driver_exit_code=None, message=self.lost)
        status = SimpleNamespace(value="SUCCEEDED" if code == 0 else "FAILED", is_terminal=lambda: code is not None)
        return SimpleNamespace(status=status, driver_exit_code=code)

    def list_jobs(self) -> list[SimpleNamespace]:
        self._check()
        return [SimpleNamespace(submission_id=submission) for submission in self.submitted]

    def stop_job(self, submission: str) -> None:
        self.submitted[submission].kill()

    def get_job_status(self, submission: str) -> SimpleNamespace:
        return self.get_job_info(submission).status

    def _check(self) -> None:
        if self.server is None:
            raise ConnectionError("connection refused")


class TheirClient:
    """Asks as Ray's JobSubmissionClient does: without an end, but for what it is told."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._do_request("GET", "/api/version")

    def _do_request(self, method: str, endpoint: str, *, data: object = None, timeout: float | None = None) -> bytes:
        request = urllib.request.Request(self._address + endpoint, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def get_job_info(self, submission: str) -> SimpleNamespace:
        self._do_request("GET", f"/api/jobs/{submission}")
        return SimpleNamespace(status=SimpleNamespace(value="RUNNING", is_terminal=lambda: False))

    def list_jobs(self) -> list[SimpleNamespace]:
        self._do_request("GET", "/api/jobs/")
        return []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    found = Cluster()
    monkeypatch.setattr(ray, "find_spec", lambda name: object())
    monkeypatch.setattr(ray, "_client", lambda address: found)
    monkeypatch.setattr(ray, "POLL_SECONDS", 0.05)
    monkeypatch.setattr("studio.jobs.waiting.LOOK_SECONDS", 0.05)
    monkeypatch.setattr(scheduling, "_start", lambda ws, job: None)  # each job's process is a thread of the test
    yield found
    if found.server is not None:
        found.stop()
    for process in found.submitted.values():
        process.kill()


@pytest.fixture
def queue(ws: Workspace, project: int, corrected, cluster: Cluster) -> Callable[..., JobView]:
    corrected()

    def start(steps: int = 3) -> JobView:
        return training.start_job(ws, project, 1, "adapt", [f"adapt.steps={steps}"], backend=f"ray@{cluster.address}")

    return start


def process_of(ws: Workspace, job: JobView, monkeypatch: pytest.MonkeyPatch) -> threading.Thread:
    """The job's process."""
    monkeypatch.setenv(MARK, "")  # which the process sets for what it starts
    monkeypatch.setattr(sys, "argv", ["worker", str(job.id), "--home", str(ws.home)])
    monkeypatch.setattr("studio.services.lease.release", lambda ws: None)
    thread = threading.Thread(target=worker.main)
    thread.start()
    return thread


def wait(ws: Workspace, job_id: int, until: Callable[[JobView], object]) -> JobView:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job = training.job_view(ws, job_id)
        if until(job):
            return job
        time.sleep(0.05)
    raise AssertionError(f"still {job.status}, {job.phase}: {job.log_tail}")


def test_jobs_wait_for_a_cluster_that_does_not_answer_and_start_when_it_is_back(
    ws: Workspace, queue, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = queue(), queue()
    cluster.stop()
    process = process_of(ws, first, monkeypatch)
    waits = wait(ws, first.id, lambda job: job.waits_for)
    assert (waits.status, waits.waits_for) == ("queued", waits.phase)
    assert waits.phase.startswith(f"Ray cluster at {cluster.address} does not answer since ")
    assert training.job_view(ws, second.id).status == "queued"
    with ws.read() as session:
        assert [jobs.attended(job) for job in jobs.to_start(session)] == [True], "no second process is started for it"
    cluster.start()
    assert wait(ws, first.id, lambda job: not job.active).status == "finished"
    process.join(timeout=60)
    assert training.job_view(ws, second.id).status == "queued", "its own process has it begin"


def test_a_job_that_waits_for_a_cluster_is_stopped_at_once(
    ws: Workspace, queue, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = queue(), queue()
    cluster.stop()
    started = []
    process = process_of(ws, first, monkeypatch)
    wait(ws, first.id, lambda job: job.waits_for)
    monkeypatch.setattr(scheduling, "_start", lambda ws, job: started.append(job.id))
    training.stop_job(ws, first.id)
    process.join(timeout=60)
    assert (training.job_view(ws, first.id).status, started[0]) == ("stopped", second.id)


def test_a_cluster_that_goes_away_before_the_job_is_submitted_puts_it_back(
    ws: Workspace, queue, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue()
    answers = iter([True, False])  # there when the process looks, gone when it submits
    monkeypatch.setattr(ray, "answers", lambda address: next(answers))
    process_of(ws, job, monkeypatch).join(timeout=60)
    found = training.job_view(ws, job.id)
    assert (found.status, found.error) == ("queued", None)


def test_a_running_job_whose_cluster_is_out_of_reach_goes_on_and_says_so(
    ws: Workspace, queue, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEP", "0.1")
    monkeypatch.setattr(ray, "ANSWER_SECONDS", 0.2)
    job = queue(60)
    process = process_of(ws, job, monkeypatch)
    wait(ws, job.id, lambda job: job.step >= 2)
    cluster.stop()
    silent = wait(ws, job.id, lambda job: "does not answer since" in job.phase)
    assert (silent.status, "the job may be running" in silent.phase) == ("running", True)
    cluster.start()
    assert wait(ws, job.id, lambda job: job.phase == "training").status == "running"
    cluster.stop()
    assert wait(ws, job.id, lambda job: not job.active).status == "finished", "the engine's own word counts"
    process.join(timeout=60)


def at_work(ws: Workspace, queue, monkeypatch: pytest.MonkeyPatch):
    """A job that has taken its first steps of many, and its process."""
    monkeypatch.setenv("FAKE_STEP", "0.1")
    job = queue(600)
    process = process_of(ws, job, monkeypatch)
    wait(ws, job.id, lambda job: job.step >= 2)
    return job, process


def test_a_running_job_is_interrupted_once_its_cluster_was_started_anew(
    ws: Workspace, queue, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, process = at_work(ws, queue, monkeypatch)
    cluster.stop()
    for submitted in cluster.submitted.values():
        submitted.kill()
    cluster.submitted.clear()
    cluster.start()
    found = wait(ws, job.id, lambda job: not job.active)
    assert (found.status, found.can_resume) == ("interrupted", True)
    assert found.error is not None and "was started again while it ran" in found.error
    process.join(timeout=60)


def test_a_running_job_is_interrupted_when_its_node_dies(
    ws: Workspace, queue, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, process = at_work(ws, queue, monkeypatch)
    for submitted in cluster.submitted.values():
        submitted.kill()
        submitted.wait()
    cluster.lost = "Job supervisor actor died: The actor died because its node has died.\nNode Id: 5ba7"
    found = wait(ws, job.id, lambda job: not job.active)
    process.join(timeout=60)
    assert (found.status, found.failure, found.can_resume) == ("interrupted", None, True)
    why = "Job supervisor actor died: The actor died because its node has died"
    told = f"The Ray cluster at {cluster.address} lost it ({why}): see that the cluster is whole, and resume it."
    assert found.error == told


@pytest.mark.parametrize(("word", "status"), [("finished", "finished"), ("failed", "failed")])
def test_where_ray_lost_a_job_that_had_ended_its_word_counts(tmp_path: Path, cluster: Cluster, word: str, status: str) -> None:
    cluster.lost = "Unexpected error occurred: failed to get job supervisor."
    cluster.submitted["lost"] = subprocess.Popen(["true"])
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "result.json").write_text(json.dumps({"status": word}))
    running = ray.RayJob(cluster.address, cluster, "lost", tmp_path)
    while (code := running.poll()) is None:
        time.sleep(0.05)
    assert code == backends.CODES[status]


def test_an_engine_that_fails_on_a_cluster_has_failed(ws: Workspace, queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "fail")
    job = queue()
    process_of(ws, job, monkeypatch).join(timeout=60)
    assert training.job_view(ws, job.id).status == "failed"


def test_an_engine_counts_as_dead_when_neither_cluster_nor_folder_gave_a_sign_for_long(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.stop()
    monkeypatch.setattr(ray, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(ray, "QUIET_SECONDS", 1.0)
    running = ray.RayJob(cluster.address, cluster, "lost", tmp_path)
    (tmp_path / "train").mkdir()
    metrics = tmp_path / "train" / "metrics.jsonl"
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        metrics.write_text("a step")
        assert running.poll() is None
        time.sleep(0.05)
    with pytest.raises(LostError, match="Neither the Ray cluster at .* nor the engine gave a sign"):
        polled_for_ever(running)


def in_time(work: Callable[[], object], seconds: float = 30) -> list[object]:
    """What comes back, or is raised, where it does in time."""
    found: list[object] = []

    def do() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)
    return found


def test_a_dashboard_that_takes_a_question_and_never_answers_holds_nobody_up(
    ws: Workspace, project: int, corrected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster()
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setitem(sys.modules, "ray.job_submission", SimpleNamespace(JobSubmissionClient=TheirClient))
    monkeypatch.setattr(ray, "find_spec", lambda name: object())
    monkeypatch.setattr(ray, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(ray, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(scheduling, "_start", lambda ws, job: None)
    corrected()
    job = training.start_job(ws, project, 1, "adapt", ["adapt.steps=1"], backend=f"ray@{cluster.address}")
    with ws.write() as session:
        assert jobs.claim(session, job.id, gethostname(), 1, 0.0) is not None  # whose process is gone
    (job.folder / ray.RECORD).write_text(json.dumps({"address": cluster.address, "submission": "lost"}))
    running = ray.RayJob(cluster.address, ray._client(cluster.address), "lost", tmp_path)
    assert (running.poll(), running.trouble) == (None, None)
    cluster.hangs = True
    try:
        for _ in range(2):
            assert in_time(running.poll) == [None], "a wish to stop is heard meanwhile"
        assert running.trouble is not None and "does not answer" in running.trouble
        assert in_time(lambda: training.job_view(open_workspace(ws.home), job.id).status) == ["interrupted"]
        assert (job.folder / ray.RECORD).exists(), "it is stopped when the job is resumed"
    finally:
        cluster.hangs = False
        cluster.stop()


def polled_for_ever(running: ray.RayJob) -> None:
    while True:
        assert running.poll() is None
        time.sleep(0.05)
