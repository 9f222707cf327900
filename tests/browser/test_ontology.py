"""The Ontology page and the guard before held-out labels in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
    view.page.evaluate("document.activeElement.blur()")
    view.page.keyboard.press("-")
    view.says("correct.events", "unlocked held-out labels")
    view.field("correct.transcript").press("Enter")
    view.says("correct.notice", "saved")
    view.picture("held-out-unlocked")
    view.clean()


def test_a_renamed_value_is_shown_in_the_turns_that_hold_it_and_changed_there(
    studio: Studio, open_view: Callable[..., View]
) -> None:
    view = open_view(studio)
    view.go("ontology")
    view.says("ontology.values", "centre3")  # two labels say "center", which is the same
    view.choose("ontology.value", "centre")
    view.field("ontology.new").fill("city centre")
    view.element("ontology.preview").click()
    view.says("ontology.touched", 'to "city centre" touches 3 labelled turns, 1 of them held out')
    turn = view.element("ontology.touched").get_by_role("link", name="first, turn 2")
    address = turn.get_attribute("href")
    view.element("ontology.relabel").get_by_role("checkbox").check()
    view.picture("ontology-rename")
    view.element("ontology.save").click()
    view.says("ontology.notice", "2 labels renamed, 1 left as they were")
    view.says("ontology.values", "city centre")
    view.unfold("ontology.history_panel")
    view.says("ontology.history", 'renamed the value restaurant-area: "centre" to "city centre", in 2 labels too')
    view.picture("ontology-renamed")
    view.go(str(address))
    view.has("correct.slot.restaurant-area", "city centre")
    view.unfold("correct.history_panel")
    view.says("correct.history", "ontology")
    view.element("correct.undo").click()
    view.has("correct.slot.restaurant-area", "center")
    view.picture("ontology-undone")
    view.clean()


def test_values_come_in_from_a_file_get_synonyms_and_an_older_version_stands_again(
    studio: Studio, open_view: Callable[..., View], tmp_path: Path
) -> None:
    (tmp_path / "ontology.json").write_text('{"restaurant-food": ["chinese", "thai"], "hotel-parking": ["yes", "no"]}')
    view = open_view(studio)
    view.go("ontology")
    view.choose("ontology.slot", "food")
    view.says("ontology.values", "restaurant-food: 3 values")
    view.unfold("ontology.import_panel")
    view.element("ontology.import_file").locator('input[type="file"]').set_input_files(tmp_path / "ontology.json")
    sync_api.expect(view.element("ontology.import_file")).to_contain_text("ontology")
    view.element("ontology.import_preview").click()
    view.says("ontology.import_plan", "values or names of 2 slots")
    view.says("ontology.values", "restaurant-food: 3 values")  # nothing came in yet
    view.element("ontology.import").click()
    view.says("ontology.sources_notice", "imported from ontology.json")
    view.says("ontology.values", "restaurant-food: 4 values")
    view.says("ontology.slots", "parking")
    view.choose("ontology.value", "thai")
    view.unfold("ontology.synonyms_panel")
    view.says("ontology.synonyms", "Spellings that stand for thai")
    view.element("ontology.synonyms").locator("textarea").fill("siamese\nfrom thailand")
    view.element("ontology.save_synonyms").click()
    view.says("ontology.values", "siamese, from thailand")
    view.picture("ontology-synonyms")
    view.unfold("ontology.history_panel")
    view.says("ontology.history", "imported from ontology.json")
    view.choose("ontology.version", "v1")
    view.element("ontology.restore").click()
    view.says("ontology.notice", "is version 1 again; labels stay as they are")
    sync_api.expect(view.element("ontology.slots")).not_to_contain_text("parking")
    view.clean()


def test_a_slot_is_added_and_an_entity_table_feeds_it(studio: Studio, open_view: Callable[..., View], tmp_path: Path) -> None:
    database = tmp_path / "restaurant_db.json"
    database.write_text('[{"name": "curry garden", "area": "west", "stars": 3}, {"name": "the oak bistro", "area": "centre"}]')
    view = open_view(studio, dark=True)
    view.go("ontology")
    view.element("ontology.action").get_by_label("Add").check()
    view.element("ontology.kind").get_by_label("a slot").check()
    view.field("ontology.new").fill("stars")
    view.element("ontology.preview").click()
    view.says("ontology.touched", "Add the slot restaurant-stars")
    view.element("ontology.save").click()
    view.says("ontology.values", "An open slot")
    view.unfold("ontology.entities_panel")
    view.element("ontology.entities_file").locator('input[type="file"]').set_input_files(database)
    view.says("ontology.entities_preview", "curry garden")
    view.element("ontology.save_entities").click()
    view.says("ontology.entities", "restaurant_db.json")
    view.says("ontology.values", "3")
    view.picture("ontology-entities-dark")
    view.clean()
