"""The GPU is one process's at a time, with real processes on a machine that is told it has one."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from studio.errors import StudioError
from studio.services import dialogues, lease, understanding
from studio.workspace import Workspace

PRELUDE = """
import sys
from studio.services import lease
from studio.workspace import attach
lease.has_gpu = lambda: True
ws = attach(sys.argv[1])
"""
JOB = "lease.take_for_job(ws, 'job 7'); print('taken', flush=True); sys.stdin.readline()"
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
    lease.take_for_job(ws, "job 1")
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
    lease.take_for_job(ws, "job 1")
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
    lease.take_for_job(ws, "job 1")
    assert lease.device_for_live(ws, lambda: None) == "auto"
    assert lease.holder(ws) is None
