"""The report in a real browser, opened from disk: links, counts, filters, audio, nasty texts, two thousand turns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from tests.browser.conftest import sync_api
from tests.engine.report.conftest import SAMPLE, inputs, write_lines  # noqa: F401

pytestmark = pytest.mark.browser

Open = Callable[[Path], sync_api.Page]
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"q\" 's' <!-- שלום \u202e 😀 \u2028 {{ 7*7 }}"


def write_report(out: Path, *options: object) -> Path:
    done = CliRunner().invoke(app, ["report", "--out", str(out), *map(str, options)])
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def page_of_two(inputs: Path) -> Path:  # noqa: F811
    pair = ("--predictions", inputs / "first.jsonl", "--compare", inputs / "second.jsonl")
    return write_report(inputs / "two.html", "--manifest", SAMPLE, *pair, "--ontology", inputs / "ontology.json")


@pytest.fixture(scope="module")
def page_of_one(inputs: Path) -> Path:  # noqa: F811
    return write_report(inputs / "one.html", "--manifest", SAMPLE, "--predictions", inputs / "first.jsonl", "--audio", "wrong")


@pytest.fixture
def open_report(browser: sync_api.Browser) -> Iterator[Open]:
    """Open a report without a network; afterwards nothing may have gone wrong or been asked for."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    faults: list[str] = []

    def open_(file: Path) -> sync_api.Page:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or faults.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_
    context.close()
    assert not faults


FOLLOW = """() => [...document.querySelectorAll("a[data-counts]")].map((link) => {
  history.replaceState(null, "", link.getAttribute("href"));
  dispatchEvent(new HashChangeEvent("hashchange"));
  const expected = JSON.parse(link.dataset.counts), found = JSON.parse(document.getElementById("sums").dataset.counts);
  const wrong = Object.keys(expected).filter((key) => expected[key] !== found[key]);
  return [link.getAttribute("href"), wrong.map((key) => `${key}: ${expected[key]} in the table, ${found[key]} in the list`)];
})"""


def counted(page: sync_api.Page) -> dict[str, int]:
    return json.loads(page.locator("#sums").get_attribute("data-counts") or "")


@pytest.mark.parametrize("which", ["page_of_one", "page_of_two"])
def test_every_number_and_mark_leads_to_the_turns_it_was_counted_on(
    which: str, request: pytest.FixtureRequest, open_report: Open
) -> None:
    links = open_report(request.getfixturevalue(which)).evaluate(FOLLOW)
    assert len(links) > 80
    assert [link for link in links if link[1]] == []


def test_a_click_on_a_number_shows_its_turns_and_back_returns(page_of_two: Path, open_report: Open) -> None:
    page = open_report(page_of_two)
    page.get_by_role("group", name="Per slot").get_by_role("row", name="restaurant-food").get_by_role("link").first.click()
    sync_api.expect(page.locator("#turns")).to_be_focused()
    sync_api.expect(page.locator("select[name=slot]")).to_have_value("restaurant-food")
    shown = counted(page)["turns"]
    assert 0 < shown == page.locator("#list > .card").count() < len(read_lines(page_of_two))
    page.go_back()
    sync_api.expect(page.locator("select[name=slot]")).to_have_value("")


def test_filters_combine_and_are_kept_in_the_address(page_of_two: Path, open_report: Open) -> None:
    page = open_report(page_of_two)
    page.get_by_label("status").select_option("wrong")
    page.get_by_label("text").fill("EXPENSIF")
    sync_api.expect(page).to_have_url(page_of_two.as_uri() + "#status=wrong&q=EXPENSIF")
    cards = page.locator("#list > .card")
    assert cards.count() == counted(page)["turns"] > 0
    for text in cards.all_text_contents():
        assert "✗ wrong" in text and "expensif" in text
    page.get_by_role("button", name="Show all").click()
    assert counted(page)["turns"] == len(read_lines(page_of_two))


def test_a_turn_shows_words_slots_conversation_and_raw_output(page_of_two: Path, open_report: Open) -> None:
    page = open_report(page_of_two)
    page.goto(page_of_two.as_uri() + "#words=substitute&kind=substitution")
    card = page.locator("#list > .card").first
    assert card.locator("ins").first.inner_text() == "uh"
    row = card.locator(".diff tr.substitution").first
    assert "expensif" in row.inner_text() and "≠ wrong value" in row.inner_text() and "score" in row.inner_text()
    assert "oracle" in card.locator(".diff thead").first.inner_text()
    card.locator("summary", has_text="raw output").first.click()
    assert card.locator("pre").first.inner_text().startswith('{"transcript": "uh')
    page.goto(page_of_two.as_uri() + "#depth=2")
    page.reload()
    card.locator("summary", has_text="conversation").click()
    assert card.locator(".talk li").count() == 2


def test_a_clip_plays_from_inside_the_page(page_of_one: Path, open_report: Open) -> None:
    page = open_report(page_of_one)
    assert "right turns have none" in page.locator(".facts").inner_text()
    page.get_by_label("status").select_option("wrong")
    page.get_by_role("button", name="play turn").first.press("Enter")
    moves = "new Promise(done => audio.ontimeupdate = () => audio.currentTime > .1 && done(true))"
    assert page.locator("audio").first.evaluate(f"audio => audio.currentTime > .1 || {moves}")
    assert page.locator("audio").first.evaluate("audio => audio.duration") > 1


def test_nothing_breaks_out_of_its_place(tmp_path: Path, open_report: Open) -> None:
    state = {NASTY: {NASTY: NASTY}}
    turns = [
        {"turn_id": 0, "speaker": "user", "transcript": NASTY, "state": state},
        {"turn_id": 1, "speaker": "agent", "transcript": NASTY},
        {"turn_id": 2, "speaker": "user", "transcript": "hello", "state": {}},
    ]
    manifest = write_lines(tmp_path / "m.jsonl", [{"dialogue_id": NASTY, "turns": turns}])
    answer = {"dialogue_id": NASTY, "transcript": NASTY, "state": state, "confidence": {}, "raw": NASTY, "valid": True}
    predictions = write_lines(tmp_path / "p.jsonl", [answer | {"turn_id": 0}, answer | {"turn_id": 2}])
    (tmp_path / "o.json").write_text(json.dumps({"built_from": "train", "values": {NASTY: {NASTY: [NASTY]}}}))
    pair = ("--predictions", predictions, "--compare", predictions, "--names", NASTY, "<b>other</b>")
    out = write_report(tmp_path / "r.html", "--manifest", manifest, *pair, "--ontology", tmp_path / "o.json")
    page = open_report(out)
    assert page.locator("img, #list b, h1 b, bdi > *, iframe").count() == 0
    assert page.locator("script:not([type])").count() == 1
    assert "<b>other</b>" in page.locator("h1").inner_text()
    assert [link for link in page.evaluate(FOLLOW) if link[1]] == []
    page.goto(out.as_uri() + "#status=")
    page.reload()
    page.locator("select[name=slot]").select_option(index=1)
    assert counted(page)["turns"] == 2
    assert NASTY.split()[0] in page.locator("#list > .card").first.inner_text()


def test_two_thousand_turns_stay_quick(tmp_path: Path, open_report: Open) -> None:
    lines, found = [], []
    for number in range(250):
        turns = []
        for turn in range(8):
            state = {"hotel": {f"slot{place}": f"value {place}" for place in range(turn + 1)}}
            turns.append({"turn_id": turn, "speaker": "user", "transcript": "a quiet room please", "state": state})
            answer = {"hotel": state["hotel"] | ({"slot0": "other"} if (number + turn) % 3 else {})}
            found.append({"dialogue_id": f"d{number}", "turn_id": turn, "transcript": "a quiet broom please", "state": answer})
        lines.append({"dialogue_id": f"d{number}", "turns": turns})
    files = write_lines(tmp_path / "m.jsonl", lines), write_lines(tmp_path / "p.jsonl", found)
    out = write_report(tmp_path / "r.html", "--manifest", files[0], "--predictions", files[1])
    begun = time.monotonic()
    page = open_report(out)
    page.wait_for_selector("#list > .card")
    assert time.monotonic() - begun < 5
    assert page.locator("#list > .card").count() < 100
    spent = page.evaluate("""() => {
      const begun = performance.now();
      history.replaceState(null, "", "#status=wrong&slot=hotel-slot0");
      dispatchEvent(new HashChangeEvent("hashchange"));
      return performance.now() - begun;
    }""")
    assert spent < 1000 and counted(page)["turns"] == counted(page)["wrong"] > 1000


def read_lines(page: Path) -> list[str]:
    """The predictions a report of the made-up systems shows."""
    return (page.parent / "first.jsonl").read_text(encoding="utf-8").splitlines()
