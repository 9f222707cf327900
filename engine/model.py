"""SpeechLLM: encoder -> connector -> LLM.

One row is ``[prefix][valid speech positions][suffix][target]``, contiguous, with explicit position ids; rows are padded on the
right for training and on the left for generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from engine.config import ModelConfig, RecipeError
from engine.connectors import AudioProjector, build_connector
from engine.encoders import build_encoder
from engine.llms import build_llm
from engine.lora import add_lora
from engine.losses import EmbeddingCtc
from engine.pretrained import load_tokenizer, read_config, require_4bit, weights_print
from engine.prompts import Prompt

FRAME_DTYPE = torch.float16  # what a frozen encoder hands on, so that cached and live frames are the same numbers


@dataclass
class Row:
    """One training or generation row: token ids around the speech, and the frames ``(T, encoder width)``."""

    prefix: list[int]
    frames: Tensor
    suffix: list[int]
    target: list[int]


@dataclass
class Batch:
    """Rows spliced together. Shapes: ids and masks ``(B, L)``, frames ``(B, T, W)``, valid ``(B, T)``."""

    ids: Tensor
    speech: Tensor
    attention: Tensor
    predicts: Tensor
    labels: Tensor
    frames: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(**{key: value.to(device) for key, value in vars(self).items()})


def splice(embeddings: Tensor, speech_mask: Tensor, speech: Tensor, speech_valid: Tensor) -> Tensor:
    """Put the valid speech vectors, in order, where ``speech_mask`` is True.

    Args:
        embeddings: ``(B, L, D)`` token embeddings.
        speech_mask: ``(B, L)`` True where speech belongs.
        speech: ``(B, S, D)`` connector outputs.
        speech_valid: ``(B, S)`` True on real positions.

    Raises:
        ValueError: a row has another number of places than of speech positions.
    """
    places, have = speech_mask.sum(1), speech_valid.sum(1)
    if not torch.equal(places, have):
        raise ValueError(f"rows have {places.tolist()} places for {have.tolist()} speech positions")
    return embeddings.masked_scatter(speech_mask[..., None], speech[speech_valid].to(embeddings.dtype))


def collate(rows: Sequence[Row], speech_lengths: Sequence[int], *, left: bool = False, multiple: int = 1) -> Batch:
    """Pad rows to one length (rounded up to ``multiple``); ``speech_lengths`` are the connector's for each row."""
    totals = [
        len(row.prefix) + length + len(row.suffix) + len(row.target) for row, length in zip(rows, speech_lengths, strict=True)
    ]
    size = -(-max(totals) // multiple) * multiple
    shape = (len(rows), size)
    ids = torch.zeros(shape, dtype=torch.long)
    speech, attention, predicts = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    labels: list[int] = []
    for number, (row, length, total) in enumerate(zip(rows, speech_lengths, totals, strict=True)):
        start = size - total if left else 0
        begin = start + len(row.prefix)
        after = begin + length
        ids[number, start:begin] = torch.tensor(row.prefix, dtype=torch.long)
        speech[number, begin:after] = True
        tail = row.suffix + row.target
        ids[number, after : after + len(tail)] = torch.tensor(tail, dtype=torch.long)
        attention[number, start : start + total] = True
        first = start + total - len(row.target)
        predicts[number, first - 1 : start + total - 1] = bool(row.target)
        labels.extend(row.target)
    frames = nn.utils.rnn.pad_sequence([row.frames for row in rows], batch_first=True)
    frame_counts = torch.tensor([len(row.frames) for row in rows])
    valid = torch.arange(frames.shape[1])[None] < frame_counts[:, None]
    return Batch(ids, speech, attention, predicts, torch.tensor(labels, dtype=torch.long), frames, valid)


def position_ids(attention: Tensor) -> Tensor:
    """Positions counted over real places only, so that padding on either side changes nothing."""
    return (attention.long().cumsum(1) - 1).clamp(min=0)


def pick_device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one.

    Raises:
        RecipeError: this machine has no such device.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch built without CUDA
        raise RecipeError(
            f"device {name!r} cannot be used on this machine ({str(error).splitlines()[0]}); name auto, cpu, cuda or cuda:N"
        ) from error
    return device


class SpeechLLM(nn.Module):
    """The whole model. Parameter names start with ``encoder.``, ``connector.``, ``ctc.`` or ``llm.``; LoRA's have ``lora_``.

    ``weights=False`` builds it on the meta device, from configurations alone: to count and to plan, not to run.

    Raises:
        RecipeError: an architecture that is not supported, or 4-bit weights where they cannot be used.
        BaseModelError: a base model cannot be had.
    """

    def __init__(self, config: ModelConfig, *, weights: bool = True, configs: dict[str, PreTrainedConfig] | None = None) -> None:
        super().__init__()
        self.config = config
        if weights and config.quantization == "4bit":
            require_4bit()
        named = {name: read_config(name) for name in {config.encoder, config.llm}} if configs is None else configs
        self.encoder = build_encoder(config.encoder, config.encoder_layer, named[config.encoder], weights=weights)
        llm = build_llm(config, named[config.llm], weights=weights)
        if weights:
            self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(config.llm)
            self.prints = {"encoder": weights_print(self.encoder.backbone), "llm": weights_print(llm)}
        table = llm.get_input_embeddings()
        with torch.device("cpu" if weights else "meta"):
            self.connector = build_connector(config.connector, self.encoder.width, table.embedding_dim)
            self.ctc = EmbeddingCtc(table.embedding_dim)
        if weights:
            every = max(1, table.num_embeddings // 4096)
            ids = torch.arange(0, table.num_embeddings, every, device=table.weight.device)
            self.connector.match(table(ids))  # as the LLM gets them: some models scale their embeddings
            if isinstance(self.connector, AudioProjector) and named[config.encoder].model_type == "qwen2_audio":
                self.connector.load(config.encoder, named[config.encoder])
        if config.encoder_has_lora:
            self.encoder.add_lora(config.encoder_lora)
        self.llm: Any = add_lora(llm, config.lora) if config.llm_has_lora else llm
        if config.activation_checkpointing:
            for part in (self.encoder.backbone, self.llm):
                base = part.get_base_model() if isinstance(part, PeftModel) else part
                base.activation_checkpointing_enable({"use_reentrant": False})
                base.disable_input_require_grads()  # only the reentrant kind needs it

    @property
    def device(self) -> torch.device:
        return next(self.connector.parameters()).device

    def is_base(self, name: str) -> bool:
        """Whether a parameter stays what the base models make it: such never train, and no checkpoint holds them."""
        part = name.partition(".")[0]
        tuning = {"encoder": self.config.encoder_tuning, "llm": self.config.llm_tuning}.get(part, "full")
        return not (tuning == "full" or "lora_" in name)

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    def train(self, mode: bool = True) -> SpeechLLM:
        """Training mode only where something trains: a frozen part keeps no dropout."""
        super().train(mode)
        for part in (self.encoder, self.connector, self.llm):
            part.train(mode and any(parameter.requires_grad for parameter in part.parameters()))
        if mode and self.config.activation_checkpointing:
            # Gradients pass through a frozen LLM too. Its layers recompute only in training mode; what is in them, dropout
            # above all, stays as it is.
            for module in self.llm.modules():
                if isinstance(module, GradientCheckpointingLayer):
                    module.training = True
        return self

    @torch.no_grad()
    def encode(self, waveforms: Sequence[Any]) -> list[Tensor]:
        """Frames on the CPU, without gradients, in the precision the cache keeps."""
        return [frames.to("cpu", FRAME_DTYPE) for frames in self.encoder.encode(waveforms)]

    def speech(self, frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Connector outputs and their mask."""
        return self.connector(frames.to(next(self.connector.parameters()).dtype), valid)

    def collate(self, rows: Sequence[Row], *, left: bool = False, multiple: int = 1) -> Batch:
        lengths = [self.connector.lengths(len(row.frames)) for row in rows]
        return collate(rows, lengths, left=left, multiple=multiple)

    def embed(self, batch: Batch, speech: Tensor, speech_valid: Tensor) -> Tensor:
        """``(B, L, D)`` embeddings of the rows, speech in place."""
        return splice(self.llm.get_input_embeddings()(batch.ids), batch.speech, speech, speech_valid)

    def target_logits(self, batch: Batch, speech: Tensor, speech_valid: Tensor) -> Tensor:
        """Logits ``(target tokens, V)`` at the places that predict a target token, and nowhere else."""
        return self.llm(
            inputs_embeds=self.embed(batch, speech, speech_valid),
            attention_mask=batch.attention.long(),
            position_ids=position_ids(batch.attention),
            use_cache=False,
            logits_to_keep=batch.predicts,
        ).logits.reshape(-1, self.llm.get_input_embeddings().num_embeddings)

    def row(self, prompt: Prompt, frames: Tensor, target: str | None = None) -> Row:
        """Token ids around the frames: beginning-of-sequence first where there is one, end-of-sequence after a target."""
        tokenizer = self.tokenizer
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        end = [] if target is None else [*self.token_ids(target), tokenizer.eos_token_id]
        return Row(start + self.token_ids(prompt.prefix), frames, self.token_ids(prompt.suffix), end)

    def token_ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids
