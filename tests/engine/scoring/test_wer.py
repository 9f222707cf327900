"""Word error rate: every kind of error counted, noise included."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scoring import bootstrap_interval, wer
from engine.scoring.wer import align_words

SENTENCES = st.lists(st.text("abc ", max_size=12), max_size=8)


def test_each_kind_of_error_by_hand():
    result = wer(["i need a cheap hotel today", "thank you"], ["i need cheap hotels today please", "thank you"])
    # "a" deleted, "hotel" substituted, "please" inserted, of eight reference words
    assert (result.deletions, result.substitutions, result.insertions) == (1, 1, 1)
    assert result.reference_words == 8
    assert result.wer == 37.5


def test_case_and_punctuation_are_no_errors():
    assert wer(["I'd like a hotel, please."], ["i'd like a HOTEL please"]).wer == 0.0


def test_a_time_is_read_the_same_way_in_both_transcripts():
    result = wer(["i want to arrive by 17:45 please"], ["i want to arrive by 17:45 thanks"])
    assert (result.substitutions, result.insertions, result.deletions) == (1, 0, 0)
    assert [kind for kind, *_ in align_words("by 17:45 please", "by seventeen forty five thanks")] == ["equal", "substitute"]
    assert "every number read out in one way" in result.to_json()["compared_as"]


def test_words_heard_in_noise_are_insertions():
    result = wer(["hello there", "", ""], ["hello there", "thank you", ""])
    assert (result.nonspeech, result.nonspeech_insertions, result.insertions) == (2, 2, 2)
    assert result.wer == 100.0
    assert result.nonspeech_rate == 50.0, "one of two clips without speech got words"
    assert wer(["a"], ["a"]).nonspeech_rate is None


def test_the_rate_of_noise_that_got_words_has_an_interval_over_dialogues():
    heard = ["you", ""] * 10
    low, high = wer([""] * 20, heard).nonspeech_interval
    assert 20 < low < 50 < high < 80
    assert wer([""] * 20, heard, ["one"] * 20).nonspeech_interval is None
    assert wer(["a", "b"], ["a", "b"]).nonspeech_interval is None


def test_noise_alone_has_no_rate_but_its_insertions():
    result = wer(["", ""], ["you", ""])
    assert (result.wer, result.wer_interval, result.insertions) == (None, None, 1)


def test_nothing_to_compare():
    assert wer([], []).wer is None


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="2 reference transcripts cannot be compared with 1"):
        wer(["a", "b"], ["a"])


@given(SENTENCES)
def test_a_perfect_transcript_has_no_errors(sentences):
    result = wer(sentences, sentences)
    assert result.insertions + result.deletions + result.substitutions == 0
    assert result.wer in (0.0, None)


@given(SENTENCES.flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
def test_errors_explain_the_difference_in_length(pair):
    said, heard = pair
    result = wer(said, heard)
    assert result.insertions - result.deletions == 0, "both sides hold the same number of words"


def test_the_interval_holds_the_rate_and_is_the_same_every_time():
    said, heard = ["a b c d"] * 40, ["a b c d", "a x c d", "a b c d", "a b"] * 10
    first, second = (wer(said, heard, [str(n // 4) for n in range(40)]) for _ in range(2))
    assert first == second
    assert first.wer_interval == (first.wer, first.wer), "every dialogue has the same errors"
    low, high = wer(said, heard).wer_interval
    assert low < first.wer < high
    assert json.loads(json.dumps(first.to_json()))["wer"] == first.wer


def test_an_interval_of_a_known_proportion():
    low, high = bootstrap_interval([1] * 50 + [0] * 50, [1] * 100)
    assert low == pytest.approx(50 - 9.8, abs=1.5)  # 1.96 standard errors of a proportion of 100
    assert high == pytest.approx(50 + 9.8, abs=1.5)
    assert bootstrap_interval([1], [2]) is None
