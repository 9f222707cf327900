"""Recordings on disk: named after their sound, written before any row speaks of them.

A process that dies between file and row leaves a file nobody names: the next upload of the same sound finds it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import soundfile
from sqlalchemy.orm import Session

from db.models import Recording
from db.repositories import dialogues
from studio.errors import StudioError
from studio.workspace import Workspace, disk_errors


@dataclass(frozen=True)
class StoredAudio:
    """A recording that is on disk under its name; ``path`` is relative to the workspace."""

    sha256: str
    path: str
    seconds: float
    sample_rate: int
    channels: int
    original_name: str


def store(
    ws: Workspace,
    source: str | Path,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    original_name: str | None = None,
) -> StoredAudio:
    """Check a recording and put it, or the segment of it, among the workspace's: mono FLAC at its own sample rate.

    The name is the sha256 of sample rate and 16-bit samples, so the same sound is there once, whatever file it came in.

    Raises:
        StudioError: not a usable recording, or the disk is full.
    """
    sha256, pcm, header = _decode(source, start, end, channel)
    path = f"recordings/{sha256[:2]}/{sha256}.flac"
    if not ws.path(path).exists():
        with disk_errors(ws.home):
            _write(ws, ws.path(path), pcm, header.samplerate)
    name = original_name or Path(source).name
    return StoredAudio(sha256, path, len(pcm) / header.samplerate, header.samplerate, header.channels, name)


def sound_hash(source: str | Path, start: float | None = None, end: float | None = None, channel: int | None = None) -> str:
    """The name ``store`` would give a recording, or the segment of it; nothing is written.

    Raises:
        StudioError: not a usable recording.
    """
    return _decode(source, start, end, channel)[0]


def recording_row(session: Session, stored: StoredAudio) -> Recording:
    """The row of a stored recording; the first upload's name stays."""
    row = dialogues.recording(session, stored.sha256)
    if row is None:
        row = Recording(**vars(stored))
        session.add(row)
        session.flush()
    return row


def place(ws: Workspace, recording: Recording, folder: Path) -> Path:
    """Put a recording into a folder that is handed on: as a second name of the same file where the disk allows it."""
    target = folder / f"{recording.sha256}.flac"
    folder.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        try:
            os.link(ws.path(recording.path), target)
        except OSError:  # another disk, or one without links
            partial = target.with_suffix(".partial")  # a copy that broke off must not pass for the recording
            shutil.copyfile(ws.path(recording.path), partial)
            os.replace(partial, target)
    return target


def _decode(source: str | Path, start: float | None, end: float | None, channel: int | None) -> tuple[str, Any, Any]:
    """The sound's hash, its 16-bit samples (samples,), and the header of its file."""
    import numpy as np

    from engine import audio  # imports torch, which pages must not wait for

    try:
        audio.duration(source)
        header = soundfile.info(str(source))
        limit = audio.MAX_TURN_SECONDS  # the model would refuse a longer turn, when it is too late to cut it
        samples = audio.load(source, start, end, channel, sample_rate=header.samplerate, max_seconds=limit)
    except audio.AudioError as error:  # people know the file by its name, not by where an upload was put
        raise StudioError(str(error).replace(str(source), Path(source).name)) from error
    pcm = np.clip(np.round(samples * 32_768.0), -32_768, 32_767).astype("<i2")
    return hashlib.sha256(f"{header.samplerate}:".encode() + pcm.tobytes()).hexdigest(), pcm, header


def _write(ws: Workspace, target: Path, pcm: object, rate: int) -> None:
    """Write and rename, on the disk before returning: a row must never name a file that a crash then takes away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=ws.path("tmp"), suffix=".flac", delete=False) as file:
        try:
            soundfile.write(file, pcm, rate, format="FLAC", subtype="PCM_16")
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
