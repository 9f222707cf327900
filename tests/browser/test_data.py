"""The Data page in a real browser: a dry run, an import, an export that comes back, a call cut into turns."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright import sync_api

from engine.dialogue import read_manifest
from studio.services import exchange
from tests.browser.conftest import Studio, View

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned")


def choose(view: View, name: str, option: str) -> None:
    view.field(name).click()
    view.page.get_by_role("option", name=option).first.click()


def test_a_corpus_comes_in_after_a_dry_run_and_goes_out_as_an_archive(
    studio: Studio, open_view: Callable[..., View], tmp_path: Path
) -> None:
    view = open_view(studio)
    view.go("data")
    choose(view, "data.import_format", "woz20")
    view.element("data.import_example").get_by_role("button").first.click()
    view.says("data.import_example_text", "woz_train_en.json")
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
    view.page.keyboard.press("Control+A")
    view.page.keyboard.type(text)
    view.page.keyboard.press("Enter")


def seconds(view: View, row: int, wanted: float) -> None:
    """Wait until the player holds that many seconds of sound."""
    script = "() => { const t = document.querySelector('[id=\"data.call_audio\"] #duration'); return t && t.innerText; }"
    view.page.wait_for_function(f"wanted => ({script})() === wanted", arg=f"0:0{wanted:.0f}")


def test_a_call_is_cut_put_right_and_stored(studio: Studio, open_view: Callable[..., View], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.001, (8_000 * 8, 2))
    samples[8_000:16_000, 0] += rng.normal(0, 0.1, 8_000)
    samples[32_000:48_000, 1] += rng.normal(0, 0.1, 16_000)
    soundfile.write(tmp_path / "my call.wav", samples, 8_000)
    view = open_view(studio, width=1280, height=720)
    view.go("data")
    view.element("data.call").locator('input[type="file"]').set_input_files(tmp_path / "my call.wav")
    sync_api.expect(view.element("data.call")).to_contain_text("my call")
    view.element("data.cut").click()
    view.says("data.call_notice", "2 turns")
    view.says("data.call_told", "my call.wav")
    view.element("data.store").scroll_into_view_if_needed()
    view.picture("data-call")
    print(view.element("data.turns").inner_html()[:6000])
    print(view.element("data.call_audio").inner_html()[:6000])
    assert 0
