"""On-disk cache of a frozen encoder's frames: a clip is encoded once, whatever the number of epochs, stages and runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from engine import audio
from engine.base_models import home
from engine.dialogue import Turn
from engine.model import SpeechLLM

ENCODE_SECONDS = 120.0  # audio one encoder batch holds


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


class FrameCache:
    """Frames by the encoder's weights and the content of the audio; float16 ``(frames, encoder width)``.

    Files are ``<encoder>/<two hex>/<hash>.npy``, each written under another name first: a killed run leaves no half file.
    """

    def __init__(self, model: SpeechLLM, folder: Path | None = None) -> None:
        self.model = model
        root = folder or home() / "cache" / "frames"
        self.folder = root / model.encoder.fingerprint[:12]

    def prepare(self, turns: Iterable[Turn], stop: Callable[[], bool] = lambda: False) -> bool:
        """Encode what is missing, in batches of similar length, with a progress bar.

        ``stop`` is asked between batches; returns False when it said yes.

        Raises:
            AudioError: a recording is missing or cannot be used.
        """
        missing = {path: turn for turn in turns if not (path := self._path(turn)).exists()}
        batches: list[list[tuple[Path, Turn]]] = [[]]
        for path, turn in sorted(missing.items(), key=lambda item: turn_seconds(item[1])):
            if batches[-1] and turn_seconds(turn) * (len(batches[-1]) + 1) > ENCODE_SECONDS:
                batches.append([])
            batches[-1].append((path, turn))
        for batch in track(batches, description="Encoding speech", disable=not missing):
            if stop():
                return False
            self._store(batch)
        return True

    def get(self, turn: Turn) -> Tensor:
        """The turn's frames, encoded now if they are not there."""
        path = self._path(turn)
        if not path.exists():
            self._store([(path, turn)])
        return torch.from_numpy(np.load(path))

    def _store(self, batch: list[tuple[Path, Turn]]) -> None:
        if not batch:
            return
        for (path, _), frames in zip(batch, self.model.encode([load_turn(turn) for _, turn in batch]), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.save(file, frames.numpy())
            partial.replace(path)

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
