"""Training losses. Each returns a sum; the loop divides by the token count of the whole effective batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.config import MatchingConfig


def cross_entropy_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed token cross-entropy, computed in float32. ``(N, V)`` and ``(N,)``."""
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum")


def matching_sum(embed: nn.Module, tokens: list[Tensor], speech: Tensor, valid: Tensor, config: MatchingConfig) -> Tensor:
    """Summed matching loss of transcript tokens (paper 3, matching loss).

    Each token's embedding attends over the row's speech positions; what it gathers is compared with the embedding itself.
    The embeddings are targets: no gradient flows into them.

    Args:
        embed: the LLM's token embeddings.
        tokens: ids of each row's transcript; a row without any counts zero.
        speech: ``(B, S, D)`` connector outputs.
        valid: ``(B, S)`` True on real positions.
    """
    ids = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1).to(speech.device)
    text = embed(ids.clamp(min=0).long()).detach().float()
    speech = speech.float()
    scores = text @ speech.transpose(1, 2)
    if config.attention == "scaled-dot":
        scores = scores / math.sqrt(text.shape[-1])
    gathered = scores.masked_fill(~valid[:, None], float("-inf")).softmax(-1) @ speech
    squares = (gathered - text).square().mean(-1)
    cosines = nn.functional.cosine_similarity(gathered, text, dim=-1)
    return ((config.mse * squares + config.cosine * (1 - cosines)) * (ids >= 0)).sum()


class EmbeddingCtc(nn.Module):
    """CTC of connector outputs against the LLM's own frozen input embeddings of the tokens in use, plus a blank.

    Aligns speech with the LLM's embedding space without an LLM forward pass. Outputs and embeddings are compared by cosine,
    with a learned scale; the blank is a learned direction. Not in the three papers: it makes stage 1 converge on a CPU.
    """

    SCALE = 3.0  # what the scale begins at

    def __init__(self, llm_width: int) -> None:
        super().__init__()
        self.blank = nn.Parameter(torch.randn(llm_width) * 0.02)
        self.scale = nn.Parameter(torch.tensor(self.SCALE))  # log of the factor on the cosine

    @property
    def trained(self) -> bool:
        """Whether a stage has moved it from where it begins: else what it reads means nothing."""
        return float(self.scale) != self.SCALE

    def log_probs(self, speech: Tensor, table: Tensor) -> Tensor:
        """``(B, S, D)`` outputs against ``(K, D)`` embeddings -> ``(B, S, K + 1)`` log-probabilities, blank first."""
        entries = nn.functional.normalize(torch.cat([self.blank[None], table.float()]), dim=-1)
        cosine = nn.functional.normalize(speech.float(), dim=-1) @ entries.T
        return (cosine * self.scale.exp()).log_softmax(-1)

    def forward(self, speech: Tensor, valid: Tensor, table: Tensor, targets: list[Tensor]) -> Tensor:
        """Summed loss; ``targets`` are indices into ``table``. Rows too short for their target count zero."""
        log_probs = self.log_probs(speech, table).transpose(0, 1)
        lengths = torch.tensor([len(target) for target in targets], device=speech.device)
        return nn.functional.ctc_loss(
            log_probs,
            torch.cat(targets).to(speech.device) + 1,
            valid.sum(1),
            lengths,
            blank=0,
            reduction="sum",
            zero_infinity=True,
        )
