"""Connectors: encoder frames in, LLM embeddings out. One class each, one registry.

Everywhere ``valid`` is a boolean mask that is True on real frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.config import ConnectorConfig


class StackedTransformer(nn.Module):
    """Frame stacking, Linear, transformer layers with sinusoidal positions, Linear (paper 1).

    ``stack`` frames are concatenated into one position, the last group padded with zeros, so T frames give ceil(T / stack)
    positions.
    """

    def __init__(self, config: ConnectorConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__()
        self.stack = config.stack
        self.inlet = nn.Linear(encoder_width * config.stack, config.width)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.ffn,
            config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=config.norm == "pre",
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.outlet = nn.Linear(config.width, llm_width)
        self.norm = nn.LayerNorm(llm_width) if config.match_embeddings else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def lengths(self, frames: int) -> int:
        """Positions that ``frames`` encoder frames give."""
        return -(-frames // self.stack)

    def forward(self, frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, T, encoder width)`` and ``(B, T)`` -> ``(B, ceil(T/stack), llm width)`` and its mask."""
        batch, time, width = frames.shape
        extra = -time % self.stack
        frames = nn.functional.pad(frames * valid[..., None], (0, 0, 0, extra))
        hidden = self.inlet(frames.reshape(batch, -1, width * self.stack))
        valid = nn.functional.pad(valid, (0, extra)).reshape(batch, -1, self.stack).any(-1)
        hidden = self.dropout(hidden + sinusoids(hidden.shape[1], hidden.shape[2], hidden.device).to(hidden.dtype))
        hidden = self.layers(hidden, src_key_padding_mask=~valid)
        return self.norm(self.outlet(hidden)), valid

    def match(self, embeddings: Tensor) -> None:
        """Start the output norm at the scale of the LLM's token embeddings ``(V, llm width)``."""
        if isinstance(self.norm, nn.LayerNorm):
            nn.init.constant_(self.norm.weight, float(embeddings.detach().float().std()))


CONNECTORS: dict[str, type[StackedTransformer]] = {"stacked-transformer": StackedTransformer}


def build_connector(config: ConnectorConfig, encoder_width: int, llm_width: int) -> StackedTransformer:
    """The connector that ``config.kind`` names."""
    return CONNECTORS[config.kind](config, encoder_width, llm_width)


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal position table ``(length, width)``, sines first."""
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
