"""On-disk cache of a frozen encoder's frames: a clip is encoded once, whatever the number of epochs, stages and runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine import audio
from engine.base_models import fsync, home
from engine.data.frame_room import Room, used
from engine.dialogue import Turn
from engine.model import SpeechLLM

ENCODE_SECONDS = 120.0  # audio one encoder batch holds
HEADER = 128  # bytes of a file beside the frames


def load_turn(turn: Turn) -> np.ndarray:
    """The turn's audio, float32 mono 16 kHz.

    Raises:
        AudioError: the recording cannot be used, or is longer than one turn may be.
    """
    assert turn.audio is not None
    return audio.load(turn.audio, turn.start, turn.end, turn.channel, max_seconds=audio.MAX_TURN_SECONDS)


def turn_seconds(turn: Turn) -> float:
    """Length of the turn's audio in seconds, without decoding it."""
    if turn.start is not None and turn.end is not None:
        return turn.end - turn.start
    assert turn.audio is not None
    return _file_seconds(turn.audio) - (turn.start or 0.0)


@cache
def _file_seconds(path: str) -> float:
    return audio.duration(path)


def encode(model: SpeechLLM, waveforms: Sequence[np.ndarray]) -> list[Tensor]:
    """Frames of each waveform as `SpeechLLM.encode` gives them, in batches of similar length that the memory holds."""
    order = sorted(range(len(waveforms)), key=lambda index: len(waveforms[index]))
    limit = ENCODE_SECONDS * audio.SAMPLE_RATE
    batches: list[list[int]] = [[]]
    for index in order:
        if batches[-1] and len(waveforms[index]) * (len(batches[-1]) + 1) > limit:
            batches.append([])
        batches[-1].append(index)
    frames: dict[int, Tensor] = {}
    for batch in filter(None, batches):
        frames |= zip(batch, model.encode([waveforms[index] for index in batch]), strict=True)
    return [frames[index] for index in range(len(waveforms))]


class FrameCache:
    """Frames by the encoder's weights and the content of the audio; float16 ``(frames, encoder width)``.

    A clip is encoded when a step first needs it, so that a run starts at once however large its corpora are.
    Files are ``<encoder>/<two hex>/<hash>.npy``, each on the disk before it has its name: a killed run leaves no half file. What
    cannot be read, after a power cut or on a bad disk, counts as missing. Any of them may be deleted at any time, and
    `frame_room` deletes what was not used for longest where they take too much of the disk.
    """

    def __init__(self, model: SpeechLLM, folder: Path | None = None) -> None:
        self.model = model
        root = folder or home() / "cache" / "frames"
        self.folder = root / model.encoder.fingerprint[:12]
        self.room = Room(root)

    def read(self, turn: Turn) -> Tensor | None:
        """The turn's frames if they are there and whole.

        Raises:
            AudioError: the recording itself is gone.
        """
        path = self._path(turn)
        try:
            frames = torch.from_numpy(np.load(path))
        except (FileNotFoundError, EOFError, ValueError):
            return None
        used(path)
        return frames

    def get(self, turn: Turn) -> Tensor:
        """The turn's frames, encoded now if they are not there."""
        frames = self.read(turn)
        return self.add([turn], [load_turn(turn)])[0] if frames is None else frames

    def add(self, turns: Sequence[Turn], waveforms: Sequence[np.ndarray]) -> list[Tensor]:
        """Encode turns and keep their frames as far as there is room for them."""
        encoded = encode(self.model, waveforms)
        for turn, frames in zip(turns, encoded, strict=True):
            if not self.room.take(frames.nbytes + HEADER):
                continue
            path = self._path(turn)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.save(file, frames.numpy())
            fsync(partial)
            partial.replace(path)
        return encoded

    def _path(self, turn: Turn) -> Path:
        assert turn.audio is not None
        try:
            status = os.stat(turn.audio)
        except OSError as error:
            raise audio.AudioError(f"{turn.audio}: {error.strerror}; put the file back, or correct the manifest") from error
        content = _file_hash(turn.audio, status.st_size, status.st_mtime_ns)
        key = hashlib.sha256(f"{content} {turn.start} {turn.end} {turn.channel}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.npy"


@cache
def _file_hash(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
