"""The Data page in a real browser: a dry run, an import, an export that comes back, a call cut into turns."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright import sync_api

from engine.dialogue import read_manifest
from studio.services import calls, exchange
from tests.browser.conftest import Studio, View

pytestmark = pytest.mark.browser

# By format, WOZ 2.0 last, one of the files that the page shows as its example
EXAMPLE_FILES = {
    "manifest": "manifest.jsonl",
    "spokenwoz": "data.json",
    "dstc11": "train_manifest.txt",
    "multiwoz": "testListFile.txt",
    "multiwoz22": "train/schema.json",
    "sgd": "train/schema.json",
    "convlab": "data.zip",
    "table": "turns.csv",
    "woz20": "woz_train_en.json",
}


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned")


def test_a_corpus_comes_in_after_a_dry_run_and_goes_out_as_an_archive(
    studio: Studio, open_view: Callable[..., View], tmp_path: Path
) -> None:
    view = open_view(studio)
    view.go("data")
    view.unfold("data.import_example")
    for name, file in EXAMPLE_FILES.items():
        view.choose("data.import_format", re.compile(f"^{name}:"))
        view.says("data.import_example_text", file)
    view.element("data.dry_run").click()
    view.says("data.plan", "Choose a file to upload, or give a path.")
    view.field("data.path").fill(str(exchange.EXAMPLES / "woz20"))
    view.element("data.dry_run").click()
    view.says("data.plan", "2 (train 1, dev 1)")
    view.picture("data-dry-run")
    view.element("data.import").click()
    view.says("data.import_job", "2 dialogues imported")
    view.element("data.import").click()
    view.says("data.import_job", "It runs without this page")
    view.go("data")  # which finds it again, under way or done
    view.says("data.import_job", "0 dialogues imported")
    view.says("data.import_job", "2, left out")
    view.element("data.import_job").scroll_into_view_if_needed()
    view.picture("data-imported")
    view.element("data.export").click()
    view.says("data.export_notice", "2 dialogues in manifest-")
    with view.page.expect_download() as download:
        view.element("data.download").click()
    download.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "out")
    assert len(read_manifest(tmp_path / "out" / "manifest.jsonl")) == 2
    view.choose("data.split_dialogue", re.compile("· train"))
    view.element("data.move").click()
    view.says("data.split_notice", "moved to test")
    view.unfold("data.moves_panel")
    view.says("data.moves", "train → test")
    view.element("data.moves_panel").scroll_into_view_if_needed()
    view.picture("data-moved")
    view.clean()


def test_an_uploaded_file_that_is_no_manifest_is_refused_with_its_line(
    studio: Studio, open_view: Callable[..., View], tmp_path: Path
) -> None:
    (tmp_path / "broken.jsonl").write_text('{"dialogue_id": "d"}\n')
    view = open_view(studio, dark=True)
    view.go("data")
    view.element("data.upload").locator('input[type="file"]').set_input_files(tmp_path / "broken.jsonl")
    sync_api.expect(view.element("data.upload")).to_contain_text("broken")
    view.element("data.dry_run").click()
    sync_api.expect(view.element("data.plan")).to_have_text("broken.jsonl, line 1: the key 'turns' is missing")
    view.picture("data-refused-dark")
    view.clean()


def cell(view: View, row: int, column: int) -> sync_api.Locator:
    """A cell of the table of turns; rows count from 1, columns too."""
    return view.element("data.turns").locator(f"[data-row='{row - 1}'][data-col='{column - 1}']").first


def type_cell(view: View, row: int, column: int, text: str) -> None:
    cell(view, row, column).dblclick()
    view.page.wait_for_function("document.activeElement.matches('input, textarea')")  # the cell has opened
    view.page.keyboard.press("Control+A")
    view.page.keyboard.type(text)
    view.page.keyboard.press("Enter")


def table(view: View) -> list[list[str]]:
    """The turns as the page shows them."""
    rows = view.element("data.turns").locator("[data-index]")
    return [row.locator('[role="gridcell"]').all_inner_texts() for row in rows.all()]


def hears(view: View, seconds: int) -> None:
    """Wait until the player holds that many whole seconds of sound."""
    sync_api.expect(view.element("data.call_audio").locator("#duration")).to_have_text(f"0:0{seconds}")


def write_call(path: Path, seed: int) -> Path:
    """A call of 8 s: the user speaks from 1 to 2 s on the left, the agent from 4 to 6 s on the right."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.001, (8_000 * 8, 2))
    samples[8_000:16_000, 0] += rng.normal(0, 0.1, 8_000)
    samples[32_000:48_000, 1] += rng.normal(0, 0.1, 16_000)
    soundfile.write(path, samples, 8_000)
    return path


def test_a_call_is_cut_heard_put_right_and_stored(studio: Studio, open_view: Callable[..., View], tmp_path: Path) -> None:
    view = open_view(studio, width=1280, height=720)
    view.go("data")
    view.element("data.call").locator('input[type="file"]').set_input_files(write_call(tmp_path / "my call.wav", 0))
    sync_api.expect(view.element("data.call")).to_contain_text("my call")
    view.element("data.cut").click()
    view.says("data.call_notice", "2 turns")
    hears(view, 1)
    cell(view, 2, 2).click()  # chooses the row
    view.has("data.call_row", "2")
    hears(view, 2)
    play = view.element("data.call_audio").get_by_role("button", name="Play", exact=True)
    play.click()
    view.element("data.call_audio").get_by_role("button", name="Pause", exact=True).wait_for()
    view.element("data.store").scroll_into_view_if_needed()
    view.picture("data-call")
    type_cell(view, 2, 3, "7.8")
    hears(view, 4)
    type_cell(view, 2, 3, "3")
    view.says("data.call_fault", "Row 2 ends (3 s) before it starts (3.8 s)")
    type_cell(view, 2, 3, "9")
    view.says("data.call_fault", "Row 2 ends at 9 s")
    view.element("data.store").click()
    view.says("data.call_notice", "Row 2 ends at 9 s, beyond the recording's 8.00 s")
    view.picture("data-call-refused")
    type_cell(view, 2, 3, "7.8")
    hears(view, 4)
    view.element("data.call_row_split").click()
    sync_api.expect(view.element("data.turns").locator("[data-index]")).to_have_count(3)
    view.field("data.call_name").fill("by hand")
    view.field("data.call_name").blur()
    view.says("data.call_notice", "3 turns, kept")
    left = table(view)
    view.go("data")  # the reload brings back what was left
    view.has("data.call_name", "by hand")
    view.says("data.call_notice", "Here is what you left of it")
    view.says("data.call_told", "my call.wav")
    assert table(view) == left
    with view.page.expect_download() as download:
        view.element("data.call_csv").click()
    assert download.value.suggested_filename == "my call.csv"
    assert [row[0] for row in calls.read_table(download.value.path())] == ["user", "agent", "agent"]
    view.field("data.call_row").fill("2")
    view.field("data.call_row").blur()
    view.element("data.call_row_merge").click()
    sync_api.expect(view.element("data.turns").locator("[data-index]")).to_have_count(2)
    view.element("data.store").click()
    view.says("data.call_notice", "saved")
    sync_api.expect(view.element("data.turns")).to_be_hidden()
    view.go("data")
    sync_api.expect(view.element("data.turns")).to_be_hidden()
    view.clean()


def test_a_call_of_this_machine_is_cut_where_it_lies_and_what_was_left_of_it_comes_back(
    studio: Studio, open_view: Callable[..., View], tmp_path: Path
) -> None:
    here = write_call(tmp_path / "here.wav", 1)
    view = open_view(studio, dark=True)
    view.go("data")
    view.field("data.call_path").fill(str(tmp_path / "there.wav"))
    view.element("data.cut").click()
    view.says("data.call_notice", "There is no file")
    view.field("data.call_path").fill(str(here))
    view.element("data.cut").click()
    view.says("data.call_notice", "2 turns")
    view.element("data.call_row_delete").click()
    sync_api.expect(view.element("data.turns").locator("[data-index]")).to_have_count(1)
    assert table(view)[0][0] == "agent"
    view.picture("data-call-dark")
    view.field("data.call_path").fill(str(write_call(tmp_path / "another.wav", 2)))
    view.element("data.cut").click()
    view.says("data.call_told", "another.wav")
    sync_api.expect(view.element("data.turns").locator("[data-index]")).to_have_count(2)
    view.field("data.call_path").fill(str(here))
    view.element("data.cut").click()
    view.says("data.call_notice", "Here is what you left of it")
    sync_api.expect(view.element("data.turns").locator("[data-index]")).to_have_count(1)
    view.element("data.cut").click()
    view.says("data.call_notice", "2 turns")
    sync_api.expect(view.element("data.turns").locator("[data-index]")).to_have_count(2)
    view.field("data.call_left").click()  # the other is on the list
    view.page.get_by_role("option", name="another.wav · 2 turns").click()
    view.says("data.call_told", "another.wav")
    for name in ("here.wav", ""):
        view.element("data.call_discard").click()
        view.element("data.call_discard_yes").click()
        if name:
            view.says("data.call_told", name)
            sync_api.expect(view.element("data.call_left")).to_be_hidden()
    sync_api.expect(view.element("data.turns")).to_be_hidden()
    view.clean()


def test_what_is_too_large_to_upload_is_told_what_to_do(studio: Studio, open_view: Callable[..., View], tmp_path: Path) -> None:
    with (tmp_path / "long.wav").open("wb") as file:
        file.truncate(501 * 2**20)
    view = open_view(studio)
    view.go("data")
    view.element("data.call").locator('input[type="file"]').set_input_files(tmp_path / "long.wav")
    told = view.page.get_by_role("alert").filter(has_text="long.wav has 501 MB, and 500 MB can be uploaded")
    sync_api.expect(told).to_contain_text("give its path on the Data page")
    view.picture("data-too-large")
    view.element("data.call").locator('input[type="file"]').set_input_files(write_call(tmp_path / "short.wav", 3))
    sync_api.expect(view.element("data.call")).to_contain_text("short")
    sync_api.expect(told).to_have_count(0)
    view.clean()
