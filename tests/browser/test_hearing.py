"""The player of the Correct page: turns play as they open, at the speed that one chose, also after a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import Studio, View, sync_api

pytestmark = pytest.mark.browser

# Gradio's player plays through an element that is not in the page.
NOTE_WHAT_PLAYS = """(() => {
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () { window.playing = this; return play.call(this); };
})()"""


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--team")


def test_a_turn_plays_as_it_opens_at_the_speed_that_was_chosen(log_in: Callable[[str], View]) -> None:
    ben = log_in("ben")
    page = ben.page
    page.add_init_script(NOTE_WHAT_PLAYS)
    plays_at = "(speed) => window.playing && !window.playing.ended && window.playing.playbackRate === speed"
    ben.go("correct")
    ben.says("correct.title", "Turn 1")
    speed = ben.element("correct.audio").locator(".playback")
    sync_api.expect(speed).to_have_text("1x")
    page.keyboard.press("0")
    sync_api.expect(speed).to_have_text("1.5x")
    page.wait_for_timeout(500)
    assert not page.evaluate("Boolean(window.playing)")
    page.get_by_label("Play each turn as it opens").check()
    page.keyboard.press("q")  # all correct, and on to the next one
    ben.says("correct.title", "Turn 2")
    page.wait_for_function(plays_at, arg=1.5)
    ben.says("correct.turn", "●")
    ben.reload()
    ben.says("correct.title", "Turn 2")
    sync_api.expect(page.get_by_label("Play each turn as it opens")).to_be_checked()
    page.wait_for_timeout(500)  # what the browser remembers has reached the player
    page.keyboard.press("p")
    ben.says("correct.title", "Turn 1")
    page.wait_for_function(plays_at, arg=1.5)
    ben.says("correct.title", "corrected")
    page.keyboard.press("0")
    page.wait_for_function(plays_at, arg=2)
    ben.clean()
