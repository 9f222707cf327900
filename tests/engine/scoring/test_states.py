"""State scores by hand, their invariants, and what is refused."""

import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scoring import ScoreError, bootstrap_interval, score_states
from engine.scoring.states import PARTIAL_SCORES, SCORES

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


def test_every_score_of_every_row_has_an_interval_if_two_dialogues_have_it():
    gold = {f"d{n}": [{"hotel": {"area": "north", "name": "the acorn"}}] * 2 for n in range(12)}
    predicted = {name: [{"hotel": {"area": "north", "name": f"acorn {n % 3}"}}, {}] for n, name in enumerate(gold)}
    predicted["d0"] = gold["d0"]
    gold["d5"] = [gold["d5"][0] | {"taxi": {"leaveat": "17:15"}}] * 2
    data = score_states(predicted, gold).to_json()
    rows = [
        data,
        *(row for table in ("per_domain", "per_slot", "per_depth") for key, row in data[table].items() if key[0] != "t"),
    ]
    assert len(rows) == 6  # hotel, its two slots, two depths
    for row in rows:
        for score in (*SCORES, *PARTIAL_SCORES):
            if row[score] is None:  # at depth 2 nearly nothing is predicted
                continue
            low, high = row[f"{score}_interval"] or (row[score], row[score])
            assert low <= row[score] <= high
        assert row["slot_recall_interval"][0] < row["slot_recall_interval"][1]
    name = data["per_slot"]["hotel-name"]
    assert name["partial_f1_interval"][0] > name["slot_f1_interval"][0]
    taxi = data["per_slot"]["taxi-leaveat"]
    assert taxi["jga"] == 0.0 and taxi["jga_interval"] is taxi["ser_interval"] is None, "one dialogue says nothing of others"


def test_an_interval_is_that_of_the_row_alone():
    states = {f"d{n}": [{"hotel": {"area": "north"}}, {"hotel": {"area": "north"}}] for n in range(8)}
    predicted = {name: [found[0], found[1] if n % 2 else {}] for n, (name, found) in enumerate(states.items())}
    data = score_states(predicted, states).to_json()
    right = [n % 2 for n in range(8)]
    assert data["per_depth"]["2"]["jga_interval"] == bootstrap_interval(right, [1] * 8)
    assert data["jga_interval"] == bootstrap_interval([1 + n for n in right], [2] * 8)
    assert data["per_depth"]["1"]["jga_interval"] == (100.0, 100.0)


def test_nine_thousand_turns_are_scored_in_seconds():
    chance = random.Random(0)
    slots = [(f"domain{n % 7}", f"slot{n}") for n in range(40)]

    def state():
        found = {}
        for domain, slot in chance.sample(slots, 6):
            found.setdefault(domain, {})[slot] = chance.choice(["north", "south"])
        return found

    gold, predicted = ({f"d{n}": [state() for _ in range(18)] for n in range(500)} for _ in range(2))
    begun = time.process_time()
    score_states(predicted, gold).to_json()
    assert time.process_time() - begun < 20


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
