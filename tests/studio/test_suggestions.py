"""Suggestions name what was meant, whether it was misheard or misspelt."""

import pytest

from studio.services.suggestions import suggest

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


def test_the_ontologys_spelling_comes_back() -> None:
    assert suggest(["kettles yard"], ["Kettle's Yard"], "name")[0].value == "Kettle's Yard"
