"""What is written in a corpus's layout is read back as it was, by that corpus's reader and on its real files."""

import csv
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine import audio
from engine.cli import app
from engine.data.readers import corpus_named
from engine.data.writers import WriteError, layouts
from engine.dialogue import SPLITS, Dialogue, State, Turn, read_manifest, write_manifest

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora (../shared/data) are not here")


def back(name: str, folder: Path, split: str) -> list[Dialogue]:
    return corpus_named(name).read(folder, split, folder)[0]


def real(name: str, split: str, tmp_path: Path) -> list[Dialogue]:
    """Real dialogues of a corpus; where that is large, those of its first file."""
    folder, part = SHARED / name, tmp_path / "original" / split
    if name in ("multiwoz22", "sgd"):
        part.mkdir(parents=True)
        folder = tmp_path / "original"
    if name == "multiwoz22":
        shutil.copy(SHARED / "multiwoz" / "multiwoz22_original_examples.json", part / "dialogues_001.json")
    elif name == "sgd":
        with tarfile.open(SHARED / "sgd" / f"{split}.tgz") as archive:
            member = min(archive.getnames(), key=lambda member: ("dialogues_" not in member, member))
            content = archive.extractfile(member)
            assert content is not None
            (part / "dialogues_001.json").write_bytes(content.read())
    return back(name, folder, split)


@needs_corpora
@pytest.mark.parametrize(
    ("corpus", "split", "most"),
    [("multiwoz", "dev", 300), ("multiwoz22", "dev", 5), ("sgd", "dev", 100), ("woz20", "dev", 200), ("dstc11", "test", 300)],
)
def test_real_dialogues_come_back_as_they_were(corpus: str, split: str, most: int, tmp_path: Path) -> None:
    dialogues = real(corpus, split, tmp_path)[:most]
    report = layouts()[corpus].write(tmp_path / "written", dialogues)
    assert (report.dialogues, report.dropped, report.mended) == (len(dialogues), {}, {})
    assert back(corpus, tmp_path / "written", split) == dialogues


@needs_corpora
@pytest.mark.parametrize("corpus", ["multiwoz22", "sgd", "woz20"])
@pytest.mark.parametrize("layout", ["convlab", "table"])
def test_the_general_layouts_hold_every_corpus(corpus: str, layout: str, tmp_path: Path) -> None:
    dialogues = real(corpus, "dev", tmp_path)[:100]
    layouts()[layout].write(tmp_path / "written", dialogues)
    found = back(layout, tmp_path / "written", "dev")
    # ConvLab's format has no place for a licence, and names the forms of a value "a|b"
    assert [replace(dialogue, licence="") for dialogue in found] == [replace(dialogue, licence="") for dialogue in dialogues]


def spoken(folder: Path) -> list[Dialogue]:
    """Two dialogues that use everything a turn can hold."""
    audio.save_flac(folder / "call.flac", np.linspace(-0.5, 0.5, 16_000, dtype=np.float32))
    path = str((folder / "call.flac").absolute())
    turns = [
        Turn(0, "user", "a café, please", path, 0.25, 0.75, 0, {"restaurant": {"name": ["café x", "x"]}}, "anna", "a cafe"),
        Turn(3, "agent", 'which "one", then'),
        Turn(4, "user", "", path, state={}),
        Turn(5, "user", None, path, 0.5, translation={"de": "ja"}),
    ]
    return [
        Dialogue("own/1", turns, "dev", "mine", "CC0-1.0"),
        Dialogue("own/2", [Turn(1, "user", "yes", state={"taxi": {"leaveat": "17:15"}})], "test"),
    ]


def test_a_table_holds_all_of_a_turn(tmp_path: Path) -> None:
    dialogues = spoken(tmp_path)
    layouts()["table"].write(tmp_path, dialogues)
    assert [dialogue for split in SPLITS for dialogue in back("table", tmp_path, split)] == dialogues
    rows = list(csv.DictReader((tmp_path / "turns.csv").open(encoding="utf-8")))
    assert [row["audio"] for row in rows] == ["call.flac", "", "call.flac", "call.flac", ""]


def test_an_audiofolder_has_a_sound_and_a_row_for_every_recorded_turn(tmp_path: Path) -> None:
    dialogues = spoken(tmp_path)
    dialogues[0].turns.append(Turn(6, "user", "gone", str(tmp_path / "gone.wav")))
    report = layouts()["audiofolder"].write(tmp_path / "out", dialogues)
    rows = list(csv.DictReader((tmp_path / "out" / "validation" / "metadata.csv").open(encoding="utf-8")))
    assert [(row["turn_id"], row["transcription"], row["state"][:14]) for row in rows] == [
        ("0", "a café, please", '{"restaurant":'),
        ("4", "", "{}"),
        ("5", "", ""),
    ]
    assert [turn["speaker"] for turn in json.loads(rows[1]["history"])] == ["user", "agent"]
    assert len(audio.load(tmp_path / "out" / "validation" / rows[0]["file_name"])) == 8_000
    first, second = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert [turn.transcript for turn in first.turns] == ["a café, please", 'which "one", then', "", None, "gone"]
    assert first.turns[0].state == dialogues[0].turns[0].state and second == dialogues[1]
    assert list(report.dropped) == [f"sound of a turn: {tmp_path / 'gone.wav'}: no such audio file"]


def sounds(dialogue: Dialogue) -> list[np.ndarray]:
    return [audio.load(turn.audio, turn.start, turn.end, turn.channel) for turn in dialogue.turns if turn.audio]


@needs_corpora
def test_real_calls_come_back_with_every_sample(tmp_path: Path) -> None:
    calls = [d for d in back("spokenwoz", SHARED / "spokenwoz", "dev") if any(turn.state for turn in d.turns)]
    report = layouts()["spokenwoz"].write(tmp_path, calls)
    assert (report.dialogues, report.dropped) == (len(calls), {})
    found = back("spokenwoz", tmp_path, "dev")
    for one, other in zip(calls, found, strict=True):
        assert one.dialogue_id == other.dialogue_id
        kept = [[(t.speaker, t.transcript, t.state) for t in d.turns if t.transcript] for d in (one, other)]
        assert kept[0] == kept[1]
        assert all(np.array_equal(*pair) for pair in zip(sounds(one), sounds(other), strict=True))


def test_a_call_has_its_speakers_on_their_sides_at_whole_milliseconds(tmp_path: Path) -> None:
    said = {"user.flac": (11_025, 0.5), "agent.flac": (8_000, 0.25)}
    for name, (rate, level) in said.items():
        audio.save_flac(tmp_path / name, np.full(rate // 3, level, np.float32), rate)
    turns = [
        Turn(0, "agent", "good day", str(tmp_path / "agent.flac")),
        Turn(1, "user", "a taxi", str(tmp_path / "user.flac"), state={"taxi": {"leaveat": ["17:15", "5:15 pm"]}}),
        Turn(2, "user", "please", str(tmp_path / "user.flac"), state={"taxi": {}}),
    ]
    typed = Dialogue("typed", [Turn(0, "user", "hi", state={})])
    report = layouts()["spokenwoz"].write(tmp_path / "out", [Dialogue("call", turns), typed])
    assert list(report.dropped) == ["dialogue without a recording: the layout holds calls"]
    (call,) = back("spokenwoz", tmp_path / "out", "train")
    assert [(t.speaker, t.transcript, t.channel) for t in call.turns] == [
        ("agent", "good day", 1),
        ("user", "a taxi", 0),
        ("user", "please", 0),
    ]
    assert call.turns[1].state == {"taxi": {"leaveat": ["17:15", "5:15 pm"]}} and call.turns[2].state == {}
    wave = audio.load(call.turns[1].audio, call.turns[1].start, call.turns[1].end, 0, 11_025)
    assert np.array_equal(wave[: 11_025 // 3], np.full(11_025 // 3, 0.5, np.float32)) and not wave[11_025 // 3 :].any()
    assert not audio.load(call.turns[1].audio, call.turns[1].start, call.turns[1].end, 1).any(), "the agent is silent"
    with pytest.raises(WriteError, match="SpokenWOZ holds calls"):
        layouts()["spokenwoz"].write(tmp_path / "none", [typed])
    with pytest.raises(WriteError, match="rename the dialogue"):
        layouts()["spokenwoz"].write(tmp_path / "none", [Dialogue("../call", turns)])


@pytest.mark.parametrize("layout", ["table", "multiwoz", "multiwoz22", "sgd", "convlab"])
def test_a_domain_and_a_slot_with_hyphens_come_back(layout: str, tmp_path: Path) -> None:
    state: State = {"car": {"seats": "4"}, "car-rental": {"pick-up": "north"}}
    layouts()[layout].write(tmp_path, [Dialogue("d1", [Turn(0, "user", "a car", state=state)], "train")])
    (dialogue,) = back(layout, tmp_path, "train")
    assert dialogue.turns[0].state == state


@pytest.mark.parametrize("layout", ["multiwoz", "multiwoz22", "sgd", "convlab", "dstc11"])
def test_own_dialogues_keep_their_words_and_states_in_every_layout(layout: str, tmp_path: Path) -> None:
    turns = [
        Turn(0, "agent", "hello"),
        Turn(1, "user", "hi", state={}),
        Turn(2, "user", "a taxi", state={"taxi": {"leaveat": ["17:15", "5:15 pm"]}, "spaceship": {"crew": "two"}}),
        Turn(3, "agent", "no"),
        Turn(4, "user", "then not", state={}),
    ]
    report = layouts()[layout].write(tmp_path, [Dialogue("Mine_1", turns, "train")])
    assert report.lines()[0].endswith("1 dialogues, 3 user turns")
    (dialogue,) = back(layout, tmp_path, "train")
    assert [(t.speaker, t.transcript, t.state) for t in dialogue.turns] == [(t.speaker, t.transcript, t.state) for t in turns]


def test_what_a_layout_cannot_hold_is_said(tmp_path: Path) -> None:
    hotel = [Dialogue("a", [Turn(0, "user", "hi", state={"hotel": {"area": "north"}})])]
    with pytest.raises(WriteError, match=r"dialogue a, turn 0: WOZ 2\.0 holds .* not hotel-area; write another layout"):
        layouts()["woz20"].write(tmp_path, hotel)
    semicolon = [Dialogue("a", [Turn(0, "user", "hi", state={"hotel": {"name": "a; b"}})])]
    with pytest.raises(WriteError, match="holds a semicolon"):
        layouts()["dstc11"].write(tmp_path, semicolon)
    hyphen = [Dialogue("a", [Turn(0, "user", "hi", state={"car-rental": {"pick-up": "north"}})])]
    with pytest.raises(WriteError, match="the domain 'car-rental' holds a hyphen"):
        layouts()["dstc11"].write(tmp_path, hyphen)
    report = layouts()["multiwoz"].write(tmp_path, spoken(tmp_path))
    assert "the layout has no place for audio: text and states were written" in report.notes


def test_the_convert_command(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [spoken(tmp_path)[1]])
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "m.jsonl"), "--to", "sgd", "--out", str(tmp_path / "sgd")])
    assert done.exit_code == 0, done.output
    assert back("sgd", tmp_path / "sgd", "test")[0].turns[0].state == {"taxi": {"leaveat": "17:15"}}
    for arguments in (["m.jsonl", "--to", "sgt"], ["gone.jsonl", "--to", "sgd"]):
        done = CliRunner().invoke(app, ["convert", str(tmp_path / arguments[0]), *arguments[1:], "--out", str(tmp_path)])
        assert done.exit_code == 2 and "Traceback" not in done.output
