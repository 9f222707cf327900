"""LibriSpeech (Panayotov et al. 2015): read books, 16 kHz FLAC; CC BY 4.0.

Folder: the parts ``train-clean-100`` ... ``test-other`` as unpacked (the archives put them into ``LibriSpeech/``), each with
``SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt`` (a line "SPEAKER-CHAPTER-UTTERANCE WORDS") beside its FLAC files.
"""

from __future__ import annotations

from pathlib import Path

from engine.data.readers import CorpusError, PreparationReport, in_layout, own_split, require
from engine.data.readers.files import below, read_lines, usable, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue

LICENCE = "CC BY 4.0"
_SPLITS = {
    "train": ["train-clean-100", "train-clean-360", "train-other-500"],
    "dev": ["dev-clean", "dev-other"],
    "test": ["test-clean", "test-other"],
}


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read a split's parts that are here, or one part; every utterance is a dialogue of one turn.

    Raises:
        CorpusError: no part is here, or a transcript file is not in LibriSpeech's layout.
    """
    split, parts = own_split(_SPLITS, split)
    root = require(folder, *parts, depth=1).parent
    report = PreparationReport("LibriSpeech", split)
    dialogues: list[Dialogue] = []
    for part in parts:
        if not (root / part).is_dir():
            report.note(f"{part} is not here: {root / part}")
        for path in below(root / part, ".trans.txt").values():
            dialogues += _chapter(path, part, split, report)
    if not dialogues and not report.dropped:
        raise CorpusError(f"{root / parts[0]}: expected SPEAKER/CHAPTER/*.trans.txt below it, found none")
    report.count(dialogues)
    return dialogues, report


def _chapter(path: Path, part: str, split: str, report: PreparationReport) -> list[Dialogue]:
    found = []
    for number, line in read_lines(path):
        with in_layout(f"{path}, line {number}", "LibriSpeech"):
            name, words = line.split(maxsplit=1)
            speaker, _, _ = name.split("-")
        flac = path.with_name(f"{name}.flac")
        if usable(flac, report):
            source = f"librispeech {part}"
            found.append(utterance(name, split, source, LICENCE, normalise_transcript(words), flac, voice=speaker))
    return found
