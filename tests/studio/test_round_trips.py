"""Real dialogues go into a project, out in a layout, and into another project: there they are what they were here.

SpokenWOZ (CC BY-NC 4.0) is read where it lies and never part of this repository.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine.dialogue import Dialogue, read_manifest
from studio.services import exchange, exports, imports, projects
from studio.services.exports import Selection
from studio.services.recordings import sound_hash
from studio.workspace import Workspace

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora (../shared/data) are not here"),
    pytest.mark.databases("sqlite"),
]
ALL = Selection(splits=("train", "dev", "test"))
# The corpus, its folder, the split to read, and how many dialogues of it
TYPED = {
    "multiwoz": ("multiwoz", ["dev"], 40),
    "multiwoz22": ("multiwoz/multiwoz22_original_examples.json", ["dev"], 5),
    "sgd": ("sgd", ["dev"], 40),
    "woz20": ("woz20", [], 40),
    "dstc11": ("dstc11", ["test"], 40),
}
RECORDED = {"spokenwoz": ("spokenwoz", [], 9), "recordings": ("human_speech", [], 40)}
READ_AS = {"audiofolder": "manifest"}  # metadata.csv is for others; the manifest beside it names the same sounds


def source(ws: Workspace, project: int, corpus: str, tmp_path: Path) -> list[Dialogue]:
    """Import a slice of a real corpus; the dialogues that came in."""
    place, splits, most = (TYPED | RECORDED)[corpus]
    folder = SHARED / place
    if folder.is_file():
        (tmp_path / "original" / splits[0]).mkdir(parents=True)
        (tmp_path / "original" / splits[0] / "dialogues_001.json").symlink_to(folder)
        folder = tmp_path / "original"
    with exchange.opened(ws, folder, corpus, splits) as opened:
        some = opened.dialogues[:: max(1, len(opened.dialogues) // most)]
        chosen = replace(opened, dialogues=[dialogue for dialogue in some if dialogue.turns])
        imports.carry_out(ws, project, imports.plan(ws, project, chosen))
    assert len(chosen.dialogues) >= min(most, 5)
    return chosen.dialogues


def written(ws: Workspace, project: int, folder: Path) -> list[Dialogue]:
    """What a project holds, by its manifest; recordings by their sound."""
    exports.export(ws, project, folder, selection=ALL)
    return sorted(read_manifest(folder / "manifest.jsonl"), key=lambda dialogue: dialogue.dialogue_id)


def plain(dialogues: Sequence[Dialogue]) -> list:
    return [
        (d.dialogue_id, d.split)
        + tuple(
            (t.turn_id, t.speaker, t.voice, t.transcript, json.dumps(t.state), t.audio and sound_hash(t.audio)) for t in d.turns
        )
        for d in dialogues
    ]


@pytest.mark.parametrize(
    ("corpus", "layout"),
    [(corpus, layout) for corpus in TYPED for layout in (corpus, "manifest", "convlab", "table")]
    + [(corpus, layout) for corpus in RECORDED for layout in ("manifest", "table", "audiofolder", "spokenwoz")],
)
def test_what_went_out_comes_in_as_it_was(ws: Workspace, project: int, corpus: str, layout: str, tmp_path: Path) -> None:
    source(ws, project, corpus, tmp_path)
    exports.export(ws, project, tmp_path / "out", layout, ALL)
    other = projects.create_project(ws, "Other").id
    with exchange.opened(ws, tmp_path / "out", READ_AS.get(layout, layout)) as opened:
        print(opened.findings)
        imports.carry_out(ws, other, imports.plan(ws, other, opened))
    here, there = written(ws, project, tmp_path / "here"), written(ws, other, tmp_path / "there")
    assert plain(there) == plain(here)
