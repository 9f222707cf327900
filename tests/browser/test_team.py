"""Several people, each in a browser of their own: two annotate blind, a third is told who works there, a reviewer decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright import sync_api

from studio.services import dialogues, understanding
from studio.workspace import open_workspace
from tests.browser.conftest import SAMPLE, Studio, View
from tests.browser.serve import PASSWORD, CannedTracker

pytestmark = pytest.mark.browser


@pytest.fixture
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--team")


def choose(view: View, name: str, value: str) -> None:
    view.field(name).click()
    view.field(name).fill(value)
    view.field(name).press("Enter")


def add_turn(studio: Studio) -> None:
    """A third user turn of the recorded dialogue, answered like the others."""
    ws = open_workspace(studio.home)
    (dialogue,) = dialogues.list_dialogues(ws, 1)
    turns = dialogues.get_dialogue(ws, dialogue.id).turns
    turn = dialogues.add_user_turn(ws, dialogue.id, sorted(SAMPLE.glob("*.flac"))[2])
    understanding.store(ws, turn.id, 1, CannedTracker().turn("", list(turns), {}))  # type: ignore[arg-type]


def test_two_annotate_blind_and_a_reviewer_decides(studio: Studio, log_in: Callable[[str], View]) -> None:
    add_turn(studio)
    rita = log_in("rita")
    rita.go("agreement")
    rita.says("agreement.title", "Nothing to decide")
    rita.field("agreement.share").fill("100")
    rita.field("agreement.share").press("Tab")
    rita.says("agreement.notice", "saved")
    rita.says("agreement.progress", "1dialogues for two")

    ben, cleo = log_in("ben"), log_in("cleo")
    ben.go("correct")
    ben.says("correct.title", "Turn 1")
    ben.says("correct.claim_holder", "without seeing the other's work")
    ben.field("correct.note").fill("she says expensive")
    ben.field("correct.note").press("Enter")
    ben.says("correct.events", "she says expensive")
    ben.page.keyboard.press("Escape")
    ben.page.keyboard.press("a")
    ben.says("correct.notice", "saved")

    cleo.go("correct")
    cleo.says("correct.title", "Turn 1")
    cleo.has("correct.slot.restaurant-pricerange", "cheap")
    assert "ben" not in (cleo.element("correct.history_panel").text_content() or "")
    assert "expensive" not in (cleo.element("correct.events").text_content() or "")
    cleo.page.keyboard.press("a")
    cleo.says("correct.notice", "saved")
    cleo.picture("team-blind")

    dan = log_in("dan")
    dan.go("correct")
    dan.says("correct.claim_holder", "works on this dialogue until")
    dan.picture("team-claimed")

    for annotator in (ben, cleo):
        annotator.page.keyboard.press("Escape")
        annotator.page.keyboard.press("d")
        annotator.says("correct.title", "Turn 2")
    choose(ben, "correct.slot.restaurant-pricerange", "expensive")
    cleo.page.keyboard.press("a")
    for annotator in (ben, cleo):
        annotator.says("correct.notice", "saved")
        annotator.page.keyboard.press("Escape")
        annotator.page.keyboard.press("d")
        annotator.says("correct.title", "Turn 3")
    choose(ben, "correct.slot.restaurant-food", "indian")
    ben.says("correct.notice", "saved")
    cleo.page.keyboard.press("a")
    cleo.says("correct.notice", "saved")
    ben.page.keyboard.press("Escape")
    ben.page.keyboard.press("p")
    ben.says("correct.title", "Turn 2")

    rita.go("agreement")
    rita.says("agreement.title", "turn 2")
    row = rita.element("agreement.table").locator("tr.changed")
    sync_api.expect(row).to_have_count(1)
    sync_api.expect(row).to_contain_text("expensive")
    rita.says("agreement.figures", "Krippendorff's alpha")
    rita.picture("team-side-by-side")
    rita.element("agreement.take_agreed").click()
    rita.says("agreement.notice", "1 turn on which both agree")
    choose(ben, "correct.slot.restaurant-pricerange", "moderate")
    ben.element("correct.history_panel").click()
    ben.says("correct.history", "moderate")
    rita.page.keyboard.press("1")
    rita.says("agreement.table", "moderate")  # what ben has by now is shown, and not taken yet
    rita.has("agreement.own.restaurant-pricerange", "moderate")
    rita.page.keyboard.press("1")
    rita.says("agreement.notice", "as ben has it")
    rita.says("agreement.title", "turn 3")
    rita.says("agreement.table", "indian")
    choose(rita, "agreement.own.restaurant-food", "thai | siamese")  # neither of theirs
    rita.page.keyboard.press("Escape")
    rita.page.keyboard.press("w")
    rita.says("agreement.title", "Nothing to decide")
    rita.picture("team-decided")

    cleo.go("correct")
    cleo.says("correct.title", "Turn 1")
    cleo.page.keyboard.press("n")
    cleo.says("correct.title", "Turn 2")
    cleo.has("correct.slot.restaurant-pricerange", "moderate")
    cleo.page.keyboard.press("n")
    cleo.says("correct.title", "Turn 3")
    cleo.has("correct.slot.restaurant-food", "thai | siamese")
    for view in (rita, ben, cleo, dan):
        view.clean()


def test_an_admin_adds_somebody_who_then_logs_in_and_may_not_do_all(log_in: Callable[[str], View]) -> None:
    ada = log_in("ada")
    ada.go("team")
    ada.says("team.table", "cleo")
    ada.field("team.name").fill("eve")
    ada.field("team.password").fill(PASSWORD)
    ada.element("team.add").click()
    ada.says("team.notice", "eve may log in as annotator")
    ada.picture("team")
    eve = log_in("eve")
    for page in ("team", "agreement"):
        eve.go(page)
        eve.says(f"{page}.refused", "This takes the role")
    for view in (ada, eve):
        view.clean()


def test_two_who_are_logged_in_change_one_slot_and_nothing_is_overwritten(log_in: Callable[[str], View]) -> None:
    ben, cleo = log_in("ben"), log_in("cleo")
    for view in (ben, cleo):
        view.go("correct?turn=2")
        view.has("correct.slot.restaurant-area", "north")
    for view, value in ((cleo, "west"), (ben, "south")):
        view.field("correct.slot.restaurant-area").fill(value)
        view.page.keyboard.press("Enter")
        if view is cleo:
            view.says("correct.notice", "saved")
    for said in ("cleo's version, saved", "Your version, not saved", "west", "south"):
        ben.says("correct.versions", said)
    ben.picture("conflict-of-two-people")
    cleo.reload()
    cleo.has("correct.slot.restaurant-area", "west")  # ben's is not in the way
    ben.page.keyboard.press("i")  # mine over it
    ben.says("correct.notice", "saved")
    cleo.reload()
    cleo.has("correct.slot.restaurant-area", "south")
    cleo.element("correct.history_panel").click()
    for said in ("cleo", "ben", "west", "south"):
        cleo.says("correct.history", said)
    cleo.page.get_by_role("tab", name="Mine").click()
    cleo.says("correct.mine", "recorded 2 restaurant-area west → south ben")
    cleo.picture("team-mine")
    for view in (ben, cleo):
        view.clean()
