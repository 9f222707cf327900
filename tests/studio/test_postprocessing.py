"""Model values after post-processing, against a small ontology."""

import pytest

from engine.dialogue import Ontology
from studio.services.postprocessing import Processed, process

KNOWN = Ontology(
    {
        "restaurant": {"food": ["chinese", "indian", "italian"], "name": ["curry garden", "curry prince"], "phone": []},
        "train": {"leaveat": []},
    },
    synonyms={"restaurant": {"food": {"chinese": ["cantonese"]}}},
)


def processed(domain: str, slot: str, value: str | list[str]) -> Processed:
    found = process({domain: {slot: value}}, KNOWN)
    assert list(found) == [(domain, slot)]
    return found[domain, slot]


def test_a_misspelt_value_becomes_the_ontologys_with_its_score_and_the_runner_up() -> None:
    found = processed("restaurant", "name", "curry gardin")
    assert (found.value, found.accepted, found.runner_up) == ("curry garden", True, "curry prince")
    assert found.score is not None and 100 > found.score > found.runner_up_score > 0


@pytest.mark.parametrize(
    ("value", "expected"), [("Italian", "italian"), ("cantonese", "chinese"), (["indian", "curry"], "indian")]
)
def test_what_the_ontology_knows_in_other_letters_by_a_synonym_or_first_of_several_is_sure(value, expected) -> None:
    found = processed("restaurant", "food", value)
    assert (found.value, found.score, found.accepted) == (expected, 100, True)


def test_what_is_near_to_nothing_stays_the_models_and_says_what_was_nearest() -> None:
    found = processed("restaurant", "food", "xylophone")
    assert (found.value, found.accepted) == ("xylophone", False)
    assert found.score is not None and found.score < 100


@pytest.mark.parametrize(
    ("domain", "slot", "value", "expected"),
    [
        ("restaurant", "phone", " 01223 1234 ", "012231234"),  # a slot without known values
        ("train", "leaveat", "6:30 pm", "18:30"),
        ("nowhere", "area", "North", "north"),  # a slot that the ontology does not know
    ],
)
def test_where_nothing_is_compared_the_value_is_put_in_normal_form(domain: str, slot: str, value: str, expected: str) -> None:
    assert processed(domain, slot, value) == Processed(expected, None, None, 0.0, accepted=False)


def test_another_projects_values_of_the_same_slot_are_not_mixed_up() -> None:
    assert processed("restaurant", "food", "italien").value == "italian"
    other = process({"restaurant": {"food": "italien"}}, Ontology({"restaurant": {"food": ["italo disco", "bavarian"]}}))
    assert other["restaurant", "food"].value != "italian"


def test_an_empty_state_has_nothing_to_process() -> None:
    assert process({}, KNOWN) == {}
