"""python -m engine score, as people and programs call it."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from engine.json_text import FileError
from engine.postprocess import read_value_lists, value_lists

OWN = Path(__file__).parent / "data"
FILES = ["--reference", str(OWN / "reference.json"), "--predictions", str(OWN / "predictions.json")]
PAPER = ["--profile", "but", "--fuzzy", "paper", "--names", str(OWN / "names.json")]


def run(*arguments):
    return CliRunner().invoke(app, ["score", *arguments])


def test_json_holds_the_figures_in_percent_and_the_counts():
    result = json.loads(run(*FILES, "--profile", "but", "--json").stdout)
    expected = json.loads((OWN / "expected.json").read_text())["but"]
    assert (result["profile"], result["jga"], result["slot_f1"]) == ("but", expected["joint_accuracy"], expected["slot_f1"])
    assert (result["ser"], result["slot_precision"]) == (expected["slot_error_rate"], expected["slot_precision"])
    assert result["counts"]["reference_slots"] == expected["slot_total_ref"]
    assert result["unscored_dialogues"] == ["sng02260"]
    assert (result["fuzzy"], result["ontology"], result["oracle"]) == (None, None, False)


def test_the_tables_stand_in_the_text_too(tmp_path):
    (tmp_path / "gold.json").write_text('{"d1": [{}]}')
    (tmp_path / "predicted.json").write_text('{"d1": [{"state": {}}]}')
    empty = run("--reference", str(tmp_path / "gold.json"), "--predictions", str(tmp_path / "predicted.json")).stdout
    assert "per depth" in empty and "per slot" not in empty
    result = json.loads(run(*FILES, "--profile", "but", "--json").stdout)
    lines = [line.split() for line in run(*FILES, "--profile", "but").stdout.splitlines()]
    for table in ("per_domain", "per_slot", "per_depth"):
        assert result[table] and table.split("_") in [line[:2] for line in lines]
        for name, row in result[table].items():
            scores = [f"{row[score]:.2f}" if row[score] is not None else "-" for score in ("jga", "ser", "slot_f1")]
            assert [name, str(row["counts"]["turns"]), *scores] in [line[:5] for line in lines]


def test_with_fuzzy_the_figures_are_those_after_matching_and_an_oracle_is_named():
    result = json.loads(run(*FILES, *PAPER, "--json").stdout)
    expected = json.loads((OWN / "expected.json").read_text())
    assert result["jga"] == expected["but_fuzzy"]["joint_accuracy"]
    assert result["plain"]["jga"] == expected["but"]["joint_accuracy"]
    assert (result["ontology"], result["oracle"], result["fuzzy"]["oracle"]) == ("all", True, True)
    assert "oracle" in run(*FILES, *PAPER).stdout
    stated = run(*FILES, *PAPER, "--built-from", "train").stdout
    assert "ontology train;" in stated and "oracle" not in stated


def test_mwzeval_has_no_slot_error_rate():
    result = json.loads(run(*FILES, "--profile", "mwzeval", "--json").stdout)
    assert (result["ser"], "ser_interval" in result) == (None, False)
    assert "ser              -" in run(*FILES, "--profile", "mwzeval").stdout


def test_every_match_is_kept_with_its_score_and_runner_up(tmp_path):
    assert run(*FILES, *PAPER, "--matches", str(tmp_path / "m.jsonl")).exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert len(lines) == 125
    match = lines[0]["matches"]["train"]["destination"]
    assert (match["heard"], match["value"], match["score"]) == ("granitacity", "Granite City", 87.0)
    assert match["runner_up_score"] < match["score"]
    assert {(line["mode"], line["ontology"], line["oracle"]) for line in lines} == {("paper", "all", True)}


def test_a_comparison_of_matched_states_says_what_they_were_matched_with():
    compared = ("--compare", str(OWN / "predictions.json"))
    found = json.loads(run(*FILES, *PAPER, *compared, "--json").stdout)["comparison"]
    assert found["fuzzy"] == {"mode": "paper", "ontology": "all", "oracle": True}
    assert re.search(r"against .*matching paper \(oracle: ", run(*FILES, *PAPER, *compared).stdout)
    plain = ("--profile", "but", *compared)
    assert json.loads(run(*FILES, *plain, "--json").stdout)["comparison"]["fuzzy"] is None
    assert "matching" not in run(*FILES, *plain).stdout


def test_what_a_list_is_known_to_be_cannot_be_said_otherwise(tmp_path, monkeypatch):
    ours = tmp_path / "ontology.json"
    ours.write_text('{"values": {"hotel": {"name": ["Acorn"]}},\n "built_from": "all"}')
    with pytest.raises(FileError, match=r"line 2: states that it is built from all, which cannot be called train$"):
        read_value_lists(ours, "train")
    assert read_value_lists(ours, "all")[0].built_from == "all"
    content = json.dumps(json.loads((OWN / "names.json").read_text()), sort_keys=True)
    monkeypatch.setitem(value_lists._PUBLISHED, hashlib.sha256(content.encode()).hexdigest(), "train+dev")
    with pytest.raises(FileError, match="known to be built from train\\+dev, which cannot be called train$"):
        read_value_lists(OWN / "names.json", "train")
    assert read_value_lists(OWN / "names.json")[0].built_from == "train+dev"


def test_comparison_and_robustness_are_printed(tmp_path):
    shown = run(*FILES, *PAPER, "--robustness", "--compare", str(OWN / "predictions.json")).stdout
    assert "typos " in shown and "fixed 0, broken 0, still wrong" in shown and "p = 1.0000" in shown
    gold, predicted = tmp_path / "gold.json", tmp_path / "predicted.json"
    gold.write_text('{"d1": [{"restaurant": {"food": "thai"}}]}')
    predicted.write_text('{"d1": [{"state": {"restaurant": {"food": "thai"}}}]}')
    shown = run("--reference", str(gold), "--predictions", str(predicted), *PAPER, "--robustness").stdout
    assert "no predicted slot holds names or codes" in shown and "typos" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "strict"], "has no dialogue 'sng02260'"),
        (["--fuzzy", "paper"], "--fuzzy and --names belong together"),
        (["--robustness"], "give --fuzzy and --names"),
        (["--without-dontcare"], "belongs to the profile mwzeval"),
        (["--profile", "but", "--fuzzy", "typed", "--names", "nowhere.json"], "nowhere.json: no such file"),
        (["--profile", "bleu"], "'bleu'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments, message):
    result = run(*FILES, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"hotel": ["Acorn"]}', "line 1: 'hotel' must be named domain-slot"),
        ('{"hotel": {\n"name": "Acorn"}}', "line 2: hotel-name must hold a list of texts"),
        ('{"hotel-name": [],\n"taxi": []}', "line 2: 'taxi' must be named domain-slot"),
        ('{"built_from": "test",\n "values": {}}', "line 1: built_from must be one of train, train+dev, all"),
        ("[]", "line 1: must hold an object"),
    ],
)
def test_value_lists_that_cannot_be_used_are_refused_with_their_line(tmp_path, content, message):
    (tmp_path / "names.json.gz").write_bytes(gzip.compress(content.encode()))
    result = run(*FILES, "--profile", "but", "--fuzzy", "paper", "--names", str(tmp_path / "names.json.gz"))
    assert result.exit_code == 2
    assert message in result.output
