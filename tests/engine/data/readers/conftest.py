"""Recordings in the formats corpora come in, made here: noise bursts, so that no corpus's content is needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Sound = Callable[..., Path]


@pytest.fixture(scope="session")
def sound() -> Sound:
    """Write a recording: ``sound(path, seconds, rate, channels)``; the suffix decides the format, .sph is two-channel mu-law."""

    def write(path: Path, seconds: float = 1.0, rate: int = 16_000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
        if path.suffix == ".sph":
            soundfile.write(path, samples, rate, format="NIST", subtype="ULAW")
        else:
            soundfile.write(path, samples, rate)
        return path

    return write
