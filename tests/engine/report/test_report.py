"""The report command: what it writes, what it refuses, and that its numbers are the scorer's."""

import html
import json
import re
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from engine.cli import app
from engine.dialogue import Turn, read_manifest
from engine.postprocess import FuzzyMatcher, read_value_lists
from engine.report.build import Options, build
from engine.report.clips import make_clips
from engine.report.links import Link
from engine.report.page import as_script, render
from engine.report.tables import STATE_SCORES
from engine.report.turns import is_right, pair_status
from engine.scoring import PROFILES
from tests.engine.report.conftest import SAMPLE, answers, write_lines


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def made(inputs, names=("first",), **options):
    options = {"profile": PROFILES["strict"], "audio": "none"} | options
    return build(SAMPLE, [inputs / f"{name}.jsonl" for name in names], names, Options(**options))


def test_the_page_is_one_file_that_loads_nothing(inputs, tmp_path):
    out = tmp_path / "new" / "r.html"
    done = report("--manifest", SAMPLE, "--predictions", inputs / "first.jsonl", "--out", out, "--audio", "none")
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"{re.escape(str(out))}: 47 turns, 0\.\d MB\n", done.stdout)
    page = out.read_text(encoding="utf-8")
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?!#|data:)\w""", page.split("<script", 1)[0])


@pytest.mark.parametrize(("built_from", "marked"), [("all", True), ("train", False)])
def test_oracle_numbers_say_so_wherever_they_stand(inputs, built_from, marked):
    ontology = replace(read_value_lists(inputs / "ontology.json")[0], built_from=built_from)
    page = render(made(inputs, matcher=FuzzyMatcher(ontology, "paper"), robustness=True))
    links = re.findall(r'<a href="#[^"]*match=fuzzy[^"]*"[^>]*>[^<]*</a>\s*(<small class="oracle">oracle)?', page)
    assert links and all(bool(mark) is marked for mark in links)
    robustness = page[page.index("Named-entity robustness") :].split("</table>")[0]
    assert ("oracle" in robustness) is marked and ("(an oracle:" in page) is marked


@pytest.mark.parametrize("mode", ["paper", "typed"])
@pytest.mark.parametrize("profile", PROFILES)
def test_report_and_score_come_to_the_same(tmp_path, profile, mode):
    gold, predicted, names = tmp_path / "gold.json", tmp_path / "predicted.json", tmp_path / "names.json"
    time = {"train": {"leaveat": "16:38", "departure": "Kings Lynn"}}
    gold.write_text(json.dumps({"d": [time, time]}))
    said = {"train": {"leaveat": "4:38 pm", "departure": "kings lyn"}}
    predicted.write_text(json.dumps({"d": [{"state": time}, {"state": said}]}))
    names.write_text('{"built_from": "train", "values": {"train": {"leaveat": [], "departure": ["Kings Lynn", "Ely"]}}}')
    files = ("--predictions", predicted, "--profile", profile, "--fuzzy", mode, "--json")
    page = report("--manifest", gold, "--ontology", names, "--out", tmp_path / "r.html", *files)
    shown = CliRunner().invoke(app, ["score", *map(str, ("--reference", gold, "--names", names, *files))])
    one, other = json.loads(page.stdout)["systems"][0], json.loads(shown.stdout)
    keys = [*STATE_SCORES, "counts", "per_slot"]
    assert [one["fuzzy"].get(key) for key in keys] == [other.get(key) for key in keys]
    assert [one.get(key) for key in STATE_SCORES] == [other["plain"].get(key) for key in STATE_SCORES]


def test_json_holds_the_numbers_of_the_page(inputs, tmp_path):
    pair = ("--predictions", inputs / "first.jsonl", "--compare", inputs / "second.jsonl", "--names", "old", "new")
    done = report("--manifest", SAMPLE, *pair, "--out", tmp_path / "r.html", "--audio", "none", "--json")
    numbers = json.loads(done.stdout)
    assert [system["name"] for system in numbers["systems"]] == ["old", "new"]
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert (
        f">{numbers['systems'][1]['jga']:.2f}</a>" in page and f"{numbers['comparison']['scores']['jga']['p_value']:.4f}" in page
    )


def test_two_systems_are_told_apart_by_default(inputs, tmp_path):
    for run, name in (("a", "first"), ("b", "second")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "predictions.jsonl").write_bytes((inputs / f"{name}.jsonl").read_bytes())

    def names(first, second):
        files = ("--predictions", tmp_path / first, "--compare", tmp_path / second)
        done = report("--manifest", SAMPLE, *files, "--out", tmp_path / "r.html", "--audio", "none", "--json")
        return [system["name"] for system in json.loads(done.stdout)["systems"]]

    assert names("a/predictions.jsonl", "b/predictions.jsonl") == ["a/predictions", "b/predictions"]
    assert names("a/predictions.jsonl", "a/predictions.jsonl") == ["predictions.jsonl (1)", "predictions.jsonl (2)"]


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_stays_inside_its_script_element_and_link(text):
    inside = str(as_script({"text": text}))
    assert json.loads(inside) == {"text": text} and not set("<>&\u2028\u2029") & set(inside)
    href = Link({"slot": text, "depth": 1}).href
    assert dict(parse_qsl(href[1:], keep_blank_values=True)) == {"slot": text, "depth": "1"}
    assert not set("<>\"' ") & set(href)


def test_sums_over_turns_are_the_scores(inputs):
    made_report = made(inputs)
    scores, rows = made_report.systems[0].scores, made_report.rows
    slots = [slot["plain"] for row in rows for slot in row["answers"][0]["slots"].values()]
    for kind in ("substitution", "insertion", "deletion"):
        assert slots.count(kind) == scores["counts"][f"{kind}s"] > 0
    assert sum(row["scored"] and is_right(row["answers"][0]) for row in rows) == scores["counts"]["joint_correct"]
    words = [chunk for row in rows for chunk in row["answers"][0].get("words", [])]
    assert sum(len(heard.split()) for kind, _, heard in words if kind == "insert") == scores["words"]["insertions"]


def test_partial_scores_are_sums_of_the_word_shares_that_the_turns_show(inputs, tmp_path):
    gold, heard = (
        {"hotel": {"name": "the curry garden", "area": "north"}},
        {"hotel": {"name": "curry garden inn", "area": "south"}},
    )
    turns = [{"turn_id": n, "speaker": "user", "transcript": "hi", "state": gold} for n in (0, 1)]
    manifest = write_lines(tmp_path / "m.jsonl", [{"dialogue_id": "d", "turns": turns}])
    lines = [{"dialogue_id": "d", "turn_id": n, "transcript": "hi", "state": state} for n, state in enumerate((heard, gold))]
    one = build(manifest, [write_lines(tmp_path / "p.jsonl", lines)], ["s"], Options(PROFILES["strict"]))
    counts, slots = one.systems[0].scores["counts"], one.rows[0]["answers"][0]["slots"]
    assert slots["hotel-name"]["shares"] == {"plain": [pytest.approx(2 / 3), pytest.approx(2 / 3)]}
    assert "shares" not in slots["hotel-area"]
    assert counts["precision_credit"] == counts["recall_credit"] == pytest.approx(2 + 2 / 3)
    credits = re.findall(r"precision_credit&#34;: ([\d.]+)", render(one))
    assert credits == ["2.666667"] * 3, "partial precision, recall and F1 lead to turns that add up to them"


def test_scores_of_perturbed_names_are_sums_over_turns_that_show_what_became_of_the_names(inputs):
    ontology, _ = read_value_lists(inputs / "ontology.json", "all")
    report_ = made(inputs, matcher=FuzzyMatcher(ontology, "paper"), robustness=True)
    page = render(report_)
    answers_ = [row["answers"][0] for row in report_.rows if row["scored"]]
    for kind in ("typos", "paraphrases"):
        for view, found in ((kind, "plain"), (f"{kind}-fuzzy", "fuzzy")):
            counts = report_.robustness[0]["kinds"][kind][found]["counts"]
            assert sum(is_right(answer, view) for answer in answers_) == counts["joint_correct"]
            slots = [slot[view] for answer in answers_ for slot in answer["slots"].values()]
            assert slots.count("substitution") == counts["substitutions"]
            assert len(re.findall(f'href="#[^"]*match={view}"', page)) == 2, "JGA and slot F1"
    misspelt = [slot for answer in answers_ for slot in answer["slots"].values() if "typos" in slot.get("perturbed", {})]
    assert misspelt and all(slot["perturbed"]["typos"] != slot["predicted"] for slot in misspelt)
    assert page == render(report_) and "misspelt, after fuzzy matching (oracle)</option>" in page


def test_every_depth_has_an_interval_around_its_jga_and_a_table_of_one_dialogue_has_none(inputs, tmp_path):
    for tally in made(inputs).systems[0].scores["per_depth"].values():
        low, high = tally["jga_interval"]
        assert 0 <= low <= tally["jga"] <= high <= 100
    turns = [{"turn_id": 0, "speaker": "user", "transcript": "hi", "state": {}}]
    manifest = write_lines(tmp_path / "m.jsonl", [{"dialogue_id": "d", "turns": turns}])
    file = write_lines(tmp_path / "p.jsonl", [{"dialogue_id": "d", "turn_id": 0, "transcript": "hi", "state": {}}])
    pair = build(manifest, [file, file], ["a", "b"], Options(PROFILES["strict"]))
    assert pair.comparison["scores"]["wer"]["interval"] is None and "difference, points" in render(pair)


def test_changes_are_those_of_the_paired_comparison(inputs):
    pair = made(inputs, ("first", "second"))
    found = [pair_status(row) for row in pair.rows if row["scored"]]
    assert {name: found.count(name.replace("_", "-")) for name in pair.comparison["turns"]} == pair.comparison["turns"]
    for slot, changes in pair.comparison["per_slot"].items():
        found = [pair_status(row, {slot}) for row in pair.rows if row["scored"]]
        assert {name: found.count(name.replace("_", "-")) for name in changes} == changes


def test_turns_without_a_label_are_shown_but_not_judged(inputs, tmp_path):
    turns = [{"turn_id": 0, "speaker": "user"}, {"turn_id": 1, "speaker": "user", "transcript": "hi", "state": {}}]
    manifest = write_lines(tmp_path / "m.jsonl", [{"dialogue_id": "d", "turns": turns}])
    answer = {"dialogue_id": "d", "transcript": "hi", "state": {"hotel": {"area": "north"}}}
    file = write_lines(tmp_path / "p.jsonl", [answer | {"turn_id": turn} for turn in (0, 1)])
    first, second = build(manifest, [file], ["s"], Options(PROFILES["strict"])).rows
    assert (first["scored"], first["answers"][0].get("words")) == (False, None)
    assert first["answers"][0]["slots"]["hotel-area"]["plain"] is None
    assert second["answers"][0]["slots"]["hotel-area"]["plain"] == "insertion"


def test_what_all_lines_of_a_prediction_file_say_stands_in_the_head(inputs, tmp_path):
    lines = [line | {"history": "own", "decoding": {"beams": 2}, "lap": place} for place, line in enumerate(answers(0))]
    file = write_lines(tmp_path / "p.jsonl", lines)
    facts = dict(build(SAMPLE, [file], ["beam"], Options(PROFILES["strict"], audio="none")).facts)
    assert (facts["beam: history"], facts["beam: decoding"]) == ("own", "beams 2")
    assert "beam: lap" not in facts


def test_published_predictions_need_neither_words_nor_audio_nor_all_turns(tmp_path):
    states = [{"hotel": {"area": "north"}}, {"hotel": {"area": "north", "stars": "4"}}]
    (tmp_path / "gold.json").write_text(json.dumps({"MUL1.json": states, "MUL2.json": states}))
    found = {"MUL1": [{"response": "", "state": state, "active_domains": []} for state in states[:1]]}
    (tmp_path / "first.json").write_text(json.dumps(found))
    both = {"MUL1": found["MUL1"] * 2, "MUL2": found["MUL1"]}
    (tmp_path / "second.json").write_text(json.dumps(both))
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    pair = build(tmp_path / "gold.json", files, ["a", "b"], Options(PROFILES["but"]))
    assert [[bool(answer) for answer in row["answers"]] for row in pair.rows] == [[True, True], [False, True], [False, True]]
    assert dict(pair.facts)["a: without an answer"].startswith("3 turns")
    assert "Transcripts" not in (page := render(pair)) and "WER" not in page.split("<script")[0]


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
    everything = make_clips(list(enumerate(turns)), 10_000_000)
    assert list(everything.clips) == list(range(len(turns)))
    assert everything.size == sum(map(len, everything.clips.values())) < 20_000 * len(turns)
    half = make_clips(list(enumerate(turns)), everything.size // 2)
    assert half.size <= everything.size // 2 and half.clips and half.over_limit == len(turns) - len(half.clips)
    lost = make_clips([(0, Turn(0, "user", audio=str(tmp_path / "lost.wav")))], 10)
    assert "lost.wav" in lost.missing[0] and not lost.clips


def test_wrong_turns_get_their_audio_first(inputs):
    full = made(inputs, audio="all")
    wrong = {number for number, row in enumerate(full.rows) if not (row["scored"] and is_right(row["answers"][0]))}
    assert made(inputs, audio="wrong").clips.clips.keys() == wrong < full.clips.clips.keys()
    some = made(inputs, audio="all", audio_limit=full.clips.size // 8).clips
    assert some.clips and some.clips.keys() < wrong and some.over_limit == len(full.rows) - len(some.clips)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda lines: lines[:-1], "no prediction"),
        (lambda lines: [*lines, lines[0]], "line 48: turn 0 of dialogue 'woz20-dev-0610' occurs twice, first in line 1"),
        (lambda lines: [line | {"dialogue_id": f"x{line['dialogue_id']}"} for line in lines], "line 1: the reference"),
        (lambda lines: [lines[0], {"dialogue_id": "d", "turn": 1, "state": {}}, *lines], "line 2: the key 'turn_id' is missing"),
        (
            lambda lines: [lines[0] | {"confidence": {"hotel": {"area": "sure"}}}, *lines[1:]],
            "line 1: confidence of 'hotel-area'",
        ),
        (lambda lines: [lines[0] | {"raw": 5}, *lines[1:]], "line 1: raw must not be a number"),
        (lambda lines: [*lines[:3], lines[3] | {"state": {"hotel": "north"}}, *lines[4:]], "line 4"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_in_one_sentence(spoil, reason, tmp_path):
    file = write_lines(tmp_path / "p.jsonl", spoil(answers(0)))
    done = report("--manifest", SAMPLE, "--predictions", file, "--out", tmp_path / "r.html")
    assert done.exit_code == 2 and reason in done.stderr and "p.jsonl" in done.stderr
    assert not (tmp_path / "r.html").exists()
