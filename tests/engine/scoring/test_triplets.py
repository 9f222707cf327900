"""Slot-filling scores, worked out by hand."""

import pytest

from engine.dialogue import Ontology
from engine.scoring import ScoreError
from engine.scoring.triplets import FilledSlots, score_slot_filling

TRAINED = Ontology({"restaurant": {"food": ["thai"], "area": []}})


def score(*triplets):
    return score_slot_filling([FilledSlots(*triplet) for triplet in triplets], TRAINED)


def test_partial_matches_earn_the_share_of_shared_tokens():
    """Answered 'acorn guest house' for 'the acorn house': two of three tokens each way; and a slot missed."""
    report = score(
        ({"hotel-name": "the acorn house", "hotel-area": "north"}, {"hotel-name": "acorn guest house", "hotel-area": ""})
    )
    assert report["partial"] == pytest.approx({"precision": 200 / 3, "recall": 100 / 3, "f1": 400 / 9})
    assert report["exact"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert report["perfect"] == 0.0


def test_exact_answers_are_partial_ones_too_and_any_accepted_form_will_do():
    report = score(({"hotel-time": ["20:00", "eight"], "taxi-name": ""}, {"hotel-time": "8 pm", "taxi-name": ""}))
    assert report["exact"] == report["partial"] == {"precision": 100.0, "recall": 100.0, "f1": 100.0}
    assert report["perfect"] == 100.0 and report["filled_distractors"] == 0.0


def test_a_filled_distractor_and_a_slot_nobody_asked_for_cost_precision_alone():
    gold = {"restaurant-food": "thai", "hotel-area": ""}
    report = score((gold, {"restaurant-food": "thai", "hotel-area": "north", "bus-day": "monday"}))
    assert report["exact"]["precision"] == pytest.approx(100 / 3) and report["exact"]["recall"] == 100.0
    assert report["filled_distractors"] == 100.0 and report["perfect"] == 0.0
    assert report["counts"] == {"reference_slots": 1, "answered_slots": 3, "correct": 1, "distractors": 1}


def test_an_answer_that_is_no_json_is_counted_and_never_perfect():
    report = score(({"restaurant-food": ""}, None), ({"restaurant-food": "thai"}, None))
    assert report["invalid_outputs"] == 2 and report["perfect"] == 0.0
    assert report["exact"] == {"precision": None, "recall": 0.0, "f1": None}


def test_groups_by_domain_slot_context_and_distractors():
    report = score(
        ({"restaurant-food": "thai", "train-day": ""}, {"restaurant-food": "thai", "train-day": ""}, 0),
        ({"hotel-area": "north", "hotel-stars": "4"}, {"hotel-area": "north", "hotel-stars": ""}, 2),
    )
    f1 = {group: {key: tally["exact"]["f1"] for key, tally in report[group].items()} for group in ("domains", "slots", "context")}
    assert f1["domains"] == {"in_domain": 100.0, "out_of_domain": pytest.approx(200 / 3)}
    assert f1["slots"] == {"seen": 100.0, "unseen": None}  # nothing was answered for day and stars
    assert report["slots"]["unseen"]["exact"]["recall"] == 0.0
    assert f1["context"] == {"0": 100.0, "2": pytest.approx(200 / 3)}
    assert {key: tally["counts"]["reference_slots"] for key, tally in report["distractors"].items()} == {"0": 2, "1": 1}


def test_names_are_compared_as_all_slot_names_are():
    assert score(({"hotel-price range": "cheap"}, {"Hotel-pricerange": "Cheap."}))["perfect"] == 100.0


def test_nothing_to_score_is_refused():
    with pytest.raises(ScoreError, match="prepare triplets"):
        score()
