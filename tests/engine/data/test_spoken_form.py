"""What is written and what is said: no digit survives, every reading is one people use."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.spoken_form import comparable, normalise_transcript, number_words, ordinal_words, to_spoken


def readings(text: str) -> set[str]:
    return {to_spoken(text, seed) for seed in range(60)}


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("17:45", {"seventeen forty five", "five forty five p m", "quarter to six in the evening"}),
        ("5:15 pm", {"five fifteen p m", "quarter past five p m"}),
        ("08:30", {"eight thirty", "eight thirty a m", "half past eight in the morning"}),
        ("09:05", {"nine oh five", "nine oh five a m"}),
        ("14:00", {"fourteen hundred", "two p m"}),
        ("2:00", {"two o'clock"}),
        ("at 11:45 in the morning", {"at eleven forty five in the morning", "at quarter to twelve in the morning"}),
        ("10.30am", {"ten thirty a m", "half past ten a m"}),
        ("5pm", {"five p m"}),
        ("at two pm, i am 5", {"at two p m i am five"}),
        (
            "arrive by 1630 on monday",
            {
                "arrive by sixteen thirty on monday",
                "arrive by four thirty p m on monday",
                "arrive by half past four in the afternoon on monday",
            },
        ),
        ("7 a.m. please", {"seven a m please"}),
        ("00:15", {"zero fifteen", "twelve fifteen a m", "quarter past twelve in the morning"}),
        ("$20-$50", {"twenty dollars to fifty dollars"}),
        ("£50.60", {"fifty pounds and sixty pence", "fifty sixty"}),
        ("$1", {"one dollar"}),
        ("$1,250", {"one thousand two hundred fifty dollars"}),
        ("25.00 per person", {"twenty five per person"}),
        ("a 4.6 rating", {"a four point six rating"}),
        ("March 4th", {"march fourth"}),
        ("Mar 11", {"march eleventh"}),
        ("May I have 2", {"may i have two"}),
        ("the 31st", {"the thirty first"}),
        ("3/4/2019", {"march fourth twenty nineteen", "the fourth of march twenty nineteen"}),
        ("2005-12-24", {"december twenty fourth two thousand five", "the twenty fourth of december two thousand five"}),
        ("at 1202 West Steele Lane", {"at twelve oh two west steele lane"}),
        ("126 people", {"one hundred twenty six people"}),
        ("room #5", {"room number five"}),
        ("B&B & more", {"b and b and more"}),
        ("100%", {"one hundred percent"}),
        ("a@b.com", {"a at b dot com"}),
        ("St. John's St", {"saint john's street"}),
        ("Dr. Wu, 5 mins", {"doctor wu five minutes"}),
        ("from LA to Portland, OR", {"from l a to portland oregon"}),
        ("TR1234", {"t r one two three four"}),
        ("CB2 1AB", {"c b two one a b"}),
        ("2tickets", {"two tickets"}),
        ('5 o"clock', {"five o'clock"}),
        ("It does n't matter , I 'd take Saint John 's", {"it doesn't matter i'd take saint john's"}),
        ("that s good , I don t mind", {"that's good i don't mind"}),
        ("", {""}),
        ("?!", {""}),
    ],
)
def test_written_is_read_as_people_do(written: str, spoken: set[str]) -> None:
    assert readings(written) == spoken


def test_a_phone_number_is_read_digit_by_digit() -> None:
    found = readings("01223 356666")
    assert "zero one two two three three five six six six six" in found
    assert "oh one double two double three five double six double six" in found
    assert all(re.fullmatch("((zero|oh|double|one|two|three|five|six) ?)+", reading) for reading in found)


@pytest.mark.parametrize("number", ["(408) 555-1234", "408-555-1234", "+44 1223 358966", "5551234"])
def test_no_phone_number_is_read_as_a_quantity(number: str) -> None:
    assert not re.search("hundred|thousand|million|teen|ty", to_spoken(number))


@given(st.text(max_size=80), st.integers(0, 5))
def test_any_text_becomes_plain_words_and_the_same_ones_again(text: str, seed: int) -> None:
    spoken = to_spoken(text, seed)
    assert spoken == to_spoken(text, seed)
    assert spoken == normalise_transcript(spoken)
    assert not re.search("[0-9A-Z]", spoken)


@given(st.from_regex(r"[a-z0-9:.,$£#&/ -]{0,30}", fullmatch=True))
def test_no_digit_and_no_punctuation_survives(text: str) -> None:
    assert re.fullmatch(r"([a-z]+( [a-z]+)*)?", to_spoken(text).replace("o'clock", "clock"))


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 9))
def test_every_time_has_a_reading_that_keeps_its_half_of_the_day(hour: int, minute: int, seed: int) -> None:
    spoken = to_spoken(f"{hour:02d}:{minute:02d}", seed)
    if hour > 12 and (late := re.search(r"p m|afternoon|evening", spoken)) is None:
        assert spoken.startswith(number_words(hour)), late


@given(st.integers(0, 10**12 - 1))
def test_numbers_can_be_told_apart(number: int) -> None:
    assert number_words(number) != number_words(number + 1)
    assert ordinal_words(number) != number_words(number)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Christ's  College, 'please'!", "christ's college please"),
        ("Café—déjà_vu", "cafe deja vu"),
        ("it’s 5 O’Clock", "it's 5 o'clock"),
        ("good-bye", "good bye"),
    ],
)
def test_a_transcript_is_normalised(text: str, normalised: str) -> None:
    assert normalise_transcript(text) == normalised


@given(st.text(max_size=60))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise_transcript(text)
    assert normalise_transcript(once) == once


def test_what_punctuation_tore_apart_is_one_word_and_stays_so() -> None:
    assert to_spoken("I don;t know, what,s that?") == "i don't know what's that"
    assert to_spoken(to_spoken("I don;t know, what,s that?")) == "i don't know what's that"


WRITTEN = st.lists(
    st.sampled_from(
        (
            *(
                "17:45",
                "10:30",
                "at 1745",
                "CB1 2HJ",
                "TR2309",
                "01223 351880",
                "$5.50",
                "14/3",
                "May 5",
                "2 p.m.",
                "1984",
                "3.5",
            ),
            *("1,200", "726 Mill Road", "x.y@mail.com", "St. Mary", "the ID", "the U.K.", "dr.", "O'Clock", "OK", "or", "please"),
        )
    ),
    max_size=5,
).map(" ".join)


@given(WRITTEN)
def test_case_blanks_and_a_final_stop_make_no_other_transcript(text: str) -> None:
    said = comparable(text)
    assert said == comparable(text.lower()) == comparable(text.upper()) == comparable(f"  {text.replace(' ', '  ')} . ")
    assert said == comparable(said), "what was said is compared with what was written"


@given(st.from_regex(r"\d\d:\d\d|\d{1,5}|[a-z]{2}\d{4}|0\d{4} \d{6}", fullmatch=True), st.sampled_from(["please", "mill road"]))
def test_a_number_is_compared_in_one_reading_whatever_else_is_said(number: str, rest: str) -> None:
    assert comparable(f"at {number} {rest}") == f"at {comparable(number)} {rest}"
