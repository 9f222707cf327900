"""The pages in a real browser, with canned answers: what people do by hand, and what they do wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Studio, View, sync_api

pytestmark = pytest.mark.browser

PAGES = ("", "correct", "data", "train", "models", "ontology", "team", "agreement")


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned")


@pytest.fixture
def talked(studio: Studio, open_view: Callable[..., View], speech: Path) -> View:
    """A new dialogue of two user turns and an agent turn between them, open on the Talk page."""
    view = open_view(studio)
    view.new_dialogue()
    view.upload(speech)
    view.says("talk.state", "cheap")
    view.field("talk.agent_text").fill("which <b>area</b>?")
    view.field("talk.agent_text").press("Enter")
    view.says("talk.conversation", "which <b>area</b>?")
    view.upload(speech)
    view.says("talk.state", "north")
    return view


def test_talk_shows_state_and_resumes_after_a_reload(talked: View) -> None:
    talked.says("talk.notice", "understood in 0.3 s")
    assert talked.element("talk.state").locator("tr.added").count() == 1, "only what the turn changed stands out"
    talked.picture("talk")
    talked.page.reload()
    talked.says("talk.conversation", "in the north please")
    talked.says("talk.state", "State after turn 3")
    talked.clean()


def test_output_that_is_no_json_is_shown_as_such(talked: View, speech: Path) -> None:
    for answer in ("chinese", "not valid JSON"):
        talked.upload(speech)
        talked.says("talk.state", answer)
    talked.says("talk.state", '{"transcript": "goodb')
    talked.says("talk.state", "chinese")  # the state before stands
    talked.clean()


@pytest.mark.parametrize(("name", "content", "words"), [("empty.wav", b"", "empty"), ("text.wav", b"hello", "not")])
def test_a_file_that_is_no_recording_is_refused_in_words(
    talked: View, tmp_path: Path, speech: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    talked.upload(tmp_path / name)
    talked.says("talk.notice", words)
    assert talked.element("talk.conversation").locator("li").count() == 3, "no turn is made of it"
    talked.picture(f"refused-{name}")
    talked.upload(speech)  # and the recorder is free again
    talked.says("talk.state", "chinese")
    assert not talked.strangers
    assert all("Waveform" in error or "RANGE" in error or "416" in error for error in talked.errors), "the player's only"


def test_correct_by_keyboard(talked: View) -> None:
    page = talked.page
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 3")
    area = talked.field("correct.slot.restaurant-area")
    area.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("nowhere")
    page.keyboard.press("Tab")
    talked.says("correct.notice", "saved")
    talked.says("correct.title", "corrected")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    talked.has("correct.slot.restaurant-area", "north")
    page.keyboard.press("p")
    talked.says("correct.title", "Turn 2")
    page.keyboard.press("n")
    talked.says("correct.title", "Turn 3")
    talked.has("correct.slot.restaurant-area", "north")
    page.keyboard.press("a")
    talked.says("correct.title", "corrected")
    talked.element("correct.transcript").locator("input, textarea").first.press_sequentially(" nnpp")
    talked.says("correct.title", "Turn 3")  # keys sleep while somebody types
    page.keyboard.press("Enter")
    talked.says("correct.turn", "in the north please nnpp")
    talked.clean()


def test_doubtful_slots_are_decided_by_single_keys(talked: View, speech: Path) -> None:
    page = talked.page
    talked.upload(speech)
    talked.says("talk.state", "chinese")
    talked.element("talk.send").click()
    talked.says("talk.notice", "in the queue")
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 4")
    talked.field("correct.transcript").fill("indien food")
    page.keyboard.press("Enter")
    talked.says("correct.notice", "saved")
    page.keyboard.press("Escape")
    for slot in ("pricerange", "area"):  # the least sure first
        talked.says(f"correct.confirm.restaurant-{slot}", "Right (C)")
        page.keyboard.press("c")
    talked.says("correct.chip.1", "indian (1)")
    talked.picture("correct-chips")
    page.keyboard.press("1")
    talked.has("correct.slot.restaurant-food", "indian")
    for key, value in (("u", "chinese"), ("r", "indian")):
        page.keyboard.press(key)
        talked.has("correct.slot.restaurant-food", value)
    page.keyboard.press("d")
    talked.says("correct.title", "to be checked")
    talked.clean()


def test_a_turn_is_sent_to_review_handed_back_and_made_final(talked: View) -> None:
    page = talked.page
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.events", "No note yet")
    page.keyboard.press("a")
    talked.says("correct.submitted", "Send to review (S)")
    page.keyboard.press("s")
    talked.says("correct.events", "sent to review")
    talked.field("correct.note").fill("listen <b>again</b>")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    talked.says("correct.events", "listen <b>again</b>")
    for key, status in (("v", "reviewed"), ("f", "final")):
        page.keyboard.press(key)
        talked.says("correct.title", status)
    talked.element("correct.remove.restaurant-area").click()
    talked.page.get_by_text("This turn is final").wait_for()
    talked.picture("correct-review")
    page.reload()
    talked.says("correct.events", "made final")
    page.keyboard.press("o")
    talked.says("correct.title", "corrected")
    talked.clean()


def test_what_was_typed_and_not_saved_is_there_after_the_tab_was_closed(talked: View, open_view: Callable[..., View]) -> None:
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 3")
    talked.field("correct.note").fill("is it east?")
    talked.page.keyboard.press("Escape")
    talked.page.keyboard.press("p")
    talked.says("correct.title", "Turn 2")
    talked.has("correct.note", "")  # it is about the other turn
    talked.page.keyboard.press("n")
    talked.has("correct.note", "is it east?")
    talked.field("correct.transcript").press_sequentially(" or in the east", delay=20)
    talked.keeps("in the north please or in the east")
    address = talked.page.url
    talked.crash()
    again = open_view(talked.studio)
    again.page.goto(address)
    again.has("correct.transcript", "in the north please or in the east")
    again.says("correct.notice", "your draft, not saved yet")
    again.has("correct.note", "is it east?")
    again.field("correct.transcript").press("Enter")
    again.says("correct.notice", "saved")
    again.page.reload()
    again.has("correct.transcript", "in the north please or in the east")
    again.clean()


def test_a_value_that_was_typed_and_not_entered_is_there_after_the_tab_was_closed(
    talked: View, open_view: Callable[..., View]
) -> None:
    def reopened(view: View) -> View:
        view.crash()
        again = open_view(view.studio)
        again.page.goto(address)
        again.says("correct.title", "Turn 3")
        return again

    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 3")
    talked.field("correct.slot.restaurant-area").fill("south w")
    talked.keeps("south w")
    address = talked.page.url
    view = reopened(talked)
    view.has("correct.slot.restaurant-area", "south w")
    view.says("correct.slots", "your draft, not saved yet")
    view.picture("correct-draft")
    view.field("correct.slot.restaurant-area").press("Escape")  # the list
    view.field("correct.slot.restaurant-area").press("Escape")  # what was typed
    view.has("correct.slot.restaurant-area", "north")
    view.field("correct.add_slot").fill("restaurant-food")
    view.field("correct.add_value").fill("indi")
    view.keeps("indi")
    view = reopened(view)
    view.has("correct.slot.restaurant-area", "north")
    view.has("correct.add_slot", "restaurant-food")
    view.has("correct.add_value", "indi")
    view.field("correct.add_value").press("End")
    view.page.keyboard.type("an")
    view.field("correct.add_value").press("Enter")
    view.has("correct.slot.restaurant-food", "indian")
    view = reopened(view)
    view.has("correct.slot.restaurant-food", "indian")
    view.has("correct.add_value", "")
    assert "your draft" not in view.element("correct.slots").inner_text()
    view.clean()


def test_a_held_key_acts_once_and_is_not_typed_either(talked: View) -> None:
    def hold(key: str) -> None:
        for _ in range(4):
            talked.page.keyboard.down(key)
            talked.page.wait_for_timeout(200)
        talked.page.keyboard.up(key)

    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 3")
    hold("t")
    talked.page.keyboard.press("Escape")
    talked.has("correct.transcript", "in the north please")
    hold("p")
    talked.page.wait_for_timeout(1500)
    talked.says("correct.title", "Turn 2")
    talked.clean()


def test_what_was_typed_is_neither_lost_when_it_is_refused_nor_a_draft_when_it_is_saved(talked: View) -> None:
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 3")
    talked.field("correct.add_slot").fill("food")
    talked.field("correct.add_value").fill("thai")
    talked.field("correct.add_value").press("Enter")
    talked.page.get_by_text("A slot is named domain-slot").first.wait_for()
    talked.has("correct.add_slot", "food")
    talked.has("correct.add_value", "thai")
    talked.field("correct.transcript").fill("in the south")
    talked.field("correct.transcript").press("Enter")  # before the hands have paused
    talked.says("correct.notice", "saved")
    talked.page.wait_for_timeout(1000)
    talked.field("correct.transcript").press("Escape")
    talked.page.keyboard.press("u")
    talked.has("correct.transcript", "in the north please")
    talked.page.reload()
    talked.has("correct.transcript", "in the north please")
    talked.page.wait_for_timeout(1000)
    talked.has("correct.transcript", "in the north please")
    assert "your draft" not in talked.element("correct.notice").inner_text()
    talked.clean()


def test_words_typed_while_an_undo_is_on_its_way_stay(talked: View) -> None:
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.field("correct.transcript").fill("in the south")
    talked.field("correct.transcript").press("Enter")
    talked.says("correct.turn", "in the south")
    talked.element("correct.slots").get_by_role("button", name="Right").first.click()
    talked.says("correct.events", "No note yet")
    sync_api.expect(talked.element("correct.slots").locator(".dst-tick")).to_have_count(1)
    for key in ("u", "t", "End"):
        talked.page.keyboard.press(key)
    talked.page.keyboard.type(" please")
    sync_api.expect(talked.element("correct.slots").locator(".dst-tick")).to_have_count(0)
    talked.page.wait_for_timeout(1500)
    talked.has("correct.transcript", "in the south please")
    talked.page.keyboard.press("Escape")  # which leaves the field, and saves it
    talked.says("correct.turn", "in the south please")
    talked.page.keyboard.press("u")
    talked.has("correct.transcript", "in the south")
    talked.page.keyboard.press("u")
    talked.has("correct.transcript", "in the north please")
    talked.clean()


def test_a_corrected_slot_moves_the_later_turns_and_says_so(talked: View) -> None:
    page = talked.page
    talked.element("talk.conversation").get_by_role("link", name="correct").first.click()
    talked.says("correct.title", "Turn 1")
    talked.field("correct.slot.restaurant-pricerange").click()
    page.get_by_role("option", name="expensive").click()
    talked.says("correct.moved", "turn 3 restaurant pricerange: cheap → expensive")
    talked.says("correct.model_transcript", "Misunderstood: restaurant pricerange.")
    talked.picture("correct-moved")
    talked.element("correct.moved").get_by_role("link").click()
    talked.says("correct.title", "Turn 3")
    talked.has("correct.slot.restaurant-pricerange", "expensive")
    talked.has("correct.slot.restaurant-area", "north")
    talked.go("train")
    talked.says("train.data", "restaurant pricerange")
    talked.says("train.data", "Why the model was wrong")
    talked.clean()


def test_passing_the_project_by_keyboard_changes_nothing(talked: View) -> None:
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.says("correct.title", "Turn 3")
    talked.field("correct.status").click()
    talked.page.get_by_role("option", name="all", exact=True).click()
    talked.has("correct.status", "all")
    talked.field("correct.project").focus()
    talked.page.keyboard.press("Tab")  # Gradio's dropdown says that something was chosen when it is left
    talked.page.wait_for_timeout(1500)
    talked.has("correct.status", "all")
    talked.says("correct.title", "Turn 3")
    talked.go("train")
    talked.field("train.steps").fill("7")
    talked.field("train.recipe").focus()
    talked.page.keyboard.press("Tab")
    talked.page.wait_for_timeout(1500)
    talked.has("train.steps", "7")
    talked.clean()


def test_slots_come_and_go_and_history_keeps_them(talked: View) -> None:
    page = talked.page
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.element("correct.remove.restaurant-area").click()
    talked.has("correct.slot.restaurant-area", "")  # what the model said stays visible
    talked.field("correct.add_slot").click()
    page.keyboard.type("food")
    page.get_by_role("option", name="restaurant-food").click()
    talked.field("correct.add_value").click()
    page.get_by_role("option", name="indian").click()
    talked.has("correct.slot.restaurant-food", "indian")
    talked.field("correct.slot.restaurant-food").click()
    page.get_by_role("option", name="dontcare").click()
    talked.says("correct.notice", "saved")
    talked.element("correct.history_panel").locator("button").first.click()
    for part in ("restaurant food: indian", "restaurant food: indian dontcare", "restaurant area: north"):
        talked.says("correct.history", part)
    talked.picture("correct")
    talked.field("correct.version").click()
    page.get_by_role("option", name="food indian").click()
    page.keyboard.press("g")
    talked.has("correct.slot.restaurant-food", "indian")
    page.reload()
    talked.has("correct.slot.restaurant-food", "indian")
    talked.clean()


def test_raw_json_is_checked_before_it_is_saved(talked: View) -> None:
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.element("correct.raw_panel").locator("button").first.click()
    editor = talked.element("correct.raw").locator(".cm-content")
    for text, problem in (("{", "Line 1"), ('{"restaurant": "x"}', "restaurant")):
        editor.fill(text)
        talked.element("correct.raw_save").click()
        talked.page.get_by_text(problem).first.wait_for()
    editor.fill('{"restaurant": {"food": "indian"}}')
    talked.element("correct.raw_save").click()
    talked.has("correct.slot.restaurant-food", "indian")
    talked.clean()


def test_two_people_on_one_turn_see_both_versions(talked: View, open_view: Callable[..., View]) -> None:
    talked.element("talk.conversation").get_by_role("link", name="correct").last.click()
    talked.has("correct.slot.restaurant-area", "north")
    other = open_view(talked.studio)
    other.go(talked.page.url.removeprefix(f"{talked.studio.url}/"))
    other.has("correct.slot.restaurant-area", "north")
    for view, value in ((talked, "south"), (other, "west")):
        view.field("correct.slot.restaurant-area").fill(value)
        view.page.keyboard.press("Tab")
    talked.says("correct.notice", "saved")
    other.says("correct.versions", "south")
    other.says("correct.versions", "west")
    other.picture("conflict")
    other.element("correct.keep_mine").click()
    other.says("correct.notice", "saved")
    talked.page.reload()
    talked.has("correct.slot.restaurant-area", "west")
    talked.clean()
    other.clean()


def test_pages_fit_the_screen(talked: View) -> None:
    page = talked.page
    for path in PAGES:
        talked.go(path)
        for width, height, dark in ((1440, 900, False), (1280, 800, True), (390, 844, True)):
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            page.wait_for_timeout(600)
            talked.picture(f"{path or 'talk'}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"/{path} scrolls sideways"
    talked.clean()


def test_old_links_open_what_there_is(talked: View) -> None:
    for path in ("?dialogue=99999", "correct?dialogue=99999&turn=99999", "train?job=999", "models?checkpoint=999"):
        talked.go(path)
    talked.says("models.table", "demo")
    talked.clean()
