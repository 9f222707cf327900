"""Train in the browser, compare what came out, put it in use over the gate, and go back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.checkpoints import DEMO
from studio.pages.shared import NOBODY
from studio.services import corrections, dialogues, projects
from studio.workspace import open_workspace
from tests.browser.conftest import SAMPLE, Studio, View

pytestmark = pytest.mark.browser


def test_train_compare_promote_roll_back(
    start_studio: Callable[..., Studio], open_view: Callable[..., View], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "regress")  # the new checkpoint understands nothing
    studio = start_studio("--canned")
    ws = open_workspace(studio.home)
    (project,) = projects.list_projects(ws)
    projects.create_project(ws, "Empty")
    sounds = sorted(SAMPLE.glob("*.flac"))
    for name, split, sound in (("to train on", "train", sounds[0]), ("held out", "test", sounds[1])):
        dialogue = dialogues.create_dialogue(ws, project.id, name, split)
        turn = corrections.save_transcript(ws, dialogues.add_user_turn(ws, dialogue.id, sound).id, "hello", NOBODY, None)
        corrections.save_slot(ws, turn.id, "restaurant", "area", "north", NOBODY, None)

    view = open_view(studio)
    view.go("train")
    view.says("train.memory", "GB at most")
    view.says("train.plan", "a guess by the size of the models")
    view.field("train.steps").fill("3")
    view.unfold("train.toml_panel")
    view.says("train.recipe_text", "steps = 3")
    view.picture("train-form")
    view.element("train.start").click()
    view.says("train.progress", "finished")
    view.says("train.progress", "Refused by the gate: Joint goal accuracy")
    view.says("train.scores", "labels v1 of ")
    view.picture("train-refused")
    view.unfold("train.used_panel")
    view.says("train.used", "to train on, turn 1")

    view.go("models?checkpoint=2")
    view.says("models.verdict", "Refused by the gate")
    view.says("models.compare", "restaurant-area")
    turns = view.element("models.compare_turns")
    view.says("models.compare_turns", "held out, turn 1")
    hear = turns.locator("audio").first.get_attribute("src")
    assert view.page.request.get(f"{studio.url}{hear}").headers["content-type"].startswith("audio")
    view.picture("models-compared")
    view.says("models.compare", f"{project.name}: 1 held-out dialogue")
    view.choose("models.project", "Empty")
    view.says("models.compare", "did not answer the same held-out dialogues of Empty")
    view.choose("models.project", project.name)
    view.says("models.compare", "restaurant-area")
    view.element("models.make_report").click()
    with view.page.expect_download() as download:
        view.element("models.download_report").click()
    assert download.value.suggested_filename.endswith(".html")
    view.field("models.reason").fill("to show it")
    view.element("models.override").click()
    view.says("models.table", "run-1 in use")
    view.element("models.rollback").click()
    view.says("models.table", "demo in use")
    view.unfold("models.history_panel")
    view.says("models.history", "put back in use")
    view.says("models.history", "not passed: to show it")
    view.picture("models-rolled-back")
    view.go("models?checkpoint=2")
    turns.get_by_role("link").first.click()
    view.says("correct.title", "Turn 1")
    view.page.get_by_role("tab", name="Mine").click()
    view.says("correct.mine", "Run 1 learnt from 1 turn of yours, with 1 value and 1 transcript you corrected")
    view.says("correct.mine", "It has 0 test slots right that demo had wrong, and 1 the other way")
    view.picture("mine")

    view.go("models?checkpoint=2")
    view.unfold("models.bring_panel")
    view.field("models.path").fill(str(DEMO))
    view.element("models.bring").click()
    view.says("models.notice", "It is here already, as demo.")
    view.go("models?checkpoint=2")
    view.element("models.delete").click()
    view.element("models.delete_yes").click()
    view.says("models.notice", "its files are gone")
    assert "run-1" not in view.element("models.table").inner_text()
    view.go("train?job=1")
    view.says("train.progress", "run-1 (deleted)")
    view.element("train.delete").click()
    view.element("train.delete_no").click()
    view.element("train.delete").click()
    view.element("train.delete_yes").click()
    view.says("train.progress", "No training yet")
    view.clean()
