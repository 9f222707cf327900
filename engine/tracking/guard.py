"""Recordings without speech: silence and noise are answered with no words and an unchanged state.

A model that always writes a sentence writes one for noise too, and puts its slots into the state. What is speech is judged by
Silero VAD, a small network made for it.

Measured (`python -m tests.bench.guard`): of 79 recordings of noise 75 are told apart, heard are three sneezes and one of the
longest; of 433 human recordings of half a second and more none is taken for noise, with noise 5 dB below them one is. Single
words shorter than that are always heard: the network wants a quarter of a second of speech.
"""

from __future__ import annotations

import threading
import warnings
from functools import cache
from typing import Any

import numpy as np
import torch

from engine.audio import SAMPLE_RATE

_threads = torch.get_num_threads()
from silero_vad import get_speech_timestamps, load_silero_vad  # noqa: E402

torch.set_num_threads(_threads)  # importing silero_vad leaves the whole program a single one

_SILENCE = 1e-4  # root mean square, full scale 1: -80 dB, below the noise of any microphone
_SHORTEST = 0.5  # seconds that can be judged
_PEAK = 0.5  # recordings are judged as loud as this, whatever their level
_lock = threading.Lock()  # the network has a state, and there is one for all trackers


def holds_no_speech(samples: np.ndarray) -> bool:
    """Whether the mono 16 kHz ``samples`` are silence or noise."""
    return is_silence(samples) or is_noise(samples)


def is_silence(samples: np.ndarray) -> bool:
    """Whether the samples ``(samples,)`` hold nothing, or nothing that could be heard."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) < _SILENCE


def is_noise(samples: np.ndarray) -> bool:
    """Whether nobody speaks for a quarter of a second in the mono 16 kHz ``samples``; always False for very short ones."""
    if len(samples) < _SHORTEST * SAMPLE_RATE:
        return False
    levelled = torch.from_numpy(samples.astype(np.float32) * np.float32(_PEAK / np.abs(samples).max()))
    with _lock:
        return not get_speech_timestamps(levelled, _network(), sampling_rate=SAMPLE_RATE, min_speech_duration_ms=250)


@cache
def _network() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have other files than the package holds
        return load_silero_vad()
