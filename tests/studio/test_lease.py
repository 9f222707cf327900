"""The GPU is one process's at a time, with real processes on a machine that is told it has one."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from socket import gethostname

import psutil
import pytest

from db.models import Job, JobKind, JobStatus
from db.repositories import jobs
from studio import backends
from studio.errors import StudioError
from studio.jobs import shell, train
from studio.services import dialogues, lease, placement, room, runs, trackers, training, understanding
from studio.workspace import Workspace

PRELUDE = """
import sys
from studio.services import lease
from studio.workspace import attach
lease.has_gpu = lambda: True
ws = attach(sys.argv[1])
"""
JOB = "lease.take_for_job(ws, 7); print('taken', flush=True); sys.stdin.readline()"
LIVE_MODEL = """
for _ in range(2):
    print(lease.device_for_live(ws, lambda: print("off the GPU", flush=True)), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "has_gpu", lambda: True)


@pytest.fixture
def run(ws: Workspace) -> Iterator[Callable[[str], subprocess.Popen]]:
    """Run a script in a process of its own; it is killed when the test ends."""
    started = []

    def start(script: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PRELUDE + script, str(ws.home)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_what_a_killed_job_held_is_free_at_once(ws: Workspace, run) -> None:
    job = run(JOB)
    assert job.stdout.readline() == "taken\n"
    assert lease.holder(ws) == "job 7"
    assert not lease.take(ws, lease.LIVE)
    job.kill()
    job.wait()
    assert lease.holder(ws) is None
    assert lease.take(ws, lease.LIVE)
    assert lease.holder(ws) == lease.LIVE
    lease.release(ws)


def test_the_live_model_leaves_the_gpu_to_a_job_and_answers_on_the_cpu(ws: Workspace, run) -> None:
    live = run(LIVE_MODEL)
    assert live.stdout.readline() == "auto\n"
    lease.take_for_job(ws, 1)
    assert lease.holder(ws) == "job 1"
    assert live.stdout.readline() == "off the GPU\n", "before the job had it"
    print(file=live.stdin, flush=True)
    assert live.stdout.readline() == "cpu\n"
    lease.release(ws)


@pytest.mark.databases("sqlite")
def test_a_live_model_that_does_not_let_go_in_time_loses_the_gpu(ws: Workspace, run, monkeypatch) -> None:
    stuck = run("lease.take(ws, lease.LIVE); print('stuck', flush=True); sys.stdin.readline()")
    assert stuck.stdout.readline() == "stuck\n"
    monkeypatch.setattr(lease, "PATIENCE", 0.2)
    lease.take_for_job(ws, 1)
    assert lease.holder(ws) == "job 1"
    lease.release(ws)


@pytest.mark.databases("sqlite")
def test_turns_are_answered_on_the_cpu_while_a_job_trains_or_wait(ws: Workspace, corrected, sound, tracker, run) -> None:
    turn = dialogues.add_user_turn(ws, corrected(), sound(9))
    job = run(JOB)
    job.stdout.readline()
    understanding.predict_turn(ws, turn.id)
    assert tracker.devices == ["cpu"]
    lease.set_while_training(ws, "wait")
    with pytest.raises(StudioError, match="The GPU is taken by job 7: ask again when it is done"):
        understanding.predict_turn(ws, turn.id)
    job.kill()
    job.wait()
    understanding.predict_turn(ws, turn.id)
    assert tracker.devices == ["cpu", "auto"]
    lease.release(ws)


@pytest.mark.databases("sqlite")
def test_without_a_gpu_nothing_is_lent(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "has_gpu", lambda: False)
    lease.take_for_job(ws, 1)
    assert lease.device_for_live(ws, lambda: None) == "auto"
    assert lease.holder(ws) is None


@pytest.fixture
def add(ws: Workspace, project: int) -> Callable[..., int]:
    """Queue a job that no process is started for."""

    def queue(**about) -> int:
        with ws.write() as session:
            session.add(job := Job(project_id=project, **about))
            session.flush()
            return job.id

    return queue


def claim(ws: Workspace, job_id: int, host: str | None = None) -> None:
    with ws.write() as session:
        started = runs.started_at(psutil.Process())
        assert jobs.claim(session, job_id, host or gethostname(), os.getpid(), started) is not None


def end(ws: Workspace, job_id: int) -> None:
    with ws.write() as session:
        jobs.end(session.get_one(Job, job_id), JobStatus.FINISHED)


def device(ws: Workspace) -> str:
    found = lease.device_for_live(ws, lambda: None)
    lease.release(ws)
    return found


def test_between_two_jobs_the_live_model_does_not_take_the_gpu(ws: Workspace, add, run, monkeypatch) -> None:
    first, second = add(), add()
    claim(ws, first)
    job = run(JOB.replace("7", str(first)))
    assert job.stdout.readline() == "taken\n"
    assert device(ws) == "cpu"
    end(ws, first)
    job.kill()
    job.wait()
    assert lease.holder(ws) is None, "and the process of the next one is about to start"
    assert (device(ws), lease.before_live(ws)) == ("cpu", f"job {second}")
    claim(ws, second)
    assert device(ws) == "cpu", "it has yet to take it"
    monkeypatch.setattr(lease, "PATIENCE", 0.0)
    next_job = run(JOB.replace("7", str(second)))
    assert next_job.stdout.readline() == "taken\n"
    next_job.kill()
    next_job.wait()
    end(ws, second)
    assert (device(ws), lease.before_live(ws)) == ("auto", None)


def test_what_does_not_compute_here_keeps_the_live_model_from_nothing(ws: Workspace, add, monkeypatch) -> None:
    claim(ws, add(kind=JobKind.IMPORT))
    assert device(ws) == "auto"
    far = add(backend="ray@http://192.0.2.1:8265")
    assert device(ws) == "auto"
    claim(ws, far, "elsewhere")
    add()
    assert device(ws) == "auto", "the next one may start there too"
    end(ws, far)
    assert device(ws) == "cpu"
    monkeypatch.setattr(room, "lacks", lambda ws, session: "waits for room on the disk")
    assert device(ws) == "auto", "it waits for people"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:8265", True),
        ("http://localhost:8265", True),
        (f"http://{gethostname()}:8265", True),
        ("http://[::1]:8265", True),
        ("http://192.0.2.1:8265", False),
        ("http://nowhere.invalid:8265", False),
    ],
)
@pytest.mark.usefixtures("fake_engine")
def test_a_job_on_a_ray_cluster_of_this_machine_takes_the_gpu(ws: Workspace, start, monkeypatch, address, here: bool) -> None:
    backend = backends.named(f"ray:1gpu@{address}")
    assert backend.is_here == here
    with monkeypatch.context() as queued:
        queued.setattr(training, "start_next", lambda ws: None)
        job = start()
    with ws.write() as session:
        session.get_one(Job, job.id).backend = backend.name
    claim(ws, job.id)
    holders = []

    def submit(self: backends.Backend, *_: object) -> None:
        holders.append(lease.holder(ws))
        raise StudioError("that is all")

    monkeypatch.setattr(backends.Backend, "start", submit)
    with pytest.raises(StudioError, match="that is all"):
        train.run(shell.Shell(ws, job.id))
    assert holders == [f"job {job.id}" if here else None]
    lease.release(ws)


def test_who_talks_to_the_live_model_is_told_that_a_job_has_the_gpu(ws: Workspace, add, monkeypatch) -> None:
    assert placement.live_sentence(ws) is None
    job = add()
    told = f"Job {job} has the GPU: until it is done, the model answers on the CPU, slower."
    assert placement.live_sentence(ws) == told
    lease.set_while_training(ws, "wait")
    assert placement.live_sentence(ws) == f"Job {job} has the GPU: turns are saved, and the model answers them when it is " + (
        "done and you ask again."
    )
    monkeypatch.setattr(lease, "has_gpu", lambda: False)
    assert placement.live_sentence(ws) is None


@pytest.mark.databases("sqlite")
def test_a_reply_under_way_is_not_cut_off_and_then_the_gpus_memory_is_given_back(
    ws: Workspace, corrected, sound, tracker, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: the job has the GPU before, and the live model has been loaded on the CPU meanwhile."""
    turn = dialogues.add_user_turn(ws, corrected(), sound(9))
    begun, go_on, emptied = threading.Event(), threading.Event(), threading.Event()
    answer = tracker.turn

    def slow(*asked, **known):
        begun.set()
        go_on.wait(60)
        return answer(*asked, **known)

    monkeypatch.setattr(tracker, "turn", slow)
    monkeypatch.setattr(trackers, "_empty", lambda: emptied.set() if go_on.is_set() else None)
    reply = threading.Thread(target=understanding.predict_turn, args=(ws, turn.id))
    reply.start()
    assert begun.wait(60)
    job = run("lease.PATIENCE = 0.2; " + JOB)
    assert job.stdout.readline() == "taken\n"
    trackers.prepare(ws, 1, ws.home)  # as the studio does every other second
    assert tracker.devices == ["auto", "cpu"]
    go_on.set()
    reply.join(60)
    assert dialogues.get_turn(ws, turn.id).transcript == "a place in the north"
    assert emptied.wait(10)
