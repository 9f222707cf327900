"""Speech encoders behind one interface: 16 kHz float32 waveforms of any lengths in, frames out.

A call gives padded frames with gradients, for an encoder that trains; ``encode`` gives one tensor a clip without them, for the
frame cache and for inference. ``lengths`` says how many frames a number of samples gives: data, model and tests all ask it.
A clip's frames do not depend on its neighbours in the batch. Encoders are built by `build_encoder`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import HubertModel, PreTrainedConfig, Wav2Vec2Model, WavLMModel, WhisperForConditionalGeneration
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder
from transformers.models.whisper.modeling_whisper import WhisperEncoder as WhisperBackbone

from engine.audio import SAMPLE_RATE
from engine.config import LoraConfig, RecipeError
from engine.lora import add_lora, merged
from engine.pretrained import load_features, load_model, read_config
from engine.wavlm import use_fused_attention


class SpeechEncoder(nn.Module):
    """What all encoders share. ``backbone`` is the transformers model, with LoRA around it where the recipe wants it.

    Attributes:
        name: hub id or folder.
        width: size of a frame.
        least: samples of the shortest clip the layers can take; a shorter one is padded with silence.
        reach: samples of one pass; longer audio is encoded in pieces. None is no limit.
    """

    layer_count: ClassVar[str] = "num_hidden_layers"
    backbone: Any
    least: int
    reach: int | None = None

    def __init__(self, name: str, config: PreTrainedConfig, layer: int | None, weights: bool) -> None:
        super().__init__()
        self.name = name
        self.width: int = config.hidden_size
        there = getattr(config, self.layer_count)
        if layer is not None and layer > there:
            raise RecipeError(f"model.encoder_layer is {layer}, but {name} has {there} layers")
        self.layer = layer if layer != there else None
        if self.layer is not None:
            setattr(config, self.layer_count, self.layer)  # the layers above it are neither read nor run
        self.features: Any = load_features(name) if weights else None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def fingerprint(self) -> str:
        """A hash of the weights as they are now: frames cached for one encoder are never taken for another's."""
        digest = hashlib.sha256()
        for name, value in self.backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        if self.layer is not None:
            digest.update(f"layer {self.layer}".encode())
        return digest.hexdigest()

    def add_lora(self, config: LoraConfig) -> None:
        self.backbone = add_lora(self.backbone, config)

    def save_pretrained(self, folder: Path) -> None:
        """Write a transformers folder of the model, LoRA merged; what the encoder does not use stays as published."""
        self.backbone = merged(self.backbone)
        whole = self._published()
        part = whole if isinstance(whole, type(self.backbone)) else whole.get_encoder()
        part.load_state_dict(self.backbone.state_dict(), strict=False)
        whole.save_pretrained(folder)
        self.features.save_pretrained(folder)

    def _published(self) -> Any:
        """The model of ``name`` in whose folder the encoder's weights belong."""
        raise NotImplementedError

    def lengths(self, samples: int) -> int:
        """Frames that ``samples`` samples at 16 kHz give."""
        if self.reach is None:
            return self._frames(max(samples, self.least))
        whole, rest = divmod(samples, self.reach)
        return whole * self._frames(self.reach) + (self._frames(max(rest, self.least)) if rest or not whole else 0)

    def forward(self, waveforms: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Frames ``(B, T, width)`` on the encoder's device, and ``(B, T)`` True on real ones."""
        pieces = [self._pieces(wave) for wave in waveforms]
        hidden, lengths = self._encode([piece for parts in pieces for piece in parts])
        found = iter([row[:length] for row, length in zip(hidden, lengths.tolist(), strict=True)])
        rows = [torch.cat([next(found) for _ in parts]) for parts in pieces]
        counts = torch.tensor([len(row) for row in rows], device=hidden.device)
        frames = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return frames, _places(frames.shape[1], counts)

    @torch.no_grad()
    def encode(self, waveforms: Sequence[np.ndarray]) -> list[Tensor]:
        """Frames of each waveform, float32 ``(frames, width)`` on the encoder's device, without gradients."""
        frames, valid = self(waveforms)
        return [row[mask] for row, mask in zip(frames, valid, strict=True)]

    def _pieces(self, wave: np.ndarray) -> list[np.ndarray]:
        reach = self.reach or max(len(wave), 1)
        cuts = [wave[start : start + reach] for start in range(0, max(len(wave), 1), reach)]
        return [np.pad(cut, (0, max(0, self.least - len(cut)))) for cut in cuts]

    def probe(self, samples: int) -> Tensor:
        """Run one empty clip through the layers on the encoder's device, the meta device too: to count what they keep."""
        raise NotImplementedError

    def _frames(self, samples: int) -> int:
        """Frames of one piece."""
        raise NotImplementedError

    def _encode(self, waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Pieces, none longer than ``reach`` -> ``(P, T, width)`` and ``(P,)`` numbers of frames."""
        raise NotImplementedError


class WaveEncoder(SpeechEncoder):
    """WavLM, HuBERT and wav2vec 2.0 of any size: convolutions over the waveform, then a transformer.

    Where the first convolution normalises over time (``feat_extract_norm = "group"``, the base models), each clip goes through
    the convolutions alone, or its padding would count; those models were trained without a mask for that reason.
    """

    def __init__(self, kind: Any, name: str, config: PreTrainedConfig, layer: int | None, weights: bool) -> None:
        super().__init__(name, config, layer, weights)
        config.apply_spec_augment = False  # the stage's own augmentation masks frames
        config.layerdrop = 0.0  # a dropped layer would get no gradient
        attention: dict[str, Any] = {} if kind is WavLMModel else {"attn_implementation": "sdpa"}
        self.backbone = load_model(
            kind, name, config, weights=weights, unused="masked_spec_embed", dtype=torch.float32, **attention
        )
        if kind is WavLMModel:
            use_fused_attention(self.backbone)
        if hasattr(self.backbone, "masked_spec_embed"):
            _as_buffer(self.backbone, "masked_spec_embed")
        # Else it would ask for gradients down to the waveform, and keep all its activations, even where it is frozen.
        self.backbone.feature_extractor._requires_grad = False
        self.kind = kind
        self.alone = config.feat_extract_norm == "group"
        self.least = 1
        for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
            self.least = (self.least - 1) * stride + kernel
        if self.layer is not None and config.do_stable_layer_norm:
            self.backbone.encoder.layer_norm = nn.Identity()  # it belongs behind the last layer

    def _published(self) -> Any:
        return load_model(self.kind, self.name, read_config(self.name), unused="masked_spec_embed")

    def _frames(self, samples: int) -> int:
        return int(self.backbone._get_feat_extract_output_lengths(torch.tensor(samples, device="cpu")))

    def _encode(self, waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        inputs = [
            torch.from_numpy(self.features(wave, sampling_rate=SAMPLE_RATE, return_tensors="np").input_values[0])
            .float()
            .to(self.device)
            for wave in waves
        ]
        if self.alone:
            found = [self.backbone.feature_extractor(wave[None])[0].T for wave in inputs]
            features = nn.utils.rnn.pad_sequence(found, batch_first=True)
        else:
            padded = nn.utils.rnn.pad_sequence(inputs, batch_first=True)
            features = self.backbone.feature_extractor(padded).transpose(1, 2)
        lengths = torch.tensor([self._frames(len(wave)) for wave in waves], device=self.device)
        return self._transform(features, _places(features.shape[1], lengths)), lengths

    def _transform(self, features: Tensor, valid: Tensor | None) -> Tensor:
        """Convolved ``(P, T, channels)`` through projection and transformer layers."""
        hidden = self.backbone.feature_projection(features)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        mask = None if valid is None or bool(valid.all()) else valid
        return self.backbone.encoder(hidden, attention_mask=mask).last_hidden_state

    def probe(self, samples: int) -> Tensor:
        features = self.backbone.feature_extractor(torch.empty(1, samples, device=self.device))
        return self._transform(features.transpose(1, 2), None)


class MelEncoder(SpeechEncoder):
    """What Whisper and Qwen2-Audio share: two convolutions over a log-mel spectrogram, then a transformer, up to 30 s.

    Both run on the real length of the audio instead of 30 s of padding: the position table is sliced.
    """

    layer_count = "encoder_layers"
    HOP = 160  # samples a mel frame
    STRIDE = 2  # mel frames an output frame of the convolutions

    kind: ClassVar[Any]
    keys: ClassVar[dict[str, str]]

    def __init__(self, name: str, config: PreTrainedConfig, layer: int | None, weights: bool) -> None:
        super().__init__(name, config, layer, weights)
        self.backbone = load_model(
            self.kind, name, config, weights=weights, keys=self.keys, dtype=torch.float32, attn_implementation="sdpa"
        )
        _as_buffer(self.backbone.embed_positions, "weight")  # fixed sinusoids
        self.reach = config.max_source_positions * self.HOP * self.STRIDE
        if self.layer is not None:
            self.backbone.layer_norm = nn.Identity()  # it belongs behind the last layer

    def _transform(self, hidden: Tensor, valid: Tensor | None) -> Tensor:
        """Positions and transformer layers over ``(P, T, width)``."""
        hidden = hidden + self.backbone.embed_positions.weight[: hidden.shape[1]]
        mask = None
        if valid is not None and not bool(valid.all()):
            mask = valid[:, None, None, :].expand(-1, 1, hidden.shape[1], -1)
        for layer in self.backbone.layers:
            output = layer(hidden, attention_mask=mask)
            hidden = output[0] if isinstance(output, tuple) else output
        return hidden

    def probe(self, samples: int) -> Tensor:
        mel = torch.empty(1, self.backbone.config.num_mel_bins, samples // self.HOP, device=self.device)
        hidden = nn.functional.gelu(self.backbone.conv2(nn.functional.gelu(self.backbone.conv1(mel))))
        return self.backbone.layer_norm(self._transform(hidden.transpose(1, 2), None))


class WhisperEncoder(MelEncoder):
    """Whisper's encoder, any size.

    What lies beyond a clip's end is zeroed after the first convolution, as that convolution's own zero padding would.
    """

    kind = WhisperBackbone
    keys = {r"^(?:model\.)?encoder\.": ""}
    least = MelEncoder.HOP * MelEncoder.STRIDE  # the mel transform needs more than half an analysis window of samples

    def _published(self) -> Any:
        return load_model(WhisperForConditionalGeneration, self.name, read_config(self.name))

    def _frames(self, samples: int) -> int:
        return int(self.backbone._get_feat_extract_output_lengths(samples // self.HOP))

    def _encode(self, waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        mels = [self._mel(wave) for wave in waves]
        batch = nn.utils.rnn.pad_sequence(mels, batch_first=True).transpose(1, 2).to(self.device)
        mel_lengths = torch.tensor([len(mel) for mel in mels], device=self.device)
        hidden = nn.functional.gelu(self.backbone.conv1(batch)) * _places(batch.shape[2], mel_lengths)[:, None]
        hidden = nn.functional.gelu(self.backbone.conv2(hidden)).transpose(1, 2)
        lengths = self.backbone._get_feat_extract_output_lengths(mel_lengths)
        return self.backbone.layer_norm(self._transform(hidden, _places(hidden.shape[1], lengths))), lengths

    def _mel(self, wave: np.ndarray) -> Tensor:
        mel = self.features(
            wave, sampling_rate=SAMPLE_RATE, padding="do_not_pad", truncation=False, return_tensors="np"
        ).input_features[0]
        return torch.from_numpy(np.ascontiguousarray(mel.T, dtype=np.float32))


class Qwen2AudioTower(MelEncoder):
    """Qwen2-Audio's audio tower (paper 2's foundational variant): pairs of frames are averaged before the last layer norm.

    The spectrogram is that of the clip padded to 30 s, as in the model's own training, cut two mel frames behind the clip:
    farther the convolutions of its last frame do not see.
    """

    kind = Qwen2AudioEncoder
    keys = {r"^(?:model\.)?audio_tower\.": ""}
    least = MelEncoder.HOP * MelEncoder.STRIDE * 2  # one pair

    def _published(self) -> Any:
        config = read_config(self.name)
        return load_model(self.kind, self.name, getattr(config, "audio_config", config), keys=self.keys)

    def _frames(self, samples: int) -> int:
        return int(self.backbone._get_feat_extract_output_lengths(-(-samples // self.HOP))[1])

    def _encode(self, waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        mel_lengths = torch.tensor([-(-len(wave) // self.HOP) for wave in waves], device=self.device)
        mels = self.features(waves, sampling_rate=SAMPLE_RATE, padding="max_length", return_tensors="pt").input_features
        batch = mels[:, :, : int(mel_lengths.max()) + 2].to(self.device)
        hidden = nn.functional.gelu(self.backbone.conv1(batch))
        hidden = nn.functional.gelu(self.backbone.conv2(hidden)).transpose(1, 2)
        lengths, pooled = self.backbone._get_feat_extract_output_lengths(mel_lengths)
        hidden = self._transform(hidden, _places(hidden.shape[1], lengths))
        hidden = self.backbone.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2)
        return self.backbone.layer_norm(hidden), pooled


ENCODERS: dict[str, Callable[[str, PreTrainedConfig, int | None, bool], SpeechEncoder]] = {
    "whisper": WhisperEncoder,
    "wavlm": partial(WaveEncoder, WavLMModel),
    "hubert": partial(WaveEncoder, HubertModel),
    "wav2vec2": partial(WaveEncoder, Wav2Vec2Model),
    "qwen2_audio": lambda name, config, layer, weights: Qwen2AudioTower(name, config.audio_config, layer, weights),
    "qwen2_audio_encoder": Qwen2AudioTower,  # the tower alone, as an export writes it
}


def build_encoder(
    name: str, layer: int | None = None, config: PreTrainedConfig | None = None, *, weights: bool = True
) -> SpeechEncoder:
    """The encoder of a hub id or local folder, with its pretrained weights.

    Args:
        layer: hidden layer whose outputs are the frames, 1 for the first; None is the last.
        config: the model's configuration, if it is not to be read from ``name``.
        weights: False builds it on the meta device, to count and to plan.

    Raises:
        RecipeError: an architecture without an encoder class here (the message lists those there are), or too high a layer.
        BaseModelError: the model cannot be had.
    """
    config = read_config(name) if config is None else config
    if config.model_type not in ENCODERS:
        raise RecipeError(
            f"{name}: encoder architecture {config.model_type!r} is not supported; supported are {', '.join(ENCODERS)}"
        )
    return ENCODERS[config.model_type](name, config, layer, weights)


def _places(size: int, lengths: Tensor) -> Tensor:
    """``(B, size)`` True on the first ``lengths`` places."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def _as_buffer(module: nn.Module, name: str) -> None:
    """Keep a parameter's values but never train it."""
    value = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, value)
