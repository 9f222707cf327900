"""Each hint on a state speaks up when it should and is silent when it should not."""

import pytest

from engine.dialogue import Ontology, State
from studio.services.lint import lint

ONTOLOGY = Ontology(
    {
        "hotel": {"name": [], "area": ["north", "south"], "parking": ["yes", "no"]},
        "train": {"leaveat": [], "arriveby": [], "departure": [], "destination": [], "start": []},
        "restaurant": {"name": [], "food": ["chinese", "thai"], "time": []},
        "air": {"outbound_departure_time": [], "inbound_arrival_time": [], "inbound_departure_time": []},
    }
)
KNOWN: State = {"hotel": {"area": "north"}}
# out in the evening, back in the morning; and a place called by the name of a time's slot
JOURNEY: State = {
    "air": {"outbound_departure_time": "18:00", "inbound_arrival_time": "9:00", "inbound_departure_time": "8:00"},
    "train": {"departure": "ely", "arriveby": "9:00"},
}


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
        # of every accepted form
        ({"restaurant": {"food": ["thai", "siamees"]}}, {}, "", '"siamees" is not in the ontology'),
        ({"restaurant": {"food": ["thai", "none"]}}, {}, "", '"none" is no value'),
        ({"restaurant": {"time": ["8 pm", "25:00"]}}, {}, "", '"25:00" is no time of day'),
        ({"hotel": {"parking": ["yes", "dontcare"]}}, {}, "a hotel please", "is for what the user does not mind"),
        ({"train": {"departure": "ely", "destination": ["city", "elys"]}}, {}, "", '"elys" and "ely" (departure)'),
        # names of two domains
        (
            {"restaurant": {"name": "curry garden"}, "taxi": {"destination": "curry gardens"}},
            {},
            "",
            '"curry gardens" and "curry garden" (restaurant name)',
        ),
        # a journey's times by whatever name, each leg by itself
        (
            {"bus": {"departure_time": "10:15", "arrival_time": "9:30 am"}},
            {},
            "",
            "it arrives at 09:30, before it leaves at 10:15",
        ),
        ({"room": {"start_time": "10:15", "end_time": "9:30"}}, {}, "", "it ends at 09:30, before it starts at 10:15"),
        (
            {"air": {"outbound_departure_time": "9:00", "inbound_departure_time": "18:00", "inbound_arrival_time": "17:00"}},
            {},
            "",
            "it arrives at 17:00, before it leaves at 18:00",
        ),
        # what takes nothing back
        ({}, KNOWN, "sorry what is the address", "whole domain hotel is gone"),
        ({}, KNOWN, "is it not far", "whole domain hotel is gone"),
        ({}, KNOWN, "i am not sure have you change for a taxi", "whole domain hotel is gone"),
        ({}, KNOWN, "i don’t know", "whole domain hotel is gone"),
        ({"hotel": {"area": "north"}}, KNOWN, "I don’t care about the parking", "no slot is dontcare"),
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
        ({"restaurant": {"food": ["thai", "Chinese"], "time": ["18:30", "half past six"]}}, {}, ""),
        ({"restaurant": {"name": ["curry garden", "curry gardens"]}, "train": {"destination": "curry gardens"}}, {}, ""),
        ({"train": {"departure": "the 10th of march", "destination": "the 11th of march"}}, {}, ""),
        (JOURNEY, JOURNEY, ""),
        ({"train": {"arriveby": "9:00", "start": "10:00"}}, {}, ""),
        ({"hotel": {"area": "dontcare"}}, {}, "I don’t care about the area"),
        ({}, KNOWN, "i don’t need the hotel"),
        ({}, KNOWN, "no not that hotel"),
        ({}, KNOWN, "i have changed my mind"),
        ({}, KNOWN, "can you change it to a train"),
    ],
)
def test_what_is_right_is_left_alone(state: State, previous: State, said: str) -> None:
    assert lint(state, previous, said, ONTOLOGY) == []
