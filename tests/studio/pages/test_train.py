"""What people do to jobs on the Train page: in the order they came, with the name of each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from db.models import Job, JobEvent, JobEventKind
from studio import app
from studio.errors import StudioError
from studio.pages.job_html import people_html
from studio.pages.train import choices_of
from studio.services import people, training
from studio.workspace import Workspace
from tests.studio.job_runs import wait

pytestmark = pytest.mark.usefixtures("fake_engine", "team")

SHORT = "align.steps=1\nstage1.steps=1\nstage2.steps=1"


@pytest.fixture
def press(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have a handler of the Train page called for whoever is logged in by a name; what it refused comes back."""
    monkeypatch.setattr(gr, "Info", lambda *_, **__: None)
    refused: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title="": refused.append(text))
    handlers = {fn.name: fn.fn for fn in app.build(ws).fns.values() if fn.fn and fn.fn.__module__ == "studio.pages.train"}

    def call(handler: str, name: str | None, *inputs: Any) -> list[str]:
        refused.clear()
        handlers[handler](*inputs, SimpleNamespace(username=name))
        return list(refused)

    return call


def form(project: int) -> tuple[Any, ...]:
    return project, 1, False, "demo", ["align", "stage1", "stage2"], None, None, [], SHORT


def test_ten_jobs_of_three_people_run_one_after_the_other_in_the_order_they_came(
    ws: Workspace, project: int, start, press, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEP", "0.001")
    people.add_user(ws, "tina", "correct horse", "trainer")
    shares = {"ada": 4, "tom": 3, "tina": 3}
    assert all(people.log_in(ws, name, "correct horse") for name in shares)
    assert "takes the role trainer" in press("begin", "ben", *form(project))[0]

    def submit(name: str) -> None:
        for _ in range(shares[name]):
            press("begin", name, *form(project))

    threads = [threading.Thread(target=submit, args=(name,)) for name in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queued = training.list_jobs(ws)
    assert [job.id for job in queued] == [*range(10, 0, -1)]
    assert {name: sum(job.author == name for job in queued) for name in shares} == shares
    assert queued[0].queue_position is not None
    ended = [wait(ws, number) for number in range(1, 11)]
    assert [(job.status, job.author) for job in ended] == [("finished", job.author) for job in reversed(queued)]
    for earlier, later in pairwise(ended):
        assert earlier.ended is not None and later.started is not None
        assert earlier.created <= later.created and earlier.ended <= later.started


def test_a_job_keeps_who_started_stopped_resumed_and_deleted_it(ws: Workspace, project: int, start, press, monkeypatch) -> None:
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    press("begin", "tom", *form(project))
    press("end", "ada", 1)
    press("go_on", "tom", 1)
    press("end", "tom", 1)
    job = training.job_view(ws, 1)
    assert [(event.kind, event.author) for event in job.events] == [
        ("started", "tom"),
        ("stopped", "ada"),
        ("resumed", "tom"),
        ("stopped", "tom"),
    ]
    ((label, _),) = choices_of(training.job_lines(ws, project)[0])
    assert " · tom · " in label
    shown = people_html(job)
    assert shown.index("started by tom") < shown.index("stopped by ada") < shown.index("resumed by tom")
    assert press("delete_job", "tom", project, 1) == ["This takes the role admin: ask an admin to do it, or to give it to you."]
    assert press("delete_job", "ada", project, 1) == []
    with pytest.raises(StudioError, match="There is no job 1 any more: ada deleted it"):
        training.job_view(ws, 1)
    with ws.read() as session:
        assert session.get_one(JobEvent, 5).kind == JobEventKind.DELETED, "it is on record"


def test_where_nobody_logs_in_a_job_is_nobodys(ws: Workspace, project: int, start, press, monkeypatch) -> None:
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    monkeypatch.setattr(people, "may", lambda *_: True)
    press("begin", None, *form(project))
    job = training.job_view(ws, 1)
    assert (job.author, [event.author for event in job.events], people_html(job)) == ("", [""], "")
    with ws.write() as session:
        old = Job(project_id=project)  # from before it was kept
        session.add(old)
        session.flush()
        assert old.author == ""
    assert " · tom · " not in choices_of(training.job_lines(ws, project)[0])[0][0]
