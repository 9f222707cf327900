"""Real dialogues go into a project, out in a layout, and into another project: there they are what they were here.

SpokenWOZ (CC BY-NC 4.0) is read where it lies and never part of this repository.
"""

import csv
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from engine.dialogue import Dialogue, Turn, read_manifest
from studio.services import exchange, exports, imports, projects
from studio.services.exchange import Source
from studio.services.exports import Selection
from studio.services.recordings import sound_hash
from studio.workspace import Workspace, attach

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora (../shared/data) are not here")
pytestmark = pytest.mark.databases("sqlite")  # what is tested are files
ALL = Selection(splits=("train", "dev", "test"))
MOST = 25  # dialogues of a corpus
TYPED = {"multiwoz": ["dev"], "multiwoz22": ["dev"], "sgd": ["dev"], "woz20": [], "dstc11": ["test"]}  # the splits to read
RECORDED = {"spokenwoz": ("manifest", "table", "audiofolder", "spokenwoz"), "recordings": ("manifest", "table", "audiofolder")}
READ_AS = {"audiofolder": "manifest"}  # metadata.csv is for others; the manifest beside it names the same sounds


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    """A slice of a real corpus as the studio reads it, with its recordings where they lie; each is read once."""
    folder = tmp_path_factory.mktemp("corpora")

    @cache
    def read(corpus: str) -> Source:
        place = SHARED / {"recordings": "human_speech"}.get(corpus, corpus)
        if corpus == "multiwoz22":
            place = folder / corpus
            (place / "dev").mkdir(parents=True)
            (place / "dev" / "dialogues_001.json").symlink_to(SHARED / "multiwoz" / "multiwoz22_original_examples.json")
        if corpus == "sgd":  # one file of the corpus is enough
            place = folder / corpus
            with tarfile.open(SHARED / "sgd" / "dev.tgz") as archive:
                name = min(name for name in archive.getnames() if "dialogues_" in name)
                found = archive.extractfile(name)
                assert found is not None
                (place / "dev").mkdir(parents=True)
                (place / "dev" / "dialogues_001.json").write_bytes(found.read())
        with exchange.opened(attach(folder), place, corpus, TYPED.get(corpus, [])) as source:
            return replace(source, dialogues=source.dialogues[:: max(1, len(source.dialogues) // MOST)])

    return read


def bring(ws: Workspace, project: int, source: Source) -> None:
    imports.carry_out(ws, project, imports.plan(ws, project, source))


def there_and_back(ws: Workspace, project: int, layout: str, folder: Path) -> tuple[list, list]:
    """What a project holds, and what another one holds that got it in a layout."""
    exports.export(ws, project, folder / "out", layout, ALL)
    other = projects.create_project(ws, "Other").id
    with exchange.opened(ws, folder / "out", READ_AS.get(layout, layout)) as source:
        bring(ws, other, source)
    return held(ws, project, folder / "here"), held(ws, other, folder / "there")


def held(ws: Workspace, project: int, folder: Path) -> list:
    """All a project holds of its dialogues; recordings by their sound."""
    exports.export(ws, project, folder, selection=ALL)
    return [
        (dialogue.dialogue_id, dialogue.split, [plain(turn) for turn in dialogue.turns])
        for dialogue in sorted(read_manifest(folder / "manifest.jsonl"), key=lambda dialogue: dialogue.dialogue_id)
    ]


def plain(turn: Turn) -> tuple:
    sound = turn.audio and sound_hash(turn.audio)
    return turn.turn_id, turn.speaker, turn.voice, turn.transcript, json.dumps(turn.state), sound


@needs_corpora
@pytest.mark.parametrize(
    ("corpus", "layout"),
    [(corpus, layout) for corpus in TYPED for layout in (corpus, "manifest", "convlab", "table")]
    + [(corpus, layout) for corpus, layouts in RECORDED.items() for layout in layouts],
)
def test_what_went_out_comes_in_as_it_was(
    ws: Workspace, project: int, real: Callable[[str], Source], corpus: str, layout: str, tmp_path: Path
) -> None:
    source = real(corpus)
    bring(ws, project, source)
    here, there = there_and_back(ws, project, layout, tmp_path)
    assert there == here
    assert len(here) == len(source.dialogues) >= 5
    if corpus in RECORDED:
        assert any(sound for _, _, turns in here for *_, sound in turns)


@needs_corpora
@pytest.mark.parametrize("corpus", RECORDED)
def test_an_audiofolder_has_a_row_for_every_real_recording_with_its_sound_words_and_state(
    ws: Workspace, project: int, real: Callable[[str], Source], corpus: str, tmp_path: Path
) -> None:
    source = real(corpus)
    bring(ws, project, source)
    exports.export(ws, project, tmp_path / "out", "audiofolder", ALL)
    found = set()
    for table in (tmp_path / "out").glob("*/metadata.csv"):
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                sound = sound_hash(table.parent / row["file_name"])
                found.add((row["dialogue_id"], row["turn_id"], row["speaker"], row["transcription"], row["state"], sound))
    assert found == {
        (
            dialogue.dialogue_id,
            str(turn.turn_id),
            turn.speaker,
            turn.transcript or "",
            "" if turn.state is None else json.dumps(turn.state, ensure_ascii=False),
            sound_hash(turn.audio, turn.start, turn.end, turn.channel),
        )
        for dialogue in source.dialogues
        for turn in dialogue.turns
        if turn.audio
    }


@needs_corpora
def test_revisions_of_real_dialogues_are_listed_with_what_they_say(
    ws: Workspace, project: int, real: Callable[[str], Source], tmp_path: Path
) -> None:
    source = real("woz20")
    bring(ws, project, source)
    exports.export(ws, project, tmp_path, "revisions", ALL)
    with (tmp_path / "revisions.csv").open(encoding="utf-8", newline="") as file:
        found = {(row["dialogue"], int(row["turn"]), row["kind"]): row["new"] for row in csv.DictReader(file)}
    turns = [(dialogue.dialogue_id, turn) for dialogue in source.dialogues for turn in dialogue.turns]
    words = {(name, turn.turn_id, "transcript"): turn.transcript for name, turn in turns}
    states = {(name, turn.turn_id, "state"): turn.state for name, turn in turns if turn.state is not None}
    assert {key: value if key[2] == "transcript" else json.loads(value) for key, value in found.items()} == words | states


@pytest.mark.parametrize("layout", ["multiwoz", "multiwoz22", "sgd", "convlab", "woz20", "table", "manifest"])
def test_words_that_people_wrote_with_digits_and_capitals_are_not_read_out(
    ws: Workspace, project: int, layout: str, tmp_path: Path
) -> None:
    first, second = (1, 0) if layout == "multiwoz" else (0, 1)  # there the user's turns stand at even places
    asked = Turn(second, "user", "At 17:45, for 3 people", state={"restaurant": {"area": "north"}})
    said = sorted([Turn(first, "agent", "Flight BA 17?"), asked], key=lambda turn: turn.turn_id)
    name = {"multiwoz": "multiwoz-a", "multiwoz22": "multiwoz-a", "sgd": "sgd-train-1_1", "woz20": "woz20-train-0000"}
    bring(ws, project, Source(Path("m"), "manifest", [Dialogue(name.get(layout, "a"), said)]))
    here, there = there_and_back(ws, project, layout, tmp_path)
    assert there == here


def test_a_recorded_turn_that_nobody_labelled_comes_back_without_a_state_and_with_its_words(
    ws: Workspace, project: int, sound: Callable[..., Path], tmp_path: Path
) -> None:
    """It had come back with an empty state, which is a label: the user wants nothing."""
    turns = [
        Turn(0, "user", "Hi, 3 of us", str(sound(0)), state=None),
        Turn(1, "agent", "yes?", str(sound(1))),
        Turn(2, "user", "nothing", str(sound(2)), state={}),
        Turn(4, "user", "north", str(sound(3)), state={"restaurant": {"area": "north"}}),
    ]
    bring(ws, project, Source(Path("m"), "manifest", [Dialogue("call", turns)]))
    here, there = there_and_back(ws, project, "spokenwoz", tmp_path)
    assert there == here


def test_the_value_none_is_kept_by_convlab_and_missed_aloud_by_what_knows_it_as_unset(
    ws: Workspace, project: int, tmp_path: Path
) -> None:
    turns = [Turn(0, "user", "no subtitles", state={"media": {"subtitles": "none"}})]
    bring(ws, project, Source(Path("m"), "manifest", [Dialogue("d", turns)]))
    here, there = there_and_back(ws, project, "convlab", tmp_path)
    assert there == here
    for layout in ("multiwoz", "multiwoz22", "dstc11"):
        told = exports.export(ws, project, tmp_path / layout, layout, ALL).findings
        assert any("value 'none': in this layout the slot is unset then (d turn 0 media-subtitles)" in line for line in told)
