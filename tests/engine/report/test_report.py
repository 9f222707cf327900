"""The report command: what it writes, what it refuses, and that its numbers are the scorer's."""

import html
import json
import re

import pytest
from typer.testing import CliRunner

from engine.cli import app
from engine.dialogue import Dialogue, Turn, read_manifest
from engine.report.answers import Answer
from engine.report.build import build
from engine.report.clips import make_clips
from engine.report.page import render
from engine.report.turns import System, pair_status, turn_rows
from tests.engine.report.conftest import SAMPLE, answers, write_lines


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def made(inputs, audio="none", limit=10_000_000):
    return build(read_manifest(SAMPLE), [inputs / "first.jsonl"], ["first"], None, "paper", audio, limit)


def test_the_page_is_one_file_that_loads_nothing(inputs, tmp_path):
    out = tmp_path / "new" / "r.html"
    done = report("--manifest", SAMPLE, "--predictions", inputs / "first.jsonl", "--out", out, "--audio", "none")
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"{re.escape(str(out))}: 47 turns, 0\.\d MB\n", done.stdout)
    page = out.read_text(encoding="utf-8")
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?!#|data:)\w""", page.split("<script", 1)[0])


def test_oracle_numbers_say_so_wherever_they_stand(inputs):
    from engine.dialogue import Ontology

    for built_from, marked in (("all", True), ("train", False)):
        ontology = Ontology(json.loads((inputs / "ontology.json").read_text())["values"], built_from)
        page = render(build(read_manifest(SAMPLE), [inputs / "first.jsonl"], ["first"], ontology, "paper", "none", 0))
        links = re.findall(r'<a href="#[^"]*match=fuzzy[^"]*"[^>]*>[^<]*</a>\s*(<small class="oracle">oracle)?', page)
        assert links and all(bool(mark) is marked for mark in links)


def test_sums_over_turns_are_the_scores(inputs):
    made_report = made(inputs)
    scores, rows = made_report.systems[0].scores, made_report.rows
    slots = [slot["plain"] for row in rows for slot in row["answers"][0]["slots"].values()]
    assert slots.count("substitution") == scores["counts"]["substitutions"] > 0
    assert slots.count("insertion") == scores["counts"]["insertions"] > 0
    assert slots.count("deletion") == scores["counts"]["deletions"] > 0
    assert sum(bool(row["answers"][0]["right"]["plain"]) for row in rows) == scores["counts"]["joint_correct"]
    words = [chunk for row in rows for chunk in row["answers"][0].get("words", [])]
    assert sum(len(heard.split()) for kind, _, heard in words if kind == "insert") == scores["words"]["insertions"]


def test_every_depth_has_an_interval_around_its_jga(inputs):
    for tally in made(inputs).systems[0].scores["per_depth"].values():
        low, high = tally["jga_interval"]
        assert 0 <= low <= tally["jga"] <= high <= 100


def test_turns_without_a_label_are_shown_but_not_judged():
    dialogue = Dialogue("d", [Turn(0, "user"), Turn(1, "user", "hi", state={})])
    found = {("d", turn): Answer("d", turn, "hi", {"hotel": {"area": "north"}}) for turn in (0, 1)}
    first, second = turn_rows([dialogue], [System("s", found, {})], None)
    assert (first["scored"], first["answers"][0]["right"]["plain"], first["answers"][0].get("words")) == (False, None, None)
    assert first["answers"][0]["slots"]["hotel-area"]["plain"] is None
    assert second["answers"][0]["slots"]["hotel-area"]["plain"] == "insertion"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [("correct", "deletion", "broken"), ("insertion", "correct", "fixed"), ("deletion", "insertion", "still-wrong")],
)
def test_fixed_and_broken_look_at_the_chosen_slots_only(first, second, status):
    kinds = ({"a-x": {"plain": kind}, "a-y": {"plain": "correct"}} for kind in (first, second))
    row = {"answers": [{"slots": slots} for slots in kinds]}
    assert pair_status(row) == pair_status(row, {"a-x"}) == status
    assert pair_status(row, {"a-y"}) == "still-right"
    assert pair_status(row, {"b-z"}) == ""


def test_clips_stop_at_the_limit_and_a_lost_recording_is_named(inputs, tmp_path):
    turns = [turn for dialogue in read_manifest(SAMPLE)[:2] for turn in dialogue.user_turns()]
    everything = make_clips(enumerate(turns), 10_000_000)
    assert list(everything.clips) == list(range(len(turns)))
    assert everything.size == sum(map(len, everything.clips.values())) < 20_000 * len(turns)
    half = make_clips(enumerate(turns), everything.size // 2)
    assert half.size <= everything.size // 2 and half.clips and half.over_limit == len(turns) - len(half.clips)
    lost = make_clips([(0, Turn(0, "user", audio=str(tmp_path / "lost.wav")))], 10)
    assert "lost.wav" in lost.missing[0] and not lost.clips


def test_wrong_turns_get_their_audio_first(inputs):
    full = made(inputs, "all")
    some = made(inputs, "all", full.clips.size // 8)
    wrong = {number for number, row in enumerate(full.rows) if row["answers"][0]["right"]["plain"] is False}
    assert some.clips.clips.keys() < wrong | some.clips.clips.keys() and some.clips.over_limit
    assert made(inputs, "wrong").clips.clips.keys() < full.clips.clips.keys()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda lines: lines[:-1], "no prediction"),
        (lambda lines: [*lines, lines[0]], "two predictions"),
        (lambda lines: [line | {"dialogue_id": f"x{line['dialogue_id']}"} for line in lines], "dialogue"),
        (lambda lines: [{"dialog": 1}, *lines], "line 1"),
        (lambda lines: [*lines[:3], lines[3] | {"state": {"hotel": "north"}}, *lines[4:]], "line 4"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_in_one_sentence(spoil, reason, tmp_path):
    file = write_lines(tmp_path / "p.jsonl", spoil(answers(0)))
    done = report("--manifest", SAMPLE, "--predictions", file, "--out", tmp_path / "r.html")
    assert done.exit_code == 2 and reason in done.stderr and "p.jsonl" in done.stderr
    assert not (tmp_path / "r.html").exists()
