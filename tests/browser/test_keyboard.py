"""A whole small session by the keyboard alone, from the login to the reviewer: no mouse, no click, no address typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Studio, View, sync_api

pytestmark = pytest.mark.browser
ASSETS = Path(__file__).parents[2] / "studio/assets"


@pytest.fixture
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--team")


def test_space_plays_after_a_click_into_a_list_and_still_ticks_boxes(browser: sync_api.Browser) -> None:
    page = browser.new_page()
    fields = "<input type=radio id=chosen checked><input type=radio id=other name=x><input type=checkbox id=box>"
    page.set_content(f"<div id='correct.audio'>turn</div>{fields}")
    page.add_script_tag(path=ASSETS / "studio.js")
    page.evaluate("() => { window.played = 0; window.dstPlay = () => played++; }")
    played = []
    for field in ("#chosen", "#other", "#box"):
        page.focus(field)
        page.keyboard.press("Space")
        played.append(page.evaluate("played"))
    assert played == [1, 1, 1], "what is chosen already has no use for Space"
    assert [page.is_checked(field) for field in ("#other", "#box")] == [True, True]
    page.close()


def tab_to(view: View, selector: str) -> None:
    """Press Tab until an element has the focus."""
    view.page.locator(selector).first.wait_for()
    for _ in range(60):
        if view.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        view.page.keyboard.press("Tab")
    pytest.fail(f"Tab does not come to {selector}")


def come_in(view: View, name: str) -> None:
    """Log in and go to the Correct page."""
    from tests.browser.serve import PASSWORD  # with it comes the studio

    keyboard = view.page.keyboard
    view.page.goto(view.studio.url)
    tab_to(view, "input")
    keyboard.type(name)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    view.says("talk.hint", ":")
    view.errors.clear()  # the login page asks for things nobody may have yet
    tab_to(view, "nav a[href$='correct']")
    keyboard.press("Enter")
    view.says("correct.title", "Turn 1")


def test_annotator_and_reviewer_work_without_a_mouse(studio: Studio, open_view: Callable[..., View]) -> None:
    ben = open_view(studio)
    press, type_ = ben.page.keyboard.press, ben.page.keyboard.type
    come_in(ben, "ben")
    press(" ")
    playing = ben.element("correct.audio").locator(".play-pause-button")
    sync_api.expect(playing).to_have_attribute("aria-label", "Pause")
    ben.says("correct.confirm.restaurant-pricerange", "Right (C)")
    press("c")
    ben.says("correct.slots", "✓")
    press("a")
    ben.says("correct.title", "corrected")
    press("d")
    ben.says("correct.title", "Turn 2")

    press("t")
    press("Control+a")
    type_("indien in the south nnpp")  # keys sleep while somebody types
    ben.says("correct.title", "Turn 2")
    press("Enter")
    ben.says("correct.turn", "indien in the south nnpp")
    press("Escape")
    press("e")  # the least sure slot: another value, typed until the list has it
    type_("expen")
    press("ArrowDown")
    press("Enter")
    ben.has("correct.slot.restaurant-pricerange", "expensive")
    ben.says("correct.chip.1", "south (1)")
    ben.picture("keyboard-chips")
    press("1")
    ben.has("correct.slot.restaurant-area", "south")
    for key, button, value in (("u", "undo", "north"), ("r", "redo", "south")):
        sync_api.expect(ben.element(f"correct.{button}")).to_be_enabled()
        press(key)
        ben.has("correct.slot.restaurant-area", value)
    ben.says("correct.said.8", "restaurant food: indian (8)")
    ben.picture("keyboard-said")
    sync_api.expect(ben.element("correct.raw_standing")).to_be_hidden()
    press("8")  # the model heard nothing of it
    ben.has("correct.slot.restaurant-food", "indian")
    press("l")
    type_("name")
    press("ArrowDown")
    press("Enter")
    type_("curry garden")
    press("Enter")
    ben.has("correct.slot.restaurant-name", "curry garden")
    tab_to(ben, '[id="correct.held_out"] input')
    press(" ")
    ben.says("correct.move_text", "It leaves the training data")
    ben.picture("keyboard-hold-out")
    tab_to(ben, '[id="correct.move_no"]')
    press("Enter")
    sync_api.expect(ben.element("correct.move_bar")).to_be_hidden()
    sync_api.expect(ben.element("correct.held_out").get_by_role("checkbox")).not_to_be_checked()
    for key, turn in (("p", "Turn 1"), ("n", "Turn 2")):
        press(key)
        ben.says("correct.title", turn)
    ben.has("correct.slot.restaurant-name", "curry garden")
    press("k")
    type_("is it <b>indian</b>?")
    press("Escape")
    press("s")
    ben.says("correct.events", "is it <b>indian</b>?")

    rita = open_view(studio)
    press, type_ = rita.page.keyboard.press, rita.page.keyboard.type
    come_in(rita, "rita")
    tab_to(rita, '[id="correct.status"] input')
    sync_api.expect(rita.field("correct.status")).to_have_attribute("aria-expanded", "true")  # Gradio's list opens behind the key
    type_("sent")
    press("Enter")
    rita.has("correct.status", "sent to review")
    rita.says("correct.queue", "in the south nnpp")
    press("Escape")
    press("d")
    rita.says("correct.title", "Turn 2")
    rita.has("correct.slot.restaurant-name", "curry garden")
    press("u")  # takes back what ben did last
    sync_api.expect(rita.element("correct.slot.restaurant-name")).to_have_count(0)
    press("v")
    rita.says("correct.events", "reviewed")
    for view in (ben, rita):
        view.clean()

    from studio.services import corrections, dialogues, review
    from studio.workspace import open_workspace

    ws = open_workspace(studio.home)
    first, second = dialogues.get_dialogue(ws, dialogues.list_dialogues(ws, 1)[0].id).turns
    assert (first.status, first.confirmed, first.state) == (
        "corrected",
        {("restaurant", "pricerange")},
        {"restaurant": {"pricerange": "cheap"}},
    )
    assert (second.status, second.transcript) == ("reviewed", "indien in the south nnpp")
    assert second.state == {"restaurant": {"pricerange": "expensive", "area": "south", "food": "indian"}}
    changes = [(one.author, one.source) for one in reversed(corrections.history(ws, second.id))]
    assert changes == [
        *[("ben", "user")] * 3,  # the words, the price, the area
        ("ben", "undo"),
        ("ben", "redo"),
        *[("ben", "user")] * 2,  # the food, the name
        ("rita", "undo"),
    ]
    steps = [(one.author, one.kind, one.text) for one in reversed(review.events(ws, second.id))]
    assert steps == [("ben", "submitted", "is it <b>indian</b>?"), ("rita", "reviewed", "")]
