"""The manifest: what is written is read back, and what is wrong is refused with file, line and reason."""

import json

import pytest

from engine.dialogue import Dialogue, Instruction, ManifestError, Ontology, Turn, read_manifest, write_manifest


def line(**changes):
    turn = {
        "turn_id": 0,
        "speaker": "user",
        "audio": "a/1.wav",
        "transcript": "hi",
        "state": {"hotel": {"area": "north"}},
    }
    return json.dumps({"dialogue_id": "d1", "split": "train", "turns": [turn | changes]})


def test_round_trip_keeps_everything_and_relative_audio(tmp_path):
    turns = [
        Turn(
            0,
            "user",
            "a cheap hotel",
            str(tmp_path / "audio" / "x.wav"),
            0.5,
            2.25,
            0,
            {"hotel": {"time": ["8pm", "20:00"]}},
        ),
        Turn(1, "agent", "any area?"),
        Turn(
            2,
            "user",
            "the north",
            heard="the nor",
            translation={"de": "der norden"},
            instructions=[
                Instruction("slot-filling", "Fill", {"hotel-area": ["north", "n"], "hotel-name": ""}, 2),
                Instruction("sit", "Is it a question?", "No."),
            ],
        ),
    ]
    dialogues = [Dialogue("MUL0001", turns, "test", "spokenwoz", "CC BY-NC 4.0")]
    write_manifest(tmp_path / "m.jsonl", dialogues)
    assert read_manifest(tmp_path / "m.jsonl") == dialogues
    assert '"audio": "audio/x.wav"' in (tmp_path / "m.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "line 1"),
        ('{"turns": []}', "'dialogue_id' is missing"),
        (line(speaker="system"), "speaker 'system' is not one of user, agent"),
        (line(state={"hotel": "cheap"}), "domain 'hotel' must hold an object"),
        (line(state={"hotel": {"stars": 4}}), "hotel-stars must hold text"),
        (line(heard=["hi"]), "turn 0: heard must be text"),
        (line(translation={"de": None}), "translation must be an object of texts by language"),
        (line(instructions={}), "instructions must be a list"),
        (line(instructions=[{"task": "dst", "instruction": "", "response": ""}]), "one of slot-filling, sit, sqit, not 'dst'"),
        (line(instructions=[{"task": "sit", "instruction": "a", "response": {"a": "b"}}]), "a response must be text"),
        (line(instructions=[{"task": "slot-filling", "instruction": "a", "response": {}}]), "must be an object of slots"),
        (line(instructions=[{"task": "sit", "instruction": "a", "response": "", "context": -1}]), "a number of turns, not -1"),
        (line(instructions=[{"task": "sit", "instruction": "a", "response": "", "contxt": 1}]), "but no 'contxt'"),
        (line(start=3.0, end=2.0), "make no segment"),
        (line(states={}), "turn 0 has no key 'states'; did you mean 'state'?"),
        (line(belief={}), "turn 0 has no key 'belief'"),
        (line().replace('"split"', '"splt"'), "a dialogue has no key 'splt'; did you mean 'split'?"),
        (line(turn_id=0.7), "turn_id must be a whole number, not 0.7"),
        (line(turn_id="2"), "turn_id must be a whole number, not '2'"),
        (line(turn_id=False), "turn_id must be a whole number, not False"),
        (line(voice=3), "turn 0: voice must be text, not 3"),
        (line().replace('"d1"', "null"), "dialogue_id must be text, not None"),
        (line().replace('"d1"', '"d1", "source": ["x"]'), "source must be text, not ['x']"),
        ('{"dialogue_id": "d1", "turns": null}', "turns must be a list, not None"),
        (line().replace('"train"', '"training"'), "split 'training'"),
        (line() + "\n" + line(), "line 2: dialogue 'd1' occurs twice"),
        ("", "holds no dialogue"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_reason(tmp_path, text, reason):
    path = tmp_path / "m.jsonl"
    path.write_text(text)
    with pytest.raises(ManifestError, match="m.jsonl") as error:
        read_manifest(path)
    assert reason in str(error.value)


def test_other_encodings_and_missing_files_say_so(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(line().replace("hi", "café").encode("latin-1").replace(b"\\u00e9", b"\xe9"))
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(path)
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "other.jsonl")


def test_turn_ids_must_rise(tmp_path):
    data = json.loads(line())
    data["turns"] *= 2
    (tmp_path / "m.jsonl").write_text(json.dumps(data))
    with pytest.raises(ManifestError, match="must rise"):
        read_manifest(tmp_path / "m.jsonl")


def test_ontology_collects_every_accepted_form_but_not_dontcare():
    turns = [Turn(0, "user", state={"hotel": {"area": "dontcare", "time": ["8pm", "20:00"]}})]
    ontology = Ontology.from_dialogues([Dialogue("d", turns)])
    assert ontology.values == {"hotel": {"area": [], "time": ["20:00", "8pm"]}}
    assert ontology.built_from == "train"
    merged = ontology.merged(Ontology({"hotel": {"time": ["noon"]}, "taxi": {"leaveat": []}}, "all"))
    assert merged.values == {"hotel": {"area": [], "time": ["20:00", "8pm", "noon"]}, "taxi": {"leaveat": []}}
    assert merged.built_from == "all"


def test_ontology_knows_slots_that_triplets_fill_but_not_those_they_only_ask_for():
    triplet = Instruction("slot-filling", "", {"hotel-area": "", "train-leave at": ["8pm", "20:00"]})
    ontology = Ontology.from_dialogues([Dialogue("d", [Turn(0, "user", instructions=[triplet])])])
    assert ontology.values == {"train": {"leave at": ["20:00", "8pm"]}}


def test_ontology_carries_descriptions_and_types_and_refuses_what_is_none():
    one = Ontology({"hotel": {"area": ["north"]}}, descriptions={"hotel": {"area": "part of town"}})
    two = Ontology({"hotel": {"wifi": []}}, types={"hotel": {"wifi": "boolean"}}, descriptions={"hotel": {"wifi": "internet"}})
    both = one.merged(two)
    assert both.descriptions == {"hotel": {"area": "part of town", "wifi": "internet"}}
    assert Ontology.from_json(json.loads(json.dumps(both.to_json()))) == both
    with pytest.raises(ValueError, match="hotel-wifi must be one of categorical, boolean, text, not 'flag'"):
        Ontology.from_json({"values": {}, "types": {"hotel": {"wifi": "flag"}}})


def test_an_ontology_that_does_not_say_what_it_was_built_from_is_an_oracle():
    assert Ontology.from_json({"values": {}}).origin() == {"ontology": "all", "oracle": True}
    assert Ontology.from_json({"values": {}, "built_from": "train"}).origin() == {"ontology": "train", "oracle": False}
    with pytest.raises(ValueError, match="built_from must be one of train, train\\+dev, all, not 'test'"):
        Ontology.from_json({"values": {}, "built_from": "test"})
