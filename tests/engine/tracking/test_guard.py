"""The guard: short clips are always heard, and one sure position makes a recording speech."""

import numpy as np
import torch

from engine.tracking.guard import is_noise, is_silence


def test_only_long_recordings_without_any_likely_word_are_noise():
    second, blip = np.ones(16000, np.float32), np.ones(8000, np.float32)
    nothing, word = torch.full((12,), 0.9), torch.tensor([0.9] * 11 + [0.3])
    assert is_noise(second, nothing) and not is_noise(second, word)
    assert not is_noise(blip, nothing), "single digits on the telephone were swallowed"


def test_silence_is_below_the_noise_of_a_microphone_and_quiet_speech_is_not():
    hiss = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    assert is_silence(np.zeros(10, np.float32)) and is_silence(1e-5 * hiss)
    assert not is_silence(5e-4 * hiss)
