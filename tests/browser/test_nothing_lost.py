"""What was saved is followed, and what was typed is there, whatever dies or answers meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Studio, View, sync_api

pytestmark = pytest.mark.browser
DRAFT = '{"restaurant": {"food": "in'


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, start_studio: Callable[..., Studio]) -> Callable[[int], Studio]:
    """A studio in which later turns are decoded again in so many seconds."""

    def start(seconds: int) -> Studio:
        monkeypatch.setenv("CANNED_SECONDS", str(seconds))
        return start_studio("--canned")

    return start


def open_first(view: View, speech: Path) -> None:
    """A dialogue of three user turns, the first one open on the Correct page."""
    view.talk(speech)
    view.element("talk.conversation").get_by_role("link", name="correct").first.click()
    view.says("correct.title", "Turn 1")
    view.has("correct.slot.restaurant-pricerange", "cheap")


def say_expensive(view: View) -> None:
    view.field("correct.slot.restaurant-pricerange").fill("expensive")
    view.page.keyboard.press("Enter")
    view.says("correct.notice", "saved")
    view.says("correct.title", "later turns wait to be decoded again")
    view.page.keyboard.press("Escape")


def test_a_studio_killed_before_later_turns_followed_has_them_follow_when_it_is_back(
    slow: Callable[[int], Studio], open_view: Callable[..., View], speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = slow(600)
    view = open_view(studio)
    open_first(view, speech)
    say_expensive(view)
    view.picture("correct-waits")
    studio.kill()
    monkeypatch.setenv("CANNED_SECONDS", "0")
    studio.start()
    view.reload()
    view.has("correct.slot.restaurant-pricerange", "expensive")
    sync_api.expect(view.element("correct.title")).not_to_contain_text("later turns wait")
    view.page.keyboard.press("n")
    view.page.keyboard.press("n")
    view.says("correct.title", "Turn 3")
    view.has("correct.slot.restaurant-pricerange", "expensive")


def test_raw_json_and_confirmations_are_kept_while_an_answer_comes_back(
    slow: Callable[[int], Studio], open_view: Callable[..., View], speech: Path
) -> None:
    view = open_view(slow(20))
    page = view.page
    open_first(view, speech)
    say_expensive(view)
    view.element("correct.raw_panel").locator("button").first.click()
    raw = view.element("correct.raw").locator(".cm-content")
    sync_api.expect(raw).to_contain_text("expensive")
    page.keyboard.press("n")
    view.says("correct.title", "Turn 2")
    sync_api.expect(raw).to_contain_text("cheap")
    raw.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(DRAFT)
    view.says("correct.raw_problem", "your draft")
    view.says("correct.moved", "turn 2 restaurant pricerange: cheap → expensive")
    view.has("correct.slot.restaurant-pricerange", "expensive")
    page.keyboard.insert_text("d")
    sync_api.expect(raw).to_contain_text(DRAFT + "d")
    view.says("correct.raw_problem", "answered anew since")
    view.reload()
    view.says("correct.title", "Turn 2")
    sync_api.expect(raw).to_contain_text(DRAFT + "d")
    raw.click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text('ian"}}')
    view.element("correct.raw_save").click()
    view.says("correct.raw_problem", "compare both versions")
    view.says("correct.versions", "expensive")
    view.picture("correct-raw-conflict")
    view.element("correct.keep_mine").click()
    view.has("correct.slot.restaurant-food", "indian")
    sync_api.expect(raw).not_to_contain_text("expensive")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    view.says("correct.title", "Turn 1")
    tick = view.element("correct.slots").locator(".dst-tick")
    sync_api.expect(tick).to_have_count(1)
    page.keyboard.press("u")
    view.has("correct.slot.restaurant-pricerange", "cheap")
    sync_api.expect(tick).to_have_count(0)
    page.keyboard.press("c")
    sync_api.expect(tick).to_have_count(1)
    page.keyboard.press("u")
    sync_api.expect(tick).to_have_count(0)
    page.keyboard.press("r")
    sync_api.expect(tick).to_have_count(1)
    view.unfold("correct.history_panel")
    view.says("correct.history", "confirmed: restaurant pricerange: cheap")
    view.picture("correct-history-confirmation")
    view.clean()


@pytest.fixture
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--team")


def test_words_typed_on_others_than_stand_by_now_are_shown_beside_them(studio: Studio, log_in: Callable[[str], View]) -> None:
    mine, theirs = log_in("ben"), log_in("cleo")
    for view in (mine, theirs):
        view.go("correct?turn=1")
        view.has("correct.transcript", "i am looking for a cheap restaurant")
    mine.field("correct.transcript").fill("my restaurant")
    mine.keeps("my restaurant")
    mine.crash()
    theirs.field("correct.transcript").fill("their restaurant")
    theirs.page.keyboard.press("Enter")
    theirs.says("correct.turn", "their restaurant")
    mine = log_in("ben")
    mine.go("correct?turn=1")
    for words in ("my restaurant", "their restaurant", "cleo"):
        mine.says("correct.versions", words)
    mine.has("correct.transcript", "my restaurant")
    mine.field("correct.transcript").focus()
    mine.page.keyboard.press("Tab")
    mine.page.wait_for_timeout(1000)
    mine.says("correct.turn", "their restaurant")
    mine.picture("correct-words-conflict")
    mine.element("correct.keep_mine").click()
    mine.says("correct.turn", "my restaurant")
    mine.go("correct?turn=1")
    mine.has("correct.transcript", "my restaurant")
    sync_api.expect(mine.element("correct.conflict")).to_be_hidden()
