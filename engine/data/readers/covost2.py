"""CoVoST 2 (Wang et al. 2020): Common Voice recordings with translations of their sentences; CC0-1.0.

Folder: one Common Voice language (``clips/*.mp3``, ``validated.tsv``) with ``covost_v2.en_de.tsv`` in it (columns ``path``,
``translation``, ``split``), or with the tables its script cuts from these, ``covost_v2.en_de.train.tsv`` (``path``,
``sentence``, ``translation``). Several target languages at once give a turn several translations.
"""

from __future__ import annotations

from pathlib import Path

from engine.data.readers import PreparationReport, own_split, require
from engine.data.readers.files import read_table, usable, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue

LICENCE = "CC0-1.0"
_SPLITS = {"train": ["train"], "dev": ["dev"], "test": ["test"]}


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; every clip is a dialogue of one turn with ``translation`` by target language.

    Raises:
        CorpusError: no table of translations, or a table lacks a column.
    """
    split, _ = own_split(_SPLITS, split)
    report = PreparationReport("CoVoST 2", split)
    sample = require(folder, f"covost_v2.*.{split}.tsv", "covost_v2.*_*.tsv", depth=1)
    cut = sample.name.endswith(f".{split}.tsv")
    tables = sorted(sample.parent.glob(f"covost_v2.*.{split}.tsv" if cut else "covost_v2.*.tsv"))
    sentences: dict[str, dict[str, str]] = {}
    if not cut:
        validated = require(sample.parent, "validated.tsv")
        sentences = {row["path"]: row for row in read_table(validated, "\t", ("path", "sentence", "client_id"), quoted=False)}
    found: dict[str, Dialogue] = {}
    for table in tables:
        target = table.name.split(".")[1].split("_")[1]
        columns = ("path", "sentence", "translation") if cut else ("path", "translation", "split")
        for row in read_table(table, "\t", columns, quoted=False):
            if not cut and row["split"] not in (split, f"{split}_covost"):
                continue
            path = row["path"]
            said = row if cut else sentences.get(path)
            if said is None:
                report.drop("clip not in validated.tsv", path)
            elif path in found or usable(sample.parent / "clips" / path, report):
                dialogue = found.setdefault(path, _dialogue(path, said, sample.parent, split))
                dialogue.turns[0].translation = (dialogue.turns[0].translation or {}) | {target: row["translation"].strip()}
    dialogues = list(found.values())
    report.count(dialogues)
    return dialogues, report


def _dialogue(path: str, row: dict[str, str], folder: Path, split: str) -> Dialogue:
    text = normalise_transcript(row["sentence"])
    return utterance(
        Path(path).stem, split, "covost2", LICENCE, text, folder / "clips" / path, voice=row.get("client_id") or None
    )
