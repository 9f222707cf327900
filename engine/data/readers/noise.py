"""A folder of sounds without speech: rain, dogs, doors, silence. They teach and test that nothing is transcribed (paper 3).

Folder: audio files anywhere below it; a table ``noise.tsv`` (``path``, ``licence``) names their licences where there is one.
"""

from __future__ import annotations

from pathlib import Path

from engine.audio import MAX_TURN_SECONDS
from engine.data.readers import PreparationReport, not_found, own_split
from engine.data.readers.files import Recordings, all_below, read_table, utterance
from engine.dialogue import Dialogue

_SPLITS = {"train": ["train"], "dev": ["dev"], "test": ["test"]}
_AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".sph")


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read the folder; every sound is a dialogue of one user turn with an empty transcript and an empty state.

    Raises:
        CorpusError: no audio files below the folder.
    """
    split, _ = own_split(_SPLITS, split)
    sounds = all_below(folder, *_AUDIO)
    if not sounds:
        raise not_found(folder, "audio files of noises")
    report = PreparationReport("noise", split)
    report.note(f"all sounds are marked {split!r}: keep those you test with in a folder of their own")
    table = folder / "noise.tsv"
    rows = read_table(table, "\t", ("path", "licence")) if table.is_file() else []
    licences = {row["path"]: row["licence"] for row in rows}
    recordings = Recordings(report)
    dialogues = []
    for path in sounds:
        seconds = recordings.seconds(path)
        if seconds is not None:
            name = path.relative_to(folder).as_posix()
            dialogues.append(utterance(f"noise-{name}", split, "noise", licences.get(name, ""), "", path, state={}))
            if seconds > MAX_TURN_SECONDS:
                turn = dialogues[-1].turns[0]
                turn.start, turn.end = 0.0, MAX_TURN_SECONDS
                report.note(f"{name}: its first {MAX_TURN_SECONDS:.0f} s, as a turn is no longer")
    report.count(dialogues)
    return dialogues, report
