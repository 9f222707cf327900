"""Talking to the studio: a microphone that hears two sentences, by hand and hands-free, prepared dialogues, no microphone."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from tests.browser.conftest import SAMPLE, Studio, View, sync_api

pytestmark = pytest.mark.browser

SPOKEN = "woz20-dev-0615-000.flac"  # the sample's first prepared turn
NOISE = 0.001  # amplitude of a quiet room
REFUSED = {
    "refused": (
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))",
        "allow it beside the address, or upload a recording",
    ),
    "none": (
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotFoundError'))",
        "connect one, or upload a recording",
    ),
    "insecure": (
        "Object.defineProperty(window, 'isSecureContext', {value: false})",
        "open the studio on localhost or over HTTPS, or upload a recording",
    ),
}


@pytest.fixture(scope="module")
def sentence() -> float:
    """Seconds of the sentence that the microphone hears twice."""
    return soundfile.info(SAMPLE / SPOKEN).duration


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the microphone hears, once: 2 s of a quiet room, a sentence, 2 s, the sentence again, silence."""
    samples, rate = soundfile.read(SAMPLE / SPOKEN)
    pause = np.zeros(2 * rate)
    heard = np.concatenate([pause, samples, pause, samples, np.zeros(60 * rate)])
    heard += np.random.default_rng(0).normal(0, NOISE, len(heard))
    wav = tmp_path_factory.mktemp("two") / "two.wav"
    soundfile.write(wav, heard, rate, subtype="PCM_16")
    return f"{wav}%noloop"


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned")


@pytest.fixture
def view(studio: Studio, open_view: Callable[..., View]) -> View:
    view = open_view(studio, width=1280, height=720)
    view.new_dialogue()
    return view


def part(view: View, name: str) -> sync_api.Locator:
    return view.page.locator(f'[data-part="{name}"]')


def turns(view: View) -> sync_api.Locator:
    return view.element("talk.conversation").locator("li")


def spoken(view: View) -> list[float]:
    """Seconds of every turn, as the page says."""
    return [float(seconds) for seconds in re.findall(r"([\d.]+) s of speech", view.element("talk.conversation").inner_text())]


def test_hands_free_makes_a_turn_of_each_sentence(view: View, sentence: float) -> None:
    part(view, "hands-free").click()
    for state in ("Listening", "Hearing you", "Thinking", "Listening"):
        sync_api.expect(part(view, "state")).to_have_text(state)
    sync_api.expect(turns(view)).to_have_count(2)
    view.says("talk.state", "State after turn 2")
    view.says("talk.state", "real-time factor")
    sync_api.expect(part(view, "message")).to_contain_text("after the turn ended")
    # the whole sentence, with what came before it, and less than the pause around it
    assert all(sentence - 0.3 < seconds < sentence + 2 for seconds in spoken(view)), spoken(view)
    part(view, "hands-free").click()
    view.picture("talk-hands-free")
    view.clean()


def test_space_held_down_is_one_turn(view: View) -> None:
    for key_presses in (1, 2):
        view.page.keyboard.down("Space")
        sync_api.expect(part(view, "state")).to_have_text("Hearing you")
        view.page.wait_for_timeout(4_000)
        view.page.keyboard.up("Space")
        sync_api.expect(turns(view)).to_have_count(key_presses)
        view.says("talk.state", f"State after turn {key_presses}")
    assert all(3.5 < seconds < 6 for seconds in spoken(view)), spoken(view)
    view.field("talk.agent_text").press("Space")  # typed, not held
    sync_api.expect(part(view, "state")).to_have_text("Ready")
    view.element("talk.speaker").get_by_label("Agent").check()
    view.record(2)
    sync_api.expect(turns(view)).to_have_count(3)
    sync_api.expect(turns(view).last).to_contain_text("agent")
    sync_api.expect(view.element("talk.speaker").get_by_label("User")).to_be_checked()  # one reply, then the user again
    view.says("talk.state", "State after turn 2")
    view.clean()


@pytest.mark.parametrize("why", REFUSED)
def test_without_a_microphone_one_sentence_says_what_to_do_and_uploads_work(
    studio: Studio, open_view: Callable[..., View], why: str
) -> None:
    script, words = REFUSED[why]
    view = open_view(studio)
    view.page.add_init_script(script)
    view.new_dialogue()
    part(view, "hands-free").click()
    sync_api.expect(part(view, "message")).to_contain_text(words)
    sync_api.expect(part(view, "hands-free")).to_have_attribute("aria-pressed", "false")
    view.upload(SAMPLE / SPOKEN)
    view.says("talk.state", "State after turn 1")
    view.clean()


def test_a_prepared_dialogue_plays_to_its_end_and_goes_to_annotation(view: View) -> None:
    part(view, "play-all").click()
    sync_api.expect(turns(view)).to_have_count(2)
    part(view, "play-all").click()  # stops
    sync_api.expect(part(view, "play-all")).to_have_attribute("aria-pressed", "false")
    view.says("talk.conversation", "no international restaurants")
    view.element("talk.next").click()
    sync_api.expect(turns(view)).to_have_count(3)
    view.says("talk.state", "north")
    for count in (4, 5):
        view.element("talk.next").click()
        sync_api.expect(turns(view)).to_have_count(count)
    view.says("talk.state", "chinese")
    view.element("talk.microphone").locator("summary").click()
    part(view, "big").check()
    sync_api.expect(turns(view).last).to_be_in_viewport(ratio=0.95)  # what was said last stays in sight
    assert view.page.evaluate("document.documentElement.scrollHeight") <= 720, "big type fills the screen and no more"
    view.picture("talk-big")
    view.element("talk.microphone").locator("summary").click()
    view.element("talk.send").click()
    view.says("talk.notice", "3 turns in the queue")
    view.element("talk.notice").get_by_role("link").click()
    view.says("correct.title", "Turn 1")
    view.clean()
