"""Augmentation of training speech: speed perturbation, additive noise, SpecAugment. torchaudio does the signal work.

What happens to a row depends on nothing but the random source it is given, so that a resumed run repeats it.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine import audio
from engine.config import AugmentConfig, RecipeError
from engine.dialogue import ManifestError, read_manifest

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus")


class Noises:
    """Noise recordings: a folder's audio files at any depth, or the turns of a manifest that have audio (split ``train``).

    Raises:
        RecipeError: there is no noise at that place.
    """

    def __init__(self, place: str) -> None:
        path = Path(place)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            self.clips: list[tuple[str, float | None, float | None, int | None]] = [(str(f), None, None, None) for f in files]
        else:
            try:
                dialogues = [dialogue for dialogue in read_manifest(path) if dialogue.split == "train"]
            except ManifestError as error:
                raise RecipeError(f"augment.noise must name a folder of recordings or a manifest: {error}") from error
            turns = [turn for dialogue in dialogues for turn in dialogue.turns]
            self.clips = [(turn.audio, turn.start, turn.end, turn.channel) for turn in turns if turn.audio]
        if not self.clips:
            raise RecipeError(f"augment.noise: {place} holds no recording ({', '.join(SUFFIXES)}) that could be mixed in")

    def draw(self, draw: random.Random, samples: int) -> np.ndarray:
        """A piece of a noise, float32 16 kHz, of at most ``samples`` samples."""
        path, start, end, channel = draw.choice(self.clips)
        begin = start or 0.0
        finish = audio.duration(path) if end is None else end
        length = min(samples / audio.SAMPLE_RATE, finish - begin)
        begin += draw.random() * (finish - begin - length)
        return audio.load(path, begin, begin + length, channel)


def augment_waveform(samples: np.ndarray, config: AugmentConfig, noises: Noises | None, draw: random.Random) -> np.ndarray:
    """Speed perturbation (Ko et al. 2015), then additive noise at a ratio drawn evenly from ``noise_snr``."""
    if config.speeds:
        samples = audio.change_speed(samples, draw.choice(config.speeds))
    if noises is not None and draw.random() < config.noise_share:
        samples = audio.add_noise(samples, noises.draw(draw, len(samples)), draw.uniform(*config.noise_snr))
    return samples


def spec_augment(frames: int, width: int, config: AugmentConfig, seed: int) -> Tensor:
    """What SpecAugment (Park et al. 2019) keeps of a row's ``(frames, width)``: 1 or 0. A time mask hides a quarter at most."""
    from torchaudio import functional

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        keep = torch.ones(1, frames, width)
        for _ in range(config.time_masks):
            keep = functional.mask_along_axis(keep, config.time_mask_frames, 0.0, 1, p=0.25)
        for _ in range(config.feature_masks):
            keep = functional.mask_along_axis(keep, config.feature_mask_size, 0.0, 2, p=0.25)
    return keep[0]
