"""The Ontology page and the guard before held-out labels in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright import sync_api

from tests.browser.conftest import Studio, View

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--labelled")


def test_a_held_out_label_is_changed_only_once_it_is_unlocked(studio: Studio, open_view: Callable[..., View]) -> None:
    view = open_view(studio)
    view.go("correct")
    view.page.get_by_label("imported").first.click()
    view.says("correct.held_out_text", "held-out: changing this changes scores")
    view.has("correct.transcript", "somewhere in the centre")
    view.field("correct.transcript").fill("somewhere in the middle")
    view.field("correct.transcript").press("Enter")
    sync_api.expect(view.page.get_by_text("unlock its labels first").first).to_be_visible()
    view.picture("held-out-refused")
    view.element("correct.unlock").click()
    view.says("correct.events", "unlocked held-out labels")
    view.field("correct.transcript").press("Enter")
    view.says("correct.notice", "saved")
    view.picture("held-out-unlocked")
    view.clean()
