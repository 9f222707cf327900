"""Speech encoders behind one interface: waveforms in, frames out.

``encode`` takes 16 kHz float32 waveforms of any lengths and returns one ``(frames, width)`` tensor each; ``lengths`` says how
many frames a number of samples gives. Batched and single encoding agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, WhisperModel

from engine.audio import SAMPLE_RATE
from engine.base_models import resolve
from engine.config import RecipeError


class WhisperEncoder(nn.Module):
    """Whisper's encoder on the real length of the audio instead of 30 s of padding.

    The position table is sliced, and what lies beyond a clip's end is zeroed after the first convolution, as that
    convolution's own zero padding would: a clip's frames do not depend on its neighbours in the batch. Audio beyond 30 s is
    encoded in pieces of 30 s.
    """

    HOP = 160  # samples a mel frame
    STRIDE = 2  # mel frames an output frame

    def __init__(self, name: str) -> None:
        super().__init__()
        folder = resolve(name)
        self.name = name
        self.features = AutoFeatureExtractor.from_pretrained(folder)
        self.encoder = WhisperModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").encoder
        self.fingerprint = _fingerprint(self.encoder)
        self.width: int = self.encoder.config.d_model
        self.window = self.encoder.config.max_source_positions * self.HOP * self.STRIDE

    def lengths(self, samples: int) -> int:
        """Frames that ``samples`` samples at 16 kHz give."""
        whole, rest = divmod(samples, self.window)
        return whole * self._frames(self.window) + (self._frames(rest) if rest else 0)

    def _frames(self, samples: int) -> int:
        mel = max(1, samples // self.HOP)
        return (mel - 1) // self.STRIDE + 1

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[Tensor]:
        """Frames of each waveform, float32 ``(frames, width)`` on the encoder's device."""
        pieces = [self._pieces(wave) for wave in waveforms]
        frames = iter(self._encode_windows([piece for parts in pieces for piece in parts]))
        return [torch.cat([next(frames) for _ in parts]) for parts in pieces]

    def _pieces(self, wave: np.ndarray) -> list[np.ndarray]:
        cuts = [wave[start : start + self.window] for start in range(0, max(len(wave), 1), self.window)]
        short = self.HOP * self.STRIDE  # the mel transform needs more than half an analysis window of samples
        return [np.pad(cut, (0, max(0, short - len(cut)))) for cut in cuts]

    def _encode_windows(self, waves: list[np.ndarray]) -> list[Tensor]:
        encoder = self.encoder
        device = encoder.conv1.weight.device
        mels = [self._mel(wave) for wave in waves]
        batch = nn.utils.rnn.pad_sequence(mels, batch_first=True).transpose(1, 2).to(device)
        mel_lengths = torch.tensor([len(mel) for mel in mels], device=device)
        hidden = nn.functional.gelu(encoder.conv1(batch))
        hidden = hidden * (torch.arange(batch.shape[2], device=device) < mel_lengths[:, None])[:, None]
        hidden = nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        lengths = (mel_lengths - 1) // self.STRIDE + 1
        valid = torch.arange(hidden.shape[1], device=device) < lengths[:, None]
        mask = None if bool(valid.all()) else valid[:, None, None, :].expand(-1, 1, hidden.shape[1], -1)
        for layer in encoder.layers:
            output = layer(hidden, attention_mask=mask)
            hidden = output[0] if isinstance(output, tuple) else output
        hidden = encoder.layer_norm(hidden)
        return [row[:length] for row, length in zip(hidden, lengths.tolist(), strict=True)]

    def _mel(self, wave: np.ndarray) -> Tensor:
        mel = self.features(
            wave, sampling_rate=SAMPLE_RATE, padding="do_not_pad", truncation=False, return_tensors="np"
        ).input_features[0]
        return torch.from_numpy(np.ascontiguousarray(mel.T, dtype=np.float32))


def _fingerprint(module: nn.Module) -> str:
    """A hash of the weights: frames cached for one encoder are never taken for another's."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


ENCODERS: dict[str, type[WhisperEncoder]] = {"whisper": WhisperEncoder}


def build_encoder(name: str) -> WhisperEncoder:
    """The encoder of a hub id or local folder, with its pretrained weights.

    Raises:
        RecipeError: an architecture without an encoder class here; the message lists those there are.
    """
    kind = AutoConfig.from_pretrained(resolve(name)).model_type
    if kind not in ENCODERS:
        raise RecipeError(f"{name}: encoder architecture {kind!r} is not supported; supported are {', '.join(ENCODERS)}")
    return ENCODERS[kind](name)
