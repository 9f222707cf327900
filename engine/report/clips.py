"""The recordings inside a report: each turn as a small Ogg Opus clip, as many as the size limit allows."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track

from engine import audio
from engine.dialogue import Turn

# libsndfile's scale from 0 to 1; 0.95 is some 19 kbit/s for speech at 16 kHz, which sounds like the recording.
_COMPRESSION = 0.95
_MANY = 100


@dataclass
class Clips:
    """Clips by row number, in base64, and their seconds; how many bytes they take, and how many turns had to go without."""

    clips: dict[int, str] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    size: int = 0
    over_limit: int = 0
    missing: list[str] = field(default_factory=list)


def make_clips(turns: Collection[tuple[int, Turn]], limit: int) -> Clips:
    """Compress turns until ``limit`` bytes of base64 are reached; the rest go without.

    A recording that cannot be read is not a reason to have no report: it is listed under ``missing``.
    """
    result = Clips()
    full = False
    shown = Console(stderr=True)  # a thousand clips take a minute or two
    for number, turn in track(turns, "Compressing audio", console=shown, transient=True, disable=len(turns) < _MANY):
        if full:
            result.over_limit += 1
            continue
        try:
            samples = audio.load(turn.audio or "", turn.start, turn.end, turn.channel)
        except audio.AudioError as error:
            result.missing.append(str(error))
            continue
        clip = _opus(samples)
        full = result.size + len(clip) > limit
        if full:
            result.over_limit += 1
            continue
        result.clips[number] = clip
        result.seconds[number] = len(samples) / audio.SAMPLE_RATE
        result.size += len(clip)
    return result


def _opus(samples: np.ndarray) -> str:
    file = io.BytesIO()
    clipped = np.clip(samples, -1.0, 1.0)
    soundfile.write(file, clipped, audio.SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=_COMPRESSION)
    return base64.b64encode(file.getvalue()).decode("ascii")
