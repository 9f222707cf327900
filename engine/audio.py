"""Decode, resample, cut, write and augment audio. Samples are float32, mono, in [-1, 1], shape (samples,).

Files are decoded with soundfile; torchaudio does the signal work (resampling, speed, noise). It is imported only there:
its import takes seconds, which a program that merely stores recordings need not wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16_000  # Hz; what the speech encoders expect
MAX_SECONDS = 3_600.0  # one segment longer than this is a mistake, and would fill the memory
MAX_TURN_SECONDS = 120.0  # one turn beyond this would not fit an LLM's context; paper 1 stops at 100 s
_SPEED_STEP = 20  # speed factors are rounded to 1/20: the resampling kernel grows with the reduced ratio


class AudioError(ValueError):
    """Audio that cannot be used. The message names the file, the reason and what to do."""


def load(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    sample_rate: int = SAMPLE_RATE,
    max_seconds: float = MAX_SECONDS,
) -> np.ndarray:
    """Decode one file, or the segment ``start``..``end`` seconds of it, at ``sample_rate`` Hz.

    Args:
        start, end: seconds; ``None`` means the file's ends. An ``end`` up to 50 ms past the file's is taken as the
            file's end, because word times are often rounded up.
        channel: which channel, from 0; ``None`` averages all of them. Choose one where each speaker has an own channel.
        max_seconds: refuse longer segments; raise it only with memory to match (64 kB a second at 16 kHz).

    Returns:
        float32 samples, shape (samples,).

    Raises:
        AudioError: the file is missing, empty or not decodable; no such segment or channel; too long.
    """
    path = Path(path)
    with _open(path) as file:
        rate, frames = file.samplerate, file.frames
        first, last = _segment(path, frames, rate, start, end)
        if (last - first) / rate > max_seconds:
            raise AudioError(
                f"{path}: {(last - first) / rate:.0f} s of audio is longer than {max_seconds:.0f} s; "
                "cut it, or give start and end"
            )
        if channel is not None and not 0 <= channel < file.channels:
            raise AudioError(f"{path}: no channel {channel}; the file has {file.channels} (counted from 0)")
        try:
            file.seek(first)
            samples = file.read(last - first, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: damaged audio ({error}); export it again") from error
    if not len(samples):
        raise AudioError(f"{path}: the file ends before any sound could be decoded; export it again")
    mono = samples.mean(axis=1) if channel is None else samples[:, channel]
    return resample(np.ascontiguousarray(mono), rate, sample_rate)


def blocks(path: str | Path, size: int, channel: int | None = None) -> Iterator[np.ndarray]:
    """Decode a file at its own rate, ``size`` samples at a time (the last block may hold fewer), for what is too long to hold.

    Args:
        channel: as in ``load``.

    Raises:
        AudioError: the file is missing, empty or not decodable.
    """
    path = Path(path)
    with _open(path) as file:
        try:
            for samples in file.blocks(size, dtype="float32", always_2d=True):
                yield samples.mean(axis=1) if channel is None else samples[:, channel]
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: damaged audio ({error}); export it again") from error


def duration(path: str | Path) -> float:
    """Length in seconds, read from the header.

    Raises:
        AudioError: the file is missing, empty or not decodable.
    """
    with _open(Path(path)) as file:
        return file.frames / file.samplerate


def sampling_rate(path: str | Path) -> int:
    """Samples a second, read from the header.

    Raises:
        AudioError: the file is missing, empty or not decodable.
    """
    with _open(Path(path)) as file:
        return int(file.samplerate)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample (samples,) from ``rate`` to ``new_rate`` Hz."""
    if rate == new_rate:
        return samples
    import torch
    from torchaudio import functional

    return functional.resample(torch.from_numpy(samples), rate, new_rate).numpy()


def save_flac(path: str | Path, samples: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write 16-bit FLAC atomically, making the folder; samples outside [-1, 1] are clipped. What ``load`` gives back is written
    as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    # by hand: libsndfile would scale by another factor than it reads with
    pcm = np.clip(np.round(samples * 32_768.0), -32_768, 32_767).astype(np.int16)
    soundfile.write(partial, pcm, rate, format="FLAC", subtype="PCM_16")
    partial.replace(path)


def change_speed(samples: np.ndarray, factor: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Play ``factor`` times as fast, pitch included (Ko et al. 2015). The factor is rounded to a twentieth."""
    steps = max(1, round(factor * _SPEED_STEP))
    if steps == _SPEED_STEP:
        return samples
    import torch
    from torchaudio import functional

    faster, _ = functional.speed(torch.from_numpy(samples), rate, steps / _SPEED_STEP)
    return faster.numpy()


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix ``noise`` under ``samples`` at ``snr_db`` decibels. Noise is repeated or cut to the length of ``samples``.

    Where the mix would clip, all of it is turned down. Digital silence on either side returns ``samples`` unchanged: no
    ratio could be met.
    """
    fitted = np.resize(noise, samples.shape).astype(np.float32)
    if not samples.any() or not fitted.any():
        return samples
    import torch
    from torchaudio import functional

    mixed = functional.add_noise(torch.from_numpy(samples), torch.from_numpy(fitted), torch.tensor(snr_db)).numpy()
    return mixed / max(1.0, float(np.abs(mixed).max()))


def _open(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        raise AudioError(f"{path}: no such audio file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the file is empty (0 bytes); record or copy it again")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a .raw file has no header to read
        if _is_shortened(path):
            raise AudioError(
                f"{path}: NIST SPHERE audio compressed with shorten, which cannot be decoded here; "
                "convert it: sph2pipe -f wav FILE.sph FILE.wav"
            ) from error
        raise AudioError(f"{path}: cannot be decoded as audio; convert it to WAV, FLAC, OGG or MP3") from error
    if file.frames == 0:
        file.close()
        raise AudioError(f"{path}: the recording has no sound in it (length 0 s); record it again")
    return file


def _is_shortened(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(1024)
    return header.startswith(b"NIST_1A") and b"embedded-shorten" in header


def _segment(path: Path, frames: int, rate: int, start: float | None, end: float | None) -> tuple[int, int]:
    length = frames / rate
    begin, finish = start or 0.0, length if end is None else end
    if not 0 <= begin < finish or begin >= length or finish > length + 0.05:
        raise AudioError(f"{path}: no segment {begin:.2f}-{finish:.2f} s in a file of {length:.2f} s")
    first, last = round(begin * rate), min(frames, round(finish * rate))
    if last <= first:
        raise AudioError(f"{path}: the segment {begin:.4f}-{finish:.4f} s holds no sample at {rate} Hz")
    return first, last
