"""Training losses. Each returns a sum; the loop divides by the token count of the whole effective batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def cross_entropy_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed token cross-entropy, computed in float32. ``(N, V)`` and ``(N,)``."""
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum")


class EmbeddingCtc(nn.Module):
    """CTC of connector outputs against the LLM's own frozen input embeddings of the tokens in use, plus a blank.

    Aligns speech with the LLM's embedding space without an LLM forward pass. Outputs and embeddings are compared by cosine,
    with a learned scale; the blank is a learned direction. Not in the three papers: it makes stage 1 converge on a CPU.
    """

    def __init__(self, llm_width: int) -> None:
        super().__init__()
        self.blank = nn.Parameter(torch.randn(llm_width) * 0.02)
        self.scale = nn.Parameter(torch.tensor(3.0))  # log of the factor on the cosine

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
