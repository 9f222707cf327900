"""Dialogues of one's own in a table beside recordings; ConvLab's unified format."""

import json
import zipfile
from pathlib import Path

import pytest

from engine.data.readers import CorpusError, convlab
from engine.data.readers.table import read

HEAD = "dialogue_id,turn_id,speaker,transcript,audio,start,end,hotel-area,hotel-name\n"


def table(folder: Path, rows: str, head: str = HEAD) -> Path:
    (folder / "turns.csv").write_text(head + rows, encoding="utf-8")
    return folder


def test_a_column_for_each_slot_makes_states(tmp_path: Path, sound) -> None:
    sound(tmp_path / "calls" / "1.wav", 2.0)
    rows = "a,0,user,Hi there,calls/1.wav,0.5,1.5,,\na,1,agent,Hello,,,,,\na,2,user,,calls/1.wav,,,north|the north,\n"
    (dialogue,), _ = read(table(tmp_path, rows), "train")
    assert [(t.transcript, t.start, t.end, t.state) for t in dialogue.turns] == [
        ("Hi there", 0.5, 1.5, {}),
        ("Hello", None, None, None),
        (None, None, None, {"hotel": {"area": ["north", "the north"]}}),
    ]


def test_a_table_with_tabs_is_the_same_and_commas_in_it_are_text(tmp_path: Path) -> None:
    head = HEAD.replace(",", "\t")
    (tmp_path / "turns.tsv").write_text(
        f"{head}a\t0\tuser\tHi, there\t\t\t\tnorth|the north\tA, B\na\t1\tagent\tHello\t\t\t\t\t\n"
    )
    (dialogue,), _ = read(tmp_path, "train")
    assert [(turn.speaker, turn.transcript, turn.state) for turn in dialogue.turns] == [
        ("user", "Hi, there", {"hotel": {"area": ["north", "the north"], "name": "A, B"}}),
        ("agent", "Hello", None),
    ]
    with pytest.raises(CorpusError, match="one table turns.csv or turns.tsv"):
        read(table(tmp_path, ""), "train")


def test_missing_recordings_and_segments_leave_the_text(tmp_path: Path, sound) -> None:
    sound(tmp_path / "1.wav", 1.0)
    (dialogue,), report = read(table(tmp_path, "a,0,user,hi,gone.wav,,,,\na,1,user,ho,1.wav,3,4,,\n"), "train")
    assert [turn.audio for turn in dialogue.turns] == [None, None]
    assert report.dropped == {"audio file missing": 1, "times make no segment of the recording": 1}


@pytest.mark.parametrize(
    ("rows", "head", "reason"),
    [
        (
            "a,0,caller,hi,,,,,\n",
            HEAD,
            "row 2: not in the layout of a table of turns .*speaker 'caller' is not one of user, agent",
        ),
        ("a,0,user,hi,,,,,\na,0,agent,ho,,,,,\n", HEAD, "row 3: .*turn 0 of dialogue 'a' comes after turn 0"),
        ("a,x,user,hi,,,,,\n", HEAD, "row 2: .*invalid literal for int"),
        ("a,0,user,{\n", "dialogue_id,turn_id,speaker,state\n", "row 2: .*Expecting property name"),
        ('a,0,user,"{""hotel"": 5}"\n', "dialogue_id,turn_id,speaker,state\n", "domain 'hotel' must hold an object"),
        ("a,0\n", "dialogue_id,turn_id\n", "lacks the column speaker"),
        ("a,0,user,hi,,,,,,surplus\n", HEAD, "line 2: more fields than the header"),
        ("a,0,user,tset\n", "dialogue_id,turn_id,speaker,split\n", "row 2: split 'tset' is not one of train, dev, test"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, rows: str, head: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        read(table(tmp_path, rows, head), "train")


UNIFIED = {
    "dataset": "multiwoz21",
    "data_split": "validation",
    "dialogue_id": "multiwoz21-validation-0",
    "original_id": "PMUL0698.json",
    "domains": ["hotel"],
    "goal": {},
    "turns": [
        {
            "speaker": "user",
            "utterance": "A room for 3.",
            "utt_idx": 0,
            "state": {"hotel": {"name": "", "book people": "3|three"}},
        },
        {"speaker": "system", "utterance": "Done.", "utt_idx": 1, "db_results": {}},
    ],
}


@pytest.mark.parametrize("packed", [True, False])
def test_convlab_dialogues_are_read_packed_and_unpacked(tmp_path: Path, packed: bool) -> None:
    if packed:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            archive.writestr("data/dialogues.json", json.dumps([UNIFIED]))
    else:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "dialogues.json").write_text(json.dumps([UNIFIED]))
    (dialogue,), _ = convlab.read(tmp_path, "dev")
    assert (dialogue.dialogue_id, dialogue.source) == ("multiwoz21-validation-0", "multiwoz21")
    assert [(t.speaker, t.transcript, t.state) for t in dialogue.turns] == [
        ("user", "a room for three", {"hotel": {"book people": ["3", "three"]}}),
        ("agent", "done", None),
    ]
    assert convlab.read(tmp_path, "train")[0] == []


def test_a_broken_convlab_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK half")
    with pytest.raises(CorpusError, match=r"data\.zip: not in the layout of ConvLab's unified format .*not a zip file"):
        convlab.read(tmp_path, "dev")
