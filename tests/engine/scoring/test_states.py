"""State scores by hand, their invariants, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scoring import ScoreError, score_states

VALUES = st.sampled_from(["cheap", "north", "dontcare", "4", "Kettle's Yard"])
SLOTS = st.dictionaries(st.sampled_from(["area", "pricerange", "name", "stars"]), VALUES, max_size=4)
STATES = st.dictionaries(st.sampled_from(["hotel", "restaurant", "train"]), SLOTS, max_size=3)
SETS = st.dictionaries(st.sampled_from(["d1", "d2", "d3"]), st.lists(STATES, min_size=1, max_size=4), min_size=1)

GOLD = {
    "d1": [
        {"hotel": {"area": "north"}},
        {"hotel": {"area": "north", "stars": "4"}},
        {"hotel": {"area": "north", "stars": "4"}, "taxi": {"leaveat": "17:15"}},
    ],
    "d2": [{}, {"train": {"day": "monday"}}],
}
PREDICTED = {
    "d1": [
        {"hotel": {"area": "North"}},  # right but for the case
        {"hotel": {"area": "south", "stars": "4"}},  # a substitution
        {"hotel": {"stars": "4", "parking": "yes"}, "taxi": {"leaveAt": "5:15 pm"}},  # a deletion, an insertion
    ],
    "d2": [{}, {"train": {"day": "monday"}}],
}


def test_scores_by_hand():
    scores = score_states(PREDICTED, GOLD)
    total = scores.total
    assert scores.profile.name == "strict"
    assert (total.turns, total.joint_correct, total.jga) == (5, 3, 60.0)
    assert (total.reference_slots, total.predicted_slots, total.correct) == (7, 7, 5)
    assert (total.substitutions, total.insertions, total.deletions) == (1, 1, 1)
    assert total.ser == pytest.approx(100 * 3 / 7)
    assert total.slot_precision == total.slot_recall == total.slot_f1 == pytest.approx(100 * 5 / 7)


def test_tables_by_hand():
    scores = score_states(PREDICTED, GOLD)
    assert {depth: (tally.turns, tally.jga) for depth, tally in scores.per_depth.items()} == {
        1: (2, 100.0),
        2: (2, 50.0),
        3: (1, 0.0),
    }
    assert scores.per_domain["taxi"].jga == 100.0
    assert scores.per_domain["hotel"].jga == pytest.approx(100 / 3)
    area = scores.per_slot["hotel-area"]
    assert (area.turns, area.joint_correct, area.substitutions, area.deletions) == (3, 1, 1, 1)
    assert (area.slot_precision, area.slot_recall) == (50.0, pytest.approx(100 / 3))
    assert (scores.per_slot["hotel-parking"].ser, scores.per_slot["hotel-parking"].slot_precision) == (None, 0.0)


def test_any_accepted_form_is_right_but_only_one_may_be_predicted():
    gold = {"d": [{"hotel": {"name": ["the gandhi", "gandhi"]}}]}
    assert score_states({"d": [{"hotel": {"name": "Gandhi"}}]}, gold).total.jga == 100.0
    assert score_states({"d": [{"hotel": {"name": ["ghandi", "gandhi"]}}]}, gold).total.jga == 0.0


def test_a_turn_without_a_label_is_not_scored_and_keeps_its_depth():
    state = {"hotel": {"area": "north"}}
    scores = score_states({"d": [{}, state]}, {"d": [None, state]})
    assert (scores.total.turns, list(scores.per_depth)) == (1, [2])


def test_empty_states_count_for_jga_and_leave_slot_scores_open():
    total = score_states({"d": [{}]}, {"d": [{"hotel": {}}]}).total
    assert (total.jga, total.ser, total.slot_f1) == (100.0, None, None)


@given(SETS)
def test_a_perfect_prediction_scores_100(states):
    scores = score_states(states, states)
    assert scores.total.jga == 100.0
    assert scores.total.slot_f1 in (100.0, None)
    assert scores.total.ser in (0.0, None)
    for table in (scores.per_domain, scores.per_slot, scores.per_depth):
        assert all(tally.jga == 100.0 for tally in table.values())


def _reversed(states):
    return {
        dialogue: [{domain: dict(reversed(slots.items())) for domain, slots in reversed(state.items())} for state in turns]
        for dialogue, turns in reversed(states.items())
    }


@given(SETS, st.data())
def test_the_order_of_slots_domains_and_dialogues_does_not_matter(gold, data):
    predicted = {dialogue: [data.draw(STATES) for _ in turns] for dialogue, turns in gold.items()}
    scores, other = score_states(predicted, gold), score_states(_reversed(predicted), gold)
    assert scores.total == other.total
    assert scores.per_slot == other.per_slot
    assert score_states(_reversed(predicted), _reversed(gold)).total == scores.total


@given(SETS, st.data())
def test_tables_add_up_and_swapping_sides_swaps_precision_and_recall(gold, data):
    predicted = {dialogue: [data.draw(STATES) for _ in turns] for dialogue, turns in gold.items()}
    scores, swapped = score_states(predicted, gold), score_states(gold, predicted)
    total = scores.total
    for table in (scores.per_domain, scores.per_slot, scores.per_depth):
        for count in ("reference_slots", "predicted_slots", "correct", "substitutions", "insertions", "deletions"):
            assert sum(getattr(tally, count) for tally in table.values()) == getattr(total, count)
    assert total.reference_slots == total.correct + total.substitutions + total.deletions
    assert (total.slot_precision, total.slot_recall) == (swapped.total.slot_recall, swapped.total.slot_precision)
    assert total.jga == swapped.total.jga


def test_scores_survive_json():
    data = score_states(PREDICTED, GOLD).to_json()
    assert json.loads(json.dumps(data)) == json.loads(json.dumps(data | {"jga_interval": list(data["jga_interval"])}))
    assert data["counts"]["joint_correct"] == 3
    assert data["per_depth"]["2"]["jga"] == 50.0


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"d1": GOLD["d1"]}, "no prediction for 1 dialogue: 'd2'"),
        (GOLD | {"d3": []}, "no reference for 1 dialogue: 'd3'"),
        (GOLD | {"d1": GOLD["d1"][:2]}, "dialogue 'd1': 2 predicted states for 3 user turns"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(predictions, message):
    with pytest.raises(ScoreError, match=message):
        score_states(predictions, GOLD)
