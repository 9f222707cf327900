"""Spoken manifests: reproducible, resumable, and one voice a dialogue."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from engine import audio
from engine.data.synthesis import Settings, SynthesisError, app, synthesise, write_spoken
from engine.dialogue import Dialogue, Turn, read_manifest, write_manifest

pytestmark = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)
VOICES = ("flite-awb", "flite-kal16", "espeak-en-us")


def dialogue(name: str, *texts: str) -> Dialogue:
    turns = []
    for text in texts:
        turns.append(Turn(len(turns), "user", text, state={"restaurant": {"food": text.split()[0]}}))
        turns.append(Turn(len(turns), "agent", "anything else"))
    return Dialogue(name, turns, "train", "test", "CC0-1.0")


TWO = [dialogue("a/1", "thai please", "thank you"), dialogue("b", "greek please")]


def speak(out: Path, dialogues: list[Dialogue] = TWO, copies: int = 1, noise: str | None = None) -> list[Dialogue]:
    settings = Settings(VOICES, copies, 3, noise, 1.0 if noise else 0.0)
    return list(write_spoken(synthesise(dialogues, out, settings, workers=1), out))


def sounds(dialogues: list[Dialogue]) -> dict[str, bytes]:
    return {
        f"{spoken.dialogue_id} {turn.turn_id}": audio.load(turn.audio).tobytes()
        for spoken in dialogues
        for turn in spoken.user_turns()
        if turn.audio
    }


def test_user_turns_are_spoken_and_everything_else_is_kept(tmp_path: Path) -> None:
    speak(tmp_path)
    read = read_manifest(tmp_path / "manifest.jsonl")
    assert [spoken.dialogue_id for spoken in read] == ["a/1", "b"]
    for spoken, text in zip(read, TWO, strict=True):
        assert len({turn.voice for turn in spoken.user_turns()}) == 1
        for turn, source in zip(spoken.turns, text.turns, strict=True):
            assert (turn.transcript, turn.state) == (source.transcript, source.state)
            assert (turn.audio is None) == (turn.speaker == "agent")
            if turn.audio:
                assert soundfile.info(turn.audio).samplerate == 16_000
                assert Path(turn.audio).is_relative_to(tmp_path / "audio")


def test_the_same_seed_gives_the_same_sound_whatever_else_is_spoken(tmp_path: Path) -> None:
    alone = sounds(speak(tmp_path / "alone", TWO[1:]))
    assert alone.items() <= sounds(speak(tmp_path / "both")).items()


def test_copies_have_other_voices_and_names(tmp_path: Path) -> None:
    spoken = speak(tmp_path, TWO[1:], copies=3)
    assert [copy.dialogue_id for copy in spoken] == ["b-c1", "b-c2", "b-c3"]
    assert {copy.turns[0].voice for copy in spoken} == set(VOICES)


def test_a_stopped_run_goes_on_without_speaking_again(tmp_path: Path) -> None:
    settings = Settings(VOICES, 1, 3, None, 0.0)
    running = write_spoken(synthesise(TWO, tmp_path, settings, workers=1), tmp_path)
    first = next(running)
    running.close()
    assert [spoken.dialogue_id for spoken in read_manifest(tmp_path / "manifest.jsonl")] == ["a/1"]
    written = {turn.audio: Path(turn.audio).stat().st_mtime_ns for turn in first.user_turns() if turn.audio}
    assert len(speak(tmp_path)) == 2
    assert written == {path: Path(path).stat().st_mtime_ns for path in written}


def test_a_folder_never_mixes_two_settings(tmp_path: Path) -> None:
    speak(tmp_path)
    with pytest.raises(SynthesisError, match="made with another copies"):
        speak(tmp_path, copies=2)


def test_noise_is_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    hiss = np.random.default_rng(0).normal(size=32_000) * 0.1
    soundfile.write(tmp_path / "noise" / "hiss.wav", hiss, 16_000)
    soundfile.write(tmp_path / "noise" / "click.wav", hiss[:800], 16_000)
    noisy = speak(tmp_path / "noisy", TWO[1:], noise=str(tmp_path / "noise"))
    clean = speak(tmp_path / "clean", TWO[1:])
    quiet, loud = (audio.load(str(spoken[0].turns[0].audio))[:400] for spoken in (clean, noisy))
    assert np.abs(quiet).max() == 0 < np.abs(loud).max()


def test_a_noise_folder_without_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="no sound files"):
        speak(tmp_path / "out", noise=str(tmp_path))


def test_the_command_interleaves_manifests_and_says_which_voices_it_left_out(tmp_path: Path) -> None:
    write_manifest(tmp_path / "one.jsonl", [dialogue("1", "thai"), dialogue("2", "greek")])
    write_manifest(tmp_path / "two.jsonl", [dialogue("3", "fish")])
    arguments = [
        str(tmp_path / "one.jsonl"),
        str(tmp_path / "two.jsonl"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(app, [*arguments, "--voices", "flite,kokoro"])
    assert done.exit_code == 0, done.output
    assert "left out: voice kokoro-am_adam needs" in done.output
    assert [spoken.dialogue_id for spoken in read_manifest(tmp_path / "out" / "manifest.jsonl")] == ["1", "3", "2"]
    assert json.loads((tmp_path / "out" / "synthesis.json").read_text())["voices"] == [
        "flite-awb",
        "flite-kal16",
        "flite-slt",
    ]


@pytest.mark.parametrize(
    ("voices", "says"),
    [("kokoro-am_adam", "needs"), ("nobody", "no voice 'nobody'"), ("kokoro", "none of these voices")],
)
def test_the_command_ends_with_2_and_one_sentence(tmp_path: Path, voices: str, says: str) -> None:
    write_manifest(tmp_path / "one.jsonl", TWO)
    done = CliRunner().invoke(app, [str(tmp_path / "one.jsonl"), "--out", str(tmp_path / "out"), "--voices", voices])
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output
