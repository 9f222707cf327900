"""Each hint on a state speaks up when it should and is silent when it should not."""

import pytest

from engine.dialogue import Ontology, State
from studio.services.lint import lint

ONTOLOGY = Ontology(
    {
        "hotel": {"name": [], "area": ["north", "south"], "parking": ["yes", "no"]},
        "train": {"leaveat": [], "arriveby": [], "departure": [], "destination": []},
        "restaurant": {"name": [], "food": ["chinese", "thai"], "time": []},
    }
)
KNOWN: State = {"hotel": {"area": "north"}}


@pytest.mark.parametrize(
    ("state", "previous", "said", "hint"),
    [
        ({"hotel": {"area": "nord"}}, {}, "", "not in the ontology"),
        ({"hotel": {"stars": "4"}}, {}, "", "slot is not in the ontology"),
        ({"hotel": {"area": "none"}}, {}, "", "is no value"),
        ({"restaurant": {"time": "soon"}}, {}, "", "no time of day"),
        ({"restaurant": {"time": "25:10"}}, {}, "", "no time of day"),
        ({"train": {"leaveat": "10:15", "arriveby": "9:30 am"}}, {}, "", "before it leaves"),
        ({"hotel": {"parking": "yes"}}, KNOWN | {"hotel": {"area": "north", "parking": "yes"}}, "yes please", '"north" is gone'),
        ({"train": {"departure": "ely"}}, KNOWN, "and a train from ely", "whole domain hotel is gone"),
        ({"train": {"departure": "pizza hut", "destination": "pizza hutt"}}, {}, "", "nearly the same"),
        ({"hotel": {"parking": "dontcare"}}, {}, "a hotel please", "is for what the user does not mind"),
        ({"hotel": {"area": "north"}}, KNOWN, "i don't care about the parking", "no slot is dontcare"),
        ({"restaurant": {"name": "pizza express"}}, {"restaurant": {"name": "pizza expres"}}, "", "a turn ago"),
    ],
)
def test_what_looks_wrong_is_named(state: State, previous: State, said: str, hint: str) -> None:
    assert any(hint in found.text for found in lint(state, previous, said, ONTOLOGY))


@pytest.mark.parametrize(
    ("state", "previous", "said"),
    [
        ({"hotel": {"area": "North"}}, KNOWN, ""),
        ({"hotel": {"area": "dontcare"}}, {}, "anywhere"),
        ({"hotel": {"area": "dontcare"}}, {"hotel": {"area": "dontcare"}}, "a room please"),
        ({"hotel": {"area": "dontcare"}}, {}, "the area does not really matter"),
        ({"train": {"leaveat": "9:30", "arriveby": "10:15"}}, {}, ""),
        ({"train": {"leaveat": "dontcare", "arriveby": "10:15"}}, {}, ""),
        ({}, KNOWN, "no actually forget the hotel"),
        ({"restaurant": {"name": "any new place"}}, {}, ""),
    ],
)
def test_what_is_right_is_left_alone(state: State, previous: State, said: str) -> None:
    assert lint(state, previous, said, ONTOLOGY) == []
