"""Decoding, cutting and augmenting audio: every unusable file is named with what to do about it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine import audio


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "tone.flac"
    audio.save_flac(path, tone(2.0))
    return path


def test_what_is_saved_is_loaded(recording: Path) -> None:
    samples = audio.load(recording)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone(2.0), atol=2**-15)
    assert audio.duration(recording) == pytest.approx(2.0)


def test_a_segment_is_cut_at_its_seconds(recording: Path) -> None:
    np.testing.assert_array_equal(audio.load(recording, 0.5, 1.25), audio.load(recording)[8_000:20_000])


def test_an_end_rounded_up_by_a_transcriber_is_the_files_end(recording: Path) -> None:
    assert len(audio.load(recording, 1.0, 2.02)) == 16_000


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_become_16_khz_with_the_same_pitch(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(1.0, rate), rate)
    samples = audio.load(tmp_path / "tone.wav")
    assert len(samples) == pytest.approx(16_000, abs=1)
    assert np.argmax(np.abs(np.fft.rfft(samples))) == pytest.approx(440, abs=1)


def test_channels_are_averaged_or_chosen(tmp_path: Path) -> None:
    left, right = tone(1.0), tone(1.0, hertz=880)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "two.wav"), (left + right) / 2, atol=1e-6)
    np.testing.assert_allclose(audio.load(tmp_path / "two.wav", channel=1), right, atol=1e-6)
    with pytest.raises(audio.AudioError, match="no channel 2; the file has 2"):
        audio.load(tmp_path / "two.wav", channel=2)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(audio.AudioError, match=r"gone\.wav: no such audio file"):
        audio.load(tmp_path / "gone.wav")


@pytest.mark.parametrize("read", [audio.load, audio.duration])
def test_an_upload_that_broke_off_is_named_empty(tmp_path: Path, read) -> None:
    (tmp_path / "broken.wav").touch()
    with pytest.raises(audio.AudioError, match="empty"):
        read(tmp_path / "broken.wav")


@pytest.mark.parametrize("name", ["talk.webm", "talk.m4a", "talk.wav", "talk.raw"])
def test_a_browser_container_says_which_formats_work(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1a\x45\xdf\xa3" + b"not audio " * 50)
    with pytest.raises(audio.AudioError, match="convert it to WAV, FLAC, OGG or MP3"):
        audio.load(tmp_path / name)


def test_a_recording_of_no_length_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0, np.float32), 16_000)
    with pytest.raises(audio.AudioError, match="length 0 s"):
        audio.load(tmp_path / "nothing.wav")


@pytest.mark.parametrize(("start", "end"), [(2.5, 3.0), (1.0, 2.5), (1.5, 1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, 1.00001)])
def test_a_segment_outside_the_file_is_refused(recording: Path, start: float, end: float) -> None:
    with pytest.raises(audio.AudioError, match="segment"):
        audio.load(recording, start, end)


def test_a_file_too_long_for_memory_is_refused_but_its_segments_are_not(recording: Path) -> None:
    with pytest.raises(audio.AudioError, match="longer than 1 s"):
        audio.load(recording, max_seconds=1.0)
    assert len(audio.load(recording, 0.0, 1.0, max_seconds=1.0)) == 16_000


def test_saving_clips_loud_samples_and_leaves_no_partial_file(tmp_path: Path) -> None:
    audio.save_flac(tmp_path / "deep" / "loud.flac", tone(0.5) * 10)
    assert np.abs(audio.load(tmp_path / "deep" / "loud.flac")).max() <= 1.0
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["loud.flac"]


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_length_and_pitch_together(factor: float) -> None:
    faster = audio.change_speed(tone(1.0), factor)
    assert len(faster) == pytest.approx(16_000 / factor, abs=2)
    peak = np.argmax(np.abs(np.fft.rfft(faster))) * 16_000 / len(faster)
    assert peak == pytest.approx(440 * factor, rel=0.01)


def test_speed_one_changes_nothing() -> None:
    samples = tone(0.2)
    assert audio.change_speed(samples, 1.01) is samples


@pytest.mark.parametrize("noise_length", [500, 16_000, 40_000])
def test_noise_of_any_length_meets_the_ratio(noise_length: int) -> None:
    samples = tone(1.0)
    noise = np.random.default_rng(0).normal(size=noise_length).astype(np.float32) * 0.01
    added = audio.add_noise(samples, noise, 10.0) - samples
    ratio = 10 * np.log10((samples**2).sum() / (added**2).sum())
    assert ratio == pytest.approx(10.0, abs=0.01)


def test_a_mix_that_would_clip_is_turned_down() -> None:
    assert np.abs(audio.add_noise(tone(1.0) * 3, tone(1.0, hertz=100), 0.0)).max() <= 1.0


def test_silence_has_no_ratio_and_stays_silent() -> None:
    silence = np.zeros(1_000, np.float32)
    np.testing.assert_array_equal(audio.add_noise(silence, tone(1.0), 10.0), silence)
    samples = tone(0.5)
    np.testing.assert_array_equal(audio.add_noise(samples, silence, 10.0), samples)
