"""One long recording of a call, cut into turns: a speaker a channel where there are two, else at silences.

A frame counts as speech by its energy between the channel's own noise floor and speech level; short dips are bridged
(hangover), clicks are dropped. Where two channels carry a speaker each, what is much louder on the other one is its echo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from engine import audio
from engine.dialogue import SPEAKERS

Channels = Literal["auto", "separate", "mixed"]
MIN_SILENCE = 0.8  # seconds: people pause for less within a sentence

_FRAME = 0.02  # seconds
_BLOCK = 3_000  # frames decoded at a time
_PAUSE = 9  # frames over which the quietest place is looked for
_SHARE = 0.2  # of the way from noise floor to speech level in dB
_FLOOR = -70.0  # dB: telephone lines send digital silence, which would put the floor nowhere
_RANGE = 12.0  # dB that speech at least stands out from its background
_ECHO = 8.0  # dB by which the other channel has to be louder for this one to be its echo
_HANGOVER = 0.25  # seconds of quiet inside a word or between two words
_CLICK = 0.12  # seconds; shorter sounds are no speech
_PAD = 0.2  # seconds kept on either side: beginnings and ends of words are quiet


@dataclass(frozen=True)
class CutTurn:
    """A turn of a call; seconds. ``channel`` is ``None`` where all speak on one."""

    speaker: str
    start: float
    end: float
    channel: int | None = None


def cut_call(
    path: str | Path, channels: Channels = "auto", min_silence: float = MIN_SILENCE, user_channel: int = 0
) -> list[CutTurn]:
    """Cut a recording into turns, in the order they begin.

    Args:
        channels: ``separate``: one speaker a channel, of two; ``mixed``: all on one, and speakers are taken to alternate,
            the user first, which somebody has to check; ``auto``: separate if there are two channels that differ.
        min_silence: seconds of quiet that end a turn; lower it where turns run together.
        user_channel: the user's channel, 0 or 1.

    Raises:
        audio.AudioError: not a usable recording, no speech in it, or one channel where two are needed.
    """
    duration = audio.duration(path)
    header = soundfile.info(str(path))
    if channels == "separate" and header.channels != 2:
        raise audio.AudioError(f"{path}: a channel for each speaker takes 2 channels, not {header.channels}; cut it as mixed")
    levels = [_levels(path, header.samplerate, channel) for channel in range(header.channels)]
    if channels == "auto":
        differ = header.channels == 2 and float(np.mean(np.abs(levels[0] - levels[1]))) > 1.0
        channels = "separate" if differ else "mixed"
    if channels == "separate":
        turns = []
        for channel, level in enumerate(levels):
            mine = _speech(level) & (level > levels[1 - channel] - _ECHO)
            speaker = SPEAKERS[channel != user_channel]
            turns += [CutTurn(speaker, *span, channel) for span in _spans(mine, level, min_silence, duration)]
        turns.sort(key=lambda turn: (turn.start, turn.end))
    else:
        level = levels[0] if header.channels == 1 else _levels(path, header.samplerate, None)
        spans = _spans(_speech(level), level, min_silence, duration)
        turns = [CutTurn(SPEAKERS[number % 2], *span) for number, span in enumerate(spans)]
    if not turns:
        raise audio.AudioError(f"{path}: no speech found; listen to it, and give another recording")
    return turns


def quietest(path: str | Path, start: float, end: float, channel: int | None = None) -> float:
    """The second, in the middle half of ``start``..``end``, at which it is quietest: where a turn is best cut in two.

    Raises:
        audio.AudioError: no such part of a usable recording, or too short to be cut.
    """
    rate = audio.sampling_rate(path)
    level = _level(audio.load(path, start, end, channel, sample_rate=rate), rate)
    level = np.convolve(level, np.ones(_PAUSE) / _PAUSE, "same")  # a pause between two words, not within one
    first, last = len(level) // 4, len(level) - len(level) // 4
    if first < _PAUSE:
        raise audio.AudioError(f"{path}: {end - start:.2f} s are too short to be cut in two")
    return round(start + (first + int(np.argmin(level[first:last])) + 0.5) * _FRAME, 2)


def _levels(path: str | Path, rate: int, channel: int | None) -> np.ndarray:
    """Energy of each frame of a recording in dB, shape (frames,); hours of it take megabytes."""
    return np.concatenate([_level(block, rate) for block in audio.blocks(path, _BLOCK * round(_FRAME * rate), channel)])


def _level(samples: np.ndarray, rate: int) -> np.ndarray:
    """Energy of each frame in dB, shape (frames,)."""
    size = round(_FRAME * rate)
    frames = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    return 10 * np.log10(np.maximum(np.mean(np.square(frames), axis=1), 10 ** (_FLOOR / 10)))


def _speech(level: np.ndarray) -> np.ndarray:
    """Which frames are speech, before hangover."""
    floor, loud = np.percentile(level, (10, 98))
    if loud - floor < _RANGE:
        # The same loudness throughout: speech without a pause, or nothing
        return np.full(len(level), bool(loud > _FLOOR + 2 * _RANGE))
    return level > floor + _SHARE * (loud - floor)


def _spans(speech: np.ndarray, level: np.ndarray, min_silence: float, duration: float) -> Iterator[tuple[float, float]]:
    """Seconds of each turn: pieces of speech joined over shorter silences, cut again where they are too long for a turn."""
    pieces = [piece for piece in _joined(_runs(speech), _HANGOVER) if (piece[1] - piece[0]) * _FRAME >= _CLICK]
    pad, longest = round(_PAD / _FRAME), int(audio.MAX_TURN_SECONDS / _FRAME) - 1
    for first, last in _joined(pieces, max(min_silence, 2 * _PAD)):
        first, last = max(first - pad, 0), min(last + pad, len(speech))
        while last - first > longest:
            middle = first + longest // 2
            cut = middle + int(np.argmin(level[middle : first + longest]))
            yield round(first * _FRAME, 2), round(cut * _FRAME, 2)
            first = cut
        yield round(first * _FRAME, 2), round(min(last * _FRAME, duration), 2)


def _runs(speech: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], speech, [False])).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _joined(runs: list[tuple[int, int]], seconds: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and (first - joined[-1][1]) * _FRAME < seconds:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
