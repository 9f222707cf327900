"""The Correct page in a real browser: nothing that is done in the slot form is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Studio, View

pytestmark = pytest.mark.browser

# Chips and fields are used as fast as a machine can, each with a value of its own, while the form is drawn anew all the time.
HAMMER = """async (times) => {
  for (let time = 0; time < times; time++) {
    const form = document.querySelector(".dst-form"), value = `value ${time}`;
    const chip = form.querySelector("button[data-act=set]");
    const fields = form.querySelectorAll("input[name]:not([name=''])");
    if (chip) {
      chip.dataset.value = value;
      chip.click();
    } else if (fields.length) {
      const field = fields[time % fields.length];
      field.focus();
      field.value = value;
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    }
    await new Promise((done) => setTimeout(done, 30));
  }
}"""
TIMES = 30
# The next turn is asked for; till its form is there somebody types on in this one.
LEAVE_AND_TYPE = """async (place) => {
  document.querySelector(".key-n").click();
  const field = document.getElementById(place).querySelector("input");
  field.focus();
  while (field.isConnected) {
    field.value = field.value === "half a val" ? "half a value" : "half a val";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => setTimeout(done, 20));
  }
  return field.value;
}"""

LEAVE_AND_SAY = """async () => {
  const find = (id) => document.getElementById(id).querySelector("input, textarea");
  const [view, field] = [find("correct.on_view"), find("correct.transcript")];
  const first = view.value;
  document.querySelector(".key-n").click();
  field.focus();
  let said;
  while (view.value === first) {
    said = field.value = field.value === "half a w" ? "half a word" : "half a w";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => setTimeout(done, 20));
  }
  return said;
}"""


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned")


@pytest.fixture
def opened(studio: Studio, open_view: Callable[..., View], speech: Path) -> View:
    """A new dialogue of three user turns, the last one open on the Correct page."""
    view = open_view(studio)
    view.talk(speech)
    view.element("talk.conversation").get_by_role("link", name="correct").last.click()
    view.says("correct.title", "Turn 3")
    view.has("correct.slot.restaurant-food", "chinese")
    return view


def test_no_click_is_lost_while_the_form_is_drawn_anew(opened: View) -> None:
    page = opened.page
    refused: list[str] = []
    page.on("response", lambda response: response.status >= 500 and refused.append(response.url))
    page.evaluate(HAMMER, TIMES)
    page.keyboard.press("Escape")
    page.keyboard.press("p")  # what is on its way counts for the turn it was done in
    opened.says("correct.title", "Turn 2")
    with sqlite3.connect(opened.studio.home / "studio.db") as database:
        rows = database.execute("SELECT new FROM revisions WHERE kind = 'state' AND source = 'user'").fetchall()
    saved = {value for (state,) in rows for slots in json.loads(state).values() for value in slots.values()}
    assert saved >= {f"value {time}" for time in range(TIMES)}
    typed = page.evaluate(LEAVE_AND_TYPE, "correct.slot.restaurant-area")
    opened.says("correct.title", "Turn 3")
    page.keyboard.press("p")
    opened.says("correct.title", "Turn 2")
    opened.has("correct.slot.restaurant-area", typed)  # kept as a draft of the turn in whose form it was typed
    opened.says("correct.slots", "your draft, not saved yet")
    said = page.evaluate(LEAVE_AND_SAY)
    opened.says("correct.title", "Turn 3")
    opened.has("correct.transcript", "chinese food")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    opened.says("correct.title", "Turn 2")
    opened.has("correct.transcript", said)
    opened.says("correct.notice", "your draft, not saved yet")
    assert not refused
    opened.clean()
