"""Somebody who sees the studio for the first time follows what the pages say, and has corrected a turn.

The seconds are printed (``-s``) and not judged: ``python launch.py test -s tests/browser/test_first_minute.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.browser.conftest import Studio, View

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("base_models")]


def test_a_newcomer_who_follows_the_hints_corrects_a_turn(
    start_studio: Callable[..., Studio], open_view: Callable[..., View], record_property: Callable[[str, object], None]
) -> None:
    view = open_view(start_studio())
    begun = time.monotonic()

    def done(what: str) -> None:
        seconds = time.monotonic() - begun
        record_property(what, f"{seconds:.0f} s")
        print(f"{what}: {seconds:.0f} s")

    view.go("")
    view.says("talk.hint", "open a turn and press M")
    done("the first page says what to do")
    view.element("talk.hint").get_by_role("link", name="open a turn").click()
    view.says("correct.title", "not understood yet")
    done("a turn is open")
    view.page.keyboard.press("m")
    view.says("correct.slots", "Right (C)")
    done("the model has answered")
    view.picture("first-minute")
    view.page.keyboard.press("e")
    view.page.keyboard.press("Control+a")
    view.page.keyboard.type("indian")
    view.page.keyboard.press("Enter")
    view.says("correct.notice", "saved")
    view.says("correct.title", "corrected")
    done("a slot is corrected and saved")
    view.clean()
