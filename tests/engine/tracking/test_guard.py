"""The guard: real speech is heard however quiet, noise and silence are not, and very short recordings always are."""

import os
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from engine import audio
from engine.tracking.guard import is_noise, is_silence

SPEECH = sorted((resources.files("studio") / "assets" / "sample" / "audio").iterdir())[:4]
SECOND = np.arange(3 * 16000, dtype=np.float32) / 16000


def noises():
    """White noise, a hum, clicks."""
    random = np.random.default_rng(0)
    clicks = np.zeros_like(SECOND)
    clicks[::4000] = 0.8
    hum = sum(np.sin(2 * np.pi * 50 * k * SECOND) / k for k in (1, 2, 3))
    return {"white": random.standard_normal(len(SECOND)), "hum": hum, "clicks": clicks}


@pytest.mark.parametrize("gain", [1.0, 0.01])
@pytest.mark.parametrize("file", SPEECH, ids=lambda file: file.name)
def test_speech_is_heard_loud_or_quiet(file, gain):
    assert not is_noise(gain * audio.load(file))


@pytest.mark.parametrize("kind", ["white", "hum", "clicks"])
@pytest.mark.parametrize("gain", [0.2, 0.002])
def test_noise_is_not_heard_and_a_blip_of_it_is(kind, gain):
    noise = (gain * noises()[kind]).astype(np.float32)
    assert is_noise(noise)
    assert not is_noise(noise[:4000]), "single words on the telephone were swallowed"


def test_silence_is_below_the_noise_of_a_microphone_and_quiet_speech_is_not():
    hiss = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    assert is_silence(np.zeros(10, np.float32)) and is_silence(1e-5 * hiss)
    assert not is_silence(5e-4 * hiss)


def test_the_guard_leaves_the_program_its_threads():
    code = "import torch; import engine.tracking.guard as guard; guard._network(); print(torch.get_num_threads())"
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stdout == "2\n"
