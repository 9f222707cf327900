"""Augmentation: what is asked for, and the same again from the same random source."""

import random

import numpy as np
import pytest
import torch

from engine.audio import save_flac
from engine.config import AugmentConfig, RecipeError
from engine.data.augment import Noises, augment_waveform, spec_augment
from engine.dialogue import Dialogue, Turn, write_manifest


@pytest.fixture
def hum(tmp_path):
    (tmp_path / "noise" / "deep").mkdir(parents=True)
    save_flac(tmp_path / "noise" / "deep" / "hum.flac", 0.1 * np.sin(np.arange(48000) / 20).astype(np.float32))
    return tmp_path / "noise"


def speech():
    return np.random.default_rng(1).normal(0, 0.05, 16000).astype(np.float32)


def test_speed_changes_the_length_and_repeats_from_its_seed():
    config = AugmentConfig(speeds=[0.9, 1.1])
    lengths = {len(augment_waveform(speech(), config, None, random.Random(seed))) for seed in range(8)}
    assert sorted(lengths) == pytest.approx([16000 / 1.1, 16000 / 0.9], abs=2)
    one, two = (augment_waveform(speech(), config, None, random.Random(3)) for _ in range(2))
    assert np.array_equal(one, two)


def test_noise_lies_under_the_speech_at_the_ratio_asked_for(hum):
    config = AugmentConfig(noise=str(hum), noise_snr=(10.0, 10.0))
    noisy = augment_waveform(speech(), config, Noises(str(hum)), random.Random(1))
    noise = noisy - speech()
    assert 10 * np.log10(np.mean(speech() ** 2) / np.mean(noise**2)) == pytest.approx(10, abs=0.1)


def test_a_share_of_the_rows_stays_clean(hum):
    config = AugmentConfig(noise=str(hum), noise_share=0.5)
    clean = [np.array_equal(augment_waveform(speech(), config, Noises(str(hum)), random.Random(s)), speech()) for s in range(40)]
    assert 10 < sum(clean) < 30


def test_a_manifest_of_noises_serves_as_a_folder_does_and_its_test_split_stays_unheard(hum, tmp_path):
    clips = [
        Dialogue(split, [Turn(0, "user", "", str(hum / "deep" / "hum.flac"), 0.5, 1.5)], split) for split in ("train", "test")
    ]
    write_manifest(tmp_path / "noise.jsonl", clips)
    noises = Noises(str(tmp_path / "noise.jsonl"))
    assert len(noises.clips) == 1 and len(noises.draw(random.Random(0), 99999)) == 16000
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="holds no recording"):
        Noises(str(tmp_path / "empty"))


def test_masks_hide_spans_of_time_and_features_and_repeat_from_their_seed():
    config = AugmentConfig(time_masks=2, time_mask_frames=10, feature_masks=1, feature_mask_size=8)
    keep = spec_augment(100, 64, config, 7)
    assert torch.equal(keep, spec_augment(100, 64, config, 7)) and not torch.equal(keep, spec_augment(100, 64, config, 8))
    hidden = 1 - torch.stack([spec_augment(100, 64, config, seed) for seed in range(50)])
    assert 0 < hidden.mean() < 0.3 and hidden.amax(2).mean(1).amax() <= 1
    assert spec_augment(3, 64, config, 1).shape == (3, 64)  # a clip of three frames keeps some
