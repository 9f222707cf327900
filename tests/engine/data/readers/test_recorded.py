"""Corpora of recorded speech in their published layout; sounds and words are made up here."""

import json
from pathlib import Path

import pytest

from engine import audio
from engine.audio import AudioError
from engine.data.readers import CorpusError, corpora, corpus_named
from engine.data.writers import layouts
from engine.dialogue import Dialogue, read_manifest, write_manifest

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"


def read(name: str, folder: Path, split: str) -> tuple[list[Dialogue], list[str]]:
    dialogues, report = corpus_named(name).read(folder, split, folder.parent / "extracted")
    write_manifest(folder.parent / "out.jsonl", dialogues or [Dialogue("none")])
    assert not dialogues or read_manifest(folder.parent / "out.jsonl") == dialogues
    return dialogues, report.lines()


def flat(dialogues: list[Dialogue]) -> list[tuple]:
    turns = [(d.dialogue_id, *d.turns) for d in dialogues]
    return [(name, t.transcript, t.start, t.end, t.channel, t.voice) for name, t in turns]


def test_librispeech_parts_are_read_together_or_by_their_own_name(tmp_path: Path, sound) -> None:
    root = tmp_path / "corpus" / "LibriSpeech"
    for part, speaker in (("test-clean", "61"), ("test-other", "1688")):
        chapter = root / part / speaker / "70968"
        sound(chapter / f"{speaker}-70968-0000.flac")
        lines = f"{speaker}-70968-0000 IT'S A FINE DAY\n{speaker}-70968-0001 THE SOUND IS GONE\n"
        (chapter / f"{speaker}-70968.trans.txt").write_text(lines)
    dialogues, lines = read("librispeech", root.parent, "test")
    assert flat(dialogues) == [
        ("61-70968-0000", "it's a fine day", None, None, None, "61"),
        ("1688-70968-0000", "it's a fine day", None, None, None, "1688"),
    ]
    assert [d.source for d in dialogues] == ["librispeech test-clean", "librispeech test-other"]
    assert "  dropped 2: audio file missing (61-70968-0001.flac, 1688-70968-0001.flac)" in lines
    assert len(read("librispeech", root, "test-other")[0]) == 1
    with pytest.raises(CorpusError, match="expected train-clean-100 or train-clean-360 or train-other-500, found"):
        read("librispeech", root.parent, "train")
    with pytest.raises(CorpusError, match="no split 'test-loud'; choose of train, dev, test, train-clean-100"):
        read("librispeech", root.parent, "test-loud")


FISHER = """# fe_03_00001.sph
# Transcribed at the LDC

0.10 0.60 A: hello [laughter] th- this is t._v. time
0.50 0.80 B: ((maybe)) yes
0.85 0.95 B: [noise]
0.90 1.50 B: oh it's late
4.00 5.00 A: after the end
"""


def fisher(folder: Path, sound, suffix: str) -> Path:
    trans = folder / "LDC2004T19" / "fe_03_p1_tran"
    (trans / "data" / "trans" / "000").mkdir(parents=True)
    for call in ("00001", "00499"):
        (trans / "data" / "trans" / "000" / f"fe_03_{call}.txt").write_text(FISHER)
        sound(folder / "LDC2004S13" / "fisher_eng_tr_sp_d1" / "audio" / "000" / f"fe_03_{call}{suffix}", 1.2, 8000, 2)
    (trans / "doc").mkdir()
    head = "CALL_ID,DATE_TIME,TOPICID,SIG_GRADE,CNV_GRADE,APIN,ASX.DL,APHNUM,APHSET,APHTYP,BPIN,BSX.DL,BPHNUM,BPHSET,BPHTYP"
    row = "00001,20021212_20:59:10,ENG14,3,4,2602,f.a,8110,,,1790,f.a,7012,,"
    (trans / "doc" / "fe_03_p1_calldata.tbl").write_text(f"{head}\n{row}\n")
    return folder


@pytest.mark.parametrize("suffix", [".sph", ".wav"])
def test_fisher_sides_are_channels_and_doubtful_words_are_left_out(tmp_path: Path, sound, suffix: str) -> None:
    dialogues, lines = read("fisher", fisher(tmp_path / "c", sound, suffix), "train")
    assert flat(dialogues) == [
        ("fe_03_00001-A-000010", "hello th this is t v time", 0.1, 0.6, 0, "2602"),
        ("fe_03_00001-B-000090", "oh it's late", 0.9, 1.2, 1, "1790"),
    ]
    turn = dialogues[0].turns[0]
    assert len(audio.load(turn.audio, turn.start, turn.end, turn.channel)) == 8_000
    report = "\n".join(lines)
    assert "dropped 1: words the transcriber was not sure of, ((...)) (fe_03_00001.txt, line 5)" in report
    assert "dropped 1: no words, only noises" in report and "dropped 1: times make no segment of the recording" in report
    assert [d.dialogue_id[:11] for d in read("fisher", tmp_path / "c", "dev")[0]] == ["fe_03_00499"] * 2


def test_sphere_compressed_with_shorten_is_refused_with_the_way_to_convert_it(tmp_path: Path, sound) -> None:
    fields = "sample_coding -s26 ulaw,embedded-shorten-v2.00\nsample_rate -i 8000\nchannel_count -i 2\nsample_count -i 9000\n"
    head = f"NIST_1A\n   1024\n{fields}sample_n_bytes -i 1\nend_head\n"
    packed = head.encode().ljust(1024) + b"ajkg" + bytes(3000)
    folder = fisher(tmp_path / "c", sound, ".sph")
    for path in folder.rglob("*.sph"):
        path.write_bytes(packed)
    with pytest.raises(AudioError, match="compressed with shorten.*sph2pipe -f wav"):
        audio.load(path)
    dialogues, lines = read("fisher", folder, "train")
    assert dialogues == [] and "sph2pipe -f wav" in lines[1]


def test_a_damaged_fisher_line_is_named(tmp_path: Path, sound) -> None:
    folder = fisher(tmp_path / "c", sound, ".wav")
    path = next(folder.rglob("fe_03_00001.txt"))
    path.write_text("# fe_03_00001.sph\n\n1.0 A: no end\n")
    with pytest.raises(CorpusError, match=r"fe_03_00001\.txt, line 3: not in the layout of Fisher .*expected .start end"):
        read("fisher", folder, "train")


def test_switchboard_marks_become_what_was_said(tmp_path: Path, sound) -> None:
    folder = tmp_path / "c"
    text = folder / "swb_ms98_transcriptions" / "20" / "2001"
    text.mkdir(parents=True)
    spoken = "<b_aside> hi [laughter-um-hum] {alumni} [yeam/yeah] th[at]- them_1 [vocalized-noise] <e_aside>"
    lines = f"sw2001A-ms98-a-0001 0.000000 0.100000 [silence]\nsw2001A-ms98-a-0002 0.100000 0.900000 {spoken}\n"
    (text / "sw2001A-ms98-a-trans.text").write_text(lines)
    (text / "sw2001A-ms98-a-word.text").write_text("sw2001A-ms98-a-0002 0.1 0.3 hi\n")
    sound(folder / "swb1_d1" / "data" / "sw02001.sph", 1.0, 8000, 2)
    dialogues, report = read("switchboard", folder, "train")
    assert flat(dialogues) == [("sw2001A-ms98-a-0002", "hi um hum alumni yeah th them", 0.1, 0.9, 0, "sw02001-A")]
    assert "  dropped 1: no words, only noises (sw2001A-ms98-a-0001)" in report
    assert read("switchboard", folder, "dev")[0] == []


def test_hub5_is_switchboards_test_set(tmp_path: Path, sound) -> None:
    folder = tmp_path / "c"
    (folder / "reference").mkdir(parents=True)
    stm = ";; comment\nsw_4390 A sw_4390_A 0.00 0.10 <O,sw,F> IGNORE_TIME_SEGMENT_IN_SCORING\n"
    stm += "sw_4390 B sw_4390_B 0.20 0.90 <O,sw,F> (%HESITATION) { OKAY / O K } IT'S (TH-) DONE\n"
    (folder / "reference" / "hub5e00.english.000405.stm").write_text(stm)
    sound(folder / "hub5e_00" / "english" / "sw_4390.sph", 1.0, 8000, 2)
    dialogues, _ = read("switchboard", folder, "hub5e00")
    assert flat(dialogues) == [("sw_4390-B-000020", "okay it's th done", 0.2, 0.9, 1, "sw_4390-B")]
    assert dialogues[0].split == "test"


def test_how2_has_its_words_and_their_translation(tmp_path: Path, sound) -> None:
    data = tmp_path / "c" / "how2-300h-v1" / "data" / "val"
    data.mkdir(parents=True)
    (data / "text.id.en").write_text("VID_0 Hi, I'm here.\nVID_1 gone\nVID_2 bye\n")
    (data / "text.id.pt").write_text("VID_0 Oi, estou aqui.\n", encoding="utf-8")
    (data / "segments").write_text("VID_0 VID 0.1 0.7\nVID_1 GONE 0 1\nVID_2 VID 0.8 0.9\n")
    (data / "utt2spk").write_text("VID_0 VID\n")
    sound(tmp_path / "c" / "audio" / "VID.wav", 1.0)
    dialogues, report = read("how2", tmp_path / "c", "dev")
    assert flat(dialogues) == [("VID_0", "hi i'm here", 0.1, 0.7, None, "VID"), ("VID_2", "bye", 0.8, 0.9, None, None)]
    assert [d.turns[0].translation for d in dialogues] == [{"pt": "Oi, estou aqui."}, None]
    assert "  dropped 1: audio file missing (GONE.wav)" in report


def test_a_kaldi_folder_points_through_its_pipes(tmp_path: Path, sound) -> None:
    data = tmp_path / "c" / "data" / "train"
    data.mkdir(parents=True)
    (data / "text").write_text("utt-1 one two\nutt-2 three\n")
    (data / "wav.scp").write_text("utt-1 sph2pipe -f wav -p -c 2 raw/call.sph |\nutt-2 raw/b.flac\n")
    sound(tmp_path / "c" / "raw" / "call.sph", 0.5, 8000, 2)
    sound(tmp_path / "c" / "raw" / "b.flac", 0.5)
    dialogues, _ = read("kaldi", tmp_path / "c", "train")
    assert flat(dialogues) == [("utt-1", "one two", None, None, 1, None), ("utt-2", "three", None, None, None, None)]
    (data / "wav.scp").write_text("utt-1 cat features |\n")
    with pytest.raises(CorpusError, match=r"wav\.scp: utt-1: no audio file in 'cat features \|'"):
        read("kaldi", tmp_path / "c", "train")


SLURP = {
    "slurp_id": 9,
    "sentence": "wake me at five am and at six",
    "scenario": "alarm",
    "action": "set",
    "tokens": [{"surface": word, "id": i} for i, word in enumerate(["wake", "me", "at", "five", "am", "and", "at", "six"])],
    "entities": [{"span": [3, 4], "type": "time"}, {"span": [7], "type": "time"}],
    "recordings": [{"file": "audio-1-headset.flac", "status": "correct"}, {"file": "audio-1.flac", "status": "correct"}],
}


def test_slurp_has_a_dialogue_for_each_recording_of_a_sentence(tmp_path: Path, sound) -> None:
    texts = tmp_path / "c" / "dataset" / "slurp"
    texts.mkdir(parents=True)
    (texts / "devel.jsonl").write_text(json.dumps(SLURP) + "\n")
    sound(tmp_path / "c" / "audio" / "slurp_real" / "audio-1-headset.flac")
    (dialogue,), report = read("slurp", tmp_path / "c", "dev")
    assert dialogue.turns[0].state == {"alarm": {"intent": "set", "time": "five am, six"}}
    assert "  dropped 1: audio file missing (audio-1.flac)" in report
    (texts / "devel.jsonl").write_text(json.dumps(SLURP | {"action": None}) + "\n")
    with pytest.raises(CorpusError, match="dialogue slurp-1-headset: .*SLURP .*slot alarm-intent must hold text"):
        read("slurp", tmp_path / "c", "dev")
    (texts / "devel.jsonl").write_text("\n" + json.dumps(SLURP | {"action": None, "tokens": []}) + "\n")
    with pytest.raises(CorpusError, match=r"devel\.jsonl, line 2: not in the layout of SLURP"):
        read("slurp", tmp_path / "c", "dev")


def test_fluent_speech_commands_none_is_no_slot(tmp_path: Path, sound) -> None:
    root = tmp_path / "c" / "fluent_speech_commands_dataset"
    (root / "data").mkdir(parents=True)
    table = ",path,speakerId,transcription,action,object,location\n0,wavs/speakers/ab/x.wav,ab,Turn it up,increase,volume,none\n"
    (root / "data" / "valid_data.csv").write_text(table)
    sound(root / "wavs" / "speakers" / "ab" / "x.wav")
    (dialogue,), _ = read("fluent", root.parent, "dev")
    assert flat([dialogue]) == [("fluent-ab-x", "turn it up", None, None, None, "ab")]
    assert dialogue.turns[0].state == {"command": {"action": "increase", "object": "volume"}}


@pytest.mark.parametrize("cut", [False, True])
def test_covost_translations_of_one_clip_come_together(tmp_path: Path, sound, cut: bool) -> None:
    folder = tmp_path / "c"
    sound(folder / "clips" / "a.mp3")
    if cut:
        for target, said in (("de", 'Guten "Tag'), ("tr", "Merhaba")):
            (folder / f"covost_v2.en_{target}.train.tsv").write_text(f"path\tsentence\ttranslation\na.mp3\tHello.\t{said}\n")
    else:
        (folder / "validated.tsv").write_text("client_id\tpath\tsentence\nme\ta.mp3\tHello.\n")
        for target, said in (("de", 'Guten "Tag'), ("tr", "Merhaba")):
            rows = f"a.mp3\t{said}\ttrain\nb.mp3\tx\tdev\nc.mp3\tx\ttrain_covost\n"
            (folder / f"covost_v2.en_{target}.tsv").write_text(f"path\ttranslation\tsplit\n{rows}")
    (dialogue,), _ = read("covost2", folder, "train")
    assert dialogue.turns[0].translation == {"de": 'Guten "Tag', "tr": "Merhaba"}
    assert flat([dialogue]) == [("a", "hello", None, None, None, None if cut else "me")]


def test_noises_have_an_empty_transcript_and_an_empty_state(tmp_path: Path, sound) -> None:
    for name in ("rain/1.wav", "dog/1.wav"):
        sound(tmp_path / "c" / name)
    (tmp_path / "c" / "noise.tsv").write_text("path\tlicence\nrain/1.wav\tCC0\n")
    (tmp_path / "c" / "dog" / "broken.wav").write_bytes(b"RIFF")
    dialogues, report = read("noise", tmp_path / "c", "test")
    assert [(d.dialogue_id, d.licence, d.turns[0].transcript, d.turns[0].state) for d in dialogues] == [
        ("noise-dog/1.wav", "", "", {}),
        ("noise-rain/1.wav", "CC0", "", {}),
    ]
    assert any("broken.wav" in line for line in report)


@pytest.mark.parametrize("name", corpora())
def test_every_reader_says_what_it_expected_of_a_foreign_or_missing_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "holiday.jpg").touch()
    with pytest.raises(CorpusError, match=r"foreign: expected .*, found holiday\.jpg"):
        corpus_named(name).read(tmp_path / "foreign", "test", tmp_path)
    with pytest.raises(CorpusError, match=r"gone: no such folder; give the one the corpus was unpacked to"):
        corpus_named(name).read(tmp_path / "gone", "test", tmp_path)
    with pytest.raises(CorpusError, match=r"no split 'tset'; choose of train, dev, test"):
        corpus_named(name).read(tmp_path / "foreign", "tset", tmp_path)


def test_a_name_that_occurs_twice_is_numbered(tmp_path: Path, sound) -> None:
    folder = fisher(tmp_path / "c", sound, ".wav")
    next(folder.rglob("fe_03_00001.txt")).write_text("0.1 0.3 A: one\n0.1 0.4 A: one two\n")
    dialogues, report = read("fisher", folder, "train")
    assert [d.dialogue_id for d in dialogues] == ["fe_03_00001-A-000010", "fe_03_00001-A-000010-2"]
    assert "  mended 1: name occurs twice: numbered (fe_03_00001-A-000010)" in report


def test_the_corpora_page_names_every_reader_and_writer() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "corpora.md").read_text(encoding="utf-8")
    assert [name for name in (*corpora(), *layouts()) if f"`{name}`" not in page] == []


@pytest.mark.skipif(not (SHARED / "noise").is_dir(), reason="the noise samples (../shared/data/noise) are not here")
def test_real_noises_and_real_recordings_are_read(tmp_path: Path) -> None:
    noises, _ = corpus_named("noise").read(SHARED / "noise", "test", tmp_path)
    assert len(noises) == 79 and sum("CC0" in noise.licence for noise in noises) >= 60
    recordings, report = corpus_named("recordings").read(SHARED / "human_speech", "test", tmp_path)
    assert len(recordings) == 324 and list(report.dropped) == ["transcript is a recogniser's draft"]
