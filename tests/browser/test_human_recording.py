"""A person's voice, uploaded in the browser, comes back as transcript and state from the real model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import ROOT, Studio, View

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("base_models")]

HUMAN = ROOT.parent / "shared" / "data" / "human_speech"
RECORDINGS = ("picovoice_coffee/1ed43aa9-822a-44d7-b2be-8d4116229b07.flac", "misc/jfk.flac", "google_samples/audio.wav")


@pytest.mark.skipif(not HUMAN.is_dir(), reason="needs the human recordings in ../shared/data/human_speech")
def test_a_human_recording_comes_back_as_transcript_and_state(
    start_studio: Callable[..., Studio], open_view: Callable[..., View], record_property: Callable[[str, object], None]
) -> None:
    view = open_view(start_studio())
    view.new_dialogue()
    for number, recording in enumerate(RECORDINGS, start=1):
        view.upload(HUMAN / recording)
        view.says("talk.state", f"State after turn {number}")
        view.says("talk.notice", "understood in")
        took = re.search(r"understood in ([\d.]+ m?s)", view.element("talk.notice").inner_text())
        record_property(f"compute of {Path(recording).name}", took[1] if took else "")
        print(f"{recording}: {took[1] if took else '?'} of compute")
    turns = view.element("talk.conversation").get_by_role("link", name="correct")
    assert turns.count() == len(RECORDINGS)
    view.picture("talk-human")
    view.clean()
