"""The corpora in their published layout; a wrong folder says what was expected and what was found."""

import copy
import gzip
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.data.readers import CorpusError, corpora, multiwoz, sgd, woz20
from engine.data.readers.__main__ import app, utterances
from engine.dialogue import Dialogue, Turn, read_manifest

CORPORA = ["woz20", "multiwoz", "multiwoz22", "sgd"]
SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora (../shared/data) are not here")

# Two turns of WOZ 2.0 (Mrksic et al. 2017, Apache-2.0), with the slips its annotators made elsewhere.
WOZ = [
    {
        "dialogue_idx": 7,
        "dialogue": [
            {
                "turn_idx": 0,
                "system_transcript": "",
                "transcript": "Are there any eritrean restaurants in town?",
                "asr": [["Are there any eritrean restaurants in town?", 1.0]],
                "turn_label": [["food", "eritrean"]],
                "belief_state": [{"slots": [["food", "eritrean"]], "act": "inform"}],
                "system_acts": [],
            },
            {
                "turn_idx": 1,
                "system_transcript": "No, there are no eritrean restaurants. Phone is 01223 356666. ",
                "transcript": "In the Center please, price doesn't matter. What's the postcode?",
                "asr": [["", 1.0]],
                "turn_label": [["area", "center"]],
                "belief_state": [
                    {"slots": [["slot", "postcode"]], "act": "request"},
                    {"slots": [["food", "corsican"]], "act": "inform"},
                    {"slots": [["area", "center"]], "act": "inform"},
                    {"slots": [["price range", "dontcare"]], "act": "inform"},
                    {"slots": [["food", "corsican"]], "act": "inform"},
                ],
                "system_acts": [],
            },
            {
                "turn_idx": 2,
                "system_transcript": "Good bye.",
                "transcript": " ",
                "asr": [["", 1.0]],
                "turn_label": [],
                "belief_state": [],
                "system_acts": [],
            },
        ],
    }
]


def woz_folder(folder: Path, data: object = WOZ) -> Path:
    (folder / "woz_validate_en.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def test_woz_system_words_precede_the_users(tmp_path: Path) -> None:
    (dialogue,), _ = woz20.read(woz_folder(tmp_path), "dev")
    assert dialogue.dialogue_id == "woz20-dev-0007"
    assert (dialogue.split, dialogue.source, dialogue.licence) == ("dev", "woz20", "Apache-2.0")
    assert [turn.speaker for turn in dialogue.turns] == ["user", "agent", "user", "agent"]
    assert dialogue.turns[0].transcript == "are there any eritrean restaurants in town"
    assert dialogue.turns[3].transcript == "good bye"
    assert dialogue.turns[1].transcript is not None
    assert not any(char.isdigit() for char in dialogue.turns[1].transcript)


def test_woz_state_is_informs_only_and_mended(tmp_path: Path) -> None:
    (dialogue,), report = woz20.read(woz_folder(tmp_path), "dev")
    first, second = dialogue.user_turns()
    assert first.state == {"restaurant": {"food": "eritrean"}}
    assert second.state == {"restaurant": {"area": "centre", "food": "corsica", "pricerange": "dontcare"}}
    assert dialogue.turns[1].state is None
    assert (report.dialogues, report.user_turns) == (1, 2)
    assert report.dropped == {"user turn without words": 1}
    assert "  mended 1: area 'center' is written 'centre' elsewhere" in report.lines()
    assert "  mended 1: food annotated twice in one turn" in report.lines()


# One exchange in the layout of MultiWOZ 2.1 (MIT), the metadata cut down to what differs.
METADATA = {
    "hotel": {
        "book": {"booked": [{"name": "x", "reference": "7GAWK763"}], "day": "Monday", "people": "3", "stay": ""},
        "semi": {"name": "not mentioned", "type": "hotel|guesthouse", "area": "do n't care", "internet": "none"},
    },
    "train": {"book": {"booked": [], "people": ""}, "semi": {"leaveAt": "17:45", "destination": "", "departure": ""}},
    "police": {"book": {"booked": []}, "semi": {}},
}
MULTIWOZ = {
    "SNG0001.json": {
        "goal": {},
        "log": [
            {"text": "I 'd like a train after 17:45 .", "metadata": {}, "dialog_act": {}, "span_info": []},
            {"text": "Sure .", "metadata": METADATA, "dialog_act": {}, "span_info": []},
            {"text": "Thanks .", "metadata": {}, "dialog_act": {}, "span_info": []},
        ],
    }
}


def test_multiwoz_state_comes_from_the_next_system_turn(tmp_path: Path) -> None:
    (tmp_path / "multiwoz21_val.json.gz").write_bytes(gzip.compress(json.dumps(MULTIWOZ).encode()))
    (dialogue,), report = multiwoz.read(tmp_path, "dev")
    assert dialogue.dialogue_id == "multiwoz-sng0001"
    assert dialogue.turns[0].state == {
        "hotel": {"area": "dontcare", "day": "monday", "people": "3", "type": ["hotel", "guesthouse"]},
        "train": {"leaveat": "17:45"},
    }
    assert (dialogue.turns[0].transcript or "").startswith("i'd like a train after ")
    assert report.dropped == {"last user turn without a state": 1}
    assert report.mended == {"value \"do n't care\" is 'dontcare'": 1, "value with several forms": 1}


def test_multiwoz_is_read_unpacked_too(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps(MULTIWOZ), encoding="utf-8")
    assert multiwoz.read(tmp_path, "test")[1].user_turns == 1


def test_multiwoz_24_is_split_by_its_lists_and_keeps_its_own_source(tmp_path: Path) -> None:
    folder = tmp_path / "MULTIWOZ2.4"
    folder.mkdir()
    data = {f"{name}.json": MULTIWOZ["SNG0001.json"] for name in ("SNG0001", "SNG0002", "SNG0003")}
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "valListFile.json").write_text("SNG0002.json\n")  # not JSON but lines, as published
    with pytest.raises(CorpusError, match=r"expected testListFile\.json or testListFile\.txt, .*copy those of MultiWOZ 2\.1"):
        multiwoz.read(tmp_path, "dev", "2.4")
    (folder / "testListFile.txt").write_text("SNG0003\n")
    found = {split: multiwoz.read(tmp_path, split, "2.4")[0] for split in ("train", "val", "test")}
    assert [[d.dialogue_id for d in part] for part in found.values()] == [[f"multiwoz-sng000{n}"] for n in (1, 2, 3)]
    assert [(d.source, d.split) for part in found.values() for d in part] == [("multiwoz24", s) for s in ("train", "dev", "test")]


def test_multiwoz_22_slots_lose_domain_and_book_and_an_emptied_service_goes(tmp_path: Path) -> None:
    booked = {"restaurant-bookday": ["Friday"], "restaurant-food": ["thai", "thai food"], "restaurant-area": ["dontcare"]}
    turns = [
        sgd_turn("USER", "Thai on Friday.", "restaurant", **booked),
        sgd_turn("SYSTEM", "No.", "restaurant"),
        sgd_turn("USER", "A taxi then.", "taxi", **{"taxi-leaveat": ["5:15 pm", "17:15"]}),
        sgd_turn("USER", "Forget the food.", "restaurant"),
    ]
    (tmp_path / "MultiWOZ_2.2" / "dev").mkdir(parents=True)
    data = [{"dialogue_id": "PMUL0001.json", "services": [], "turns": turns}]
    (tmp_path / "MultiWOZ_2.2" / "dev" / "dialogues_001.json").write_text(json.dumps(data))
    (dialogue,), _ = multiwoz.read_22(tmp_path, "dev")
    restaurant = {"area": "dontcare", "day": "friday", "food": ["thai", "thai food"]}
    taxi = {"leaveat": ["5:15 pm", "17:15"]}
    assert [turn.state for turn in dialogue.user_turns()] == [
        {"restaurant": restaurant},
        {"restaurant": restaurant, "taxi": taxi},
        {"taxi": taxi},
    ]


def sgd_turn(speaker: str, utterance: str, service: str = "", **values: list[str]) -> dict[str, object]:
    state = {"active_intent": "x", "requested_slots": [], "slot_values": values}
    frame = {"service": service, "slots": [], "actions": []} | ({"state": state} if speaker == "USER" else {})
    return {"speaker": speaker, "utterance": utterance, "frames": [frame]}


SGD = [
    {
        "dialogue_id": "1_00000",
        "services": ["Boats_1", "Huts_1"],
        "turns": [
            sgd_turn("USER", "A boat at 5 pm, for 3.", "Boats_1", time=["17:00", "5 pm"], crew=["3"]),
            sgd_turn("SYSTEM", "Done.", "Boats_1"),
            sgd_turn("USER", "And a hut in Oslo.", "Huts_1", place=["Oslo"]),
        ],
    }
]


def test_sgd_state_is_kept_while_another_service_is_spoken_about(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "dialogues_001.json").write_text(json.dumps(SGD), encoding="utf-8")
    (dialogue,), report = sgd.read(tmp_path, "train")
    assert dialogue.turns[0].transcript == "a boat at five p m for three"
    assert dialogue.turns[0].state == {"boats_1": {"crew": "3", "time": ["17:00", "5 pm"]}}
    assert dialogue.turns[2].state == {"boats_1": {"crew": "3", "time": ["17:00", "5 pm"]}, "huts_1": {"place": "oslo"}}
    assert (report.dialogues, report.user_turns) == (1, 2)


def test_sgd_packed_is_the_same_as_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a" / "dev").mkdir(parents=True)
    (tmp_path / "a" / "dev" / "dialogues_001.json").write_text(json.dumps(SGD), encoding="utf-8")
    (tmp_path / "b").mkdir()
    with tarfile.open(tmp_path / "b" / "dev.tgz", "w:gz") as archive:
        for name, data in (("dev/schema.json", b"[]"), ("dev/dialogues_001.json", json.dumps(SGD).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert sgd.read(tmp_path / "b", "dev")[0] == sgd.read(tmp_path / "a", "dev")[0]


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_missing_folder_says_what_was_expected(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        corpora()[corpus].read(tmp_path / "gone", "train", tmp_path)


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_wrong_folder_says_what_was_found(corpus: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(CorpusError, match=r"expected .*train.*, found holiday\.jpg"):
        corpora()[corpus].read(tmp_path, "train", tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', '[{"dialogue": []}]', "[1]"])
def test_a_file_in_another_layout_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "woz_test_en.json").write_text(content, encoding="utf-8")
    (tmp_path / "test.json").write_text(content, encoding="utf-8")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "dialogues_001.json").write_text(content, encoding="utf-8")
    for corpus in CORPORA:
        with pytest.raises(CorpusError, match="not in the layout"):
            corpora()[corpus].read(tmp_path, "test", tmp_path)


def without(data: Any, *keys: str | int) -> Any:
    """A copy of JSON without the key that the path of ``keys`` ends in."""
    copied = copy.deepcopy(data)
    inner = copied
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return copied


CONVLAB = [
    {
        "dataset": "camrest",
        "data_split": "validation",
        "dialogue_id": "camrest-validation-3",
        "turns": [{"speaker": "user", "utterance": "Hi.", "utt_idx": 0, "state": {}}],
    }
]


@pytest.mark.parametrize(
    ("corpus", "file", "data", "place"),
    [
        ("multiwoz", "val.json", without(MULTIWOZ, "SNG0001.json", "log"), "dialogue SNG0001.json: .*'log'"),
        ("multiwoz", "val.json", without(MULTIWOZ, "SNG0001.json", "log", 2, "text"), "dialogue SNG0001.json, turn 2: .*'text'"),
        (
            "multiwoz",
            "val.json",
            without(MULTIWOZ, "SNG0001.json", "log", 1, "metadata"),
            "dialogue SNG0001.json, turn 0, its state in turn 1: .*'metadata'",
        ),
        ("sgd", "dev/dialogues_001.json", without(SGD, 0, "turns", 2, "frames"), "dialogue 1_00000, turn 2: .*'frames'"),
        ("sgd", "dev/dialogues_001.json", [*SGD, without(SGD, 0, "dialogue_id")[0]], "dialogue number 2: .*'dialogue_id'"),
        (
            "multiwoz22",
            "dev/dialogues_001.json",
            without(SGD, 0, "turns", 0, "frames", 0, "state"),
            "dialogue 1_00000, turn 0: .*'state'",
        ),
        ("woz20", "woz_validate_en.json", without(WOZ, 0, "dialogue", 1, "belief_state"), "dialogue 7, turn 1: .*'belief_state'"),
        ("woz20", "woz_validate_en.json", without(WOZ, 0, "dialogue"), "dialogue 7: .*'dialogue'"),
        ("convlab", "dialogues.json", without(CONVLAB, 0, "data_split"), "dialogue camrest-validation-3: .*'data_split'"),
        ("convlab", "dialogues.json", without(CONVLAB, 0, "turns", 0, "utt_idx"), "camrest-validation-3, turn 0: .*'utt_idx'"),
    ],
)
def test_a_missing_key_is_named_with_file_dialogue_and_turn(
    tmp_path: Path, corpus: str, file: str, data: Any, place: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(CorpusError, match=f"{re.escape(str(tmp_path / file))}, .*{place} is missing"):
        corpora()[corpus].read(tmp_path, "dev", tmp_path)


def test_a_broken_download_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(MULTIWOZ).encode())
    (tmp_path / "multiwoz21_val.json.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dev.tgz").write_bytes(whole[: len(whole) // 2])
    for reader in (multiwoz.read, sgd.read):
        with pytest.raises(CorpusError, match="not in the layout"):
            reader(tmp_path, "dev")


def test_single_turns_are_distinct_stateless_and_within_the_words(tmp_path: Path) -> None:
    dialogues, _ = woz20.read(woz_folder(tmp_path, [*WOZ, WOZ[0] | {"dialogue_idx": 8}]), "dev")
    singles = utterances(dialogues, None, (1, 8), (), seed=0)
    assert [(single.dialogue_id, len(single.turns), single.turns[0].state) for single in singles] == [
        ("woz20-dev-0007-t0", 1, None)
    ]
    assert len(utterances(dialogues, 1, (1, 40), (), seed=0)) == 1


def test_single_turns_keep_their_recordings_and_two_recordings_of_a_sentence_are_two() -> None:
    turns = [Turn(n, "user", "yes please", f"/{name}.wav", 1.0, 2.0, 1, {"a": {"b": "c"}}) for n, name in enumerate("xxy")]
    singles = utterances([Dialogue("d", turns)], None, (1, 8), (), seed=0)
    assert sorted((s.turns[0].audio, s.turns[0].start, s.turns[0].channel, s.turns[0].state) for s in singles) == [
        ("/x.wav", 1.0, 1, None),
        ("/y.wav", 1.0, 1, None),
    ]


def test_the_command_writes_a_manifest_and_its_report(tmp_path: Path) -> None:
    out = tmp_path / "dev.jsonl"
    done = CliRunner().invoke(app, ["woz20", str(woz_folder(tmp_path)), "--split", "dev", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "WOZ 2.0 dev: 1 dialogues, 2 user turns" in done.output
    assert read_manifest(out) == woz20.read(tmp_path, "dev")[0]


@pytest.mark.parametrize("arguments", [["woz3"], ["woz20", "--split", "validation"], ["sgd"]])
def test_the_command_ends_with_2_and_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, [arguments[0], str(tmp_path), *arguments[1:], "--out", str(tmp_path / "x.jsonl")])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert not (tmp_path / "x.jsonl").exists()


@needs_corpora
@pytest.mark.parametrize(
    ("corpus", "split", "dialogues", "user_turns"),
    [
        ("woz20", "train", 600, 2536),
        ("woz20", "dev", 200, 830),
        ("woz20", "test", 400, 1646),
        ("multiwoz", "dev", 999, 7365),
    ],
)
def test_the_published_corpora_are_read_whole(corpus: str, split: str, dialogues: int, user_turns: int) -> None:
    _, report = corpora()[corpus].read(SHARED / corpus, split, SHARED)
    assert (report.dialogues, report.user_turns, report.dropped) == (dialogues, user_turns, {})


@needs_corpora
def test_woz_has_its_known_slots_and_areas() -> None:
    dialogues, _ = woz20.read(SHARED / "woz20", "test")
    states = [turn.state or {} for dialogue in dialogues for turn in dialogue.user_turns()]
    assert {slot for state in states for slot in state.get("restaurant", {})} == {"area", "food", "pricerange"}
    areas = {str(state["restaurant"]["area"]) for state in states if "area" in state.get("restaurant", {})}
    assert areas == {"centre", "north", "south", "east", "west", "dontcare"}
