"""The import that the Data page shows, from its first dialogue to its end."""

from __future__ import annotations

import os
from pathlib import Path
from socket import gethostname
from types import SimpleNamespace
from typing import Any

import gradio as gr
import psutil
import pytest

from db.models import FailureKind, Job, JobStatus
from db.repositories import jobs
from engine.dialogue import Dialogue, Turn, write_manifest
from studio.jobs import own
from studio.jobs.shell import STOPPED, Shell
from studio.pages.import_panel import ImportPanel
from studio.services import dialogues, imports, queueing, runs, training
from studio.workspace import Workspace

ANYBODY: Any = SimpleNamespace(username=None)


@pytest.fixture
def panel(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> ImportPanel:
    """No process is started for its jobs: the test does their work."""
    monkeypatch.setattr(queueing, "start_next", lambda ws: None)
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    with gr.Blocks():
        return ImportPanel(ws, gr.Dropdown())


def seen(panel: ImportPanel, project: int) -> tuple[str, bool, bool, bool]:
    """What is told, whether it can be stopped and resumed, and whether the page goes on asking."""
    now = panel.shown(project)
    buttons = now[panel.stop]["visible"], now[panel.resume]["visible"]
    return now[panel.job]["value"], *buttons, now[panel.timer]["active"]


def claim(ws: Workspace, job_id: int) -> Shell:
    with ws.write() as session:
        assert jobs.claim(session, job_id, gethostname(), os.getpid(), runs.started_at(psutil.Process()))
    return Shell(ws, job_id)


def end(ws: Workspace, job_id: int, status: JobStatus, error: str | None = None) -> None:
    with ws.write() as session:
        jobs.end(session.get_one(Job, job_id), status, error, FailureKind.DATA if error else None)


def test_it_is_seen_running_stopped_and_done_by_whoever_opens_the_page(
    ws: Workspace, project: int, panel: ImportPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert panel.shown(project)[panel.job] == gr.update(value="", visible=False)
    write_manifest(tmp_path / "<m>.jsonl", [Dialogue(f"d{n}", [Turn(0, "user", "hello")]) for n in range(4)])
    form = (project, "manifest", str(tmp_path / "<m>.jsonl"), "", [], False)
    assert "4 (train 4)" in panel._dry_run(*form, ANYBODY, lambda *told, **how: None)  # type: ignore[arg-type]
    panel._start(*form, ANYBODY)
    told, *state = seen(panel, project)
    assert (state, "waiting for its turn" in told, "import &lt;m&gt;.jsonl" in told) == ([True, False, True], True, True)
    shell, store = claim(ws, 1), imports.store_audio
    second = panel._start(*form, ANYBODY)
    assert "Queued as job 2, number 1 to start." in second[panel.plan]
    assert "Job 1 " in second[panel.job]["value"], "the one that runs is shown"
    training.stop_job(ws, 2)
    monkeypatch.setattr(imports, "STAGED_TURNS", 2)
    looks: list[tuple] = []

    def look(ws: Workspace, found: Any) -> Any:
        looks.append(seen(panel, project))
        if len(looks) == 3:
            panel._stop(project, ANYBODY)
        return store(ws, found)

    monkeypatch.setattr(imports, "store_audio", look)
    assert own.work(shell) == STOPPED
    told, *state = looks[1]
    assert state == [True, False, True]
    assert all(words in told for words in ("importing", "dialogue 1 of 4", "It runs without this page.", "New"))
    end(ws, 1, JobStatus.STOPPED)
    with ws.write() as session:
        for gone in (*(job := session.get_one(Job, 2)).events, job):
            session.delete(gone)
    told, *state = seen(panel, project)
    assert (state, "0 of 4 new dialogues imported" in told) == ([False, True, False], True)

    panel._resume(project, ANYBODY)
    assert seen(panel, project)[1:] == (True, False, True)
    assert own.work(claim(ws, 1)) == 0
    end(ws, 1, JobStatus.FINISHED)
    told, *state = seen(panel, project)
    assert (state, "4 dialogues imported" in told, len(looks)) == ([False, False, False], True, 5), "two were staged already"
    assert len(dialogues.list_dialogues(ws, project)) == 4


def test_what_is_wrong_with_an_upload_is_told_by_its_name_and_line_with_the_log_behind_a_click(
    ws: Workspace, project: int, panel: ImportPanel, tmp_path: Path
) -> None:
    (tmp_path / "m.jsonl").write_text('{"dialogue_id": "d"}\n')
    panel._start(project, "manifest", str(tmp_path / "m.jsonl"), "", [], False, ANYBODY)
    assert own.work(claim(ws, 1)) == 1
    end(ws, 1, JobStatus.FAILED, runs.result(ws.path("runs/1"))["error"])
    told, *state = seen(panel, project)
    assert state == [False, False, False], "a file that is wrong is no better the next time"
    assert ">m.jsonl, line 1: the key &#x27;turns&#x27; is missing<" in told
    assert "<a href='train?job=1'>log</a>" in told
