"""Sweeps: every point by the training code itself, none run twice, and a failure is a row of the table."""

import json
from dataclasses import replace

import pytest

from engine.config import RecipeError
from engine.recipe_files import packaged
from engine.training import loop
from engine.training import sweep as sweep_module
from engine.training.curves import draw_curves
from engine.training.sweep import best_path, read_sweep, run_sweep, summary_table

SWEEP = """
run = ["stage2"]
set = { "stage2.batch" = 2, "stage2.warmup" = 0, "stage2.steps" = 2, "decoding.dst.max_new_tokens" = 16 }
[[points]]
name = "cnn"
set = { "model.connector" = { kind = "cnn", stack = 4, width = 16 } }
[[points]]
name = "linear, hot"
set = { "model.connector" = { kind = "linear", stack = 4 }, "stage2.learning_rate" = 1e30, "stage2.learning_rates" = {} }
"""


@pytest.fixture
def points(tiny, tmp_path):
    (tmp_path / "s.toml").write_text(SWEEP)
    models = [f'model.encoder="{tiny("whisper")}"', f'model.llm="{tiny("llama-3.2")}"', "model.llm_dtype=float32"]
    return read_sweep(str(tmp_path / "s.toml"), "demo", models)


def test_a_sweep_trains_scores_and_tabulates_each_point_once(points, dialogues, tmp_path, monkeypatch):
    data = [dialogues[0], replace(dialogues[1], split="dev")]
    rows = run_sweep(points, data, tmp_path / "out", cache=tmp_path / "cache")
    good, failed = rows
    assert good["status"] == "finished" and good["steps"] == 2 and good["connector_parameters"] == 3424
    assert good["trained_parameters"] > good["connector_parameters"]
    assert 0 <= good["jga"] <= 100 and good["wer"] > 0 and good["ctc_wer"] > 0
    assert (failed["point"], failed["status"]) == ("linear-hot", "failed") and "lower learning rate" in failed["error"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == rows
    table = (tmp_path / "out" / "summary.md").read_text()
    assert table.startswith("| point | connector, M | trained, M | steps | loss |") and "| linear-hot | – | – |" in table
    assert (tmp_path / "out" / "curves.svg").read_text().count("<polyline") == 2

    monkeypatch.setattr(sweep_module, "load_checkpoint", None)  # a second call scores nothing again
    assert run_sweep(points[:1], data, tmp_path / "out", cache=tmp_path / "cache") == [good]


def test_a_stopped_sweep_goes_on_where_it_was(points, dialogues, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_must_stop", lambda run: True)  # as when asked to stop in the first step of two
        assert run_sweep(points[:1], dialogues[:1], tmp_path / "out", cache=tmp_path / "cache") is None
    rows = run_sweep(points[:1], dialogues[:1], tmp_path / "out", cache=tmp_path / "cache")
    assert rows is not None and rows[0]["status"] == "finished" and "jga" not in rows[0]  # no dev dialogue to score


@pytest.mark.parametrize("name", packaged("sweeps"))
def test_packaged_sweeps_load(name):
    points = read_sweep(name)
    assert len({point.recipe.model_dump_json() for point in points}) == len(points), "two points are the same"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no points"),
        ('[[points]]\nname = "a b"\n[[points]]\nname = "a-b"', "two points are named 'a-b'"),
        ('[grid]\n"model.lora.rnk" = [1]', "point rnk-1: demo: unknown key 'model.lora.rnk'; did you mean 'rank'"),
        ('run = ["stage9"]\n[[points]]\nname = "a"', "point a: demo: `run` names stage 'stage9'"),
        ('stages = ["align"]', "stages: Extra inputs"),
    ],
)
def test_a_sweep_that_cannot_run_is_refused_before_it_starts(tmp_path, text, reason):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(RecipeError, match=reason):
        read_sweep(str(tmp_path / "bad.toml"))


def test_the_table_shows_only_columns_with_values():
    rows = [{"point": "a", "loss": 1.234, "status": "finished"}, {"point": "b", "seconds": 61.4, "status": "failed"}]
    assert summary_table(rows).splitlines()[2:] == ["| a | 1.23 | – | finished |", "| b | – | 61 | failed |"]


def test_the_best_path_merges_repeats_before_it_drops_blanks():
    import torch

    class Fixed:
        def log_probs(self, speech, table):
            return torch.nn.functional.one_hot(torch.tensor([[0, 2, 2, 0, 2, 1, 1]]), 3).float()

    assert best_path(Fixed(), None, None).tolist() == [1, 1, 0]


def test_curves_survive_runs_without_a_step_and_losses_that_are_no_number():
    assert draw_curves({}).startswith("<svg")
    assert draw_curves({"a<b": [2.0, float("nan"), 1.0], "none": []}).count("a&lt;b") == 1
