"""A dry run knows a system's size without its weights: the papers' parameter counts, and what a training step keeps."""

import json

import pytest
import torch
from typer.testing import CliRunner

from engine import planning
from engine.cli import app
from engine.config import Recipe
from engine.model import SpeechLLM
from engine.planning import _Kept, describe, make_plan
from tests.engine.test_llms import config

STAGE = {"name": "stage2", "trainable": ["^connector\\.", "lora_"], "tasks": {"asr": 1.0}, "steps": 1, "batch": 4}


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(planning, "_hub_answers", lambda: False)


def recipe(model, **stage) -> Recipe:
    return Recipe.model_validate({"name": "r", "model": model, "stages": [STAGE | stage]})


def test_paper_1_has_its_published_sizes():
    parts = make_plan(recipe({"encoder": "microsoft/wavlm-large", "llm": "allenai/OLMo-1B-hf"})).parameters
    assert round(parts["connector"] / 1e6, 1) == 33.6  # section on the connector
    assert round(parts["encoder"] / 1e6, 1) == 315.5 and round(parts["llm"] / 1e9, 2) == 1.18
    assert round(parts["llm lora"] / 1e6) == 12


def test_paper_3_has_its_published_sizes():
    model = {
        "encoder": "facebook/hubert-large-ll60k",
        "llm": "lmsys/vicuna-7b-v1.5",
        "connector": {"kind": "conv1d-mlp"},
        "encoder_tuning": "lora",
        # Which layers is not published. Forty of the attention's projections give 0.65 M at rank 8: here the upper ten layers'.
        "encoder_lora": {"rank": 8, "alpha": 16, "targets": r"layers\.(1[4-9]|2[0-3])\.attention\.(q|k|v|out)_proj"},
        "lora": {"rank": 16, "alpha": 16, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    }
    parts = make_plan(recipe(model)).parameters
    assert parts["encoder lora"] == 655_360 and parts["llm lora"] == 16 * 2**20
    assert round(parts["llm"] / 1e9, 2) == 6.74


def test_gemma_9b_fits_24_gb_with_4_bits_and_recomputed_activations_and_not_without():
    model = {"encoder": "microsoft/wavlm-large", "llm": "google/gemma-2-9b-it", "lora": {"rank": 8, "alpha": 8}}
    stage = {"tasks": {"dst": 1.0}, "batch": 96}
    small = make_plan(recipe(model | {"quantization": "4bit", "activation_checkpointing": True}, **stage))
    large = make_plan(recipe(model, **stage))
    assert small.fits and not large.fits
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
