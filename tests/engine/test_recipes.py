"""Every recipe from end to end on tiny models of its own architectures: prepare, train, stop, resume, decode, score, save, load.

A recipe's own TOML is used; only model ids, sizes and steps are overridden. Every variant of every recipe goes the same way
with ``pytest -m slow tests/engine/test_recipes.py``.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from engine.checkpoints import load_checkpoint, save_checkpoint
from engine.config import PromptConfig, RecipeError, available_recipes, load_recipe, recipe_variants
from engine.data.batching import Sampler
from engine.data.slots import known_slots
from engine.data.triplets import TripletSettings, with_triplets
from engine.dialogue import Dialogue, Instruction, Turn, read_manifest, write_manifest
from engine.tracking import Tracker, evaluate_dialogues, evaluate_task
from engine.training import train
from engine.training.folder import RunFolder

TINY = {  # beginning of the recipe's name -> tiny encoder and LLM (tests/engine/tiny.py)
    "wavlm-large_olmo-1b": ("wavlm-large", "olmo"),
    "wavlm-large_gemma-2-9b": ("wavlm-large", "gemma2"),
    "whisper-base": ("whisper", "llama-3.2"),
    "qwen2-audio": ("qwen2-audio", "qwen2-audio"),
    "hubert-large": ("hubert-large", "vicuna"),
    "demo": ("whisper", "llama-3.2"),
}
SIZES = {"width": 16, "heads": 2, "ffn": 32}
VARIANTS = [  # beside every recipe as it is: those that go another way through training or decoding
    "wavlm-large_olmo-1b:A2-connector-only",
    "wavlm-large_olmo-1b:A5-full",
    "wavlm-large_olmo-1b:A7-own-transcripts",
    "wavlm-large_olmo-1b:FT-sw",
    "whisper-base_cnn_llama-3.2-1b:multi-stage-C",
    "whisper-base_cnn_llama-3.2-1b:instructions",
    "whisper-base_transformer_llama-3.2-1b:steady:frozen-llm",
    "hubert-large_conv1d-mlp_vicuna-7b:frozen-frozen",
    "hubert-large_conv1d-mlp_vicuna-7b:full-full",
]


def shrunk(name, tiny):
    """The recipe with tiny models: two steps a stage, an evaluation after the second."""
    recipe = load_recipe(name)
    encoder, llm = next(models for start, models in TINY.items() if name.startswith(start))
    overrides = [f'model.encoder="{tiny(encoder)}"', f'model.llm="{tiny(llm)}"', "model.quantization=none", "checkpoint_every=1"]
    connector = recipe.model.connector
    overrides += [f"model.connector.{key}={size}" for key, size in SIZES.items() if hasattr(connector, key)]
    if "layers" in str(recipe.model.encoder_lora.targets):  # the layers it names are not all there
        overrides += [r'model.encoder_lora.targets=".*\\.layers\\.[01]\\.attention\\.[qv]_proj"']
    for stage in recipe.stages:
        settings = {"steps": 2, "batch": 4, "warmup": 0, "eval_every": 2 if stage.eval_every else 0}
        overrides += [f"{stage.name}.{key}={value}" for key, value in settings.items()]
        shares = ", ".join(f'"{source}" = 1.0' for source in stage.sources)  # so few rows have no room for a twentieth
        overrides += [f"{stage.name}.sources={{ {shares} }}"]
    overrides += [f"decoding.{task}.max_new_tokens=12" for task in ("asr", "ast", "dst", "slot-filling", "sit", "sqit")]
    return load_recipe(name, overrides)


@pytest.fixture(scope="module")
def manifest(dialogues, tmp_path_factory):
    """Two short spoken turns of every kind of corpus that a recipe names, for training and for evaluation."""
    folder = tmp_path_factory.mktemp("corpora")
    turn = min((turn for turn in dialogues[0].user_turns() if turn.audio and turn.state), key=lambda turn: len(turn.transcript))
    spoken = replace(
        turn,
        turn_id=0,
        heard="i want a cheap",
        translation={"German": "ich suche ein restaurant"},
        instructions=[Instruction(task, "what does the user want?", "a restaurant") for task in ("sit", "sqit")],
    )
    agent = Turn(1, "agent", "which part of town?")
    soundfile.write(folder / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    noise = Turn(0, "user", "", str(folder / "noise.wav"), state={}, heard="")
    found = [
        Dialogue(
            f"{source}-{split}", [spoken, agent, replace(spoken, turn_id=2)] if source != "noise" else [noise], split, source
        )
        for source in ("spokenwoz", "dstc11 train-tts", "librispeech train-clean-100", "noise")
        for split in ("train", "dev")
    ]
    write_manifest(folder / "manifest.jsonl", with_triplets(found, known_slots(), TripletSettings(empty=1.0)))
    return read_manifest(folder / "manifest.jsonl")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


def approx(loss):
    """A clip's frames differ in their last bit by what was encoded beside it; after that, a resumed run repeats exactly."""
    return pytest.approx(loss, rel=1e-3)


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["stage"], line["loss"], line.get("eval_loss")) for line in lines]


RECIPES = [name for name in available_recipes() if name != "adapt"]
OTHERS = {f"{name}:{variant}" for name in RECIPES for variant in recipe_variants(name)} - set(VARIANTS)


@pytest.mark.parametrize("name", [*RECIPES, *VARIANTS, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(OTHERS))])
def test_a_recipe_trains_resumes_decodes_scores_saves_and_loads(name, tiny, manifest, cache, tmp_path, monkeypatch):
    recipe, base = shrunk(name, tiny), None
    if recipe.needs_base:
        base = tmp_path / "base" / "checkpoint"
        train(shrunk(name.partition(":")[0], tiny), manifest, base.parent, cache=cache)
    train(recipe, manifest, tmp_path / "straight", base=base, cache=cache)
    straight = metrics(tmp_path / "straight")
    assert [stage for stage, *_ in straight] == [stage.name for stage in recipe.stages for _ in range(2)]
    assert all(np.isfinite(loss) for _, loss, _ in straight)

    log = RunFolder.log
    monkeypatch.setattr(RunFolder, "log", lambda folder, **values: (log(folder, **values), folder.stop.touch()))
    assert train(recipe, manifest, tmp_path / "resumed", base=base, cache=cache)["status"] == "stopped"
    monkeypatch.setattr(RunFolder, "log", log)
    assert train(recipe, manifest, tmp_path / "resumed", base=base, resume=True, cache=cache)["status"] == "finished"
    assert metrics(tmp_path / "resumed") == [
        (stage, approx(loss), evaluated and approx(evaluated)) for stage, loss, evaluated in straight
    ]

    model, info = load_checkpoint(tmp_path / "resumed" / "checkpoint")
    save_checkpoint(model, info, tmp_path / "again")
    again, _ = load_checkpoint(tmp_path / "again")
    other = dict(again.named_parameters())
    assert all(torch.equal(value, other[key]) for key, value in model.named_parameters())
    patterns = [pattern for stage in recipe.stages for pattern in stage.trainable]
    kept = [key for key in model.state_dict() if any(re.search(pattern, key) for pattern in patterns)]
    assert kept and {file.suffix for file in (tmp_path / "again").iterdir()} == {".json", ".safetensors"}

    held_out = [dialogue for dialogue in manifest if dialogue.split == "dev"][:1]
    tracker = Tracker(again, info)
    for task in recipe.stages[-1].tasks:
        report, answers = evaluate_dialogues(tracker, held_out) if task == "dst" else evaluate_task(tracker, held_out, task)
        assert len(answers) >= 1 and report


def test_a_batch_with_less_rows_than_tasks_is_refused(manifest):
    stage = load_recipe("whisper-base_cnn_llama-3.2-1b:instructions", ["task.batch=2"]).stage("task")
    with pytest.raises(RecipeError, match="batch of 2 has no room for a row of each of the 3 tasks"):
        Sampler(manifest, stage, PromptConfig(), 1)


def test_the_recipe_for_corrections_goes_on_from_a_checkpoint(tiny, manifest, cache, tmp_path):
    train(shrunk("demo", tiny), manifest, tmp_path / "base", cache=cache)
    recipe = load_recipe("adapt", ["adapt.steps=2", "adapt.batch=2", "adapt.warmup=0"])
    train(recipe, manifest, tmp_path / "adapted", base=tmp_path / "base" / "checkpoint", cache=cache)
    _, info = load_checkpoint(tmp_path / "adapted" / "checkpoint")
    assert info.stages == ("align", "stage1", "stage2", "adapt") and info.model.encoder == tiny("whisper")
