"""A folder of recordings with a table of transcripts: the simplest corpus there is.

Folder: ``transcripts.tsv`` (UTF-8, tab-separated, with a header line) and the audio files it names. Columns ``path`` and
``transcript`` are needed; ``speaker``, ``source``, ``licence`` and ``transcript_kind`` are used where they are. Each row is
a dialogue of one user turn without a state.
"""

from __future__ import annotations

import csv
from pathlib import Path

from engine.data.readers import CorpusError, PreparationReport, require
from engine.data.spoken_form import to_spoken
from engine.dialogue import Dialogue, Turn


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read the table. Drafts of a recogniser (``transcript_kind`` starts with ``asr_draft``) are no reference: dropped.

    Raises:
        CorpusError: no table, or a column is missing.
    """
    table = require(folder, "transcripts.tsv")
    report = PreparationReport("recordings", split)
    dialogues = []
    for row in _rows(table):
        path, transcript = folder / row["path"], to_spoken(row["transcript"] or "", row["path"])
        if (row.get("transcript_kind") or "").startswith("asr_draft"):
            report.drop("transcript is a recogniser's draft")
        elif not path.is_file():
            report.drop("audio file missing", row["path"])
        elif not transcript:
            report.drop("no transcript", row["path"])
        else:
            turn = Turn(0, "user", transcript, str(path.absolute()), voice=row.get("speaker"))
            dialogues.append(Dialogue(row["path"], [turn], split, row.get("source") or "", row.get("licence") or ""))
    report.count(dialogues)
    return dialogues, report


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a byte-order mark first
            rows = csv.DictReader(file, delimiter="\t")
            missing = {"path", "transcript"} - set(rows.fieldnames or ())
            if missing:
                raise CorpusError(f"{table}: the header line lacks the column {' and '.join(sorted(missing))}")
            found = []
            for row in rows:
                if any("\n" in (value or "") for value in row.values() if not isinstance(value, list)):
                    raise CorpusError(f"{table}, line {rows.line_num}: a field spans lines; close or remove its quotation mark")
                found.append(row)
            return found
    except UnicodeDecodeError as error:
        raise CorpusError(f"{table}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        raise CorpusError(f"{table}: not a table of tab-separated values: {error}") from error
