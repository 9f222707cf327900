"""Voices: who is held out, what a missing engine says, and that each engine here speaks."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from engine.data.voices import VOICES, Speech, Voice, VoiceError, _letters_said, choose


def test_no_person_is_both_trained_on_and_tested() -> None:
    seen = {voice.person for voice in VOICES.values() if not voice.held_out}
    unseen = {voice.person for voice in VOICES.values() if voice.held_out}
    assert not seen & unseen
    assert {"rms", "ked", "joe", "kokoro am_michael", "kokoro af_heart", "kokoro bf_emma"} == unseen


def test_groups_are_chosen_without_the_held_out_voices() -> None:
    assert {voice.name for voice in choose("flite")} == {"flite-awb", "flite-kal16", "flite-slt"}
    assert not any(voice.held_out for voice in choose("seen, kokoro"))
    assert all(voice.held_out for voice in choose("unseen"))
    assert len(choose("seen,unseen")) == len(VOICES)
    assert [voice.name for voice in choose("flite-rms,flite-rms")] == ["flite-rms"]


def test_an_unknown_voice_lists_the_known_ones() -> None:
    with pytest.raises(VoiceError, match=r"no voice 'flite-mary'; choose .*flite-rms"):
        choose("flite-mary")


def test_initials_are_not_read_as_an_article() -> None:
    assert _letters_said("at nine a m or a hotel in c b two") == "at nine A.M. or a hotel in C.B. two"
    assert _letters_said("i need a cheap hotel") == "i need a cheap hotel"


@pytest.mark.parametrize(
    ("voice", "lacks"),
    [("flite-awb", "the program flite"), ("espeak-en-us", "the program espeak-ng"), ("piper-joe", "package piper")],
)
def test_a_missing_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch, voice: str, lacks: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VoiceError, match=f"voice {voice} needs .*{lacks}.*install"):
        Speech().say("hello", VOICES[voice])


def test_a_missing_voice_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert "am_adam.bin" in Speech(tmp_path).missing(VOICES["kokoro-am_adam"])
    assert "en_US-joe-medium.onnx" in Speech(tmp_path).missing(VOICES["piper-joe"])


@pytest.mark.parametrize("name", ["flite-awb", "flite-rms", "festival-kal", "festival-slt", "espeak-en+f3"])
def test_every_installed_voice_speaks(name: str) -> None:
    speech = Speech()
    if lacking := speech.missing(VOICES[name]):
        pytest.skip(lacking)
    for text in ("i need a cheap hotel", 'a "quoted" \\ word at nine a m'):
        samples, rate = speech.say(text, VOICES[name])
        assert samples.dtype == "float32"
        assert 0.5 < len(samples) / rate < 6
        assert 0.05 < abs(samples).max() <= 1


def test_no_two_espeak_variants_sound_the_same() -> None:
    """espeak-ng reads "en-gb+f3" as plain "en-gb" without a word; such a variant would be no other speaker."""
    speech = Speech()
    voices = choose("espeak")
    if lacking := speech.missing(voices[0]):
        pytest.skip(lacking)
    sounds = {speech.say("i need a cheap hotel", voice)[0].tobytes() for voice in voices}
    assert len(sounds) == len(voices)


def test_a_voice_the_engine_does_not_have_is_an_error_and_no_silence() -> None:
    speech = Speech()
    if lacking := speech.missing(VOICES["espeak-en-us"]):
        pytest.skip(lacking)
    with pytest.raises(VoiceError, match="espeak-ng failed"):
        speech.say("hello", Voice("espeak-xx-nowhere", "nobody"))
