"""Encoder, connector, splice: one answer for a clip, whatever its neighbours in the batch."""

import numpy as np
import pytest
import torch

from engine.data.frames import FrameCache, load_turn
from engine.model import Row, collate, position_ids, splice


def test_splice_puts_valid_speech_in_order_and_refuses_a_mismatch():
    embeddings = torch.zeros(2, 4, 1)
    mask = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
    speech = torch.tensor([[[1.0], [2.0]], [[3.0], [9.0]]])
    valid = torch.tensor([[1, 1], [1, 0]], dtype=torch.bool)
    assert splice(embeddings, mask, speech, valid)[..., 0].tolist() == [[0, 1, 2, 0], [3, 0, 0, 0]]
    with pytest.raises(ValueError, match="places for"):
        splice(embeddings, mask, speech, torch.ones(2, 2, dtype=torch.bool))


def test_rows_are_contiguous_and_logits_are_asked_for_at_targets_only():
    rows = [Row([1], torch.zeros(8, 3), [2, 3], [4, 5]), Row([], torch.zeros(4, 3), [6], [7])]
    right, left = (collate(rows, [2, 1], left=side) for side in (False, True))
    assert right.ids.tolist() == [[1, 0, 0, 2, 3, 4, 5], [0, 6, 7, 0, 0, 0, 0]]
    assert right.speech[1].tolist() == [True] + [False] * 6
    assert left.ids[1].tolist() == [0, 0, 0, 0, 0, 6, 7]
    for batch in (right, left):
        assert batch.labels.tolist() == [4, 5, 7]
        assert batch.predicts.sum() == 3
        assert position_ids(batch.attention)[1][batch.attention[1]].tolist() == [0, 1, 2]
    assert right.predicts[1].tolist() == [False, True] + [False] * 5  # the place before the target predicts it


@pytest.mark.parametrize("samples", [1, 160, 400, 15999, 16000, 48123, 480000, 480001, 700000])
def test_encoder_lengths_are_those_of_its_frames(model, samples):
    frames = model.encoder.encode([np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)])[0]
    assert len(frames) == model.encoder.lengths(samples)


def test_encoder_gives_a_clip_the_same_frames_alone_and_batched(model, dialogues):
    waves = [load_turn(turn) for turn in dialogues[0].user_turns()[:2]]
    waves.append(waves[0][:8000])
    for alone, together in zip([model.encoder.encode([w])[0] for w in waves], model.encoder.encode(waves), strict=True):
        torch.testing.assert_close(alone, together, atol=2e-4, rtol=1e-3)


def test_a_full_window_is_encoded_as_the_published_whisper_does(model):
    wave = np.random.default_rng(1).normal(0, 0.1, 480000).astype(np.float32)
    mel = model.encoder.features(wave, sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        published = model.encoder.backbone(mel).last_hidden_state[0]
        torch.testing.assert_close(model.encoder.encode([wave])[0], published, atol=1e-3, rtol=1e-3)


def test_cached_frames_are_the_live_ones_bit_for_bit(model, dialogues, tmp_path):
    cache = FrameCache(model, tmp_path)
    turn = dialogues[0].user_turns()[0]
    live = model.encode([load_turn(turn)])[0]
    assert torch.equal(cache.get(turn), live) and torch.equal(cache.get(turn), live)
    assert len(list(tmp_path.rglob("*.npy"))) == 1


def test_frames_that_find_no_room_on_the_disk_are_not_kept_and_the_same(model, dialogues, tmp_path, monkeypatch):
    monkeypatch.setenv("DST_STUDIO_FRAMES_GB", "0")
    cache = FrameCache(model, tmp_path)
    turn = dialogues[0].user_turns()[0]
    assert torch.equal(cache.get(turn), model.encode([load_turn(turn)])[0])
    assert list(tmp_path.rglob("*.npy")) == []
