"""Speech-aware MultiWOZ: text manifests, HDF5 audio, gold states."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine import audio
from engine.data.readers import CorpusError
from engine.data.readers.dstc11 import read

h5py = pytest.importorskip("h5py", reason="h5py (extra corpora) is not installed")
SHARED = Path(__file__).resolve().parents[5] / "shared" / "data" / "dstc11"

MANIFEST = """line_nr: 0 dialog_id: sng0001.json turn_id: 1 text: user: taxi to o'hare inn. state: taxi-destination=O'Hare Inn
line_nr: 1 dialog_id: sng0001.json turn_id: 2 text: agent: what state: now? state:
line_nr: 1 dialog_id: sng0001.json turn_id: 3 text: user: at 0:47 am state: taxi-leaveat=0:47 am; taxi-bookpeople=2
END_OF_DIALOG
line_nr: 2 dialog_id: mul0002.json turn_id: 1 text: user: hello state:
"""


def hdf5(path: Path, dialogue: str, level: float = 0.5, turns: tuple[int, ...] = (1, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for turn in turns:
            group = file.create_group(f"line_nr: 0 dialog_id: {dialogue}.json turn_id: {turn}")
            group.create_dataset("audio", data=np.full(1600 * turn, level * 32_768, np.int16))
            group.attrs["hyp"] = "A TAXI TO OH HAIR IN"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}_manifest.txt").write_text(MANIFEST)
    return tmp_path


def test_without_audio_the_text_and_states_are_read(corpus: Path) -> None:
    (first, second), report = read(corpus, "dev", corpus)
    assert (first.dialogue_id, first.source, second.dialogue_id) == ("sng0001", "dstc11", "mul0002")
    assert [(t.turn_id, t.speaker, t.transcript, t.state) for t in first.turns] == [
        (1, "user", "taxi to o'hare inn", {"taxi": {"destination": "o'hare inn"}}),
        (2, "agent", "what state now", None),
        (3, "user", "at 0 47 am", {"taxi": {"leaveat": "0:47 am", "people": "2"}}),
    ]
    assert second.turns[0].state == {}
    assert report.notes == ["no *.hd5 files here: text and states only"]


def test_a_training_turn_has_one_of_its_voices_and_always_the_same(corpus: Path) -> None:
    for voice, level in (("tpa", 0.1), ("tpb", 0.2), ("tpc", 0.3), ("tpd", 0.4)):
        for number in range(40):
            hdf5(corpus / "DSTC11_train_tts" / voice / f"sng{number:04}.hd5", f"sng{number:04}", level)
    lines = [f"line_nr: 0 dialog_id: sng{n:04}.json turn_id: {t} text: user: hi state: a-b=c" for n in range(40) for t in (1, 3)]
    (corpus / "train_manifest.txt").write_text("\n".join(lines))
    dialogues, report = read(corpus, "train", corpus / "out")
    voices = [turn.voice for dialogue in dialogues for turn in dialogue.turns]
    assert set(voices) == {"tpa", "tpb", "tpc", "tpd"}
    assert report.dropped == {}
    for turn in dialogues[0].turns:
        samples = audio.load(turn.audio)
        assert (len(samples), turn.heard) == (1600 * turn.turn_id, "a taxi to oh hair in")
        assert samples.mean() == pytest.approx({"tpa": 0.1, "tpb": 0.2, "tpc": 0.3, "tpd": 0.4}[turn.voice], abs=1e-3)
    assert read(corpus, "train", corpus / "out")[0] == dialogues


def test_turns_and_files_without_audio_stay_as_text(corpus: Path) -> None:
    hdf5(corpus / "DSTC11_dev_human" / "sng0001.hd5", "sng0001", turns=(1,))
    (corpus / "DSTC11_dev_human" / "mul0002.hd5").write_bytes(b"cut short")
    (first, second), report = read(corpus, "dev", corpus / "out")
    assert first.source == "dstc11 dev-human-verbatim"
    assert [bool(turn.audio) for turn in (*first.turns, *second.turns)] == [True, False, False, False]
    assert report.dropped["user turn without audio: it stays as text"] == 2
    assert any("HDF5 file cannot be read" in line and "mul0002.hd5" in line for line in report.lines())


def test_several_voicings_must_be_chosen_between(corpus: Path) -> None:
    for folder in ("DSTC11_test_tts", "DSTC11_test_human", "DSTC11_test_paraphrased"):
        hdf5(corpus / folder / "sng0001.hd5", "sng0001")
    with pytest.raises(CorpusError, match="'test' is here as test-tts-verbatim and test-human-verbatim and test-human-para"):
        read(corpus, "test", corpus / "out")
    first = read(corpus, "test-human-verbatim", corpus / "out")[0][0]
    assert (first.split, first.turns[0].transcript) == ("test", "taxi to o'hare inn")
    paraphrased = read(corpus, "test-human-paraphrased", corpus / "out")[0][0]
    assert (paraphrased.turns[0].transcript, paraphrased.turns[0].state) == (None, first.turns[0].state)


def test_gold_states_stand_where_the_manifest_has_none_or_others(corpus: Path) -> None:
    gold = {"sng0001": [{}, {"taxi": {"leaveAt": "0:47 am", "bookpeople": "2"}}], "mul0002": [{"bus": {"day": "Monday"}}]}
    (corpus / "sa_multiwoz_dev_jga_reference.json").write_text(json.dumps(gold))
    (first, second), report = read(corpus, "dev", corpus)
    assert [first.turns[0].state, second.turns[0].state] == [{}, {"bus": {"day": "monday"}}]
    assert sum(report.mended.values()) == 2
    (corpus / "dev_manifest.txt").write_text("\n".join(line.split(" state:")[0] for line in MANIFEST.splitlines()))
    assert read(corpus, "dev", corpus)[0][0].turns[2].state == {"taxi": {"leaveat": "0:47 am", "people": "2"}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("line_nr: 3 dialog_id: x.json turn_id: one text: user: hi state:", "line 5: not in the layout of DSTC11; expected"),
        ("line_nr: 3 dialog_id: mul0002.json turn_id: 1 text: user: hi state:", "line 6: turn 1 of mul0002 after turn 1"),
        (
            "line_nr: 3 dialog_id: x.json turn_id: 1 text: user: hi state: taxi=now",
            "domain-slot=value, found 'taxi=now'",
        ),
    ],
)
def test_a_wrong_line_is_named(corpus: Path, line: str, reason: str) -> None:
    place = 5 if "line 6" in reason else 4
    lines = MANIFEST.splitlines()
    (corpus / "dev_manifest.txt").write_text("\n".join([*lines[:place], line, *lines[place:]]))
    with pytest.raises(CorpusError, match=reason):
        read(corpus, "dev", corpus)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the DSTC11 texts (../shared/data/dstc11) are not here")
def test_the_published_test_set_agrees_with_its_gold_states(tmp_path: Path) -> None:
    dialogues, report = read(SHARED, "test", tmp_path)
    assert (report.dialogues, report.user_turns) == (1000, 7372)
    assert not [reason for reason in report.mended if reason.startswith(("state differs", "not the same number"))]
    assert len({f"{d}-{s}" for x in dialogues for t in x.user_turns() for d, v in (t.state or {}).items() for s in v}) == 30
