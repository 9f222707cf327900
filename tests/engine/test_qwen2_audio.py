"""Qwen2-Audio as encoder, connector and LLM of one checkpoint gives what the published model gives."""

import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.config import ModelConfig
from engine.model import SpeechLLM
from engine.prompts import Prompt

BEFORE = "<|im_start|>user\nAudio 1: <|audio_bos|>"
AFTER = "<|audio_eos|>\nwhich hotel?<|im_end|>\n<|im_start|>assistant\n"
ANSWER = '{"hotel": {"area": "north"}}'


def as_transformers_5_names_it(folder, target) -> str:
    shutil.copytree(folder, target)
    model = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, target / "model.safetensors", {"format": "pt"}
    )
    return str(target)


@pytest.fixture(params=["as published", "as transformers 5 names it"])
def folder(request, tiny, tmp_path) -> str:
    published = tiny("qwen2-audio")
    names = load_file(f"{published}/model.safetensors")
    assert {".".join(name.split(".")[:2]) for name in names if name.startswith("lang")} == {
        "language_model.model",
        "language_model.lm_head",
    }
    return published if request.param == "as published" else as_transformers_5_names_it(published, tmp_path / "model")


@torch.no_grad()
def test_logits_are_upstreams_for_the_same_audio_and_prompt(folder):
    config = ModelConfig(encoder=folder, llm=folder, llm_dtype="float32", llm_tuning="frozen", connector={"kind": "qwen2-audio"})
    model = SpeechLLM(config).eval()
    generator = np.random.default_rng(0)
    waves = [generator.normal(0, 0.1, samples).astype(np.float32) for samples in (16000, 9037, 48123)]
    frames = model.encoder.encode(waves)
    rows = [model.row(Prompt(BEFORE, AFTER), clip, ANSWER) for clip in frames]
    batch = model.collate(rows)
    ours = model.target_logits(batch, *model.speech(batch.frames, batch.valid)).split([len(row.target) for row in rows])

    upstream = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    for wave, row, logits in zip(waves, rows, ours, strict=True):
        text = BEFORE + "<|AUDIO|>" + AFTER + ANSWER
        inputs = processor(text=text, audio=wave, sampling_rate=16000, return_tensors="pt")
        expected = upstream(**inputs).logits[0]
        count = len(row.target) - 1  # upstream's text has no end-of-sequence token
        torch.testing.assert_close(logits[:-1], expected[-count - 1 : -1], atol=1e-4, rtol=1e-3)


def test_each_part_is_loaded_without_the_others(folder):
    config = ModelConfig(encoder=folder, llm=folder, llm_dtype="float32", connector={"kind": "qwen2-audio"})
    model = SpeechLLM(config)
    whole = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    ours = sum(p.numel() for n, p in model.named_parameters() if "lora_" not in n and not n.startswith("ctc."))
    fixed = model.encoder.backbone.embed_positions.weight.numel()
    assert ours + fixed == sum(p.numel() for p in whole.parameters())
