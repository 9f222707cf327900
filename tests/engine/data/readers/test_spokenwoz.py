"""SpokenWOZ in its published layout and as a sample; the words are invented here."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine import audio
from engine.cli import app
from engine.cli.common import read_spoken
from engine.data.readers import CorpusError
from engine.data.readers.spokenwoz import read

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data" / "spokenwoz"


def entry(tag: str, text: str, begin: int, end: int, metadata: dict | None = None) -> dict:
    words = text.split()
    step = (end - begin) / len(words) if words else 0
    times = [
        {
            "Word": word,
            "BeginTime": round(begin + i * step),
            "EndTime": round(begin + (i + 1) * step),
            "ChannelId": 0,
            "WordIndex": i,
        }
        for i, word in enumerate(words)
    ]
    return {"tag": tag, "text": text, "words": times, "metadata": metadata or {}, "dialog_act": {}, "span_info": []}


def hotel(**semi: str) -> dict:
    return {"hotel": {"book": {"booked": [{"name": "x"}], "day": "", "people": ""}, "semi": {"area": "", "name": ""} | semi}}


LOG = [
    entry("user", "Good day, that's nobody's e-mail.", 100, 900),
    entry("system", "Hello!", 950, 1400, hotel()),
    entry("user", "a room in the North", 1500, 2300, hotel(name="must not be read: it is the user's own entry")),
    entry("system", "noted", 2350, 2500, hotel(area="North", leaveAt="17:15")),
]


@pytest.fixture
def corpus(tmp_path: Path, sound) -> Path:
    names = {"train_dev": ["MUL0001", "SNG0002", "SNG0003"], "test": ["MUL0004", "SNG0601"]}
    for part, dialogues in names.items():
        (tmp_path / f"text_5700_{part}").mkdir()
        data = {name: {"goal": {}, "log": LOG} for name in dialogues}
        (tmp_path / f"text_5700_{part}" / "data.json").write_text(json.dumps(data), encoding="utf-8")
        for name in dialogues:
            sound(tmp_path / f"audio_5700_{part}" / f"{name}.wav", 3.0, 8000, 2)
    (tmp_path / "text_5700_train_dev" / "valListFile.json").write_text("SNG0002\nSNG0009\n")
    (tmp_path / "audio_5700_train_dev" / "._MUL0001.wav").write_bytes(b"Mac")
    return tmp_path


def test_the_label_of_a_user_turn_is_the_next_entrys(corpus: Path) -> None:
    (dialogue,), report = read(corpus, "dev")
    assert (dialogue.dialogue_id, dialogue.split, dialogue.licence) == ("SNG0002", "dev", "CC BY-NC 4.0")
    assert [turn.state for turn in dialogue.turns] == [{}, None, {"hotel": {"area": "north", "leaveat": "17:15"}}, None]
    assert report.dropped == {"listed in valListFile.json but not in data.json": 1}


def test_turns_point_into_the_call_by_seconds_and_channel(corpus: Path) -> None:
    dialogues, _ = read(corpus, "train")
    assert [dialogue.dialogue_id for dialogue in dialogues] == ["MUL0001", "SNG0003"]
    turn = dialogues[0].turns[2]
    assert (turn.start, turn.end, turn.channel) == (1.5, 2.3, 0)
    assert dialogues[0].turns[3].channel == 1
    assert len(audio.load(turn.audio, turn.start, turn.end, turn.channel)) == pytest.approx(0.8 * 16_000, abs=2)


def test_punctuation_but_the_apostrophe_goes_without_a_space(corpus: Path) -> None:
    assert read(corpus, "train")[0][0].turns[0].transcript == "good day that's nobody's email"


def test_the_mislabelled_test_dialogues_are_left_out_and_named(corpus: Path) -> None:
    dialogues, report = read(corpus, "test")
    assert [dialogue.dialogue_id for dialogue in dialogues] == ["MUL0004"]
    assert any("dropped 1: test dialogue with the labels of another" in line and "SNG0601" in line for line in report.lines())


def test_missing_and_damaged_recordings_drop_their_dialogue_only(corpus: Path) -> None:
    (corpus / "audio_5700_train_dev" / "MUL0001.wav").unlink()
    (corpus / "audio_5700_train_dev" / "SNG0003.wav").write_bytes(b"")
    dialogues, report = read(corpus, "train")
    assert dialogues == []
    lines = "\n".join(report.lines())
    assert "audio file missing (MUL0001.wav)" in lines and "the file is empty (0 bytes)" in lines and "(SNG0003.wav)" in lines


def test_a_segment_past_the_recording_is_cut_or_dropped(corpus: Path, sound) -> None:
    sound(corpus / "audio_5700_train_dev" / "SNG0002.wav", 2.0, 8000, 2)
    (dialogue,), report = read(corpus, "dev")
    assert dialogue.turns[2].end == 2.0
    assert (dialogue.turns[3].audio, dialogue.turns[3].transcript) == (None, "noted")
    assert report.mended["segment ends after its recording: cut there"] == 1


def test_data_in_another_shape_names_the_dialogue_turn_and_key(corpus: Path) -> None:
    broken = {"MUL0004": {"goal": {}, "log": [{"text": "no tag", "words": []}]}}
    (corpus / "text_5700_test" / "data.json").write_text(json.dumps(broken))
    with pytest.raises(
        CorpusError, match=r"data\.json, dialogue MUL0004, turn 0: not in .* SpokenWOZ \(the key 'tag' is missing\)"
    ):
        read(corpus, "test")
    (corpus / "text_5700_test" / "data.json").write_text("[1]")
    with pytest.raises(CorpusError, match=r"data\.json: not in the layout of SpokenWOZ"):
        read(corpus, "test")


def test_a_folder_without_the_lists_says_which_file(corpus: Path) -> None:
    (corpus / "text_5700_train_dev" / "valListFile.json").unlink()
    with pytest.raises(CorpusError, match=r"expected valListFile\.json, found data\.json"):
        read(corpus, "train")


@pytest.fixture
def sample(tmp_path: Path, sound) -> Path:
    words = [("A", "hi", 0.1, 0.3), ("A", "there", 0.3, 0.5), ("B", "yes", 0.45, 0.6), ("A", "bye", 0.7, 0.9)]
    listed = [{"speaker": s, "word": w, "start": b, "end": e} for s, w, b, e in words]
    (tmp_path / "text").mkdir()
    for name in ("SNG0001", "SNG0002"):
        (tmp_path / "text" / f"{name}.json").write_text(json.dumps(listed))
        sound(tmp_path / "audio" / f"{name}.wav", 1.0, 8000, 2)
    turns = [
        {"channel": "A", "speaker": "USER", "start": 0.1, "end": 0.5, "text": "hi there", "state": {"taxi": {"leaveat": "Noon"}}},
        {"channel": "B", "speaker": "SYSTEM", "start": 0.45, "end": 0.6, "text": "yes"},
    ]
    joined = {"dialogue_id": "SNG0002", "audio": "audio/SNG0002.wav", "channels": {"A": 0, "B": 1}, "turns": turns}
    (tmp_path / "joined_with_states.jsonl").write_text(json.dumps(joined) + "\n")
    return tmp_path


def test_a_samples_words_become_turns_where_the_speaker_changes(sample: Path) -> None:
    (first, second), report = read(sample, "test")
    assert [(t.speaker, t.transcript, t.start, t.end, t.channel) for t in first.turns] == [
        ("user", "hi there", 0.1, 0.5, 0),
        ("agent", "yes", 0.45, 0.6, 1),
        ("user", "bye", 0.7, 0.9, 0),
    ]
    assert [turn.state for turn in first.turns] == [None] * 3
    assert second.turns[0].state == {"taxi": {"leaveat": "noon"}}
    assert "dialogues without states are tracked, not scored" in report.notes


def test_a_corpus_is_tracked_from_its_own_folder(sample: Path, capsys) -> None:
    dialogues = read_spoken(None, ("spokenwoz", sample))
    assert [(dialogue.dialogue_id, dialogue.split) for dialogue in dialogues] == [("SNG0001", "test"), ("SNG0002", "test")]
    assert "SpokenWOZ test: 2 dialogues, 3 user turns" in capsys.readouterr().err


def test_a_wrong_corpus_ends_the_command_before_a_model_is_loaded(tmp_path: Path) -> None:
    for arguments, reason in ([["spokenwoz", str(tmp_path)], "found nothing"], [["spokenwos", str(tmp_path)], "no reader for"]):
        done = CliRunner().invoke(app, ["evaluate", "--corpus", *arguments, "--checkpoint", "nowhere"])
        assert done.exit_code == 2
        assert reason in done.output


@pytest.mark.skipif(not SHARED.is_dir(), reason="the SpokenWOZ sample (../shared/data/spokenwoz) is not here")
def test_the_real_sample_is_read_whole() -> None:
    dialogues, report = read(SHARED, "test")
    assert [dialogue.dialogue_id for dialogue in dialogues] == ["MUL1423", "SNG0072", "SNG0480", "SNG0696", "SNG1263"]
    assert report.user_turns == 69
    labelled = {d.dialogue_id: sum(turn.state is not None for turn in d.turns) for d in dialogues}
    assert labelled == {"MUL1423": 0, "SNG0072": 0, "SNG0480": 0, "SNG0696": 13, "SNG1263": 0}
    joined = json.loads((SHARED / "joined_with_states.jsonl").read_text(encoding="utf-8"))
    cut = [(turn.start, turn.end, turn.transcript.split()[0]) for turn in dialogues[3].turns]
    assert cut == [(turn["start"], turn["end"], turn["words"][0][0]) for turn in joined["turns"]]
    assert all(0 <= turn.start < turn.end for d in dialogues for turn in d.turns)
