"""The named profiles agree with the published evaluators, digit by digit; one test for each of their peculiarities."""

import gzip
import json
from pathlib import Path

import pytest

from engine.postprocess import FuzzyMatcher, MatchError, read_value_lists
from engine.scoring import PROFILES, ScoreError, score_states
from engine.scoring.profiles import But, MwzEval

OWN = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[4] / "shared" / "data" / "scoring"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the published scoring fixtures (../shared/data/scoring) are not here"
)

# the published names of what a tally holds; mwzeval gives precision and recall as fractions
FIGURES = {
    "joint_accuracy": "jga",
    "slot_error_rate": "ser",
    "slot_f1": "slot_f1",
    "slot_precision": "slot_precision",
    "slot_recall": "slot_recall",
    "slot_total_ref": "reference_slots",
    "slot_total_hyp": "predicted_slots",
}


def load(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def turn_states(predictions):
    return {dialogue: [turn["state"] for turn in turns] for dialogue, turns in predictions.items()}


def assert_equal(total, published, fractions=False):
    for name, value in published.items():
        if name in FIGURES:
            scale = 100 if fractions and name in ("slot_precision", "slot_recall") else 1
            assert getattr(total, FIGURES[name]) == pytest.approx(value * scale, rel=1e-14), name


def score(profile, gold, predicted):
    """One turn of one slot, and whether it is right: (JGA, slot F1)."""
    total = score_states({"d": [predicted]}, {"d": [gold]}, profile).total
    return round(total.jga), round(total.slot_f1)


@needs_shared
@pytest.mark.parametrize("name", ["sp_dev", "sa_dev"])
def test_published_predictions_get_the_published_figures(name):
    published = json.loads((SHARED / "expected.json").read_text())["sets"][name]
    gold, states = load(SHARED / published["reference"]), turn_states(load(SHARED / published["prediction"]))
    scores = score_states(states, gold, But())
    assert_equal(scores.total, published["but_raw"])
    assert scores.total.joint_correct == published["joint_matches_but_raw"]
    assert (len(scores.per_dialogue), scores.total.turns) == (published["dialogues"], published["turns_scored"])
    assert_equal(score_states(states, gold, MwzEval()).total, published["tomiinek"]["as_is"], fractions=True)
    without = published["tomiinek"]["reference_without_dontcare"]
    assert_equal(score_states(states, gold, MwzEval(without_dontcare=True)).total, without, fractions=True)


@needs_shared
@pytest.mark.parametrize(
    ("name", "figures", "built_from"),
    [
        ("sp_dev", "but_fuzzy_sp", "all"),
        ("sa_dev", "but_fuzzy_train_dev_test", "all"),
        ("sa_dev", "but_fuzzy_train_dev", "train+dev"),
    ],
)
def test_the_fuzzy_pass_gets_the_published_figures(name, figures, built_from):
    published = json.loads((SHARED / "expected.json").read_text())["sets"][name]
    names, ours = read_value_lists(SHARED / published[figures]["names"])
    assert (names.built_from, ours) == (built_from, False)
    matcher = FuzzyMatcher(names, "paper", lists_dontcare=True)
    states = turn_states(load(SHARED / published["prediction"]))
    matched = {dialogue: [state for state, _ in matcher.apply_all(turns)] for dialogue, turns in states.items()}
    assert_equal(score_states(matched, load(SHARED / published["reference"]), But()).total, published[figures])


# An evaluator that stops gives no figure to agree with; these are the inputs that we score where it stops.
OURS_GOES_ON = {
    ("but_raw", "only turns whose reference state is empty"),  # divides by the reference's slots, of which there are none
    ("but_fuzzy_sa", "only turns whose reference state is empty"),
    ("but_fuzzy_sa", "no 'active_domains' key"),  # a key we have no use for
    ("tomiinek", "no 'response' key"),
    ("but_fuzzy_sa", "slot value is a list"),  # several forms: the first is compared
}
# ... and the other way round: files that are not what they should be are refused.
REFUSED = {("tomiinek", "no dialogue at all"), ("tomiinek", "one turn has no 'state' key")}


@needs_shared
@pytest.mark.parametrize("evaluator", ["but_raw", "but_fuzzy_sa", "tomiinek"])
def test_edge_cases_end_as_they_do_with_the_evaluators(evaluator, tmp_path):
    from engine.json_text import FileError
    from engine.scoring.align import align
    from engine.scoring.files import read_predictions, read_reference

    matcher = None
    if evaluator == "but_fuzzy_sa":
        names, _ = read_value_lists(SHARED / "sa_mwoz_train_dev_test_names.json.gz")
        matcher = FuzzyMatcher(names, "paper", lists_dontcare=True)
    profile = MwzEval() if evaluator == "tomiinek" else But()
    cases = json.loads((SHARED / "edge_cases.json").read_text())["cases"]
    assert len(cases) > 60
    for case in cases:
        for side in ("reference", "prediction"):
            (tmp_path / side).write_text(json.dumps(case[side]))
        key = (evaluator, case["case"])
        error = None
        try:
            aligned = align(read_reference(tmp_path / "reference"), read_predictions(tmp_path / "prediction"), profile)
            if matcher:
                aligned, _ = aligned.matched(matcher)
                if "states_after_but_fuzzy_sa" in case:
                    after = [state for turns in case["states_after_but_fuzzy_sa"].values() for state in turns]
                    assert [answer.state for answer in aligned.answers()] == after, case["case"]
            total = aligned.score(profile).total
        except FileError as refusal:
            error = str(refusal)
        if error:
            assert "fails" in case[evaluator] or key in REFUSED, f"{case['case']}: {error}"
            assert ", line 1: " in error
            continue
        assert key not in REFUSED
        assert "fails" not in case[evaluator] or key in OURS_GOES_ON, case["case"]
        assert_equal(total, case[evaluator], fractions=evaluator == "tomiinek")


def slot(name, value, domain="hotel"):
    return {domain: {name: value}}


@pytest.mark.parametrize(
    ("name", "gold", "predicted", "strict", "but", "mwzeval"),
    [
        ("area", "north", "North", True, True, False),  # mwzeval lowers the case of names, food and times only
        ("area", "north", " north ", True, False, True),  # but strips names, food and times only; a part is enough for mwzeval
        ("name", "curry garden", "curry", False, False, True),
        ("name", "Joe'S Bar", "joes bar", True, True, False),
        ("name", "christ's college", "christ college", False, False, True),  # but takes the apostrophe off one side alone
        ("name", "rosas bed and breakfast", "rosas b and b", False, True, False),
        ("name", "a & b", "a and b", True, True, True),
        ("type", "guest house", "guesthouse", True, True, True),
        ("parking", "yes", "free", True, True, True),
        ("food", "british", "english", False, True, True),
        ("area", "centre", "center", True, False, False),
        ("area", "dontcare", "do not care", True, False, False),
        ("leaveat", "16:38", "4:38 pm", True, False, True),
        ("leaveat", "4:38 pm", "4:38pm", True, True, True),
        ("leaveat", "09:15", "9:15", True, True, True),
        ("leaveat", "17:15", "17 : 15", True, False, True),
        ("leaveat", "12:00", "noon", True, False, True),
        ("leaveat", "12:30", "12:30 pm", True, False, False),  # mwzeval makes 24:30 of it
        ("leaveat", "9 am or 8 am", "9am or 9am", False, False, False),
    ],
)
def test_what_counts_as_the_same_value(name, gold, predicted, strict, but, mwzeval):
    for profile, same in (("strict", strict), ("but", but), ("mwzeval", mwzeval)):
        assert score(PROFILES[profile], slot(name, gold), slot(name, predicted))[0] == 100 * same, profile


def test_but_puts_the_first_hour_it_finds_in_place_of_all():
    assert score(But(), slot("time", "9 am or 9 am"), slot("time", "9am or 8am")) == (100, 100)


def test_but_credits_any_likeness_because_its_threshold_is_a_hundredth_of_what_was_meant():
    assert score(But(), slot("area", "north"), slot("area", "west")) == (0, 100)
    assert score(But(), slot("area", "north"), slot("area", "zzz")) == (0, 0)


def test_but_takes_book_off_slot_names_too_late_for_times():
    assert score(But(), slot("booktime", "9:15"), slot("time", "09:15"))[0] == 100
    assert score(But(), slot("booktime", "09:15"), slot("time", "09:15"))[0] == 0


def test_but_knows_leave_as_another_slot_than_leaveat_and_mwzeval_does_not():
    assert score(But(), slot("leaveat", "9:15"), slot("leave", "9:15"))[0] == 0
    assert score(MwzEval(), slot("leaveat", "9:15"), slot("leave", "9:15"))[0] == 100
    assert score(MwzEval(), slot("day", "monday"), slot("bookday", "monday"))[0] == 0


def test_published_profiles_never_reach_one_hundred_because_of_what_they_add_to_divisors():
    total = score_states({"d": [slot("area", "north")]}, {"d": [slot("area", "north")]}, But()).total
    assert total.jga == 99.99999998999999
    assert score_states({"d": [slot("area", "north")]}, {"d": [slot("area", "north")]}).total.jga == 100.0


def test_published_profiles_leave_out_what_has_no_prediction_and_say_so():
    gold = {"d1": [slot("area", "north")] * 2, "d2": [slot("area", "north")]}
    scores = score_states({"d1": [slot("area", "north")]}, gold, But())
    assert (scores.total.turns, scores.unscored_dialogues, scores.unscored_turns) == (1, ["d2"], 2)
    with pytest.raises(ScoreError, match="no prediction for 1 dialogue: 'd2'"):
        score_states({"d1": [slot("area", "north")]}, gold)


@pytest.mark.parametrize(
    ("profile", "predicted", "message"),
    [
        ("strict", {"hotel": {"stars": None}}, "user turn 1, hotel-stars: must hold text or a list of texts, not null"),
        ("strict", {"hotel": "north"}, "user turn 1, hotel: a domain must hold an object of slots, not text"),
        ("but", {"hotel": {"stars": 4.5}}, "user turn 1, hotel-stars: holds a number where text is needed"),
        ("but", {"hotel": {"stars": ["4"]}}, "user turn 1, hotel-stars: holds a list where text is needed"),
        ("mwzeval", {"hotel": {"stars": 4}}, "hotel-stars: holds a number, which the original cannot compare"),
        ("mwzeval", {"hotel": {"leaveat": "half:30 pm"}}, "hotel-leaveat: holds a time that is none"),
        ("mwzeval", {"hotel": {"name": 4}}, "hotel-name: holds a number where text is needed"),
    ],
)
def test_values_that_stop_an_evaluator_are_refused_by_their_place(profile, predicted, message):
    with pytest.raises(ScoreError, match=message):
        score_states({"d": [predicted]}, {"d": [{"hotel": {"stars": "4"}}]}, PROFILES[profile])


def test_numbers_are_read_as_text_where_the_profile_allows_it():
    for profile in ("strict", "but"):
        assert score(PROFILES[profile], slot("stars", "4"), slot("stars", 4)) == (100, 100)


def test_paper_mode_refuses_a_number_in_a_matched_slot():
    matcher = FuzzyMatcher(read_value_lists(OWN / "names.json")[0], "paper", lists_dontcare=True)
    with pytest.raises(MatchError, match="holds 4 where text is needed"):
        matcher.apply({"hotel": {"stay": 4}})
    assert matcher.apply({"hotel": {"stars": 4}})[0] == {"hotel": {"stars": 4}}, "stars are not matched"


@pytest.mark.parametrize(("figures", "profile"), [("but", But), ("but_fuzzy", But), ("mwzeval", MwzEval)])
def test_our_own_set_gets_the_figures_of_an_independent_program(figures, profile):
    """data/README.md says how those were computed; one dialogue of the reference has no prediction."""
    gold, predictions, expected = (
        json.loads((OWN / f"{name}.json").read_text()) for name in ("reference", "predictions", "expected")
    )
    states = turn_states(predictions)
    if figures == "but_fuzzy":
        matcher = FuzzyMatcher(read_value_lists(OWN / "names.json")[0], "paper", lists_dontcare=True)
        states = {dialogue: [matcher.apply(state)[0] for state in turns] for dialogue, turns in states.items()}
    scores = score_states(states, gold, profile())
    assert_equal(scores.total, expected[figures], fractions=figures == "mwzeval")
    assert (scores.total.turns, len(scores.unscored_dialogues)) == (expected[figures]["turns"], 1)
