"""Fuzzy matching: what may move, where to, and what must stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dialogue import Ontology
from engine.postprocess import FuzzyMatcher, MatchError, paper, wratio

ONTOLOGY = Ontology(
    {
        "restaurant": {
            "name": ["Curry Garden", "The Gandhi", "Pizza Hut Cherry Hinton", "Pizza Hut Fen Ditton"],
            "food": ["chinese", "indian", "italian"],
            "price range": ["cheap", "moderate", "expensive"],
            "time": ["17:00"],
            "people": ["2"],
            "note": [],
        },
        "profile": {"phonenumber": ["8809", "4012369991", "4012369992"]},
    }
)
PAPER, TYPED = FuzzyMatcher(ONTOLOGY, "paper"), FuzzyMatcher(ONTOLOGY, "typed")


def entries():
    slots = [("restaurant", slot) for slot in ("name", "food", "price range")] + [("profile", "phonenumber")]
    return st.sampled_from([(d, s, value) for d, s in slots for value in ONTOLOGY.values[d][s]])


@given(entries(), st.sampled_from([PAPER, TYPED]), st.booleans())
def test_a_value_of_the_ontology_is_itself(entry, matcher, upper):
    domain, slot, value = entry
    state, matches = matcher.apply({domain: {slot: value.upper() if upper else value}})
    assert state == {domain: {slot: value}}
    assert matches[domain][slot].score == 100.0


@given(st.text(min_size=1, max_size=15), st.sampled_from(["name", "food"]))
def test_paper_mode_always_gives_a_known_value(value, slot):
    match = PAPER.match("restaurant", slot, value)
    assert match.accepted and match.value in [*ONTOLOGY.values["restaurant"][slot], "dontcare"]


@given(st.text(max_size=15), st.sampled_from(["name", "food", "time", "note"]), st.sampled_from([PAPER, TYPED]))
def test_applying_twice_changes_nothing(value, slot, matcher):
    once, _ = matcher.apply({"restaurant": {slot: value}})
    assert matcher.apply(once)[0] == once


def test_a_misheard_name_comes_back_with_its_score_and_runner_up():
    state, matches = TYPED.apply({"restaurant": {"name": "curry gardin"}})
    match = matches["restaurant"]["name"]
    assert state == {"restaurant": {"name": "Curry Garden"}}
    assert (match.accepted, match.heard) == (True, "curry gardin")
    assert match.score == pytest.approx(100 * 22 / 24)  # 11 of 12 characters in common
    assert match.runner_up_score < match.score
    assert match.runner_up != match.value


def test_typed_mode_leaves_alone_what_nothing_known_resembles():
    assert TYPED.apply({"restaurant": {"food": "Sushi"}})[0] == {"restaurant": {"food": "sushi"}}
    assert PAPER.apply({"restaurant": {"food": "Sushi"}})[0]["restaurant"]["food"] in ONTOLOGY.values["restaurant"]["food"]


def test_typed_mode_does_not_guess_between_equal_entries():
    match = TYPED.match("restaurant", "name", "pizza hut")
    assert match.score == match.runner_up_score == 90.0
    assert (match.accepted, match.value) == (False, "pizza hut")


def test_a_shortened_name_is_understood_in_typed_mode():
    assert TYPED.apply({"restaurant": {"name": "fen ditton"}})[0]["restaurant"]["name"] == "Pizza Hut Fen Ditton"


def test_a_code_needs_nearly_all_of_its_digits():
    assert TYPED.match("profile", "phonenumber", "40 1236 9993").accepted is False, "one digit from two: undecided"
    assert TYPED.match("profile", "phonenumber", "401236992").value == "4012369992"
    assert TYPED.match("profile", "phonenumber", "88").value == "88"


def test_dontcare_times_counts_and_open_slots_are_not_matched():
    state, matches = TYPED.apply(
        {"restaurant": {"name": "don't care", "time": "5:01 pm", "people": "three", "note": "By The Window"}}
    )
    assert state == {"restaurant": {"name": "dontcare", "time": "17:01", "people": "3", "note": "by the window"}}
    assert matches == {}


def test_paper_mode_leaves_times_counts_and_open_slots_as_they_are():
    slots = {"time": "5:01 pm", "people": "three", "note": "By The Window"}
    assert PAPER.apply({"restaurant": slots}) == ({"restaurant": slots}, {})


def test_unknown_names_are_repaired_or_dropped():
    state, _ = TYPED.apply(
        {"restaurants": {"food": "indian", "pricerang": "cheap", "colour": "red"}, "police": {"name": "parkside"}}
    )
    assert state == {"restaurant": {"food": "indian", "price range": "cheap"}}


@pytest.mark.parametrize("names", [["food", "foods"], ["foods", "food"]])
def test_a_properly_named_slot_wins_over_a_repaired_one(names):
    values = {"food": "indian", "foods": "italian"}
    assert TYPED.apply({"restaurant": {name: values[name] for name in names}})[0] == {"restaurant": {"food": "indian"}}


def test_without_an_ontology_values_are_only_normalised():
    state, matches = FuzzyMatcher(Ontology()).apply({"hotel": {"leaveAt": "4 PM", "name": "Avalon"}})
    assert (state, matches) == ({"hotel": {"leaveAt": "16:00", "name": "avalon"}}, {})


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'paper' nor 'typed'"):
        FuzzyMatcher(ONTOLOGY, "exact")


def test_entries_that_look_alike_are_one():
    matcher = FuzzyMatcher(Ontology({"hotel": {"name": ["Rosa's", "rosas"]}}))
    match = matcher.match("hotel", "name", "ROSAS")
    assert (match.value, match.runner_up) == ("Rosa's", None)


def support_for(chosen):
    """An audio that supports one entry, and what it was asked."""
    asked = []

    def support(domain, slot, entries):
        asked.append((domain, slot, tuple(entries)))
        return [float(entry == chosen) for entry in entries]

    return support, asked


def test_the_audio_decides_where_two_entries_tie():
    support, asked = support_for("Pizza Hut Fen Ditton")
    state, matches = TYPED.apply({"restaurant": {"name": "pizza hut"}}, support)
    match = matches["restaurant"]["name"]
    assert state == {"restaurant": {"name": "Pizza Hut Fen Ditton"}}
    assert (match.accepted, match.by_audio, match.runner_up) == (True, True, "Pizza Hut Cherry Hinton")
    assert asked == [("restaurant", "name", ("Pizza Hut Cherry Hinton", "Pizza Hut Fen Ditton"))]
    assert TYPED.match("restaurant", "name", "pizza hut").accepted is False, "another turn's audio is not remembered"


def test_the_audio_is_not_asked_where_one_entry_is_clearly_best_or_none_is_close():
    support, asked = support_for("The Gandhi")
    state, _ = TYPED.apply({"restaurant": {"name": "curry gardin", "food": "sushi"}}, support)
    assert state == {"restaurant": {"name": "Curry Garden", "food": "sushi"}}
    assert TYPED.apply({"restaurant": {"name": "curry garden"}}, support)[0]["restaurant"]["name"] == "Curry Garden"
    assert asked == []


def test_an_entry_nearly_as_close_as_the_best_is_put_to_the_audio_too():
    matcher = FuzzyMatcher(Ontology({"train": {"departure": ["great saint marys church", "great saint marise church"]}}))
    heard = {"train": {"departure": "great saint maris church"}}
    assert matcher.apply(heard)[0]["train"]["departure"] == "great saint marise church"
    support, asked = support_for("great saint marys church")
    assert matcher.apply(heard, support)[0]["train"]["departure"] == "great saint marys church"
    assert len(asked) == 1
    alone, chosen = (matcher.match("train", "departure", "great saint maris church", ask) for ask in (None, support))
    assert (chosen.value, chosen.score) == (alone.runner_up, alone.runner_up_score), "an entry's score is its own"
    assert (chosen.runner_up, chosen.runner_up_score) == (alone.value, alone.score) and alone.score > chosen.score


def test_values_may_stay_as_they_are_for_profiles_with_rules_of_their_own():
    matcher = FuzzyMatcher(ONTOLOGY, normalise=False)
    state, _ = matcher.apply({"restaurant": {"name": "curry gardin", "time": "5 pm", "food": "Sushi"}})
    assert state == {"restaurant": {"name": "Curry Garden", "time": "5 pm", "food": "Sushi"}}


def test_paper_mode_renames_an_unknown_slot_to_the_first_similar_one_which_it_pushes_out():
    matcher = FuzzyMatcher(Ontology({"train": {"arriveby": [], "leaveat": []}}), "paper")
    assert matcher.apply({"train": {"leaveat": "17:15", "leave": "9:00"}})[0] == {"train": {"leaveat": "9:00"}}
    assert matcher.apply({"Train": {"leaveat": "9:00"}, "train": {"price": "5"}})[0] == {"train": {}}


def test_slot_names_are_compared_with_the_fault_of_the_library_that_paper_1_used():
    assert paper._similarity("title", "time") == pytest.approx(8 / 9)
    assert paper._similarity("days", "day") == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("first", "second", "partial", "whole"),
    [
        ("acorn", "acorn guest house", 100, 90),
        ("curry gardin", "curry garden", 92, 92),
        ("guest house acorn", "acorn guest house", 79, 95),
        ("ab", "abababababababababab", 100, 60),
        ("", "abc", 0, 0),
    ],
)
def test_similarity_is_fuzzywuzzys(first, second, partial, whole):
    """Figures of fuzzywuzzy 0.18.0 with python-Levenshtein 0.27.5."""
    assert (wratio.partial_ratio(first, second), wratio.wratio(first, second)) == (partial, whole)


@given(st.text("ab cé_", max_size=9), st.lists(st.text("ab cd", max_size=20), min_size=1, max_size=8))
def test_pruning_changes_no_match(query, choices):
    entries = [wratio.simplify(choice) for choice in choices]
    query = wratio.simplify_query(query)
    found = wratio.extract(query, entries, wratio.upper_bounds([query], entries)[0])
    scores = [wratio.wratio(query, entry) for entry in entries]
    assert found[0] == (scores.index(max(scores)), max(scores))
    assert [score for _, score in found] == sorted(scores, reverse=True)[:2]


@pytest.mark.parametrize(("state", "message"), [({"hotel": None}, "object of slots"), ({"hotel": {"name": None}}, "holds None")])
@pytest.mark.parametrize("mode", ["paper", "typed"])
def test_what_is_no_state_is_refused_by_its_place(mode, state, message):
    matcher = FuzzyMatcher(Ontology({"hotel": {"name": ["acorn"]}}), mode)
    with pytest.raises(MatchError, match=message) as error:
        matcher.apply(state)
    assert error.value.domain == "hotel"


def test_an_audio_that_cannot_tell_leaves_the_value_alone():
    match = TYPED.match("restaurant", "name", "pizza hut", lambda *_: None)
    assert (match.accepted, match.by_audio, match.value) == (False, False, "pizza hut")


def test_a_synonym_is_as_close_as_the_value_it_stands_for():
    values = {"restaurant": {"name": ["Curry Garden", "The Gandhi"], "food": ["indian", "italian"]}}
    synonyms = {"restaurant": {"name": {"The Gandhi": ["mahatma house", "mahatmas house"]}}}
    matcher = FuzzyMatcher(Ontology(values, synonyms=synonyms))
    match = matcher.match("restaurant", "name", "mahatma hous")
    assert match is not None and (match.value, match.runner_up, match.tied) == ("The Gandhi", "Curry Garden", ())
    assert FuzzyMatcher(Ontology(values)).match("restaurant", "name", "mahatma hous").value != "The Gandhi"
    assert Ontology.from_json(Ontology(values, synonyms=synonyms).to_json()).synonyms == synonyms
