"""A correction of an imported label is carried into the later turns that hold the same wrong value, by one key."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright import sync_api

from tests.browser.conftest import Studio, View

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--labelled")


def test_a_key_carries_a_corrected_value_on_and_undo_takes_it_back_there(studio: Studio, open_view: Callable[..., View]) -> None:
    view = open_view(studio)
    view.go("correct?turn=1")
    view.has("correct.slot.restaurant-area", "center")
    sync_api.expect(view.element("correct.carry")).to_be_hidden()
    view.field("correct.slot.restaurant-area").fill("centre")
    view.field("correct.slot.restaurant-area").press("Enter")
    view.says("correct.carry_text", "turn 2 holds what was corrected here. Carry on: restaurant-area centre")
    view.says("correct.carry", "Carry on (6)")
    view.picture("correct-carry")
    view.page.evaluate("document.activeElement.blur()")
    view.page.keyboard.press("6")
    view.page.get_by_text("Carried into 1 later turn").wait_for()
    sync_api.expect(view.element("correct.carry")).to_be_hidden()
    view.page.keyboard.press("n")
    view.says("correct.title", "Turn 2")
    view.has("correct.slot.restaurant-area", "centre")
    view.page.keyboard.press("u")
    view.has("correct.slot.restaurant-area", "center")
    view.clean()
