"""``kill -9`` at the worst moments: what was said to be saved is saved, and nothing is left half done."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.dialogue import Dialogue, Turn, write_manifest
from studio.services import corrections, dialogues, exchange, following, imports, projects, training, verdicts
from studio.workspace import Workspace, open_workspace

FAKE_ENGINE = Path(__file__).parents[1] / "studio" / "fake_engine.py"
PRELUDE = """
import os, signal, sys
from studio.services import checkpoints, corrections, dialogues, manifests, projects, recordings, snapshots, training
from studio.workspace import open_workspace

def die(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)

ws = open_workspace(sys.argv[1])
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = open_workspace(tmp_path / "workspace")
    project = projects.create_project(ws, "project")
    dialogue = dialogues.create_dialogue(ws, project.id, "dialogue")
    dialogues.add_user_turn(ws, dialogue.id, sound(tmp_path / "first.wav", 0))
    return ws


@pytest.fixture
def run(ws: Workspace) -> Callable[[str], subprocess.Popen]:
    """Run a script on the workspace in a process of its own."""

    def start(script: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PRELUDE + script, str(ws.home)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


def killed(process: subprocess.Popen) -> str:
    """Wait for the process to have been killed; what it had said comes back."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    return output


def sound(path: Path, seed: int) -> Path:
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 8_000), 16_000)
    return path


def test_a_correction_survives_the_kill_the_moment_after_it_was_saved(ws: Workspace, run) -> None:
    killed(run("corrections.save_slot(ws, 1, 'restaurant', 'area', 'north', 'anna', None); die()"))
    turn = dialogues.get_turn(open_workspace(ws.home), 1)
    assert (turn.state, turn.status) == ({"restaurant": {"area": "north"}}, "corrected")


def test_killed_at_any_moment_every_correction_that_was_confirmed_is_there(ws: Workspace, run) -> None:
    process = run("""
head = None
for number in range(100_000):
    head = corrections.save_transcript(ws, 1, f"version {number}", "anna", head).transcript_head
    print(number, flush=True)
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    time.sleep(0.4)
    process.kill()
    confirmed = [0, *map(int, killed(process).split())]
    values = [revision.new for revision in reversed(corrections.history(open_workspace(ws.home), 1))]
    assert values[: len(confirmed)] == [f"version {number}" for number in confirmed]
    assert len(values) - len(confirmed) in (0, 1)  # the last one may have been saved but not yet confirmed


def test_killed_between_recording_and_row_the_next_upload_finds_everything_in_order(ws: Workspace, run, tmp_path: Path) -> None:
    upload = sound(tmp_path / "second.wav", 1)
    killed(run(f"dialogues.recording_row = die; dialogues.add_user_turn(ws, 1, {str(upload)!r})"))
    again = open_workspace(ws.home)
    assert len(dialogues.get_dialogue(again, 1).turns) == 1
    turn = dialogues.add_user_turn(again, 1, upload)
    assert turn.turn_id == 1
    assert len(list((ws.home / "recordings").rglob("*.flac"))) == 2


def test_killed_while_writing_a_recording_no_half_of_it_has_its_name(ws: Workspace, run, tmp_path: Path) -> None:
    upload = sound(tmp_path / "second.wav", 1)
    killed(run(f"recordings.os.replace = die; dialogues.add_user_turn(ws, 1, {str(upload)!r})"))
    assert len(list((ws.home / "recordings").rglob("*.flac"))) == 1
    assert dialogues.add_user_turn(ws, 1, upload).audio is not None


def test_killed_while_the_sample_is_made_the_next_start_makes_all_of_it(ws: Workspace, run) -> None:
    killed(run("manifests.revisions.begin = die; projects.seed_sample(ws)"))
    assert [project.name for project in projects.list_projects(ws)] == ["project"]
    assert projects.seed_sample(open_workspace(ws.home)).dialogues == 14


def test_killed_in_the_middle_of_a_large_import_the_next_one_goes_on(ws: Workspace, run, tmp_path: Path) -> None:
    turns = [Turn(0, "user", "hello", str(sound(tmp_path / "turn.wav", 2)))]
    write_manifest(tmp_path / "m.jsonl", [Dialogue(f"d{number}", turns) for number in range(5)])
    script = f"""
from studio.services import exchange, imports
imports.STAGED_TURNS = 2
with exchange.opened(ws, {str(tmp_path / "m.jsonl")!r}) as source:
    imports.carry_out(ws, 1, imports.plan(ws, 1, source), progress=lambda done, total: die() if done == 4 else None)
"""
    killed(run(script))
    with exchange.opened(ws, tmp_path / "m.jsonl") as source:
        planned = imports.plan(ws, 1, source)
        assert [row.name for row in dialogues.list_dialogues(ws, 1)] == ["dialogue"]
        assert (len(planned.those("new")), imports.carry_out(ws, 1, planned)) == (5, 5)


TRACKER = """
from types import SimpleNamespace
from engine import tracking
from studio.services import following, understanding

class Tracker:
    def turns(self, requests):
        return [self.turn(r.audio, r.history, r.previous, r.pinned) for r in requests]

    def turn(self, audio, history, previous, pinned=None):
        state = {"restaurant": {"area": "north"} | (pinned or {}).get("restaurant", {})}
        return SimpleNamespace(transcript="a place", state=state, confidence={}, raw="", valid=True, seconds=0.0,
                               transcript_confidence=None, ctc_transcript=None)

tracking.Tracker.load = lambda folder, device="auto": Tracker()
checkpoints.missing_files = lambda folder: []
"""


@pytest.mark.parametrize("moment", ["Tracker.turns", "following.follows.settle", "following.propagation.verdicts.find"])
def test_killed_before_later_turns_have_followed_they_follow_at_the_next_start(
    ws: Workspace, run, tmp_path: Path, moment: str
) -> None:
    dialogues.add_user_turn(ws, 1, sound(tmp_path / "second.wav", 1))
    correction = "corrections.save_slot(ws, 1, 'restaurant', 'area', 'south', 'anna', None)"
    killed(run(f"{TRACKER}understanding.predict_dialogue(ws, 1); {correction}; {moment} = die; following.catch_up(ws)"))
    assert dialogues.get_turn(ws, 2).predicted_state == {"restaurant": {"area": "north" if "turns" in moment else "south"}}
    assert following.waiting(ws, 1).turns == (0,)
    started = run(f"{TRACKER}following.keep_following(ws)")
    deadline = time.monotonic() + 300
    while following.waiting(ws, 1):
        assert started.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    started.kill()
    killed(started)
    assert dialogues.get_turn(ws, 2).state == {"restaurant": {"area": "south"}}
    assert [verdict.slot for verdict in verdicts.of_turn(ws, 1)] == ["area"]


@pytest.mark.usefixtures("fake_engine")
def test_killed_while_a_snapshot_is_written_there_is_no_job_and_the_next_is_whole(ws: Workspace, run) -> None:
    correct(ws)
    job = "training.start_job(ws, 1, 1, 'adapt', ['adapt.steps=3'])"
    killed(run(f"checkpoints.missing_files = lambda folder: []; snapshots.sha256 = die; {job}"))
    again = open_workspace(ws.home)
    assert training.list_jobs(again) == []
    started = training.start_job(again, 1, 1, "adapt", ["adapt.steps=3"])
    assert wait(again, started.id).status == "finished"


@pytest.mark.usefixtures("fake_engine")
def test_a_job_does_not_notice_that_the_studio_was_killed(ws: Workspace, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEP", "0.05")
    correct(ws)
    job = "training.start_job(ws, 1, 1, 'adapt', ['adapt.steps=30'])"
    killed(run(f"checkpoints.missing_files = lambda folder: []; {job}; die()"))
    again = open_workspace(ws.home)
    assert training.list_jobs(again)[0].status in ("queued", "running")
    finished = wait(again, 1)
    assert (finished.status, finished.step) == ("finished", 30)


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.services import checkpoints

    monkeypatch.setenv("DST_STUDIO_ENGINE", f"{sys.executable} {FAKE_ENGINE}")
    monkeypatch.setattr(checkpoints, "missing_files", lambda folder: [])


def correct(ws: Workspace) -> None:
    corrections.save_transcript(ws, 1, "hello", "anna", None)
    corrections.save_slot(ws, 1, "restaurant", "area", "north", "anna", None)


def wait(ws: Workspace, job_id: int) -> training.JobView:
    deadline = time.monotonic() + 300
    while (job := training.job_view(ws, job_id)).active:
        assert time.monotonic() < deadline, job.log_tail
        time.sleep(0.1)
    return job
