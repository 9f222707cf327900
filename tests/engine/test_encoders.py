"""Every encoder: a clip's frames are the published model's, alone or in a batch; what trains gets gradients."""

import numpy as np
import pytest
import torch
import transformers

from engine.config import LoraConfig, RecipeError
from engine.encoders import build_encoder
from engine.lora import add_lora
from tests.engine.tiny import ENCODERS

SAMPLES = (16000, 9000, 23456)


@pytest.fixture(params=[*ENCODERS, "qwen2-audio"])
def encoder(request, tiny):
    return build_encoder(tiny(request.param)).eval()


def waves(*samples: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(0.01, 0.1, count).astype(np.float32) for count in samples]


def close(one: torch.Tensor, two: torch.Tensor) -> None:
    torch.testing.assert_close(one, two, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 16000, 16079, 480001])
def test_lengths_are_those_of_the_frames(encoder, samples):
    frames, valid = encoder(waves(samples))
    assert frames.shape == (1, encoder.lengths(samples), encoder.width) and bool(valid.all())


def test_a_clip_has_the_same_frames_alone_and_in_a_batch(encoder):
    together, valid = encoder(waves(*SAMPLES))
    assert valid.sum(1).tolist() == [encoder.lengths(samples) for samples in SAMPLES]
    for row, mask, wave in zip(together, valid, waves(*SAMPLES), strict=True):
        close(encoder.encode([wave])[0], row[mask])


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "whisper"])
def test_frames_are_those_of_the_published_model(tiny, name):
    published = transformers.AutoModel.from_pretrained(tiny(name)).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(tiny(name))
    wave = waves(20000)[0]
    with torch.no_grad():
        expected = published(features(wave, sampling_rate=16000, return_tensors="pt").input_values, output_hidden_states=True)
    close(build_encoder(tiny(name)).eval().encode([wave])[0], expected.last_hidden_state[0])
    close(build_encoder(tiny(name), layer=1).eval().encode([wave])[0], expected.hidden_states[1][0])


def test_a_padded_batch_of_wavlm_has_upstreams_frames(tiny):
    published = transformers.AutoModel.from_pretrained(tiny("wavlm-large")).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(tiny("wavlm-large"))
    inputs = features(waves(*SAMPLES), sampling_rate=16000, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = published(**inputs).last_hidden_state
    frames, valid = build_encoder(tiny("wavlm-large")).eval()(waves(*SAMPLES))
    close(frames[valid], expected[valid])


def test_whisper_beyond_its_window_is_encoded_in_pieces(tiny):
    encoder = build_encoder(tiny("whisper")).eval()
    long = waves(480000 + 8000)[0]
    frames = encoder.encode([long])[0]
    close(frames[:1500], encoder.encode([long[:480000]])[0])
    close(frames[1500:], encoder.encode([long[480000:]])[0])


def test_every_parameter_of_a_fully_tuned_encoder_gets_a_gradient(encoder):
    encoder.train()
    frames, valid = encoder(waves(*SAMPLES))
    frames[valid].square().mean().backward()
    dead = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert not dead


def test_lora_on_wavlm_gets_gradients_where_upstreams_is_a_silent_no_op(tiny):
    lora, wave = LoraConfig(rank=2, targets=["q_proj", "v_proj"]), waves(16000)
    ours = build_encoder(tiny("wavlm-large"))
    ours.add_lora(lora)
    ours(wave)[0].square().mean().backward()
    assert all(parameter.grad is not None for name, parameter in ours.named_parameters() if "lora_" in name)
    upstream = add_lora(transformers.AutoModel.from_pretrained(tiny("wavlm-large")), lora)
    assert not upstream(torch.from_numpy(wave[0])[None]).last_hidden_state.requires_grad


def test_frozen_convolutions_keep_no_activations_for_lora_above_them(tiny):
    encoder = build_encoder(tiny("hubert-large"))
    encoder.add_lora(LoraConfig(rank=2))
    encoder.train()
    features = encoder.backbone.feature_extractor(torch.zeros(1, 16000))
    assert not features.requires_grad


def test_the_fingerprint_follows_weights_and_layer(tiny):
    encoder = build_encoder(tiny("hubert-base"))
    before = encoder.fingerprint
    assert build_encoder(tiny("hubert-base")).fingerprint == before
    assert build_encoder(tiny("hubert-base"), layer=1).fingerprint != before
    with torch.no_grad():
        next(encoder.parameters()).add_(1.0)
    assert encoder.fingerprint != before


def test_an_unknown_architecture_is_refused_with_those_there_are(tiny):
    with pytest.raises(RecipeError, match="'olmo' is not supported; supported are whisper, wavlm, hubert, wav2vec2, qwen2_audio"):
        build_encoder(tiny("olmo"))


def test_too_high_a_layer_is_refused(tiny):
    with pytest.raises(RecipeError, match="encoder_layer is 3, but .* has 2 layers"):
        build_encoder(tiny("wavlm-large"), layer=3)
