"""Recordings without speech: silence and noise are answered with no words and an unchanged state.

A model that always writes a sentence writes one for noise too, and puts its slots into the state. The judgement is the
connector's own: where a stage trained its CTC head, each position says how likely it is no part of any word.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

SILENCE = 1e-4  # root mean square, full scale 1: -80 dB, below the noise of any microphone

_EVIDENCE = 0.5  # probability that the surest position of a recording with speech has of being part of a word


def is_silence(samples: np.ndarray) -> bool:
    """Whether the samples ``(samples,)`` hold nothing, or nothing that could be heard."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) < SILENCE


def is_speech(blank: Tensor) -> bool:
    """Whether positions with these CTC blank probabilities ``(S,)`` hold speech."""
    return bool((1 - blank).max() >= _EVIDENCE)
