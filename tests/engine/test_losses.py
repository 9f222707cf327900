"""Losses beside cross-entropy: what they must reward, and that padding does not reach them."""

import pytest
import torch
from torch import nn

from engine.config import MatchingConfig, RecipeError, load_recipe
from engine.losses import matching_sum

CONFIGS = [
    MatchingConfig(mse=mse, cosine=cosine, attention=attention)
    for mse, cosine in ((1, 1), (1, 0), (0, 1))
    for attention in ("dot", "scaled-dot")
]


@pytest.fixture
def embed():
    torch.manual_seed(0)
    return nn.Embedding(20, 8)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_matching_is_zero_where_speech_says_each_token_and_more_where_it_does_not(embed, config):
    """Embeddings a hundred times themselves attend to themselves alone, whatever the order of the positions."""
    with torch.no_grad():
        embed.weight.mul_(100)
    tokens = torch.tensor([3, 5, 7])
    speech = embed(tokens.flip(0))[None].detach()
    valid = torch.ones(1, 3, dtype=torch.bool)
    assert float(matching_sum(embed, [tokens], speech, valid, config)) == pytest.approx(0, abs=1e-4)
    assert float(matching_sum(embed, [torch.tensor([4, 6, 8])], speech, valid, config)) > 0.1


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_matching_of_a_batch_is_the_sum_of_its_rows(embed, config):
    rows = [torch.tensor([1, 2, 3, 4]), torch.tensor([9]), torch.tensor([], dtype=torch.long)]  # the last one: no speech
    speech = torch.randn(3, 6, 8)
    lengths = [6, 2, 4]
    valid = torch.arange(6)[None] < torch.tensor(lengths)[:, None]
    alone = sum(
        matching_sum(embed, [row], speech[i : i + 1, :length], valid[i : i + 1, :length], config)
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True))
    )
    torch.testing.assert_close(matching_sum(embed, rows, speech, valid, config), alone)


def test_matching_moves_the_speech_and_not_the_embeddings(embed):
    speech = torch.randn(1, 4, 8, requires_grad=True)
    valid = torch.tensor([[True, True, True, False]])
    matching_sum(embed, [torch.tensor([1, 2])], speech, valid, MatchingConfig(mse=1, cosine=1)).backward()
    assert embed.weight.grad is None
    assert bool(speech.grad[0, :3].abs().sum(-1).all()) and not bool(speech.grad[0, 3].any())


def test_matching_is_off_unless_it_has_a_weight():
    assert not load_recipe("demo").stage("stage1").matching.active
    assert load_recipe("demo", ["stage1.matching={mse=0.3}"]).stage("stage1").matching == MatchingConfig(mse=0.3, cosine=0)
    with pytest.raises(RecipeError, match="unknown key 'stage1.matching.mmse'; did you mean 'mse'"):
        load_recipe("demo", ["stage1.matching={mmse=1}"])
