"""Speak the user turns of manifests: speech with several voices, varied in speed and noise, as a new manifest.

    python -m engine.data.synthesis woz_train.jsonl --out DIR --voices flite,espeak,festival --copies 2 --noise NOISE

Everything random is drawn from the seed and the dialogue's id, so a run that was stopped goes on where it was, and a
longer run begins with the same files. The run may be stopped at any time: ``DIR/manifest.jsonl`` is always whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import chain, zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine import audio
from engine.data.voices import VOICES, Speech, Voice, VoiceError, choose
from engine.dialogue import Dialogue, ManifestError, read_manifest, write_manifest

_SPEEDS = (0.9, 1.1)
_SNR_DB = (5.0, 20.0)
_SILENCE_SECONDS = (0.05, 0.3)  # before and after the speech, as a recording has it
_SHORTEST_NOISE_SECONDS = 1.0  # a shorter clip is a room's impulse response or a click
_MANIFEST_EVERY_SECONDS = 10.0


class SynthesisError(RuntimeError):
    """A synthesis that cannot start. The message says what to change."""


@dataclass(frozen=True)
class Settings:
    """What decides the sound of a run; stored as ``DIR/synthesis.json`` so that a folder never mixes two of them."""

    voices: tuple[str, ...]
    copies: int
    seed: int
    noise: str | None
    noise_share: float


def synthesise(
    dialogues: list[Dialogue], out: Path, settings: Settings, models: Path | None = None, workers: int = 0
) -> Iterator[Dialogue]:
    """Speak every user turn; yield the spoken dialogues in order, one voice each.

    Args:
        workers: processes; 0 means one a core.

    Raises:
        SynthesisError: ``out`` holds another run's files, or there is no noise to mix in.
        VoiceError: a voice cannot speak here.
    """
    speech = Speech(models)
    for name in settings.voices:
        if lacking := speech.missing(VOICES[name]):
            raise VoiceError(lacking)
    if settings.noise is not None and not _noise_files(settings.noise):
        raise SynthesisError(f"{settings.noise}: no sound files (wav, flac, ogg) in it; give a folder of noise clips")
    _claim(out, settings)
    jobs = ((copied, voice) for dialogue in dialogues for copied, voice in _copies(dialogue, settings))
    count, arguments = workers or os.cpu_count() or 1, (out, settings, models)
    with ProcessPoolExecutor(count, get_context("spawn"), _start_worker, arguments) as pool:
        pending: list[Future[Dialogue]] = []
        for job in jobs:
            pending.append(pool.submit(_speak, *job))
            if len(pending) > 64:  # bounded, so that an interrupt ends quickly
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def write_spoken(spoken: Iterator[Dialogue], out: Path) -> Iterator[Dialogue]:
    """Pass dialogues on while keeping ``out/manifest.jsonl`` at most ten seconds behind.

    A run that goes on first passes what is there already; the manifest never becomes shorter meanwhile.
    """
    manifest = out / "manifest.jsonl"
    before = len(manifest.read_text(encoding="utf-8").splitlines()) if manifest.is_file() else 0
    done: list[Dialogue] = []
    written = time.monotonic()
    try:
        for dialogue in spoken:
            done.append(dialogue)
            if len(done) >= before and time.monotonic() - written > _MANIFEST_EVERY_SECONDS:
                write_manifest(manifest, done)
                written = time.monotonic()
            yield dialogue
    finally:
        if done and len(done) >= before:
            write_manifest(manifest, done)


def _claim(out: Path, settings: Settings) -> None:
    file = out / "synthesis.json"
    wanted = json.loads(json.dumps(asdict(settings)))
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        if changed := sorted(key for key in wanted if found.get(key) != wanted[key]):
            raise SynthesisError(f"{out} was made with another {', '.join(changed)} (see {file.name}); choose a new folder")
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _copies(dialogue: Dialogue, settings: Settings) -> Iterator[tuple[Dialogue, Voice]]:
    """The dialogue once for each copy, each with another voice while there are enough, drawn by the voices' shares."""
    rng = random.Random(f"{settings.seed}|{dialogue.dialogue_id}")
    voices = sorted((VOICES[name] for name in settings.voices), key=lambda voice: -(rng.random() ** (1 / voice.share)))
    for copy in range(settings.copies):
        name = dialogue.dialogue_id if settings.copies == 1 else f"{dialogue.dialogue_id}-c{copy + 1}"
        yield replace(dialogue, dialogue_id=name), voices[copy % len(voices)]


_worker: tuple[Path, Settings, Speech]


def _start_worker(out: Path, settings: Settings, models: Path | None) -> None:
    global _worker
    import torch

    torch.set_num_threads(1)  # one process a core
    _worker = out, settings, Speech(models)


def _speak(dialogue: Dialogue, voice: Voice) -> Dialogue:
    """In a worker: write the audio of the dialogue's user turns, unless it is there already."""
    out, settings, speech = _worker
    folder = re.sub(r"[^\w.-]", "_", dialogue.dialogue_id)
    turns = []
    for turn in dialogue.turns:
        if turn.speaker == "user" and turn.transcript:
            key = f"{settings.seed}|{dialogue.dialogue_id}|{turn.turn_id}"
            # the name tells what is said by whom, so that speech of another text is never taken for it
            said = hashlib.sha256(f"{key}|{voice.name}|{turn.transcript}".encode()).hexdigest()[:8]
            path = out / "audio" / folder / f"{turn.turn_id:03d}-{said}.flac"
            if not path.is_file():
                audio.save_flac(path, _recorded(*speech.say(turn.transcript, voice), settings, random.Random(key)))
            turn = replace(turn, audio=str(path), start=None, end=None, channel=None, voice=voice.name)
        turns.append(turn)
    return replace(dialogue, turns=turns)


def _recorded(samples: np.ndarray, rate: int, settings: Settings, rng: random.Random) -> np.ndarray:
    """Studio speech as a recording: 16 kHz, another speed, silence around it, perhaps noise under it."""
    samples = audio.change_speed(audio.resample(samples, rate, audio.SAMPLE_RATE), rng.uniform(*_SPEEDS))
    before, after = (round(rng.uniform(*_SILENCE_SECONDS) * audio.SAMPLE_RATE) for _ in range(2))
    samples = np.pad(samples, (before, after))
    if settings.noise is not None and rng.random() < settings.noise_share:
        clip = _noise(rng.choice(_noise_files(settings.noise)))
        samples = audio.add_noise(samples, np.roll(clip, rng.randrange(len(clip))), rng.uniform(*_SNR_DB))
    return samples


@cache
def _noise_files(folder: str) -> list[Path]:
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".wav", ".flac", ".ogg"))
    return [path for path in files if audio.duration(path) >= _SHORTEST_NOISE_SECONDS]


@cache
def _noise(path: Path) -> np.ndarray:
    return audio.load(path)


def _interleaved(manifests: list[Path]) -> list[Dialogue]:
    """The manifests' dialogues in turn, so that a run stopped early has some of each."""
    columns = zip_longest(*(read_manifest(path) for path in manifests))
    dialogues = [dialogue for dialogue in chain.from_iterable(columns) if dialogue is not None]
    for name, count in Counter(dialogue.dialogue_id for dialogue in dialogues).items():
        if count > 1:
            raise ManifestError(f"dialogue {name!r} is in {count} of the manifests; every dialogue needs its own id")
    return dialogues


app = typer.Typer(add_completion=False)


@app.command()
def command(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests whose user turns have transcripts in spoken form.")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and the audio; a stopped run goes on in it.")],
    voices: Annotated[str, typer.Option(help="seen, unseen, engines and voice names, separated by commas.")] = "seen",
    copies: Annotated[int, typer.Option(min=1, help="How often each dialogue is spoken, each time with another voice.")] = 1,
    seed: int = 0,
    noise: Annotated[Path | None, typer.Option(help="Folder of noise clips; without it the speech stays clean.")] = None,
    noise_share: Annotated[float, typer.Option(min=0, max=1, help="Fraction of the turns that get noise.")] = 0.3,
    models: Annotated[Path | None, typer.Option(help="Folder of the kokoro and piper models.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many dialogues.")] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 means one a core.")] = 0,
) -> None:
    """Speak the user turns of manifests and write a manifest with audio."""
    console = Console(stderr=True)
    try:
        speech = Speech(models)
        wanted = choose(voices)
        named = [name.strip() for name in voices.split(",")]
        usable = [voice for voice in wanted if voice.name in named or not speech.missing(voice)]
        for voice in wanted:
            if voice not in usable:
                console.print(f"left out: {speech.missing(voice)}")
        if not usable:
            raise SynthesisError("none of these voices can speak here")
        dialogues = _interleaved(manifests)[:limit]
        settings = Settings(tuple(voice.name for voice in usable), copies, seed, str(noise) if noise else None, noise_share)
        spoken = write_spoken(synthesise(dialogues, out, settings, models, workers), out)
        columns = (
            TextColumn("speaking"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("dialogues"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            for _ in progress.track(spoken, total=len(dialogues) * copies):
                pass
    except (SynthesisError, VoiceError, ManifestError, audio.AudioError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
