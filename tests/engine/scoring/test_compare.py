"""Two systems compared, and one under perturbed names."""

import json
import random
from pathlib import Path

import pytest

from engine.postprocess import FuzzyMatcher, read_value_lists
from engine.scoring import PROFILES, ScoreError
from engine.scoring.align import align
from engine.scoring.compare import compare_systems
from engine.scoring.files import read_predictions, read_reference
from engine.scoring.report import score_files
from engine.scoring.robustness import misspell, paraphrase, score_perturbed

OWN = Path(__file__).parent / "data"
STRICT, BUT = PROFILES["strict"], PROFILES["but"]
NORTH, SOUTH = {"hotel": {"area": "north"}}, {"hotel": {"area": "south"}}
GOLD = {f"d{number}": [NORTH, NORTH] for number in range(12)}


@pytest.fixture
def systems(tmp_path):
    """Align predictions (by dialogue) with a reference that says north in every turn."""
    (tmp_path / "gold").write_text(json.dumps(GOLD))

    def _align(name, states, profile=STRICT):
        turns = {dialogue: [{"state": state} for state in found] for dialogue, found in states.items()}
        (tmp_path / name).write_text(json.dumps(turns))
        return align(read_reference(tmp_path / "gold"), read_predictions(tmp_path / name), profile)

    return _align


def test_fixed_broken_and_still_wrong_are_counted_by_turn_and_slot(systems):
    old = {f"d{n}": [NORTH, SOUTH] for n in range(12)}
    new = old | {"d0": [SOUTH, NORTH], "d1": [NORTH, NORTH], "d2": [NORTH, {"hotel": {"area": "south", "stars": "4"}}]}
    result = compare_systems(systems("old", old), systems("new", new), STRICT)
    assert result["turns"] == {"fixed": 2, "broken": 1, "still_wrong": 10}
    assert result["per_slot"] == {
        "hotel-stars": {"fixed": 0, "broken": 1, "still_wrong": 0},
        "hotel-area": {"fixed": 2, "broken": 1, "still_wrong": 10},
    }
    assert result["per_depth"] == {
        "1": {"turns": 12, "baseline": 100.0, "system": pytest.approx(100 * 11 / 12)},
        "2": {"turns": 12, "baseline": 0.0, "system": pytest.approx(100 * 2 / 12)},
    }
    jga = result["scores"]["jga"]
    assert (jga["baseline"], jga["system"]) == (50.0, pytest.approx(100 * 13 / 24))
    assert (result["dialogues"], result["user_turns"]) == (12, 24)


def test_a_system_is_no_better_than_itself(systems):
    old = {f"d{n}": [NORTH, SOUTH] for n in range(12)}
    for row in compare_systems(systems("old", old), systems("new", old), STRICT)["scores"].values():
        assert (row["difference"], row["interval"], row["p_value"]) == (0.0, (0.0, 0.0), 1.0)


def test_a_gain_in_every_dialogue_is_no_chance_and_a_gain_in_one_may_be(systems):
    old = {f"d{n}": [NORTH, SOUTH] for n in range(12)}
    every = compare_systems(systems("old", old), systems("new", {d: [NORTH, NORTH] for d in old}), STRICT)["scores"]["jga"]
    one = compare_systems(systems("old", old), systems("new", old | {"d3": [NORTH, NORTH]}), STRICT)["scores"]["jga"]
    # all twelve swaps alike: 2 of 2 ** 12 ways; a single changed dialogue has no way to be less
    assert every["p_value"] < 0.002 and every["interval"] == (50.0, 50.0)
    assert one["p_value"] == 1.0 and one["interval"][0] == 0.0


def test_of_one_dialogue_there_is_no_interval_and_no_p_value(systems):
    both = systems("old", {"d0": [NORTH, SOUTH]}, BUT), systems("new", {"d0": [NORTH, NORTH]}, BUT)
    jga = compare_systems(*both, BUT)["scores"]["jga"]
    assert (jga["difference"], jga["interval"], jga["p_value"]) == (50.0, None, None)


@pytest.fixture
def spoken(tmp_path):
    """Align what was heard of eight dialogues, each of a sentence and a noise, with what was said."""
    gold = [{"turn_id": 0, "speaker": "user", "transcript": "a hotel please", "state": NORTH}, {"turn_id": 1, "speaker": "user"}]
    gold[1] |= {"transcript": ""}  # without a state: its words count nevertheless
    lines = [json.dumps({"dialogue_id": f"d{n}", "turns": gold}) for n in range(8)]
    (tmp_path / "gold.jsonl").write_text("\n".join(lines))

    def _align(name, heard):
        turns = [(f"d{n}", place, text) for n, texts in enumerate(heard) for place, text in enumerate(texts)]
        lines = [{"dialogue_id": d, "turn_id": place, "state": NORTH, "transcript": text} for d, place, text in turns]
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
        return align(read_reference(tmp_path / "gold.jsonl"), read_predictions(tmp_path / name), STRICT)

    return _align


def test_words_are_compared_too(spoken):
    old, new = spoken("old", [("a hostel please", "you")] * 8), spoken("new", [("a hotel please", "")] * 8)
    found = compare_systems(old, new, STRICT)["scores"]["wer"]
    assert (found["baseline"], found["system"]) == (pytest.approx(200 / 3), 0.0)
    assert found["baseline"] == score_files(old, STRICT)["wer"], "a comparison shows the figures of the score"
    assert found["interval"] == pytest.approx((-200 / 3, -200 / 3)) and found["p_value"] < 0.02


def test_a_score_of_which_a_side_has_nothing_is_left_out(systems):
    scores = compare_systems(systems("old", {f"d{n}": [{}, {}] for n in range(12)}), systems("new", GOLD), STRICT)["scores"]
    assert list(scores) == ["jga", "slot_f1", "slot_recall", "ser"]
    assert scores["slot_recall"]["difference"] == 100.0


def test_the_same_seed_gives_the_same_figures(systems):
    old = {f"d{n}": [NORTH, SOUTH] for n in range(12)}
    sides = systems("old", old), systems("new", {f"d{n}": [NORTH, NORTH if n % 2 else SOUTH] for n in range(12)})
    assert compare_systems(*sides, STRICT, seed=3) == compare_systems(*sides, STRICT, seed=3)
    assert compare_systems(*sides, STRICT, seed=3) != compare_systems(*sides, STRICT, seed=4)


def test_only_turns_that_both_systems_answered_are_compared(systems):
    result = compare_systems(
        systems("old", {"d0": [SOUTH]}, BUT), systems("new", {"d0": [NORTH, SOUTH], "d1": [SOUTH]}, BUT), BUT
    )
    assert (result["user_turns"], result["turns"]) == (1, {"fixed": 1, "broken": 0, "still_wrong": 0})
    with pytest.raises(ScoreError, match="no turn in common"):
        compare_systems(systems("old", {"d0": [SOUTH]}, BUT), systems("new", {"d1": [SOUTH]}, BUT), BUT)


@pytest.fixture(scope="module")
def own():
    return align(read_reference(OWN / "reference.json"), read_predictions(OWN / "predictions.json"), BUT)


def test_matching_saves_most_of_what_typing_errors_cost(own):
    matcher = FuzzyMatcher(read_value_lists(OWN / "names.json")[0], "typed", lists_dontcare=True, normalise=False)
    result = score_perturbed(own, BUT, matcher)
    unchanged, typos, paraphrases = (result["kinds"][kind] for kind in ("unchanged", "typos", "paraphrases"))
    assert unchanged["values"] == 0 and typos["values"] == paraphrases["values"] > 40
    assert unchanged["plain"]["jga"] == own.score(BUT).total.jga
    for kind in (typos, paraphrases):
        assert kind["plain"]["jga"] < unchanged["plain"]["jga"] < kind["fuzzy"]["jga"]
        assert kind["plain"]["jga_interval"][0] <= kind["plain"]["jga"] <= kind["plain"]["jga_interval"][1]
    assert typos["fuzzy"]["oracle"] is True, "nobody has said what the list was made from"
    assert score_perturbed(own, BUT, matcher) == result
    assert score_perturbed(own, BUT, matcher, seed=1) != result


def test_perturbed_values_are_other_values():
    generator = random.Random(0)
    for value in ("curry garden", "aa", "q", "4012369991", "st. john's"):
        for _ in range(40):
            assert misspell(value, generator) != value
    assert misspell("...", generator) == "..."
    said = {paraphrase("the golden house and bar", "name", generator) for _ in range(60)}
    assert said == {"golden house and bar", "the golden house & bar", "the golden and", "house bar the golden and"}
    assert paraphrase("4012369991", "phonenumber", generator) == "401236 9991"
    assert paraphrase("a@b.com", "email", generator) == "a@b.com"
