"""Kaldi data folders, and How2 (Sanabria et al. 2018), instructional videos with Portuguese translations, which comes as such.

Folder: ``data/train`` and so on (or these folders themselves), each with ``text`` ("utterance words"), ``segments``
("utterance recording start end", seconds; without it an utterance is a whole recording), ``wav.scp`` ("recording path", or a
pipe that reads an audio file) and ``utt2spk``. How2 is ``how2-300h-v1/data/{train,val,dev5}`` with ``text.id.en`` and
``text.id.pt`` for ``text``; its audio is fetched from the videos: WAV or FLAC files named after the recording anywhere below
the folder, or a ``wav.scp``.
"""

from __future__ import annotations

from pathlib import Path

from engine.data.readers import CorpusError, PreparationReport, in_layout, own_split, require
from engine.data.readers.files import Recordings, below, read_lines, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue

_HOW2 = {"train": ["train"], "dev": ["val"], "test": ["dev5"]}
_KALDI = {"train": ["train"], "dev": ["dev"], "test": ["test"]}
_AUDIO = (".wav", ".flac", ".sph", ".mp3", ".ogg", ".m4a")


def read(folder: Path, split: str, how2: bool = False) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; every utterance is a dialogue of one turn, with its translations where there are some.

    Raises:
        CorpusError: there is no such data folder, or a file is not in Kaldi's layout.
    """
    split, (part,) = own_split(_HOW2 if how2 else _KALDI, split)
    report = PreparationReport("How2" if how2 else "Kaldi data folder", split)
    data = require(folder, part, f"data/{part}", f"how2-300h-v1/data/{part}")
    words = _table(require(data, "text.id.en", "text"))
    translations = {path.suffix[1:]: _table(path) for path in sorted(data.glob("text.id.*")) if path.suffix != ".en"}
    voices = _table(data / "utt2spk") if (data / "utt2spk").is_file() else {}
    segments = _table(data / "segments") if (data / "segments").is_file() else {}
    known = _recordings(data, folder)
    recordings = Recordings(report)
    dialogues = []
    for name, text in words.items():
        with in_layout(data / "segments", "a Kaldi data folder"):
            recording, start, end = segments[name].split() if segments else (name, "0", "inf")
        sound, channel = known.get(recording, (folder / f"{recording}.wav", None))
        transcript = normalise_transcript(text)
        if not transcript:
            report.drop("no words", name)
        elif segment := recordings.segment(sound, float(start), min(float(end), recordings.seconds(sound) or 0.0), name):
            source, licence = ("how2", "Creative Commons, by video") if how2 else (data.parent.name, "")
            dialogue = utterance(
                name,
                split,
                source,
                licence,
                transcript,
                sound,
                segment=segment if segments else None,
                channel=channel,
                voice=voices.get(name),
            )
            found = {language: table[name].strip() for language, table in translations.items() if name in table}
            dialogue.turns[0].translation = found or None
            dialogues.append(dialogue)
    report.count(dialogues)
    return dialogues, report


def _table(path: Path) -> dict[str, str]:
    """First word to the rest of each line."""
    return {line.split(maxsplit=1)[0]: line.partition(" ")[2] for _, line in read_lines(path)}


def _recordings(data: Path, folder: Path) -> dict[str, tuple[Path, int | None]]:
    """Recording to audio file and channel, from ``wav.scp``, else from the files' names."""
    if not (data / "wav.scp").is_file():
        sounds = below(folder, *_AUDIO)
        if not sounds:
            raise CorpusError(f"{folder}: expected {data / 'wav.scp'} or audio files named after the recordings, found neither")
        return {stem: (path, None) for stem, path in sounds.items()}
    found: dict[str, tuple[Path, int | None]] = {}
    for recording, value in _table(data / "wav.scp").items():
        tokens = value.split()
        names = [token for token in tokens if token.lower().endswith(_AUDIO)]
        if not names:
            raise CorpusError(f"{data / 'wav.scp'}: {recording}: no audio file in {value!r}; write its path")
        channel = int(tokens[tokens.index("-c") + 1]) - 1 if "sph2pipe" in tokens[0] and "-c" in tokens else None
        path = Path(names[0])
        found[recording] = (path if path.is_absolute() else _first([data / path, folder / path, path]), channel)
    return found


def _first(paths: list[Path]) -> Path:
    return next((path for path in paths if path.is_file()), paths[0])
