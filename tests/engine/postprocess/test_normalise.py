"""The normaliser: one spelling for what means the same, and nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.postprocess import normalise_slot, normalise_state, normalise_value, slot_type

SLOTS = ["", "name", "type", "area", "parking", "time", "leaveat", "people", "phonenumber", "email"]


@pytest.mark.parametrize(
    ("slot", "written", "normal"),
    [
        ("name", "Kettle'S Yard", "kettles yard"),
        ("name", "rosa 's bed & breakfast", "rosas bed and breakfast"),
        ("name", "Lutèce", "lutece"),
        ("name", "Hilton (Shreveport).", "hilton shreveport"),
        ("area", "  Center ", "centre"),
        ("area", "don’t care", "dontcare"),
        ("food", "Dontcare", "dontcare"),
        ("food", "do n't care", "dontcare"),
        ("type", "guest house", "guesthouse"),
        ("name", "guest house", "guest house"),
        ("parking", "free", "yes"),
        ("pricerange", "free", "free"),
        ("people", "Four", "4"),
        ("food", "seven", "seven"),
        ("phonenumber", "01223 323-737", "01223323737"),
        ("email", "jean-paul @ mail.com", "jean-paul@mail.com"),
        ("name", "...", ""),
    ],
)
def test_values(slot, written, normal):
    assert normalise_value(written, slot) == normal


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("0:47 am", "00:47"),
        ("12:30 am", "00:30"),
        ("12:30 pm", "12:30"),
        ("4 pm", "16:00"),
        ("4:38 P.M.", "16:38"),
        ("9am", "09:00"),
        ("17 : 15", "17:15"),
        ("9:15", "09:15"),
        ("1800", "18:00"),
        ("930", "09:30"),
        ("after 5 o'clock", "05:00"),
        ("noon", "12:00"),
        ("24:15", "24:15"),
        ("12:75", "12:75"),
        ("5", "5"),
        ("lunch time", "lunch time"),
    ],
)
def test_times_are_24_hour(written, normal):
    assert normalise_value(written, "leaveAt") == normal
    assert normalise_value("4 pm", "name") == "4 pm", "only time slots hold times"


def test_slot_names_of_the_corpora_agree():
    assert [normalise_slot(name) for name in ("leaveAt", "leave", "price range", "book_people", "bookday")] == [
        *("leaveat", "leaveat", "pricerange", "people", "day")
    ]
    assert [slot_type(name) for name in ("booktime", "stars", "idnumber", "food")] == ["time", "count", "code", "text"]


def test_a_state_keeps_only_what_says_something():
    state = {
        "Hotel": {"Price Range": "cheap", "name": "", "area": "not mentioned"},
        "taxi": {"leave": " "},
        "train": {},
    }
    assert normalise_state(state) == {"hotel": {"pricerange": "cheap"}}


def test_accepted_forms_that_become_one_are_one_value():
    state = {"hotel": {"type": ["guest house", "guesthouse"], "name": ["A", "a", "b"]}}
    assert normalise_state(state) == {"hotel": {"type": "guesthouse", "name": ["a", "b"]}}


@given(st.text(max_size=12), st.sampled_from(SLOTS))
def test_normalising_twice_changes_nothing(value, slot):
    once = normalise_value(value, slot)
    assert normalise_value(once, slot) == once


@given(st.text("0123456789:. apm'ockdnter", max_size=10), st.sampled_from(SLOTS))
def test_normalising_twice_changes_nothing_near_times(value, slot):
    once = normalise_value(value, slot)
    assert normalise_value(once, slot) == once
