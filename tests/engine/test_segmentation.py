"""A call is cut where people stop, and each turn is its speaker's."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio import MAX_TURN_SECONDS, AudioError
from engine.segmentation import cut_call

SPOKENWOZ = Path(__file__).resolve().parents[3] / "shared" / "data" / "spokenwoz"
RATE = 8_000


def call(path: Path, *spoken: list[tuple[float, float]], seconds: float = 20.0, echo: float = 0.0) -> Path:
    """Noise bursts at the given seconds of each channel, with background noise and the other channel's echo."""
    rng = np.random.default_rng(0)
    clean = np.zeros((round(seconds * RATE), len(spoken)))
    for channel, spans in enumerate(spoken):
        for start, end in spans:
            first, last = round(start * RATE), round(end * RATE)
            clean[first:last, channel] = rng.normal(0, 0.1, last - first)
    noisy = clean + echo * clean[:, ::-1] + rng.normal(0, 0.001, clean.shape)
    soundfile.write(path, noisy, RATE, subtype="PCM_16")
    return path


def near(turns: list, expected: list[tuple[str, float, float]]) -> bool:
    return [turn.speaker for turn in turns] == [speaker for speaker, *_ in expected] and all(
        abs(turn.start - start) < 0.25 and abs(turn.end - end) < 0.25
        for turn, (_, start, end) in zip(turns, expected, strict=True)
    )


def test_two_channels_are_two_speakers_and_an_echo_is_no_turn(tmp_path: Path) -> None:
    path = call(tmp_path / "call.wav", [(1, 3), (3.6, 5), (12, 14)], [(6, 9)], echo=0.1)
    expected = [("user", 1, 5), ("agent", 6, 9), ("user", 12, 14)]
    assert near(cut_call(path), expected)
    assert [turn.channel for turn in cut_call(path)] == [0, 1, 0]
    swapped = {"user": "agent", "agent": "user"}
    assert near(cut_call(path, user_channel=1), [(swapped[speaker], *span) for speaker, *span in expected])


def test_one_channel_is_cut_at_silences_and_speakers_alternate(tmp_path: Path) -> None:
    path = call(tmp_path / "call.wav", [(1, 3), (3.6, 5), (7, 9)])
    assert near(cut_call(path), [("user", 1, 5), ("agent", 7, 9)])
    assert near(cut_call(path, min_silence=0.5), [("user", 1, 3), ("agent", 3.6, 5), ("user", 7, 9)])
    assert {turn.channel for turn in cut_call(path)} == {None}


def test_clicks_are_no_turns_and_a_copied_channel_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mono, _ = soundfile.read(call(tmp_path / "mono.wav", [(1, 3), (5, 5.05), (7, 9)]))
    soundfile.write(tmp_path / "both.wav", np.stack([mono, mono], 1) + rng.normal(0, 1e-5, (len(mono), 2)), RATE)
    assert near(cut_call(tmp_path / "both.wav"), [("user", 1, 3), ("agent", 7, 9)])


def test_a_monologue_is_cut_into_turns_the_model_can_read(tmp_path: Path) -> None:
    turns = cut_call(call(tmp_path / "long.wav", [(1, 299)], seconds=360))
    assert all(turn.end - turn.start <= MAX_TURN_SECONDS for turn in turns)
    assert (round(turns[0].start), round(turns[-1].end)) == (1, 299)
    assert all(before.end == after.start for before, after in pairwise(turns))


def test_silence_and_one_channel_for_two_speakers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no speech found"):
        cut_call(call(tmp_path / "silent.wav", []))
    with pytest.raises(AudioError, match="takes 2 channels, not 1"):
        cut_call(call(tmp_path / "mono.wav", [(1, 2)]), "separate")


@pytest.mark.skipif(not SPOKENWOZ.is_dir(), reason="SpokenWOZ (../shared/data) is not here")
@pytest.mark.parametrize("name", ["SNG0072", "SNG0480", "SNG0696", "SNG1263", "MUL1423"])
def test_words_of_real_calls_lie_in_turns_of_their_speaker(name: str) -> None:
    words = json.loads((SPOKENWOZ / "text" / f"{name}.json").read_text())
    turns = cut_call(SPOKENWOZ / "audio" / f"{name}.wav")
    spoken = {"user": "A", "agent": "B"}

    def covered(word: dict, same: bool) -> bool:
        middle = (word["start"] + word["end"]) / 2
        return any(t.start <= middle <= t.end and (spoken[t.speaker] == word["speaker"]) == same for t in turns)

    right, wrong = (sum(covered(word, same) for word in words) / len(words) for same in (True, False))
    # The word times are a recogniser's and reach into pauses: nearly all words, and hardly one only with the other speaker
    assert right > 0.85
    assert wrong < 0.1
