"""Files to be scored: what may differ between them, and what is refused, with file, line and reason."""

import gzip
import json
import os
from contextlib import nullcontext
from threading import Thread

import pytest

from engine.json_text import FileError, line_of
from engine.scoring.align import align
from engine.scoring.files import read_predictions, read_reference
from engine.scoring.profiles import But, Strict

GOLD = {"d1": [{"hotel": {"area": "north"}}, {"hotel": {"area": "north", "stars": "4"}}], "d2": [{}]}
PREDICTED = {
    dialogue: [{"response": "", "state": state, "active_domains": []} for state in turns] for dialogue, turns in GOLD.items()
}
MANIFEST = [
    {
        "dialogue_id": dialogue,
        "turns": [{"turn_id": 2 * n, "speaker": "user", "transcript": "hi", "state": state} for n, state in enumerate(turns)],
    }
    for dialogue, turns in GOLD.items()
]
LINES = [
    {"dialogue_id": dialogue, "turn_id": 2 * n, "transcript": "hi", "state": state, "raw": "", "valid": True}
    for dialogue, turns in GOLD.items()
    for n, state in enumerate(turns)
]


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def write(tmp_path):
    def _write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("reference", [json.dumps(GOLD), json.dumps(GOLD, indent=2), jsonl(MANIFEST)])
@pytest.mark.parametrize("predictions", [json.dumps(PREDICTED), jsonl(LINES), jsonl(LINES[::-1])])
def test_every_layout_goes_with_every_other(write, reference, predictions, packed):
    pack = (lambda text: gzip.compress(text.encode())) if packed else str
    # ".json" on a packed file: the content says what it is
    sides = read_reference(write("r.json", pack(reference))), read_predictions(write("p.json", pack(predictions)))
    total = align(*sides, Strict()).score(Strict()).total
    assert (total.turns, total.jga, total.ser) == (3, 100.0, 0.0)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ('{"d1": [{"state": {}}],\n "d2": [{"state": {}', 2, "ends in the middle"),
        ('{"d1": [{"state": {}}],\n "d2": nonsense}', 2, "not valid JSON"),
        ('{"d1":\n [{"state": {"hotel": {"stars":\n NaN}}}]}', 3, "NaN is not JSON"),
        ('{"d1": [\n {"state": {"hotel": {"name": "x \\ud83d \\ud83d\\ude00"}}}]}', 2, "holds half a character"),
        ('{"d1": [{"state": {}}],\n\n "d1": []}', 3, "the key 'd1' occurs twice in one object"),
        ('{"d1": [\n {"state": {"hotel": {"area": "a",\n "area": "b"}}}]}', 3, "the key 'area' occurs twice in one object"),
        ('{"d1": [\n{"state": {}},\n{"states": {}}]}', 3, "user turn 2: the key 'state' is missing; did you mean 'states'?"),
        ('{"d1": [\n{"state":\n null}]}', 2, "the state must be an object of domains, not null"),
        ('{"d1":\n {"state": {}}}', 1, "must hold a list of turns, not an object"),
        ('{"d1": [\n 3]}', 2, "must be an object, not a number"),
        ("[1]", 1, "must hold an object of dialogues, not a list"),
        ("{}", 1, "holds no dialogue"),
        ("", 1, "holds nothing"),
        (json.dumps(PREDICTED).encode("utf-16"), 1, "not UTF-8 text but UTF-16"),
        (json.dumps(PREDICTED).encode("utf-8")[:-1] + b',\n"d9": ' + b"9" * 5000 + b"}", 2, "holds a number of 5000 digits"),
        (jsonl([*LINES[:1], {"transcripts" if k == "transcript" else k: v for k, v in LINES[1].items()}]), 2, "'transcripts'?"),
        (jsonl([{"dialogue": "d1", "turn": 0, "states": {}}, *LINES[1:]]), 1, "the key 'dialogue_id' is missing"),
        (jsonl(LINES)[1:], 1, "not valid JSON"),
        (jsonl(LINES).replace("}\n", "\n", 1), 1, "ends in the middle of the JSON"),
        (json.dumps(LINES[0], indent=1), 1, "one object over several lines; JSON Lines hold one object a line"),
        ("".join(json.dumps(row, indent=1) for row in LINES), 12, "of several values each stands in a line of its own"),
        (json.dumps(LINES), 1, "not a list; JSON Lines hold one object a line"),
        (json.dumps(PREDICTED).encode("utf-16-le"), 1, "zero bytes"),
        (b"\xef\xbb\xbf{}", 1, "byte order mark"),
        ('{"d1": [{"state": {}}],\n"caf\xe9": []}'.encode("latin-1"), 2, "not UTF-8"),
        (gzip.compress(json.dumps(PREDICTED).encode(), mtime=0)[:-12], 1, "the gzip file is cut off"),
        (gzip.compress(b'{"d1":\n []}', mtime=0)[:-8] + b"\0" * 8, 1, "the gzip file is damaged"),
        (jsonl(LINES) + jsonl(LINES[:1]), 4, "turn 0 of dialogue 'd1' occurs twice, first in line 1"),
        (jsonl(LINES) + '{"dialogue_id": "d3", "turn": 0, "state": {}}', 4, "the key 'turn_id' is missing"),
        (jsonl(LINES) + '{"dialogue_id": "d3", "turn_id": "0", "state": {}}', 4, "turn_id must not be text"),
        (jsonl(LINES) + '{"dialogue_id"', 4, "ends in the middle"),
        (jsonl(MANIFEST), 1, "looks like a manifest"),
    ],
)
def test_malformed_predictions_are_refused_with_line_and_reason(write, content, line, reason):
    path = write("p.json", content)
    with pytest.raises(FileError) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (json.dumps(PREDICTED, indent=1), 3, "looks like predictions"),
        (jsonl(LINES), 1, "looks like predictions"),
        (json.dumps(MANIFEST[0], indent=1), 1, "one object over several lines; JSON Lines hold one object a line"),
        (jsonl([{"dialogue_id": "d1", "turn": []}, *MANIFEST[1:]]), 1, "no key 'turn'; did you mean 'turns'?"),
        (jsonl(MANIFEST)[1:], 1, "not valid JSON"),
        (jsonl(MANIFEST) + jsonl(MANIFEST[:1]), 3, "dialogue 'd1' occurs twice"),
        (jsonl(MANIFEST) + '{"dialogue_id": "x", "dialogue_id": "y", "turns": []}', 3, "'dialogue_id' occurs twice"),
    ],
)
def test_malformed_references_are_refused_with_line_and_reason(write, content, line, reason):
    path = write("r.json", content)
    with pytest.raises(FileError) as error:
        read_reference(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (json.dumps({"d1": PREDICTED["d1"]}), r"p\.json: has no dialogue 'd2' \(.*r\.json, line 15\)"),
        (
            json.dumps(PREDICTED | {"d1": PREDICTED["d1"][:1]}),
            r"p\.json, line 1: dialogue 'd1' has no prediction for user turn 2 \(.*r\.json, line 8\)",
        ),
        (
            '{"d1": [{"state": {}}, {"state": {}},\n{"state": {}}], "d2": [{"state": {}}]}',
            r"p\.json, line 2: dialogue 'd1' has a prediction for user turn 3, which is none of its 2 user turns",
        ),
        (json.dumps(PREDICTED | {"D1": []}), r"p\.json, line 1: the reference .*r\.json has no dialogue 'D1'"),
    ],
)
def test_missing_and_surplus_turns_are_refused_with_both_places(write, predictions, message):
    sides = read_reference(write("r.json", json.dumps(GOLD, indent=1))), read_predictions(write("p.json", predictions))
    with pytest.raises(FileError, match=message):
        align(*sides, Strict())


@pytest.mark.parametrize(("profile", "asked"), [(Strict(), 1), (But(), 0)])
def test_a_line_is_looked_for_once_however_many_dialogues_are_missing(write, profile, asked):
    reference = read_reference(write("r.json", json.dumps({f"d{number}": [{}] for number in range(50)})))
    found = []
    reference.find = lambda *place: found.append(place) or 1
    answers = read_predictions(write("p.json", json.dumps({"d7": [{"state": {}}]})))
    with pytest.raises(FileError, match=r"no dialogue 'd0' \(.*r\.json, line 1\) and 48 more") if asked else nullcontext():
        align(reference, answers, profile)
    assert len(found) == asked, "each is a scan of the whole file"


def test_predictions_may_come_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_text, args=(jsonl(LINES),))
    writer.start()
    assert list(read_predictions(tmp_path / "pipe").dialogues) == ["d1", "d2"]
    writer.join()


def test_a_missing_turn_id_is_named_where_turns_have_ids(write):
    reference = read_reference(write("r.jsonl", jsonl(MANIFEST)))
    with pytest.raises(FileError, match=r"dialogue 'd1' has no prediction for turn 0 \(.*line 1\)"):
        align(reference, read_predictions(write("p.jsonl", jsonl(LINES[1:]))), Strict())
    with pytest.raises(FileError, match=r"p\.jsonl, line 4: dialogue 'd2' has a prediction for turn 1, which is none"):
        align(reference, read_predictions(write("p.jsonl", jsonl([*LINES, LINES[2] | {"turn_id": 1}]))), Strict())


def test_the_state_that_cannot_be_scored_is_named_by_its_line(write):
    predictions = '{"d1": [{"state": {}},\n {"state": {"hotel":\n {"area": "north",\n "stars": 4.5}}}], "d2": [{"state": {}}]}'
    sides = read_reference(write("r.json", json.dumps(GOLD))), read_predictions(write("p.json", predictions))
    with pytest.raises(FileError, match=r"p\.json, line 4: prediction, dialogue 'd1', user turn 2, hotel-stars: "):
        align(*sides, Strict()).score(Strict())


def test_one_dialogue_under_two_names_is_refused(write):
    sides = (
        read_reference(write("r.json", json.dumps(GOLD))),
        read_predictions(write("p.json", json.dumps(PREDICTED | {"d1.json": []}))),
    )
    with pytest.raises(FileError, match="dialogue 'd1' occurs twice, as 'd1' and as 'd1.json'"):
        align(*sides, But())


def test_lines_are_found_by_path():
    text = '{"a": [\n {"b": "}{,]:\\"",\n  "c": {"d": 1}},\n []]}'
    assert [line_of(text, *path) for path in (("a",), ("a", 0), ("a", 0, "c", "d"), ("a", 1), ("a", 0, "x"))] == [1, 2, 3, 4, 2]
