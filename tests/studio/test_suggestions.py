"""Suggestions name what was meant, whether it was misheard or misspelt."""

import pytest

from engine.dialogue import Ontology, State
from studio.services.suggestions import missing, suggest

FOODS = ["chinese", "indian", "italian", "thai", "gastropub", "modern european", "british", "corsica"]
NAMES = ["wagamama", "pizza hut fen ditton", "pizza hut city centre", "the golden house", "curry garden"]


@pytest.mark.parametrize(
    ("said", "values", "meant"),
    [
        ("i want chineese food", FOODS, "chinese"),
        ("a table at wagga mama please", NAMES, "wagamama"),
        ("i would like tie food", FOODS, "thai"),
        ("something like gas tro pub", FOODS, "gastropub"),
        ("is the pizza hut in fenditton any good", NAMES, "pizza hut fen ditton"),
        ("the curie garden", NAMES, "curry garden"),
    ],
)
def test_what_was_meant_comes_first(said: str, values: list[str], meant: str) -> None:
    assert suggest([said], values, "name")[0].value == meant


def test_what_the_model_wrote_counts_as_said() -> None:
    assert suggest(["", "corsican"], FOODS, "food")[0].value == "corsica"


def test_nothing_close_gives_no_suggestion() -> None:
    assert suggest(["thank you good bye"], NAMES, "name") == []
    assert suggest([""], FOODS, "food") == []
    assert suggest(["north"], [], "area") == []


def test_digits_are_compared_as_they_are_written() -> None:
    found = suggest(["call 01223 351 707"], ["01223351708", "01223351707"], "phone")
    assert found[0].value == "01223351707"


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        ("a table for too people", ["2"]),
        ("to nights please", ["2"]),
        ("a room for for people", ["4"]),
        ("just won", ["1"]),
        ("for ate people", ["8"]),
        ("too rooms for three people", ["3", "2"]),  # what was said comes before what sounds like it
        ("i want to go there for dinner", []),
    ],
)
def test_words_that_sound_like_numbers_are_offered_as_numbers(said: str, offered: list[str]) -> None:
    found = suggest([said], [str(number) for number in range(1, 10)], "people")
    assert [suggestion.value for suggestion in found] == offered


def test_the_ontologys_spelling_comes_back() -> None:
    assert suggest(["kettles yard"], ["Kettle's Yard"], "name")[0].value == "Kettle's Yard"


KNOWN = Ontology(
    {
        "hotel": {"area": ["north", "south"], "name": ["acorn guest house"], "parking": ["yes", "no"], "stars": ["4"]},
        "restaurant": {"area": ["north", "south"], "name": ["curry garden"], "food": ["thai", "chinese"]},
    },
    synonyms={"hotel": {"name": {"acorn guest house": ["the acorn"]}}},
)
IN_THE_NORTH: State = {"restaurant": {"area": "north"}}


@pytest.mark.parametrize(
    ("said", "state", "offered"),
    [
        ("the curie garden in the north", IN_THE_NORTH, [(("restaurant", "name"), "curry garden")]),
        ("is the acorn free", {}, [(("hotel", "name"), "acorn guest house")]),
        ("and in the south", {"restaurant": {"food": "thai"}}, [(("restaurant", "area"), "south")]),
        ("in the north", {}, [(("hotel", "area"), "north"), (("restaurant", "area"), "north")]),
        ("in the north", IN_THE_NORTH, []),
        ("yes 4 please thank you good bye", IN_THE_NORTH, []),
        ("", {}, []),
    ],
)
def test_a_slot_without_a_value_is_offered_what_was_said_and_stands_in_no_slot(
    said: str, state: State, offered: list[tuple[tuple[str, str], str]]
) -> None:
    assert missing(said, state, {}, KNOWN) == offered


def test_what_stood_before_and_was_said_again_is_offered_if_it_went() -> None:
    assert missing("in the north i said", {}, IN_THE_NORTH, KNOWN) == [(("restaurant", "area"), "north")]
    assert len(missing("thai or chinese in curry garden or acorn guest house north", {}, {}, KNOWN, 2)) == 2
