"""Two checkpoints on the same held-out turns, by the page's services and from the shell."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from studio.cli import app
from studio.errors import StudioError
from studio.pages.compare_panel import summary_html
from studio.services import checkpoints, comparison, corrections, dialogues, projects, queueing, training
from studio.services.job_views import JobView
from studio.workspace import Workspace
from tests.studio.job_runs import wait

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]


@pytest.fixture
def regress(ws: Workspace, project: int, corrected, monkeypatch: pytest.MonkeyPatch) -> JobView:
    """A run whose checkpoint understands nothing of the two held-out turns."""
    corrected("train")
    corrected("held out", turns=2, split="test")
    monkeypatch.setenv("FAKE_ENGINE", "regress")
    return wait(ws, training.start_job(ws, project, 1, "adapt", ["adapt.steps=1"]).id)


@pytest.mark.databases("sqlite", "postgresql")
def test_what_was_broken_leads_to_the_turns_and_their_recordings(ws: Workspace, regress: JobView) -> None:
    found = comparison.compare(ws, 1, 2)
    assert (found.baseline, found.system, found.wer) == ("demo", "run-1", (10.0, 10.0))
    assert found.figures["per_slot"] == {"restaurant-area": {"fixed": 0, "broken": 2, "still_wrong": 0}}
    assert found.figures["scores"]["jga"]["difference"] == -100
    shown = summary_html(found)
    assert "Joint goal accuracy" in shown and "-100.0" in shown and "-100.0 (" not in shown, "one dialogue gives no interval"
    assert shown.count("Word error rate") == 1
    held_out = dialogues.get_dialogue(ws, 2)
    assert [change.turn_id for change in found.changes] == [turn.id for turn in held_out.turns]
    assert [change.audio for change in found.changes] == [str(turn.audio) for turn in held_out.turns]
    values = {(change.kind, change.gold, change.before, change.after) for change in found.changes}
    assert values == {("broken", "north", "north", None)}
    assert ("adapt.steps", None, 1) in found.recipe
    assert {change.kind for change in comparison.compare(ws, 2, 1).changes} == {"fixed"}
    page = comparison.report(ws, 1, 2)
    text = page.read_text(encoding="utf-8")
    assert "run-1" in text and "restaurant-area" in text and page.parents[1] == ws.path("tmp/exports")
    with pytest.raises(StudioError, match="two different checkpoints"):
        comparison.compare(ws, 1, 1)
    (regress.folder / "predictions-1.jsonl").unlink()
    with pytest.raises(StudioError, match="is gone"):
        comparison.compare(ws, 1, 2)


def test_a_comparison_is_of_the_project_that_was_chosen_and_names_it(
    ws: Workspace, project: int, regress: JobView, sound: Callable, shell
) -> None:
    other = projects.create_project(ws, "Bars").id
    dialogue = dialogues.create_dialogue(ws, other, "bar", "test")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound(9))
    corrections.save_transcript(ws, turn.id, "a bar", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "anna", None)
    wait(ws, queueing.start_evaluation(ws, other, 2).id)
    slots = {}
    for asked in (None, other, project):  # the newest of any, the same by its name, the older one
        found = comparison.compare(ws, 1, 2, asked)
        slots[asked] = (found.project, list(found.figures["per_slot"]))
        assert f"{found.project}: 1 held-out dialogue," in summary_html(found)
    assert slots == {
        None: ("Bars", ["restaurant-food"]),
        other: ("Bars", ["restaurant-food"]),
        project: ("Restaurants", ["restaurant-area"]),
    }
    assert comparison.fixed_and_broken(ws, 1, 2, project)[1] == {"restaurant-area": 2}
    page = comparison.report(ws, 1, 2, project).read_text(encoding="utf-8")
    assert "restaurant-area" in page and "restaurant-food" not in page
    assert shell("compare", "demo", "run-1", "--project", "Restaurants")[1].startswith("on held-out dialogues of Restaurants\n")
    empty = projects.create_project(ws, "Empty").id
    with pytest.raises(StudioError, match="demo and run-1 did not answer the same held-out dialogues of Empty: score both"):
        comparison.compare(ws, 1, 2, empty)


def test_recipes_differ_by_key_a_stage_by_its_name() -> None:
    before = {"seed": 1, "stages": [{"name": "a", "steps": 2, "tasks": {"dst": 1.0}}]}
    after = {"seed": 1, "stages": [{"name": "a", "steps": 3, "tasks": {"dst": 1.0}}], "threads": 2}
    assert comparison.recipe_changes(before, after) == (("a.steps", 2, 3), ("threads", None, 2))


@pytest.fixture
def shell(ws: Workspace) -> Callable[..., tuple[int, str]]:
    """Run ``dst-studio jobs``; exit code, and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["jobs", *arguments, "--home", str(ws.home)])
        return done.exit_code, done.stdout if done.exit_code == 0 else done.stderr

    return run


def test_jobs_from_the_shell(ws: Workspace, project: int, corrected, shell, monkeypatch: pytest.MonkeyPatch) -> None:
    corrected("train")
    corrected("held out", split="test")
    monkeypatch.setenv("FAKE_ENGINE", "regress")
    code, text = shell("start", "adapt", "--set", "adapt.steps=1", "--json")
    job = json.loads(text)
    assert (code, job["recipe"], job["base_checkpoint"]) == (0, "adapt", "demo")
    wait(ws, job["id"])
    (listed,) = json.loads(shell("list", "--json")[1])
    assert (listed["status"], listed["checkpoint"]) == ("finished", "run-1")
    assert listed["author"].endswith(" (shell)") and f", by {listed['author']}" in shell("list")[1]
    assert [(event["kind"], event["author"]) for event in listed["events"]] == [("started", listed["author"])]
    assert "Refused by the gate" in shell("log", "1")[1]
    assert len(json.loads(shell("log", "1", "--json")[1])["corrections"]) == 2
    compared = json.loads(shell("compare", "demo", "run-1", "--report", "--json")[1])
    assert compared["figures"]["turns"]["broken"] == 1 and compared["report"].endswith(".html")
    code, text = shell("promote", "run-1")
    assert code == 2 and "Refused by the gate" in text
    monkeypatch.setattr("studio.services.trackers.prepare", lambda *_: None)
    code, text = shell("promote", "run-1", "--reason", "to try it", "--json")
    assert (code, json.loads(text)["reason"], checkpoints.in_use(ws).name) == (0, "to try it", "run-1")
    assert json.loads(shell("rollback", "--json")[1])["target"] == "demo"
    again = json.loads(shell("rerun", "1", "--json")[1])["id"]
    wait(ws, again)
    assert "Identical to job 1" in shell("log", str(again))[1]
    assert shell("promote", "run-9") == (2, "There is no checkpoint 'run-9'; there are: run-2, run-1, demo.\n")
    code, text = shell("delete", str(again), "--json")
    assert (code, json.loads(text)) == (0, {"id": again, "deleted": True})
    assert shell("keep", "1")[1].startswith("Job 1 has no save to make a checkpoint of: it is finished")
    assert shell("stop", "1")[1] == "Job 1 cannot be stopped: it is finished.\n"
    assert shell("resume", "1")[1] == "Job 1 cannot be resumed: it is finished.\n"
