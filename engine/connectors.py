"""Connectors: encoder frames in, LLM embeddings out. One class each, one registry.

Everywhere ``valid`` is a boolean mask that is True on real frames. ``stack`` frames become one position; the last group is
padded with zeros, never dropped, so T frames give ceil(T / stack) positions.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioMultiModalProjector, Qwen2AudioPreTrainedModel

from engine.connector_config import (
    AudioProjectorConfig,
    CnnConfig,
    ConnectorConfig,
    Conv1dMlpConfig,
    Conv1dTransformerConfig,
    LinearConfig,
    MlpConfig,
    StackedTransformerConfig,
)
from engine.pretrained import load_model


class Connector(nn.Module):
    """What all connectors share: lengths, groups of frames, the scale of the outputs."""

    def __init__(self, stack: int, llm_width: int, match_embeddings: bool) -> None:
        super().__init__()
        self.stack = stack
        self.norm = nn.LayerNorm(llm_width) if match_embeddings else nn.Identity()

    def lengths(self, frames: int) -> int:
        """Positions that ``frames`` encoder frames give."""
        return -(-frames // self.stack)

    def forward(self, frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, T, encoder width)`` and ``(B, T)`` -> ``(B, ceil(T/stack), llm width)`` and its mask."""
        frames, positions = grouped(frames, valid, self.stack)
        return self.norm(self.project(frames, positions)), positions

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        """``(B, S * stack, encoder width)``, zero where there is no frame, and ``(B, S)`` -> ``(B, S, llm width)``."""
        raise NotImplementedError

    def match(self, embeddings: Tensor) -> None:
        """Start the output norm at the scale of the LLM's token embeddings ``(V, llm width)``."""
        if isinstance(self.norm, nn.LayerNorm):
            nn.init.constant_(self.norm.weight, float(embeddings.detach().float().std()))


class StackedTransformer(Connector):
    """Frame stacking, Linear without activation, transformer layers with sinusoidal positions, Linear (paper 1)."""

    def __init__(self, config: StackedTransformerConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(config.stack, llm_width, config.match_embeddings)
        self.inlet = nn.Linear(encoder_width * config.stack, config.width)
        self.layers = _transformer(config)
        self.outlet = nn.Linear(config.width, llm_width)
        self.dropout = nn.Dropout(config.dropout)

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        hidden = self.inlet(stacked(frames, self.stack))
        return self.outlet(_contextual(hidden, positions, self.layers, self.dropout))


class Cnn(Connector):
    """Convolutions of kernel 3 that halve the frames, one for each factor of two in ``stack``, then a Linear (paper 2)."""

    def __init__(self, config: CnnConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(config.stack, llm_width, config.match_embeddings)
        widths = [encoder_width] + [config.width] * (config.stack.bit_length() - 1)
        self.convolutions = nn.ModuleList(nn.Conv1d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths))
        self.outlet = nn.Linear(widths[-1], llm_width)

    def forward(self, frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """As any connector's, with what lies beyond a clip zeroed before each convolution, as its own padding would be."""
        hidden = frames * valid[..., None]
        for convolution in self.convolutions:
            hidden, valid = _convolved(convolution, hidden).relu(), grouped(hidden, valid, 2)[1]
            hidden = hidden * valid[..., None]
        return self.norm(self.outlet(hidden)), valid


class StackedLinear(Connector):
    """Frame stacking and one Linear (paper 2)."""

    def __init__(self, config: LinearConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(config.stack, llm_width, config.match_embeddings)
        self.outlet = nn.Linear(encoder_width * config.stack, llm_width)

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        return self.outlet(stacked(frames, self.stack))


class StackedMlp(Connector):
    """Frame stacking, hidden layers with ReLU, Linear (paper 2)."""

    def __init__(self, config: MlpConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(config.stack, llm_width, config.match_embeddings)
        self.layers = _mlp(encoder_width * config.stack, config.width, config.layers, llm_width)

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        return self.layers(stacked(frames, self.stack))


class Conv1dMlp(Connector):
    """One convolution whose kernel and stride are ``stack``, ReLU, a hidden layer with ReLU, Linear (paper 3)."""

    def __init__(self, config: Conv1dMlpConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(config.stack, llm_width, config.match_embeddings)
        self.convolution = self._convolution(encoder_width)
        self.layers = _mlp(encoder_width, config.width, 1, llm_width)

    def _convolution(self, width: int) -> nn.Module:
        return nn.Conv1d(width, width, self.stack, stride=self.stack)

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        return self.layers(_convolved(self.convolution, frames).relu())


class DwsMlp(Conv1dMlp):
    """As `Conv1dMlp`, with a depth-wise separable convolution: one filter a channel, then a mix of the channels (paper 3)."""

    def _convolution(self, width: int) -> nn.Module:
        depthwise = nn.Conv1d(width, width, self.stack, stride=self.stack, groups=width)
        return nn.Sequential(depthwise, nn.Conv1d(width, width, 1))


class Conv1dTransformer(Connector):
    """One convolution whose kernel and stride are ``stack``, ReLU, transformer layers, Linear (paper 3)."""

    def __init__(self, config: Conv1dTransformerConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(config.stack, llm_width, config.match_embeddings)
        self.convolution = nn.Conv1d(encoder_width, config.width, config.stack, stride=config.stack)
        self.layers = _transformer(config)
        self.outlet = nn.Linear(config.width, llm_width)
        self.dropout = nn.Dropout(config.dropout)

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        hidden = _convolved(self.convolution, frames).relu()
        return self.outlet(_contextual(hidden, positions, self.layers, self.dropout))


class AudioProjector(Connector):
    """One Linear on each frame: the projector inside a Qwen2-Audio checkpoint, which `load` takes its weights from (paper 2)."""

    def __init__(self, config: AudioProjectorConfig, encoder_width: int, llm_width: int) -> None:
        super().__init__(1, llm_width, False)
        self.linear = nn.Linear(encoder_width, llm_width)

    def load(self, name: str, config: PreTrainedConfig) -> None:
        """Take the weights from the checkpoint ``name``, whose other parts are not read."""
        keys = {r"^multi_modal_projector": "model.multi_modal_projector"}  # as published; transformers 5 writes the latter
        whole = load_model(_ProjectorOfQwen2Audio, name, config, keys=keys, dtype=torch.float32)
        self.linear.load_state_dict(whole.model["multi_modal_projector"].linear.state_dict())

    def project(self, frames: Tensor, positions: Tensor) -> Tensor:
        return self.linear(frames)


class _ProjectorOfQwen2Audio(Qwen2AudioPreTrainedModel):
    """Qwen2-Audio with nothing in it but the projector."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.model = nn.ModuleDict({"multi_modal_projector": Qwen2AudioMultiModalProjector(config)})
        self.post_init()


CONNECTORS: dict[str, Any] = {
    "stacked-transformer": StackedTransformer,
    "cnn": Cnn,
    "linear": StackedLinear,
    "mlp": StackedMlp,
    "conv1d-mlp": Conv1dMlp,
    "dws-mlp": DwsMlp,
    "conv1d-transformer": Conv1dTransformer,
    "qwen2-audio": AudioProjector,
}


def build_connector(config: ConnectorConfig, encoder_width: int, llm_width: int) -> Connector:
    """The connector that ``config.kind`` names."""
    return CONNECTORS[config.kind](config, encoder_width, llm_width)


def grouped(frames: Tensor, valid: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Zero what is no frame and pad the end to whole groups of ``size``; a group with one frame in it is valid."""
    extra = -frames.shape[1] % size
    positions = nn.functional.pad(valid, (0, extra)).reshape(len(valid), -1, size).any(-1)
    return nn.functional.pad(frames * valid[..., None], (0, 0, 0, extra)), positions


def stacked(frames: Tensor, size: int) -> Tensor:
    """``(B, S * size, W)`` -> ``(B, S, size * W)``."""
    return frames.reshape(len(frames), -1, size * frames.shape[2])


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal position table ``(length, width)``, sines first."""
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


def _convolved(convolution: nn.Module, hidden: Tensor) -> Tensor:
    return convolution(hidden.transpose(1, 2)).transpose(1, 2)


def _mlp(inputs: int, width: int, hidden_layers: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in [width] * hidden_layers:
        layers += [nn.Linear(inputs, size), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def _transformer(config: StackedTransformerConfig | Conv1dTransformerConfig) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.width,
        config.heads,
        config.ffn,
        config.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=config.norm == "pre",
    )
    layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
    if config.initialisation == "depth-scaled":
        with torch.no_grad():
            for name, parameter in layers.named_parameters():
                if name.endswith(("self_attn.out_proj.weight", "linear2.weight")):
                    parameter /= math.sqrt(2 * config.layers)
    return layers


def _contextual(hidden: Tensor, positions: Tensor, layers: nn.TransformerEncoder, dropout: nn.Dropout) -> Tensor:
    """Add sinusoidal positions and run the transformer over the valid ones."""
    hidden = dropout(hidden + sinusoids(hidden.shape[1], hidden.shape[2], hidden.device).to(hidden.dtype))
    return layers(hidden, src_key_padding_mask=~positions)
