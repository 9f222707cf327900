"""The report of whole dialogues: what the evaluate command prints."""

import json

import pytest

from engine.dialogue import Dialogue, Ontology, Turn, write_manifest
from engine.scoring import ScoreError, TurnResult, report
from engine.scoring.align import align
from engine.scoring.compare import compare_systems
from engine.scoring.files import read_predictions, read_reference
from engine.scoring.profiles import STRICT
from engine.scoring.report import score_files

ONTOLOGY = Ontology({"restaurant": {"name": ["curry garden", "golden wok"], "area": ["north", "south"], "people": ["2"]}})


def dialogue(dialogue_id="d1", audio=None):
    return Dialogue(
        dialogue_id,
        [
            Turn(0, "user", "curry garden please", audio=audio, state={"restaurant": {"name": "curry garden"}}),
            Turn(1, "agent", "for how many?"),
            Turn(2, "user", "two", audio=audio, state={"restaurant": {"name": "curry garden", "people": "2"}}),
        ],
    )


def answers(dialogue_id="d1"):
    name = {"name": "curry gardin"}
    return [
        TurnResult(dialogue_id, 0, "curry gardin please", {"restaurant": name}),
        TurnResult(dialogue_id, 2, "two", {"restaurant": name | {"people": "two"}}),
    ]


def test_scores_with_and_without_fuzzy_matching():
    result = report([dialogue()], answers(), ONTOLOGY)
    assert result["wer"] == 25.0
    assert result["words"]["substitutions"] == 1
    assert (result["jga"], result["slot_f1"], result["profile"]) == (0.0, pytest.approx(100 / 3), "strict")
    fuzzy = result["fuzzy"]
    assert (fuzzy["jga"], fuzzy["slot_f1"], fuzzy["ser"], fuzzy["mode"]) == (100.0, 100.0, 0.0, "paper")
    assert (result["dialogues"], result["user_turns"]) == (1, 2)
    assert json.loads(json.dumps(result))["fuzzy"]["jga"] == 100.0


def test_a_user_turn_without_audio_is_not_scored_but_counts_in_the_depth(tmp_path):
    state = {"hotel": {"area": "north"}}
    turns = [Turn(0, "user", "hello", state={}), Turn(1, "agent", "hi"), Turn(2, "user", "north", "a.wav", state=state)]
    references = [Dialogue("d", turns)]
    assert list(report(references, [TurnResult("d", 2, "north", state)], Ontology())["per_depth"]) == ["2"]
    write_manifest(tmp_path / "m.jsonl", references)
    (tmp_path / "p.jsonl").write_text(json.dumps({"dialogue_id": "d", "turn_id": 2, "state": state}))
    aligned = align(read_reference(tmp_path / "m.jsonl"), read_predictions(tmp_path / "p.jsonl"), STRICT)
    assert list(score_files(aligned, STRICT)["per_depth"]) == ["2"]
    assert list(compare_systems(aligned, aligned, STRICT)["per_depth"]) == ["2"]


@pytest.mark.parametrize(("built_from", "oracle"), [("train", False), ("train+dev", False), ("all", True)])
def test_oracle_figures_say_so(built_from, oracle):
    result = report([dialogue()], answers(), Ontology(ONTOLOGY.values, built_from))
    assert (result["ontology"], result["oracle"]) == (built_from, oracle)
    assert (result["fuzzy"]["ontology"], result["fuzzy"]["oracle"]) == (built_from, oracle)


def test_intervals_are_taken_over_dialogues():
    result = report([dialogue("d1"), dialogue("d2")], answers("d1") + answers("d2"), ONTOLOGY)
    assert result["jga_interval"] == (0.0, 0.0)
    assert result["fuzzy"]["jga_interval"] == (100.0, 100.0)
    assert result["wer_interval"] == (25.0, 25.0)


def test_recordings_without_states_still_have_a_word_error_rate():
    speech = Dialogue("d", [Turn(0, "user", "go forward ten meters")])
    result = report([speech], [TurnResult("d", 0, "go forward", {"hotel": {}})], ONTOLOGY)
    assert (result["wer"], result["jga"], result["fuzzy"]["slot_f1"]) == (50.0, None, None)


def test_states_without_transcripts_still_have_a_jga():
    silent = Dialogue("d", [Turn(0, "user", state={})])
    result = report([silent], [TurnResult("d", 0, "hello", {})], ONTOLOGY)
    assert (result["wer"], result["jga"]) == (None, 100.0)


def test_where_there_is_audio_turns_without_it_need_no_answer():
    spoken, typed = dialogue("d1", audio="a.wav"), dialogue("d2")
    assert report([spoken, typed], answers("d1"), ONTOLOGY)["dialogues"] == 1


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "no prediction for 1 dialogue: 'd1'"),
        (answers()[:1], "dialogue 'd1': no prediction for user turn 2"),
        (answers() + answers()[:1], "dialogue 'd1': turn 0 has two predictions"),
        ([*answers(), TurnResult("d1", 1, "", {})], "dialogue 'd1': a prediction, but no such user turn: 1"),
        (answers() + answers("d9"), "no reference for 1 dialogue: 'd9'"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_by_name(predictions, message):
    with pytest.raises(ScoreError, match=message):
        report([dialogue()], predictions, ONTOLOGY)


def test_nothing_to_score_is_refused():
    with pytest.raises(ScoreError, match="no user turn"):
        report([Dialogue("d", [Turn(0, "agent", "hello")])], [], ONTOLOGY)


def test_a_state_that_was_matched_with_the_audios_say_is_scored_as_it_is():
    gold = Dialogue("d", [Turn(0, "user", state={"restaurant": {"name": "golden wok"}})])
    result = TurnResult("d", 0, "", {"restaurant": {"name": "curry gardin"}}, {"restaurant": {"name": "golden wok"}})
    scores = report([gold], [result], ONTOLOGY, "typed")
    assert (scores["jga"], scores["fuzzy"]["jga"]) == (0.0, 100.0)
