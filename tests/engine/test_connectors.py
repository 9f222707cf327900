"""Connectors: one answer for a clip whatever its neighbours, lengths that hold, and the papers' sizes."""

import pytest
import torch
from pydantic import TypeAdapter

from engine.config import RecipeError, load_recipe
from engine.connector_config import CONNECTOR_KINDS, ConnectorConfig
from engine.connectors import CONNECTORS, build_connector

SMALL = {
    "stacked-transformer": {"stack": 3, "width": 16, "heads": 2, "ffn": 16},
    "cnn": {"stack": 4, "width": 16},
    "linear": {"stack": 3},
    "mlp": {"stack": 3, "layers": 2, "width": 16},
    "conv1d-mlp": {"stack": 3, "width": 16},
    "dws-mlp": {"stack": 3, "width": 16},
    "conv1d-transformer": {"stack": 3, "layers": 1, "width": 16, "heads": 2, "ffn": 16},
    "qwen2-audio": {},
}
MATCHED = {"match_embeddings": True}


def build(encoder_width=8, llm_width=12, **section):
    torch.manual_seed(0)
    config = TypeAdapter(ConnectorConfig).validate_python(section)
    return build_connector(config, encoder_width, llm_width)


def test_every_kind_a_recipe_may_name_is_built_and_tested():
    assert set(CONNECTORS) == set(CONNECTOR_KINDS) == set(SMALL)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 9, 12, 13])
def test_lengths_are_those_of_the_outputs_and_no_tail_is_dropped(kind, frames):
    connector = build(kind=kind, **SMALL[kind]).eval()
    clip = torch.randn(1, frames, 8, requires_grad=True)
    outputs, valid = connector(clip, torch.ones(1, frames, dtype=torch.bool))
    assert outputs.shape == (1, connector.lengths(frames), 12) and bool(valid.all())
    outputs.abs().sum().backward()
    assert bool(clip.grad[0].abs().sum(-1).all()), "a frame that no output depends on"


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_clip_has_the_same_outputs_alone_and_beside_a_longer_one(kind, norm):
    extra = {"norm": norm} if "transformer" in kind else {}
    connector = build(kind=kind, **SMALL[kind], **(MATCHED if SMALL[kind] else {}), **extra).eval()
    clip = torch.randn(1, 10, 8)
    alone, _ = connector(clip, torch.ones(1, 10, dtype=torch.bool))
    noise = torch.cat([clip, torch.full((1, 11, 8), 100.0)], dim=1)
    padded, valid = connector(noise, torch.arange(21)[None] < 10)
    assert valid.sum() == connector.lengths(10)
    torch.testing.assert_close(padded[:, : connector.lengths(10)], alone)


@pytest.mark.parametrize("kind", SMALL)
def test_every_parameter_gets_a_gradient(kind):
    connector = build(kind=kind, **SMALL[kind], **(MATCHED if SMALL[kind] else {}))
    outputs, valid = connector(torch.randn(2, 9, 8), torch.arange(9)[None] < torch.tensor([[9], [5]]))
    outputs[valid].square().sum().backward()
    assert not [name for name, parameter in connector.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    ("section", "encoder_width", "llm_width", "millions"),
    [
        ({"stack": 6}, 1024, 2048, 33.584),  # paper 1: 33.6 M with WavLM-large and OLMo-1B
        ({"kind": "cnn", "stack": 8}, 512, 2048, 3.411),  # paper 2: about 3.4 M
        ({"kind": "linear", "stack": 8}, 512, 2048, 8.391),
        ({"kind": "mlp", "stack": 8, "layers": 3}, 512, 2048, 20.980),  # about 21 M
        ({"stack": 8, "width": 2048, "ffn": 2560}, 512, 2048, 67.155),  # about 67 M
        ({"kind": "conv1d-mlp", "stack": 5}, 1024, 4096, 15.736),
        ({"kind": "dws-mlp", "stack": 5}, 1024, 4096, 11.548),
        ({"kind": "conv1d-transformer", "stack": 5}, 1024, 4096, 34.635),
    ],
)
def test_parameter_counts_at_full_size(section, encoder_width, llm_width, millions):
    with torch.device("meta"):
        connector = build(encoder_width, llm_width, **section)
    assert sum(parameter.numel() for parameter in connector.parameters()) == pytest.approx(millions * 1e6, abs=1000)


def test_depth_scaling_starts_what_a_block_adds_smaller():
    plain, scaled = (
        build(stack=3, width=16, heads=2, ffn=16, layers=8, initialisation=name) for name in ("default", "depth-scaled")
    )
    for name, weight in plain.layers.named_parameters():
        factor = 4.0 if name.endswith(("out_proj.weight", "linear2.weight")) else 1.0
        torch.testing.assert_close(dict(scaled.layers.named_parameters())[name] * factor, weight)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ('model.connector={kind="q-former"}', "model.connector: no such kind of connector; there are .*cnn"),
        ('model.connector={kind="cnn",stack=6}', "stack must be a power of two"),
        ('model.connector={kind="linear",heads=4}', "unknown key 'model.connector.heads'"),
        ('model.connector={kind="conv1d-transformer",width=30,heads=4}', "must be a multiple of heads"),
    ],
)
def test_a_connector_that_cannot_be_is_refused_by_its_key(override, reason):
    with pytest.raises(RecipeError, match=reason):
        load_recipe("demo", [override])
