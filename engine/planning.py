"""Before a run: parameters of each part, and the memory it will take. Built on the meta device, without weights.

Memory is counted for one GPU, stage by stage: weights, gradients, AdamW's state, and the activations of one micro-batch of the
stage's ``max_positions``. Activations are measured, not guessed: the LLM (and an encoder that trains) runs on empty tensors, and
what autograd keeps for the backward pass is added up. A row of the micro-batch is 10 s of speech with its text.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedConfig

from engine.audio import SAMPLE_RATE
from engine.base_models import EMBEDDED
from engine.config import JSON_TASKS, ModelConfig, Recipe, StageConfig
from engine.model import SpeechLLM
from engine.pretrained import read_config
from engine.published import PUBLISHED, published_config
from engine.wavlm import FusedWavLMAttention

CARD = 24e9  # bytes of the card the papers' systems are to fit on, where none is present
SPEECH_SECONDS = 10  # speech in a row
TEXT, TARGETS = 512, 160  # text positions in a row whose answer is JSON, and those of them that are predicted
PLAIN_TEXT, PLAIN_TARGETS = 64, 48  # the same for a transcript or a translation
CONTEXT = 1.0e9  # CUDA context, kernels and fragmentation
NF4 = 0.5 + 1 / 16 / 2  # bytes a 4-bit weight takes: with double quantisation, its share of the block scales
BIG = 5e8  # parameters of an LLM from which on a run begins with its plan


@dataclass(frozen=True)
class StagePlan:
    """One stage: trainable parameters by part, and bytes on the GPU."""

    name: str
    trainable: dict[str, int]
    weights: int
    gradients: int
    optimiser: int
    activations: int
    rows: int
    positions: int

    @property
    def total(self) -> int:
        return int(self.weights + self.gradients + self.optimiser + self.activations + CONTEXT)


@dataclass(frozen=True)
class Plan:
    """A recipe's parameters by part, where the configurations came from, and its stages; ``card`` in bytes."""

    recipe: str
    sources: dict[str, str]
    parameters: dict[str, int]
    stages: list[StagePlan]
    card: int

    @property
    def fits(self) -> bool:
        return max(stage.total for stage in self.stages) <= self.card

    def to_json(self) -> dict[str, object]:
        stages = [asdict(stage) | {"total": stage.total} for stage in self.stages]
        return asdict(self) | {"stages": stages, "fits": self.fits}


def make_plan(recipe: Recipe) -> Plan:
    """Count the recipe's parameters and its memory.

    Raises:
        RecipeError: a model that cannot be built, or a stage that trains nothing.
        BaseModelError: no configuration is to be had.
    """
    from engine.training.optimiser import select_trainable  # the loop imports this package's neighbours, not the other way

    found = {name: find_config(name) for name in dict.fromkeys((recipe.model.encoder, recipe.model.llm))}
    model = skeleton(recipe.model, {name: config for name, (config, _) in found.items()})
    parameters = count(model.named_parameters())
    # Position tables that never train are part of a published count.
    parameters["encoder"] += sum(buffer.numel() for buffer in model.encoder.backbone.buffers())
    stages = []
    for stage in recipe.stages:
        select_trainable(model, stage.trainable)
        stages.append(_stage_plan(model, recipe.model, stage))
    card = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else int(CARD)
    return Plan(recipe.name, {name: source for name, (_, source) in found.items()}, parameters, stages, card)


def find_config(name: str) -> tuple[PreTrainedConfig, str]:
    """The model's configuration and where it came from; the packaged table steps in only where no hub answers.

    Raises:
        BaseModelError: it is nowhere to be had.
    """
    if Path(name).is_dir():
        return read_config(name), "local folder"
    if name not in PUBLISHED or (name in EMBEDDED and EMBEDDED[name].folder.is_dir()):
        return read_config(name), "hub or model cache"
    try:
        return AutoConfig.from_pretrained(name, local_files_only=True), "hub or model cache"
    except OSError:
        return (read_config(name), "hub or model cache") if _hub_answers() else (published_config(name), "published values")


def skeleton(config: ModelConfig, configs: dict[str, PreTrainedConfig]) -> SpeechLLM:
    """The model on the meta device; it keeps its activations, so that they can be counted."""
    plain = config.model_copy(update={"activation_checkpointing": False, "quantization": "none"})
    return SpeechLLM(plain, weights=False, configs=configs)


def count(named: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
    """Parameters by part: encoder, encoder lora, connector, ctc, llm, llm lora."""
    parts: dict[str, int] = {}
    for name, parameter in named:
        part = name.partition(".")[0] + (" lora" if "lora_" in name else "")
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def is_big(config: ModelConfig) -> bool:
    """Whether a run with this LLM should begin with its plan; a look at the configuration, not at the model."""
    llm = find_config(config.llm)[0].get_text_config()
    return 12 * llm.num_hidden_layers * llm.hidden_size**2 > BIG


def describe(plan: Plan) -> str:
    """The plan for people."""
    lines = [f"{name}: configuration from {source}" for name, source in plan.sources.items()]
    lines += ["", "parameters"]
    lines += [f"  {part:14} {number:>15,}" for part, number in plan.parameters.items()]
    for stage in plan.stages:
        trained = ", ".join(f"{part} {number / 1e6:,.2f} M" for part, number in stage.trainable.items())
        shares = (("weights", stage.weights), ("gradients", stage.gradients), ("optimiser", stage.optimiser))
        lines += [
            "",
            f"stage {stage.name}: trains {trained} = {sum(stage.trainable.values()) / 1e6:,.2f} M",
            f"  micro-batch of {stage.rows} rows of {stage.positions} positions",
            "  "
            + ", ".join(f"{what} {size / 1e9:.2f}" for what, size in shares)
            + f", activations {stage.activations / 1e9:.2f}, context {CONTEXT / 1e9:.0f}: {stage.total / 1e9:.1f} GB",
        ]
    verdict = "fits" if plan.fits else "does NOT fit"
    most = max(stage.total for stage in plan.stages)
    lines += ["", f"{most / 1e9:.1f} GB at most: {verdict} a card of {plan.card / 1e9:.0f} GB"]
    if not plan.fits:
        lines.append("smaller: model.quantization=4bit, model.activation_checkpointing=true, fewer max_positions in the stage")
    return "\n".join(lines)


def _stage_plan(model: SpeechLLM, config: ModelConfig, stage: StageConfig) -> StagePlan:
    text, targets = (TEXT, TARGETS) if set(stage.tasks) & set(JSON_TASKS) else (PLAIN_TEXT, PLAIN_TARGETS)
    samples = SPEECH_SECONDS * SAMPLE_RATE
    speech = model.connector.lengths(model.encoder.lengths(samples))
    positions = speech + (text if stage.ce_weight else 0)
    rows = max(1, min(stage.batch, stage.max_positions // positions))
    row = _connector_bytes(model, samples) + _encoder_bytes(model, config, samples)
    if stage.ce_weight:
        row += _llm_bytes(model, config, positions, targets)
    trained = model.trainable()
    return StagePlan(
        name=stage.name,
        trainable=count(trained),
        weights=sum(_weight_bytes(model, config)),
        # the parameter's own, and the optimiser's in float32
        gradients=sum(parameter.numel() * (parameter.element_size() + 4) for _, parameter in trained),
        # two moments, and a master copy where the parameter is no float32
        optimiser=sum(parameter.numel() * (8 if parameter.dtype == torch.float32 else 12) for _, parameter in trained),
        activations=rows * row,
        rows=rows,
        positions=positions,
    )


def _weight_bytes(model: SpeechLLM, config: ModelConfig) -> Iterable[int]:
    small: set[int] = set()
    if config.quantization == "4bit":
        base = model.llm.get_base_model() if config.llm_has_lora else model.llm
        head = base.get_output_embeddings()
        linear = (module for name, module in base.named_modules() if isinstance(module, nn.Linear) and "lora_" not in name)
        small = {id(module.weight) for module in linear if module is not head}
    for parameter in model.parameters():
        yield int(parameter.numel() * (NF4 if id(parameter) in small else parameter.element_size()))


def _llm_bytes(model: SpeechLLM, config: ModelConfig, positions: int, targets: int) -> int:
    """What one row keeps in the LLM, and its logits at the target positions: as they come, in float32, and their gradients."""
    dtype = getattr(torch, config.llm_dtype)
    settings = model.llm.config
    inputs = torch.empty(1, positions, settings.hidden_size, dtype=dtype, device="meta", requires_grad=True)
    # A fused kernel keeps no attention matrix; on this machine's meta device the plain one may stand in for it.
    fused = model.llm.get_base_model()._supports_sdpa if config.llm_has_lora else model.llm._supports_sdpa
    mask = torch.empty(1, 1, positions, positions, dtype=dtype, device="meta")  # given whole: making one looks at values
    with _Kept(model, matrices_of=positions if fused else None) as kept:
        model.llm(inputs_embeds=inputs, attention_mask=mask, use_cache=False, logits_to_keep=1)
    layers, size = settings.num_hidden_layers, kept.size
    if config.activation_checkpointing:
        size = layers * inputs.nbytes + size // layers
    return size + targets * settings.vocab_size * (dtype.itemsize + 3 * 4)


def _connector_bytes(model: SpeechLLM, samples: int) -> int:
    frames = torch.empty(1, model.encoder.lengths(samples), model.encoder.width, device="meta")
    with _Kept(model) as kept:
        model.connector(frames, torch.ones(frames.shape[:2], dtype=torch.bool, device="meta"))
    return kept.size


def _encoder_bytes(model: SpeechLLM, config: ModelConfig, samples: int) -> int:
    """What one clip keeps in an encoder that trains; a frozen one has its frames cached."""
    if not any(parameter.requires_grad for parameter in model.encoder.parameters()):
        return 0
    settings, frames = model.encoder.backbone.config, model.encoder.lengths(samples)
    with _Kept(model, matrices_of=frames) as kept:
        output = model.encoder.probe(samples)
    layers, size = getattr(settings, model.encoder.layer_count), kept.size
    if any(isinstance(module, FusedWavLMAttention) for module in model.encoder.modules()):
        # The gated position bias is a matrix too, which every layer keeps whatever the kernel.
        size += layers * settings.num_attention_heads * frames * frames * output.element_size()
    return layers * output.nbytes + size // layers if config.activation_checkpointing else size


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Adds up what autograd keeps for the backward pass, without the parameters, each storage once."""

    def __init__(self, model: SpeechLLM, matrices_of: int | None = None) -> None:
        super().__init__(self._keep, lambda tensor: tensor)
        self.size = 0
        self.matrices_of = matrices_of
        self.storages = {parameter.untyped_storage()._cdata: parameter.untyped_storage() for parameter in model.parameters()}

    def __enter__(self) -> _Kept:
        super().__enter__()
        return self

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        matrix = tensor.dim() > 2 and tuple(tensor.shape[-2:]) == (self.matrices_of,) * 2
        if storage._cdata not in self.storages and not matrix:
            self.storages[storage._cdata] = storage
            self.size += storage.nbytes()
        return tensor


def _hub_answers() -> bool:
    """Whether the hub can be reached, found out in three seconds instead of its client's half minute."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    address = urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or address.hostname is None:
        return False
    try:
        socket.create_connection((address.hostname, address.port or 443), timeout=3).close()
    except OSError:
        return False
    return True
