"""WavLM's attention through the fused kernel and through its own projection modules.

transformers hands the projections' weights to ``multi_head_attention_forward`` and asks for the attention weights: slow, and
whatever wraps a projection (LoRA) is never called and never trained. Here each projection is called, and the gated relative
position bias goes to ``scaled_dot_product_attention`` as its mask. The results are upstream's within float tolerance, the speed
is compared in tests/bench/wavlm_attention.py.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.wavlm.modeling_wavlm import WavLMAttention


class FusedWavLMAttention(WavLMAttention):
    """Self-attention with a gated relative position bias (WavLM paper, section 3.1)."""

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, position_bias: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, None, Tensor]:
        """``(B, T, W)``, mask ``(B, T)`` True on real frames -> outputs, no weights, the bias ``(1, H, T, T)`` for the next."""
        batch, length, _width = hidden_states.shape
        heads = (batch, length, self.num_heads, self.head_dim)
        if position_bias is None:
            position_bias = self.compute_bias(length, length)[None]
        gates = self.gru_rel_pos_linear(hidden_states.view(heads).transpose(1, 2))
        one, two = gates.view(batch, self.num_heads, length, 2, 4).sum(-1).sigmoid().chunk(2, dim=-1)
        gate = one * (two * self.gru_rel_pos_const - 1.0) + 2.0
        if attention_mask is None:
            bias = gate * position_bias
        else:  # one pass over (B, H, T, T), forth and back
            padding = gate.new_zeros(batch, 1, 1, length).masked_fill(~attention_mask.bool()[:, None, None, :], float("-inf"))
            bias = torch.addcmul(padding, gate, position_bias)
        query, key, value = (
            projection(hidden_states).view(heads).transpose(1, 2) for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        output = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype), dropout_p=self.dropout if self.training else 0.0
        )
        return self.out_proj(output.transpose(1, 2).reshape(batch, length, -1)), None, position_bias


def use_fused_attention(model: nn.Module) -> None:
    """Have every attention layer of a WavLM model compute as above; its parameters stay what they are."""
    for module in model.modules():
        if type(module) is WavLMAttention:
            module.__class__ = FusedWavLMAttention
