"""A dry run knows a system's size without its weights: the papers' parameter counts, and what a training step keeps."""

import json

import pytest
import torch
from typer.testing import CliRunner

from engine import planning
from engine.cli import app
from engine.config import load_recipe
from engine.model import SpeechLLM
from engine.planning import _Kept, count, describe, find_config, make_plan, skeleton
from tests.engine.test_llms import config


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(planning, "_hub_answers", lambda: False)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("wavlm-large_olmo-1b", {"connector": 33.6, "encoder": 315.5, "llm": 1176.8, "llm lora": 12.1}),
        ("whisper-base_cnn_llama-3.2-1b", {"connector": 3.4}),
        ("whisper-base_mlp_llama-3.2-1b", {"connector": 21.0}),
        ("whisper-base_transformer_llama-3.2-1b", {"connector": 67.2}),
        ("hubert-large_conv1d-mlp_vicuna-7b", {"encoder lora": 0.7, "llm lora": 16.8, "llm": 6738.4}),
    ],
)
def test_a_papers_recipe_has_its_published_sizes(name, published):
    """In millions: connector 33.6; adapters about 3.4, 21 and 67; LoRA 0.65 on the encoder and 16 on the LLM."""
    model = load_recipe(name).model
    parts = count(skeleton(model, {part: find_config(part)[0] for part in (model.encoder, model.llm)}).named_parameters())
    assert {part: round(parts[part] / 1e6, 1) for part in published} == published


def test_gemma_9b_fits_24_gb_as_its_recipe_has_it_and_not_with_whole_weights():
    name = "wavlm-large_gemma-2-9b"
    large = make_plan(load_recipe(name, ["model.quantization=none"]))
    assert make_plan(load_recipe(name)).fits and not large.fits
    assert "does NOT fit a card" in describe(large)


def test_the_bytes_counted_without_weights_are_those_a_real_step_keeps(tiny):
    model = config(tiny)
    llm = {}
    for kind, built in (("meta", SpeechLLM(model, weights=False)), ("real", SpeechLLM(model))):
        device = built.device
        inputs = torch.zeros(1, 40, 64, device=device, requires_grad=True)
        mask = torch.zeros(1, 1, 40, 40, device=device)
        with _Kept(built) as kept:
            built.llm(inputs_embeds=inputs, attention_mask=mask, use_cache=False, logits_to_keep=1)
        llm[kind] = kept.size
    assert llm["meta"] == llm["real"] > 0


def test_a_dry_run_needs_no_manifest_and_prints_json(tiny, tmp_path):
    toml = f"""
        name = "small"
        [model]
        encoder = "{tiny("wavlm-large")}"
        llm = "{tiny("olmo")}"
        encoder_tuning = "full"
        connector = {{ stack = 4, width = 16, heads = 2, ffn = 16 }}
        [[stages]]
        name = "stage1"
        trainable = ["^connector", "^encoder"]
        tasks = {{ asr = 1.0 }}
        steps = 1
        """
    (tmp_path / "small.toml").write_text(toml)
    result = CliRunner().invoke(app, ["train", str(tmp_path / "small.toml"), "--dry-run", "--json"])
    plan = json.loads(result.stdout)
    assert plan["fits"] and set(plan["stages"][0]["trainable"]) == {"connector", "encoder"}
    assert plan["stages"][0]["trainable"]["encoder"] == sum(
        parameter.numel() for parameter in SpeechLLM(config(tiny, "olmo", "wavlm-large"), weights=False).encoder.parameters()
    )
    missing = CliRunner().invoke(app, ["train", str(tmp_path / "small.toml")])
    assert missing.exit_code == 2 and "--manifest and --out are needed" in missing.output
    baseless = CliRunner().invoke(app, ["train", "adapt", "--dry-run"])
    assert baseless.exit_code == 2 and "name it with --base" in baseless.output
