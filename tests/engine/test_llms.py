"""Every class of LLM behind one connector: rows are what a plain forward pass gives, and a checkpoint brings them back."""

import json
from itertools import product

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from engine.base_models import BaseModelError
from engine.checkpoints import (
    CheckpointError,
    CheckpointInfo,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_merged,
)
from engine.cli import app
from engine.config import ModelConfig, PromptConfig, RecipeError
from engine.llms import computed_dtype
from engine.model import SpeechLLM, pick_device
from engine.prompts import Prompt
from engine.training.optimiser import select_trainable
from tests.engine.tiny import LLMS, make

CONNECTOR = {"stack": 4, "width": 16, "heads": 2, "ffn": 16, "dropout": 0.0}
PROMPT = Prompt("", ' {"current_turn": ')
ANSWERS = ('"a cheap hotel", "domains": ["hotel"]}', '"no"}')
EVERYTHING = ["^connector\\.", "^encoder\\.", "^llm\\."]


def config(tiny, llm="llama-3.2", encoder="whisper", **changes) -> ModelConfig:
    keys = {"llm_dtype": "float32", "connector": CONNECTOR, "lora": {"rank": 4, "alpha": 8}, "encoder_lora": {"rank": 2}}
    return ModelConfig.model_validate({"encoder": tiny(encoder), "llm": tiny(llm), **keys, **changes})


def build(*args, **changes) -> SpeechLLM:
    """A model whose adapters do something, in evaluation mode."""
    torch.manual_seed(0)
    model = SpeechLLM(config(*args, **changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    return model


def waves() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(0, 0.1, samples).astype(np.float32) for samples in (16000, 9000)]


def logits(model: SpeechLLM, which=(0, 1)) -> torch.Tensor:
    frames, valid = model.encoder([waves()[i] for i in which])
    rows = [model.row(PROMPT, row[mask].detach(), ANSWERS[i]) for row, mask, i in zip(frames, valid, which, strict=True)]
    batch = model.collate(rows)
    return model.target_logits(batch, *model.speech(frames, valid))


def same(one: torch.Tensor, two: torch.Tensor) -> None:
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)


@pytest.fixture(params=LLMS)
def llm(request) -> str:
    return request.param


@torch.no_grad()
def test_a_row_has_the_same_logits_alone_and_in_a_batch(tiny, llm):
    model = build(tiny, llm)
    same(logits(model), torch.cat([logits(model, [0]), logits(model, [1])]))


@torch.no_grad()
def test_text_around_the_speech_is_embedded_as_the_llm_itself_does(tiny, llm):
    model = build(tiny, llm, llm_tuning="frozen")
    ids = torch.tensor([model.token_ids("USER: a cheap hotel in the north")])
    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny(llm), dtype=torch.float32, attn_implementation="eager")
    ours = model.llm(inputs_embeds=model.llm.get_input_embeddings()(ids)).logits
    same(ours, plain.eval()(input_ids=ids).logits)


@torch.no_grad()
def test_generation_goes_on_as_the_logits_say(tiny, llm):
    model = build(tiny, llm)
    frames, valid = model.encoder(waves())
    speech, positions = model.speech(frames, valid)
    rows = [model.row(PROMPT, row[mask]) for row, mask in zip(frames, valid, strict=True)]
    batch = model.collate(rows, left=True)
    answers = model.llm.generate(
        inputs_embeds=model.embed(batch, speech, positions),
        attention_mask=batch.attention.long(),
        max_new_tokens=4,
        do_sample=False,
        eos_token_id=model.tokenizer.eos_token_id,
        pad_token_id=model.tokenizer.eos_token_id,
    )
    for number, row in enumerate(rows):
        said: list[int] = []
        for _ in range(4):
            row.target = [*said, 0]  # the last place only asks for a prediction
            alone = model.collate([row])
            kept = slice(number, number + 1), slice(int(positions[number].sum()))
            said.append(int(model.target_logits(alone, speech[kept], positions[kept])[-1].argmax()))
            if said[-1] == model.tokenizer.eos_token_id:
                break
        assert answers[number].tolist()[: len(said)] == said


def test_a_checkpoint_brings_the_same_logits_back(tiny, llm, tmp_path):
    model = build(tiny, llm)
    save_checkpoint(model, CheckpointInfo("c", model.config, PromptConfig()), tmp_path / "c")
    with torch.no_grad():
        assert torch.equal(logits(load_checkpoint(tmp_path / "c")[0].eval()), logits(model))


@pytest.mark.parametrize(("encoder", "llm_tuning"), [*product(("frozen", "lora", "full"), ("frozen", "lora", "full"))])
def test_every_tuning_trains_what_it_says_and_a_checkpoint_holds_just_that(tiny, tmp_path, encoder, llm_tuning):
    model = build(tiny, encoder="wavlm-large", encoder_tuning=encoder, llm_tuning=llm_tuning)
    own = [name for name, _ in model.named_parameters() if not model.is_base(name)]
    kinds = {"frozen": False, "lora": True, "full": True}
    assert any(name.startswith("encoder.") for name in own) == kinds[encoder]
    assert any(name.startswith("llm.") for name in own) == kinds[llm_tuning]
    select_trainable(model, [f"^{name}$".replace(".", r"\.") for name in own])
    model.train()
    logits(model).square().mean().backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert [name for name in dead if not name.startswith("ctc.")] == []
    with torch.no_grad():
        for _, parameter in model.trainable():
            parameter += 0.01
    save_checkpoint(model.eval(), CheckpointInfo("c", model.config, PromptConfig()), tmp_path / "c")
    stored = {file.name for file in (tmp_path / "c").glob("*.safetensors")}
    files = {"frozen": [], "lora": ["encoder_adapter.safetensors"], "full": ["encoder.safetensors"]}[encoder]
    files += {"frozen": [], "lora": ["adapter.safetensors"], "full": ["llm.safetensors"]}[llm_tuning]
    assert stored == {"connector.safetensors", *files}
    with torch.no_grad():
        assert torch.equal(logits(load_checkpoint(tmp_path / "c")[0].eval()), logits(model))


def test_a_frozen_side_refuses_to_train(tiny):
    model = build(tiny, llm_tuning="frozen")
    with pytest.raises(RecipeError, match="llm_tuning to 'full'"):
        select_trainable(model, ["^llm\\."])


@pytest.mark.parametrize("frozen_llm", [False, True])
def test_recomputed_activations_give_the_same_gradients_even_through_a_frozen_llm(tiny, llm, frozen_llm):
    gradients = []
    for checkpointing in (False, True):
        model = build(tiny, llm, activation_checkpointing=checkpointing, encoder_tuning="lora")
        select_trainable(model, ["^connector\\.", "^encoder\\..*lora_"] + ([] if frozen_llm else ["^llm\\..*lora_"]))
        model.train()
        calls = count_layers(model)
        logits(model).square().sum().backward()
        layers = model.llm.config.num_hidden_layers
        assert calls == [layers * (2 if checkpointing else 1)]
        gradients.append({name: parameter.grad for name, parameter in model.trainable()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3)


def count_layers(model: SpeechLLM) -> list[int]:
    """A list whose one number counts how often a layer's feed-forward network runs."""
    calls = [0]

    def count(*_):
        calls[0] += 1

    for name, module in model.llm.named_modules():
        if name.endswith(".mlp"):
            module.register_forward_pre_hook(count)
    return calls


def test_an_adapter_of_another_base_model_is_refused_though_its_shapes_fit(tiny, tmp_path):
    model = build(tiny)
    save_checkpoint(model, CheckpointInfo("c", model.config, PromptConfig()), tmp_path / "c")
    make("llama-3.2", tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    other = SpeechLLM(model.config.model_copy(update={"llm": str(tmp_path / "other")}))
    with pytest.raises(CheckpointError, match="was trained on another llm than .*other"):
        load_weights(other, tmp_path / "c")


@pytest.mark.parametrize(("encoder", "tuning"), [("wavlm-large", "lora"), ("whisper", "full"), ("qwen2-audio", "lora")])
def test_a_merged_export_is_ordinary_folders_with_the_same_logits(tiny, tmp_path, encoder, tuning):
    model = build(tiny, encoder=encoder, encoder_tuning=tuning, encoder_layer=1 if encoder == "wavlm-large" else None)
    with torch.no_grad():
        before = logits(model)
    info = CheckpointInfo("c", model.config, PromptConfig())
    save_checkpoint(model, info, tmp_path / "c")
    save_merged(load_checkpoint(tmp_path / "c")[0].eval(), info, tmp_path / "merged")
    again, info = load_checkpoint(tmp_path / "merged")
    alone = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged" / "llm").eval()
    with torch.no_grad():
        same(logits(again.eval()), before)
        again.llm = alone
        same(logits(again), before)
    assert info.model.llm_tuning == info.model.encoder_tuning == "frozen"


@pytest.mark.parametrize("options", [["--dtype", "float32"], ["--merged"]])
def test_the_export_command_takes_card_and_calibration_along_and_overwrites_nothing(tiny, tmp_path, options):
    model = build(tiny)
    save_checkpoint(model, CheckpointInfo("c", model.config, PromptConfig()), tmp_path / "c")
    (tmp_path / "c" / "calibration.json").write_text("{}")
    (tmp_path / "c" / "MODEL_CARD.md").write_text("a card")
    arguments = ["export", str(tmp_path / "c"), "--out", str(tmp_path / "out"), *options]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    load_checkpoint(tmp_path / "out")
    assert (tmp_path / "out" / "calibration.json").read_text() == "{}" and (tmp_path / "out" / "MODEL_CARD.md").exists()
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "is there already" in again.stderr


@pytest.mark.parametrize("name", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(name):
    with pytest.raises(RecipeError, match=rf"device '{name}' cannot be used on this machine .*; name auto, cpu"):
        pick_device(name)


def test_lora_targets_that_fit_no_layer_are_refused(tiny):
    with pytest.raises(RecipeError, match="'query'. do not fit LlamaForCausalLM"):
        build(tiny, lora={"rank": 4, "targets": ["query"]})


def test_an_architecture_that_is_no_language_model_is_refused(tiny):
    with pytest.raises(RecipeError, match="'wavlm' is no causal language model"):
        build(tiny, "wavlm-large")


def test_4bit_weights_without_a_gpu_are_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecipeError, match="needs a CUDA GPU"):
        SpeechLLM(ModelConfig(encoder="no/such", llm="no/such", quantization="4bit"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="needs bitsandbytes"):
        SpeechLLM(ModelConfig(encoder="no/such", llm="no/such", quantization="4bit"))


def test_a_folder_without_all_weights_says_which_are_missing(tmp_path, tiny):
    make("olmo", tmp_path / "olmo")
    weights = load_file(tmp_path / "olmo" / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, tmp_path / "olmo" / "model.safetensors", {"format": "pt"})
    with pytest.raises(BaseModelError, match="lack 1 of the model's parameters, for instance model.layers.1.mlp.up_proj.weight"):
        SpeechLLM(config(tiny).model_copy(update={"llm": str(tmp_path / "olmo")}))
    (tmp_path / "olmo" / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match="no usable model folder: .*no file named model.safetensors"):
        SpeechLLM(config(tiny).model_copy(update={"llm": str(tmp_path / "olmo")}))


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path, tiny):
    make("phi", tmp_path / "phi")
    path = tmp_path / "phi" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": None}))
    with pytest.raises(BaseModelError, match="no end-of-sequence token"):
        SpeechLLM(config(tiny).model_copy(update={"llm": str(tmp_path / "phi")}))


@pytest.mark.parametrize(("units", "dtype"), [({"avx2": True}, torch.float32), ({"amx_bf16": True}, torch.bfloat16)])
def test_a_cpu_without_bfloat16_arithmetic_computes_in_float32(monkeypatch, units, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = ModelConfig(encoder="e", llm="l", llm_dtype="bfloat16")
    assert computed_dtype(model) == dtype
    assert computed_dtype(model.model_copy(update={"llm_dtype": "float32"})) == torch.float32
