"""Coming to a turn and back to it: through filters, a reload and the browser's history, and past somebody who works there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Studio, View, sync_api

pytestmark = pytest.mark.browser


@pytest.fixture
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--labelled", "--team")


def test_filters_turn_and_list_come_back(log_in: Callable[[str], View]) -> None:
    view = log_in("ben")
    view.go("correct")
    view.choose("correct.status", "all")
    view.field("correct.search").fill("the cent")
    view.says("correct.queue", "Next: 2 turns")

    def stands(said: str) -> None:
        view.has("correct.search", "the cent")
        view.has("correct.status", "all")
        view.says("correct.queue", "Next: 2 turns")
        view.has("correct.transcript", said)

    for said in ("the center please", "somewhere in the centre"):
        view.element("correct.queue").get_by_text(said).click()
        stands(said)
    for part in (r"text=the\+cent", "status=all"):
        sync_api.expect(view.page).to_have_url(re.compile(part))
    view.page.reload()
    stands("somewhere in the centre")
    view.page.go_back()
    stands("the center please")
    view.page.go_forward()
    stands("somewhere in the centre")
    view.clean()


def test_a_dialogue_that_somebody_else_has_is_taken_over(log_in: Callable[[str], View]) -> None:
    ben, cleo = log_in("ben"), log_in("cleo")
    for view in (ben, cleo):
        view.go("correct")
        view.says("correct.title", "Turn 1")
    cleo.says("correct.claim_holder", "ben works on this dialogue until")
    cleo.element("correct.take_over").click()
    sync_api.expect(cleo.element("correct.claim")).to_be_hidden()
    cleo.says("correct.events", "from ben")
    ben.page.keyboard.press("a")  # who works on learns it with the next save
    ben.says("correct.claim_holder", "cleo works on this dialogue until")
    for view in (ben, cleo):
        view.clean()


def test_turns_are_found_by_slot_speaker_and_error(log_in: Callable[[str], View]) -> None:
    view = log_in("cleo")
    view.go("correct")
    view.choose("correct.status", "all")
    view.says("correct.queue", "Next: 5 turns")
    view.unfold("correct.filters")
    view.choose("correct.slot_filter", "restaurant-pricerange")
    view.says("correct.queue", "Next: 2 turns")
    view.says("correct.queue", "i am looking for a cheap restaurant")
    view.choose("correct.slot_filter", "restaurant-area")
    view.says("correct.queue", "Next: 4 turns")
    view.says("correct.queue", "in the north please")
    view.choose("correct.slot_filter", "any")
    view.choose("correct.speaker", "agent")
    view.says("correct.queue", "Next: 1 turn")
    view.says("correct.queue", "anything else in the center")
    view.choose("correct.speaker", "user")
    view.choose("correct.error", "misunderstood")
    view.says("correct.queue", "Next: 0 turns")
    view.choose("correct.error", "any")
    view.element("correct.queue").get_by_text("i am looking").click()
    view.says("correct.title", "Turn 1")
    view.has("correct.slot.restaurant-pricerange", "cheap")
    view.field("correct.slot.restaurant-pricerange").fill("expensive")
    view.page.keyboard.press("Enter")
    view.says("correct.model_transcript", "Misunderstood: restaurant pricerange.")
    view.choose("correct.error", "misunderstood")
    view.says("correct.queue", "Next: 1 turn")
    view.reload()
    view.has("correct.error", "misunderstood")
    view.says("correct.queue", "Next: 1 turn")
    view.choose("correct.error", "misheard")
    view.says("correct.queue", "Next: 0 turns")
    view.picture("found-by-error")
    view.field("correct.slot.restaurant-pricerange").fill("cheapish")
    view.page.keyboard.press("Enter")
    view.says("correct.hints", '"cheapish" is new in the ontology')
    view.clean()
