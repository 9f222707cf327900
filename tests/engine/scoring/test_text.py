"""Scores of free text."""

import sys

import pytest

from engine.scoring import ScoreError
from engine.scoring.text import language_name, require_sacrebleu, score_texts, score_translations


def test_token_f1_counts_repetitions_and_spoken_forms():
    report = score_texts([("Yes, at 7.", "yes at seven"), ("no no no", "no"), ("", "hello"), ("", "")])
    assert report["exact"] == 50.0
    assert report["token_f1"] == pytest.approx(100 * (1 + 0.5 + 0 + 1) / 4)
    with pytest.raises(ScoreError):
        score_texts([])


def test_languages_are_named_in_english():
    assert language_name("de") == "German" and language_name("Klingon") == "Klingon"


def test_without_sacrebleu_translations_are_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ScoreError, match=r"pip install 'spoken-dst-studio\[translation\]'"):
        require_sacrebleu()


def test_translations_are_scored_with_a_signature():
    pytest.importorskip("sacrebleu", reason="the extra 'translation' is not installed")
    same = score_translations([("ich brauche ein hotel im norden", "ich brauche ein hotel im norden")], "de")
    assert same["bleu"] == pytest.approx(100) and same["chrf"] == pytest.approx(100) and "tok:13a" in same["bleu_signature"]
    assert "tok:zh" in score_translations([("我要一家酒店", "我要酒店")], "zh")["bleu_signature"]
    other = score_translations([("ich brauche ein hotel im norden", "ich suche ein hotel im süden")], "de")
    assert 0 < other["bleu"] < 100 and 0 < other["chrf"] < 100
