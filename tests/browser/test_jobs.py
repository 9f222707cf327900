"""Jobs do not need the browser that started them, and whoever comes back finds them as they are."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright import sync_api

from studio import backends
from studio.services import corrections, dialogues, projects, training
from studio.workspace import open_workspace
from tests.browser.conftest import FAKE_ENGINE, SAMPLE, Studio, View

pytestmark = pytest.mark.browser

STEPS = 40  # of 0.2 s


def test_a_job_runs_to_its_end_with_the_browser_closed_and_the_page_comes_back_to_it(
    start_studio: Callable[..., Studio], open_view: Callable[..., View]
) -> None:
    studio = start_studio("--canned")
    ws = open_workspace(studio.home)
    (project,) = projects.list_projects(ws)
    for name, split, sound in zip(("to train on", "held out"), ("train", "test"), sorted(SAMPLE.glob("*.flac")), strict=False):
        dialogue = dialogues.create_dialogue(ws, project.id, name, split)  # type: ignore[arg-type]
        turn = corrections.save_transcript(ws, dialogues.add_user_turn(ws, dialogue.id, sound).id, "hello", "anna", None)
        corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)

    first = open_view(studio)
    first.go("train")
    first.says("train.plan", "Training time:")
    first.field("train.steps").fill(str(STEPS))
    first.element("train.start").click()
    first.says("train.progress", f"of {STEPS}")
    first.clean()
    first.page.context.close()
    seen = training.job_view(ws, 1).step
    assert seen < STEPS

    second = open_view(studio)
    second.go("train")
    second.says("train.progress", f"of {STEPS}")
    second.page.context.close()
    deadline = time.monotonic() + 300
    while (job := training.job_view(ws, 1)).active:
        assert time.monotonic() < deadline, job.log_tail
        time.sleep(0.5)
    assert (job.status, job.step) == ("finished", STEPS)

    third = open_view(studio, width=1280)
    third.go("train?job=1")
    third.says("train.progress", f"step {STEPS} of {STEPS}")
    third.says("train.progress", "finished")
    third.element("train.loss").locator("canvas, svg.marks").first.wait_for()
    third.picture("train-reattached")

    # Other long work is queued from where it is wished for, and found in the same place.
    third.go("models?checkpoint=1")
    third.element("models.score").click()
    third.says("models.queued", "Queued as job 2")
    third.element("models.queued").scroll_into_view_if_needed()
    third.picture("models-queued")
    third.go("data")
    third.element("data.answer").click()
    third.says("data.answer_notice", "Queued as job 3")
    third.element("data.answer_notice").scroll_into_view_if_needed()
    third.picture("data-queued")
    third.element("data.answer_notice").get_by_role("link").click()
    third.says("train.progress", "Job 3")
    third.says("train.progress", "finished")
    third.says("train.job", "score demo")
    third.says("train.job", "answer all turns")
    third.picture("train-kinds")
    third.clean()


def test_talk_says_while_a_job_has_the_gpu(
    start_studio: Callable[..., Studio], open_view: Callable[..., View], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is told it has one."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: one (UUID: GPU-1)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("DST_STUDIO_ENGINE", f"{sys.executable} {FAKE_ENGINE}")
    monkeypatch.setenv("FAKE_STEP", "0.5")
    backends._told_by_driver.cache_clear()
    studio = start_studio("--canned")
    ws = open_workspace(studio.home)
    (project,) = projects.list_projects(ws)
    turn = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project.id, "d").id, next(SAMPLE.glob("*.flac")))
    turn = corrections.save_transcript(ws, turn.id, "hello", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    view = open_view(studio)
    view.go("")
    sync_api.expect(view.element("talk.gpu")).to_have_count(0)
    job = training.start_job(ws, project.id, 1, "adapt", ["adapt.steps=500"], use_when_finished=False)
    view.go("")
    view.says("talk.gpu", "Job 1 has the GPU: until it is done, the model answers on the CPU, slower.")
    view.picture("talk-gpu")
    training.stop_job(ws, job.id)
    while training.job_view(ws, job.id).active:
        time.sleep(0.2)
    view.go("")
    view.element("talk.conversation").wait_for()
    sync_api.expect(view.element("talk.gpu")).to_have_count(0)
    view.clean()
    backends._told_by_driver.cache_clear()
