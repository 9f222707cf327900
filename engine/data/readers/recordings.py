"""A folder of recordings with a table of transcripts: the simplest corpus there is.

Folder: ``transcripts.tsv`` (UTF-8, tab-separated, with a header line) and the audio files it names. Columns ``path`` and
``transcript`` are needed; ``speaker``, ``source``, ``licence`` and ``transcript_kind`` are used where they are. Each row is
a dialogue of one user turn without a state.
"""

from __future__ import annotations

from pathlib import Path

from engine.data.readers import PreparationReport, own_split, require
from engine.data.readers.files import read_table, utterance
from engine.data.spoken_form import to_spoken
from engine.dialogue import SPLITS, Dialogue


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read the table. Drafts of a recogniser (``transcript_kind`` starts with ``asr_draft``) are no reference: dropped.

    Raises:
        CorpusError: no table, or a column is missing.
    """
    split, _ = own_split({split: [split] for split in SPLITS}, split)
    table = require(folder, "transcripts.tsv")
    report = PreparationReport("recordings", split)
    dialogues = []
    for row in read_table(table, "\t", ("path", "transcript")):
        path, transcript = folder / row["path"], to_spoken(row["transcript"], row["path"])
        if row.get("transcript_kind", "").startswith("asr_draft"):
            report.drop("transcript is a recogniser's draft")
        elif not path.is_file():
            report.drop("audio file missing", row["path"])
        elif not transcript:
            report.drop("no transcript", row["path"])
        else:
            source, licence, voice = row.get("source", ""), row.get("licence", ""), row.get("speaker") or None
            dialogues.append(utterance(row["path"], split, source, licence, transcript, path, voice=voice))
    report.count(dialogues)
    return dialogues, report
