"""Speech-aware MultiWOZ (DSTC11 track 3, Soltau et al. 2022): MultiWOZ 2.1 with spoken user turns, names and times changed.

Folder: manifests ``train_manifest.txt``, ``dev_manifest.txt``, ``test_manifest.txt`` (or as downloaded,
``train.tts-verbatim.2022-07-27.txt`` and so on), one turn a line:
``line_nr: 1 dialog_id: sng0073.json turn_id: 3 text: user: ... state: taxi-leaveat=0:47 am; ...``; and folders of HDF5 files, one
a dialogue (``*.hd5``), told apart by train/dev/test and tts/human/paraphrased in their names. A group ``... turn_id: 3`` holds
``audio`` (16 kHz PCM) and ``hyp``, a recogniser's words. The training turns come from four voices, ``tpa`` to ``tpd``.
States are also taken from ``*_jga_reference.json`` where the manifest has none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from engine.audio import SAMPLE_RATE, save_flac
from engine.data.readers import CorpusError, PreparationReport, in_layout, own_split, require, state_value
from engine.data.readers.files import all_below, read_json, read_lines
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue, State, Turn

LICENCE = "MIT (text and states); the audio's terms are its publisher's"
_SPLITS = {
    "train": ["train-tts-verbatim"],
    "dev": ["dev-tts-verbatim", "dev-human-verbatim"],
    "test": ["test-tts-verbatim", "test-human-verbatim", "test-human-paraphrased"],
}
_LINE = re.compile(r"line_nr: (\d+) dialog_id: (\S+?)(?:\.json)? turn_id: (\d+) text: (user|agent):(.*)")
_SEED = 42  # paper 1's
Spoken = tuple[Any, str | None]  # a data set of samples, and what a recogniser heard


def read(folder: Path, split: str, extracted: Path) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split in one voicing; without any ``*.hd5`` the text alone.

    A training turn has one of its voices, drawn by dialogue and turn with seed 42. Times are on the 12-hour clock, as
    published ("0:47 am"). Audio is written as FLAC below ``extracted``, once. What a paraphrasing speaker said is not in the
    manifest: those turns have no transcript.

    Raises:
        CorpusError: no manifest for the split, a line not in its layout, several voicings and none asked for, no h5py.
    """
    asked = split
    split, parts = own_split(_SPLITS, split)
    report = PreparationReport("DSTC11", split)
    path = require(folder, f"{split}_manifest.txt", f"{split}[.-]*.txt", depth=1)
    dialogues = _dialogues(path, split, report)
    _add_states(dialogues, folder, split, report)
    voicings = _voicings(folder, split)
    here = [part for part in parts if part in voicings]
    if len(here) > 1:
        raise CorpusError(f"{folder}: {asked!r} is here as {' and '.join(here)}; name one of them with --split")
    if here:
        _add_audio(dialogues, voicings[here[0]], here[0], extracted, report)
    elif asked in parts:
        raise CorpusError(f"{folder}: expected a folder of *.hd5 files with {asked.replace('-', ', ')} in its path, found none")
    else:
        report.note("no *.hd5 files here: text and states only")
    report.count(dialogues)
    return dialogues, report


def _dialogues(path: Path, split: str, report: PreparationReport) -> list[Dialogue]:
    found: dict[str, Dialogue] = {}
    for number, line in read_lines(path):
        if "END_OF_DIALOG" in line:
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise CorpusError(
                f"{path}, line {number}: not in the layout of DSTC11; expected "
                f'"line_nr: N dialog_id: D.json turn_id: N text: user: ... state: ...", found {line[:60]!r}'
            )
        _, name, turn_id, speaker, rest = match.groups()
        text, has_state, state = rest.rpartition(" state:") if " state:" in rest else (rest, "", "")
        dialogue = found.setdefault(name, Dialogue(name, [], split, "dstc11", LICENCE))
        turn = Turn(int(turn_id), speaker, normalise_transcript(text))
        if dialogue.turns and dialogue.turns[-1].turn_id >= turn.turn_id:
            raise CorpusError(f"{path}, line {number}: turn {turn.turn_id} of {name} after turn {dialogue.turns[-1].turn_id}")
        if speaker == "user" and has_state:
            with in_layout(f"{path}, line {number}", "DSTC11"):
                turn.state = _state(_pairs(state), report)
        dialogue.turns.append(turn)
    return list(found.values())


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """``taxi-leaveat=0:47 am; taxi-destination=...`` as (domain, slot, value)."""
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = pair.partition("=")
        domain, dash, slot = name.partition("-")
        if not (equals and dash):
            raise ValueError(f"expected domain-slot=value, found {pair!r}")
        yield domain, slot, value


def _state(slots: Iterator[tuple[str, str, Any]], report: PreparationReport) -> State:
    state: State = {}
    for domain, slot, raw in slots:
        if (value := state_value(raw, report)) is not None:
            state.setdefault(domain.lower(), {})[slot.lower().removeprefix("book").strip()] = value
    return {domain: dict(sorted(values.items())) for domain, values in sorted(state.items())}


def _add_states(dialogues: list[Dialogue], folder: Path, split: str, report: PreparationReport) -> None:
    """Compare with the gold states where these are here; they stand where the manifest has none."""
    files = [path for path in all_below(folder, "_jga_reference.json") if f"_{split}_" in path.name]
    if not files:
        if all(turn.state is None or not turn.state for dialogue in dialogues for turn in dialogue.user_turns()):
            report.note("no states in the manifest and no *_jga_reference.json: recognition only")
            for dialogue in dialogues:
                for turn in dialogue.user_turns():
                    turn.state = None
        return
    golds = {name.lower().removesuffix(".json"): states for name, states in read_json(files[0]).items()}
    given = any(turn.state for dialogue in dialogues for turn in dialogue.user_turns())
    for dialogue in dialogues:
        turns, states = dialogue.user_turns(), golds.get(dialogue.dialogue_id, [])
        if len(states) != len(turns):
            report.mend(f"not the same number of user turns in {files[0].name}: manifest kept", dialogue.dialogue_id)
            continue
        for turn, gold in zip(turns, states, strict=True):
            with in_layout(files[0], f"a DSTC11 reference, dialogue {dialogue.dialogue_id}"):
                state = _state(((d, s, v) for d, slots in gold.items() for s, v in slots.items()), report)
            if given and turn.state != state:
                report.mend(f"state differs from {files[0].name}: the reference stands", f"{dialogue.dialogue_id} {turn.turn_id}")
            turn.state = state


def _voicings(folder: Path, split: str) -> dict[str, dict[str, dict[str, Path]]]:
    """Part to voice (the name of the files' folder) to dialogue to file, of one split."""
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in all_below(folder, ".hd5", ".h5", ".hdf5"):
        place = path.parent.relative_to(folder).as_posix().lower()
        if split not in place:
            continue
        kind = "human-paraphrased" if "paraphras" in place else "human-verbatim" if "human" in place else "tts-verbatim"
        name = path.name.split(".")[0].lower()
        found.setdefault(f"{split}-{kind}", {}).setdefault(path.parent.name, {})[name] = path
    return found


def _add_audio(
    dialogues: list[Dialogue], voices: dict[str, dict[str, Path]], part: str, extracted: Path, report: PreparationReport
) -> None:
    try:
        import h5py
    except ImportError as error:
        raise CorpusError("DSTC11's audio is in HDF5 files: pip install 'spoken-dst-studio[corpora]' (h5py)") from error
    for dialogue in track(dialogues, "Extracting audio", console=Console(stderr=True)):
        dialogue.source = f"dstc11 {part}"
        turns: dict[str, dict[int, Spoken]] = {}
        open_files = []
        for voice, files in voices.items():
            if path := files.get(dialogue.dialogue_id):
                try:
                    file = h5py.File(path, "r")
                except OSError as error:
                    report.drop(f"HDF5 file cannot be read: {error}", path.name)
                    continue
                open_files.append(file)
                turns[voice] = dict(_groups(file, path))
        try:
            for turn in dialogue.user_turns():
                _voice_turn(turn, dialogue.dialogue_id, turns, part, extracted, report)
        finally:
            for file in open_files:
                file.close()


def _groups(file: Any, path: Path) -> Iterator[tuple[int, Spoken]]:
    """Turn to its samples (a dataset, not yet read) and the recogniser's words."""
    for name, group in file.items():
        if match := re.search(r"turn_id:\s*(\d+)", name):
            with in_layout(path, f"DSTC11, group {name!r}"):
                samples = group["audio"]
            heard = group.attrs.get("hyp", samples.attrs.get("hyp"))
            yield int(match[1]), (samples, heard.decode() if isinstance(heard, bytes) else heard)


def _voice_turn(
    turn: Turn,
    name: str,
    voices: dict[str, dict[int, Spoken]],
    part: str,
    extracted: Path,
    report: PreparationReport,
) -> None:
    speaking = sorted(voice for voice, turns in voices.items() if turn.turn_id in turns)
    if part.endswith("paraphrased"):
        turn.transcript = None
    if not speaking:
        report.drop("user turn without audio: it stays as text", f"{name} {turn.turn_id}")
        return
    voice = random.Random(f"{_SEED}|{name}|{turn.turn_id}").choice(speaking)
    samples, heard = voices[voice][turn.turn_id]
    flac = extracted / part / voice / name / f"{turn.turn_id}.flac"
    if not flac.is_file():
        pcm = np.asarray(samples).reshape(-1)
        if not len(pcm):
            report.drop("user turn without audio: it stays as text", f"{name} {turn.turn_id}")
            return
        scale = 1.0 if pcm.dtype.kind == "f" else 1 / 32_768  # 16-bit
        save_flac(flac, pcm.astype(np.float32) * scale, SAMPLE_RATE)
    turn.audio, turn.voice = str(flac.absolute()), voice if len(voices) > 1 else None
    turn.heard = normalise_transcript(heard) if heard else None
