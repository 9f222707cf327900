"""A job as it runs: what a page asks for every two seconds stays little, and what it says is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from socket import gethostname

import gradio as gr
import psutil
import pytest

from db.models import Job, JobStatus
from studio.pages import live_panel
from studio.pages.live_panel import LivePanel, heard_html, state_html
from studio.services import live, runs, training
from studio.workspace import Workspace


@pytest.fixture
def running(ws: Workspace, project: int) -> Callable[[int], int]:
    """Make a job of this very process that has trained so many steps; its id comes back."""

    def make(steps: int) -> int:
        with ws.write() as session:
            job = Job(project_id=project, base_id=1, recipe="adapt", overrides=[], use_when_finished=False)
            job.status, job.host = JobStatus.RUNNING, gethostname()
            job.pid, job.pid_started = os.getpid(), runs.started_at(psutil.Process())
            session.add(job)
            session.flush()
            folder, job_id = ws.path(job.folder), job.id
        (folder / "train").mkdir(parents=True)
        for name, lines in (("log.txt", ["a line of the log\n"] * steps), ("train/metrics.jsonl", metrics(steps))):
            with open(folder / name, "w") as file:  # not by `Path.open`, whose reading is counted
                file.writelines(lines)
        return job_id

    return make


def metrics(steps: int, first: int = 100_001) -> list[str]:
    """Steps of half a second each; all lines are equally long."""
    values = {"stage": "adapt", "total_steps": 300_000, "loss": 0.5, "lr": 1e-4, "tokens": 40, "turns": 8, "seconds": 0.5}
    return [json.dumps(values | {"step": step}) + "\n" for step in range(first, first + steps)]


def test_a_tick_costs_the_same_after_100_000_steps(ws: Workspace, running, bytes_read: Callable[[], int]) -> None:
    with gr.Blocks():
        panel = LivePanel(ws)
    costs = []
    for steps in (1_000, 100_000):
        job_id = running(steps)
        shown = panel.opened(training.job_view(ws, job_id))
        assert len(shown[panel.known]["losses"]) <= live_panel.POINTS
        with open(ws.path(f"runs/{job_id}/train/metrics.jsonl"), "a") as file:
            file.writelines(metrics(5, first=200_001))
        bytes_read()
        shown = panel.grown(training.job_view(ws, job_id), shown[panel.known])
        costs.append(bytes_read())
        assert shown[panel.known]["losses"][-1] == [200_005, "adapt", 0.5]
        assert len(shown[panel.known]["losses"]) <= live_panel.POINTS
        again = panel.grown(training.job_view(ws, job_id), shown[panel.known])
        assert set(again) == {panel.figures, panel.log}, "nothing is drawn again that did not change"
    assert costs[0] == costs[1] < 50_000


def test_a_page_that_meanwhile_shows_another_job_gets_all_of_that_one(ws: Workspace, running) -> None:
    with gr.Blocks():
        panel = LivePanel(ws)
    first, second = running(3), running(5)
    known = panel.opened(training.job_view(ws, first))[panel.known]
    assert len(panel.grown(training.job_view(ws, second), known)[panel.known]["losses"]) == 5


def test_pace_and_memory_of_a_jobs_processes(ws: Workspace, running, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = running(20)
    live._tree.cache_clear()  # what viewers share for two seconds
    alone = live.live_view(ws, job_id).memory
    hold = "held = b'x' * 200_000_000; print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        live._tree.cache_clear()
        found = live.live_view(ws, job_id)
    finally:
        child.kill()
        child.communicate()
    assert (found.tokens_per_second, found.turns_per_second, found.learning_rate) == (80.0, 16.0, 1e-4)
    assert alone is not None and found.memory is not None
    assert alone.job and found.memory.job and found.memory.job > alone.job + 100_000_000  # the system may take pages back
    assert found.memory.gpu_used is None and 0 < found.memory.used < found.memory.total
    monkeypatch.setattr(live, "gethostname", lambda: "another machine")
    elsewhere = live.live_view(ws, job_id).memory
    assert elsewhere is not None and elsewhere.job is None


def test_the_memory_of_a_job_on_a_cluster_is_what_its_engine_noted(
    ws: Workspace, running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process here only watches it, and the machine and GPU here are not its own."""
    monkeypatch.setattr(live.lease, "has_gpu", lambda: True)
    monkeypatch.setattr(live, "_gpus", lambda now: (1, 2))
    job_id = running(3)
    with ws.write() as session:
        session.get_one(Job, job_id).backend = "ray@http://192.0.2.1:8265"
    metrics = ws.path(f"runs/{job_id}/train/metrics.jsonl")
    assert live.live_view(ws, job_id).memory == live.Memory(None, None, None, None, None), "an older engine noted none"
    last = json.loads(metrics.read_text().splitlines()[-1])
    with metrics.open("a") as file:
        file.write(json.dumps(last | {"step": last["step"] + 1, "memory_gb": 7.5}) + "\n")
    now = live.live_view(ws, job_id)
    assert now.memory == live.Memory(7_500_000_000, None, None, None, None)
    shown = live_panel.figures_html(training.job_view(ws, job_id), now)
    assert "7.5 GB" in shown and "in use" not in shown
    (ws.path(f"runs/{job_id}") / "progress.json").write_text(json.dumps({"step": 1, "total_steps": 2}))
    scored = live.live_view(ws, job_id).memory
    assert scored is not None and scored.total and scored.gpu_total == 2, "it is scored here"


def test_the_gpus_memory_is_what_the_driver_says(ws: Workspace, running, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    said = tmp_path / "nvidia-smi"
    said.write_text("#!/bin/sh\necho '1024, 24576'\necho '0, 24576'\n")
    said.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(live.lease, "has_gpu", lambda: True)
    live._gpus.cache_clear()
    memory = live.live_view(ws, running(1)).memory
    live._gpus.cache_clear()
    assert memory is not None and (memory.gpu_used, memory.gpu_total) == (2**30, 48 * 2**30)


def test_a_progress_bar_in_the_log_is_one_line(ws: Workspace, running) -> None:
    folder = ws.path(f"runs/{running(1)}")
    (folder / "log.txt").write_bytes(
        b"\x1b[1mbegun\x1b[0m\n" + b"".join(b"\r%d %%" % share for share in range(101)) + b"\ndone\n"
    )
    assert runs.log_tail(folder).splitlines() == ["begun", "100 %", "done"]


def test_sample_answers_are_held_against_what_was_said_and_meant() -> None:
    assert heard_html("thai food please", "tie food") == "<del>thai</del> <b class='dst-worse'>tie</b> food <del>please</del>"
    shown = state_html({"hotel": {"area": ["centre", "center"], "stars": "4"}}, {"hotel": {"area": "center", "name": "<b>"}})
    assert shown.split("<br>") == [
        "hotel stars: <b class='dst-worse'>empty</b>, should be 4",
        "hotel name: <b class='dst-worse'>&lt;b&gt;</b>, should be empty",
        "<span class='dst-better'>right</span>: hotel area center",
    ]
    assert state_html(None, {"hotel": {"area": "north"}}) == "<i>no reference</i>: hotel area north"


def test_what_is_measured_and_answered_while_a_job_trains_is_drawn_and_drawn_again_when_it_grows(ws: Workspace, running) -> None:
    with gr.Blocks():
        panel = LivePanel(ws)
    job_id = running(2)
    train = ws.path(f"runs/{job_id}/train")

    def measure(step: int, wer: float, jga: float) -> None:
        values = json.loads(metrics(1, first=step)[0]) | {"held_out_wer": wer, "held_out_jga": jga, "held_out_jga_turns": 2}
        with open(train / "metrics.jsonl", "a") as file:
            file.write(json.dumps(values) + "\n")

    def answer(step: int, heard: str, state: dict, of: str = "held_out") -> None:
        turn = {"dialogue_id": "<d1>", "turn_id": 0, "said": "thai <food>", "reference": {"restaurant": {"food": "thai"}}}
        turns = [turn | {"heard": heard, "answer": state}]
        (train / "samples.json").write_text(json.dumps({"step": step, "stage": "adapt", "of": of, "turns": turns}))

    shown = panel.opened(training.job_view(ws, job_id))
    assert "No sample yet" in shown[panel.samples] and not shown[panel.measured]["visible"]
    measure(100_010, 50.0, 25.0)
    answer(100_010, "tie <food>", {"restaurant": {"food": "chinese"}})
    shown = panel.grown(training.job_view(ws, job_id), shown[panel.known])
    plot = shown[panel.measured]
    assert plot["visible"] and plot["value"].values.tolist() == [
        [100_010, "word error rate", 50.0],
        [100_010, "joint goal accuracy (2 turns)", 25.0],
    ]
    samples = shown[panel.samples]
    assert "After step 100010: what the model answers to 1 held-out turn" in samples and "&lt;d1&gt;, turn 1" in samples
    assert "<p>thai &lt;food&gt;</p><p>heard: <del>thai</del> <b class='dst-worse'>tie</b> &lt;food&gt;</p>" in samples
    assert "restaurant food: <b class='dst-worse'>chinese</b>, should be thai" in samples
    again = panel.grown(training.job_view(ws, job_id), shown[panel.known])
    assert not {panel.measured, panel.samples} & again.keys(), "nothing is drawn again that did not change"
    measure(100_020, 0.0, 100.0)
    answer(100_020, "thai <food>", {"restaurant": {"food": "thai"}}, of="dev")
    shown = panel.grown(training.job_view(ws, job_id), shown[panel.known])
    assert shown[panel.measured]["value"]["percent"].tolist() == [50.0, 25.0, 0.0, 100.0]
    assert "heard right" in shown[panel.samples] and "1 dev turn" in shown[panel.samples]
    assert "should be" not in shown[panel.samples]
