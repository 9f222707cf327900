"""A stage's loss on one micro-batch, summed over its target tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from engine.config import StageConfig
from engine.data.batching import Example
from engine.losses import cross_entropy_sum, matching_sum
from engine.model import Batch, SpeechLLM
from engine.prompts import asr_target
from engine.training.processes import full


class Objective(nn.Module):
    """Encoder (where it trains), connector, LLM and the stage's losses in one forward pass."""

    def __init__(self, model: SpeechLLM) -> None:
        super().__init__()
        self.model = model

    def begin(self, stage: StageConfig, examples: Sequence[Example]) -> None:
        """Take over a stage's weights; ``examples`` are all that it may see."""
        self.stage = stage
        self.ctc = _CtcTable(self.model, examples) if stage.ctc_weight else None

    def forward(
        self, batch: Batch, examples: Sequence[Example], waveforms: Sequence[np.ndarray] | None, keep: Tensor | None
    ) -> Tensor:
        """The summed loss.

        Args:
            batch: frames ``(B, T, encoder width)``; without width where ``waveforms`` take their place.
            waveforms: for an encoder that trains, float32 16 kHz.
            keep: SpecAugment's mask over the frames, ``(B, T, encoder width)``.
        """
        model, stage = self.model, self.stage
        with precision(model):
            frames, valid = (batch.frames, batch.valid) if waveforms is None else model.encoder(waveforms)
            if keep is not None:
                frames = frames.float() * keep.to(frames.device)
            speech, valid = model.speech(frames, valid)
            logits = model.target_logits(batch, speech, valid) if stage.ce_weight else None
        loss = speech.new_zeros((), dtype=torch.float32)
        if logits is not None:
            loss = loss + stage.ce_weight * cross_entropy_sum(logits, batch.labels)
        if self.ctc is not None:
            loss = loss + stage.ctc_weight * self.ctc.loss(speech, valid, examples)
        if stage.matching.active:
            words = [asr_target(example.turn.transcript or "") for example in examples]
            tokens = [torch.tensor(model.token_ids(text), dtype=torch.long) for text in words]
            loss = loss + matching_sum(model.llm.get_input_embeddings(), tokens, speech, valid, stage.matching)
        return loss


def precision(model: SpeechLLM) -> AbstractContextManager[object]:
    """bfloat16 autocast on a GPU, unless the recipe wants the LLM in float32; never float16.

    Weights keep their own precision: connector and encoder float32, the LLM what the recipe says. On a CPU each part computes
    in its weights' precision: autocast gains nothing there.
    """
    if model.device.type == "cuda" and model.config.llm_dtype == "bfloat16":
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


class _CtcTable:
    """The LLM's embeddings of the tokens in use, and each transcript as indices into them."""

    def __init__(self, model: SpeechLLM, examples: Sequence[Example]) -> None:
        self.model = model
        texts = sorted({_words(example) for example in examples})
        tokens = dict(zip(texts, model.tokenizer(texts, add_special_tokens=False).input_ids, strict=True))
        ids = sorted({token for row in tokens.values() for token in row})
        place = {token: index for index, token in enumerate(ids)}
        self.targets = {text: torch.tensor([place[token] for token in row], dtype=torch.long) for text, row in tokens.items()}
        weight = full(model.llm.get_input_embeddings().weight)
        self.table = weight[torch.tensor(ids, dtype=torch.long, device=weight.device)].detach().float()

    def loss(self, speech: Tensor, valid: Tensor, examples: Sequence[Example]) -> Tensor:
        return self.model.ctc(speech, valid, self.table, [self.targets[_words(example)] for example in examples])


def _words(example: Example) -> str:
    return " " + example.turn.transcript if example.turn.transcript else ""
