"""axe-core on every page, light and dark, with something to show on each: nothing serious or critical."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Studio, View, sync_api

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

pytestmark = pytest.mark.browser

ASKED = {"resultTypes": ["violations"]}


def violations(page: sync_api.Page, part: str | None = None) -> list[str]:
    found = axe.Axe().run(page, context=part, options=ASKED).response["violations"]
    return [
        f"{item['id']} ({item['impact']}): {node['target']} {node['failureSummary']}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]


# Everything that is folded away
UNFOLD = "() => document.querySelectorAll('button.label-wrap:not(.open)').forEach((button) => button.click())"


@pytest.fixture
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--team")


def test_no_page_has_a_serious_violation(
    studio: Studio, open_view: Callable[..., View], log_in: Callable[[str], View], speech: Path
) -> None:
    gate = open_view(studio)
    gate.page.goto(studio.url)
    gate.page.get_by_role("button", name="Login").wait_for()
    assert not violations(gate.page)
    view, other = log_in("ada"), log_in("cleo")
    for opened in (view, other):
        opened.go("correct?turn=2")
        opened.has("correct.slot.restaurant-area", "north")
    for opened, value, place, told in (
        (other, "west", "correct.notice", "saved"),
        (view, "south", "correct.versions", "Your version, not saved"),
    ):
        opened.field("correct.slot.restaurant-area").fill(value)
        opened.page.keyboard.press("Enter")
        opened.says(place, told)
    assert not violations(view.page, '[id="correct.conflict"]')
    view.go("")
    view.upload(speech)
    view.says("talk.state", "cheap")
    view.element("talk.microphone").locator("summary").click()
    view.element("talk.project_panel").get_by_role("button", name="New project").click()
    view.element("talk.project_add").click()
    view.page.get_by_text("A project needs a name").wait_for()
    view.page.wait_for_timeout(1_000)  # it fades in
    assert not violations(view.page, ".toast-wrap")
    view.go("data")
    view.field("data.call_path").fill(str(speech))
    view.element("data.cut").click()
    view.says("data.call_notice", "kept")
    pages = [link.get_attribute("href") or "" for link in view.page.locator("nav a").all()]
    assert len(pages) > 5
    faults = {}
    for address in pages:
        if address != pages[0]:
            view.page.goto(f"{view.studio.url}/{address.rpartition('/')[2]}")
        sync_api.expect(view.page.locator('[id$=".hint"]')).to_contain_text(":")
        view.page.evaluate(UNFOLD)
        view.page.add_style_tag(
            content="* { transition: none !important; animation: none !important; }"
        )  # no colours between two
        view.page.wait_for_timeout(1_000)  # Gradio keeps a stream open: a page is never done loading
        for mode in ("light", "dark"):
            view.page.evaluate("dark => document.body.classList.toggle('dark', dark)", mode == "dark")
            if found := violations(view.page):
                faults[address, mode] = found
    assert not faults
    view.clean()
