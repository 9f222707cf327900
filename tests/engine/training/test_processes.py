"""Two processes over gloo train as one does: same batches, same normalisation, same losses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.audio import save_flac
from engine.dialogue import Dialogue, Turn, write_manifest
from engine.training import train
from engine.training.folder import RunFolder

WORKER = Path(__file__).with_name("worker.py")
PLAIN = {"stack": 4, "layers": 1, "width": 32, "heads": 2, "ffn": 32, "dropout": 0.0}  # dropout differs between processes


def run(recipe, manifest, out, *options, processes=2):
    """The run's metrics, and how it ended."""
    out.mkdir(exist_ok=True)
    (out / "recipe.json").write_text(recipe.model_dump_json())
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(WORKER)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    finished = subprocess.run(
        [sys.executable, *command, str(out / "recipe.json"), str(manifest), str(out), *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return metrics(out), finished


def metrics(out):
    path = out / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def curve(lines, *keys):
    return [line[key] for line in lines for key in ("loss", "grad_norm", "tokens", "positions", *keys)]


@pytest.fixture
def recipe(make_recipe, steady_encoder):
    """An encoder that trains, a batch that does not divide evenly, an evaluation; then a stage over the cache."""
    model = {"encoder": steady_encoder, "connector": PLAIN, "lora": {"rank": 4}, "encoder_tuning": "lora"}
    live = {"trainable": ["^connector\\.", "encoder.*lora_"], "batch": 5, "steps": 2, "eval_every": 2, "tasks": {"asr": 1.0}}
    return make_recipe(model=model, stages=[live, {"batch": 3, "steps": 2, "max_positions": 64}])


@pytest.mark.parametrize("options", [["--watch"], ["--shard"]], ids=["data-parallel", "fsdp"])
def test_two_processes_train_as_one(recipe, manifest, corpus, tmp_path, options):
    train(recipe, corpus, tmp_path / "one", cache=tmp_path / "cache")
    two, finished = run(recipe, manifest, tmp_path / "two", *options)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert curve(two) == pytest.approx(curve(metrics(tmp_path / "one")), rel=2e-4)
    if "--watch" in options:  # which the other run is not, and that changes nothing
        assert [line["step"] for line in two if "held_out_wer" in line] == [1, 2, 4]
        seen = [
            (turn["dialogue_id"], turn["turn_id"]) for turn in json.loads((tmp_path / "two/samples.json").read_text())["turns"]
        ]
        assert seen == [(d.dialogue_id, turn.turn_id) for d in corpus if d.split == "dev" for turn in d.user_turns()]
    assert two[1]["eval_loss"] == pytest.approx(metrics(tmp_path / "one")[1]["eval_loss"], rel=2e-4)
    for file in sorted((tmp_path / "one" / "checkpoint").glob("*.safetensors")):
        mine, theirs = load_file(tmp_path / "two" / "checkpoint" / file.name), load_file(file)
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[name], theirs[name], atol=1e-4) for name in theirs)


def test_a_run_of_one_process_goes_on_in_two(recipe, manifest, corpus, tmp_path, monkeypatch):
    train(recipe, corpus, tmp_path / "one", cache=tmp_path / "cache")
    (tmp_path / "two").mkdir()
    write = RunFolder.log

    def log_then_stop(folder, **values):
        write(folder, **values)
        if values["step"] == 1:
            folder.stop.touch()

    monkeypatch.setattr(RunFolder, "log", log_then_stop)
    train(recipe, corpus, tmp_path / "two", cache=tmp_path / "cache")
    monkeypatch.setattr(RunFolder, "log", write)
    two, finished = run(recipe, manifest, tmp_path / "two", "--resume")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert curve(two) == pytest.approx(curve(metrics(tmp_path / "one")), rel=2e-4)


def test_what_fails_in_one_process_ends_both_with_its_reason(recipe, manifest, corpus, tmp_path):
    """The recording is too long for a turn, which shows when the process that has its row decodes it."""
    save_flac(tmp_path / "long.flac", np.zeros(16000 * 121, dtype=np.float32))
    broken = [*corpus, Dialogue("long", [Turn(0, "user", "north", str(tmp_path / "long.flac"))], "train", "alpha")]
    write_manifest(tmp_path / "manifest.jsonl", broken)
    one = recipe.model_copy(update={"stages": [recipe.stages[0].model_copy(update={"steps": 9})]})
    two, finished = run(one, tmp_path / "manifest.jsonl", tmp_path / "two")
    assert finished.returncode != 0 and finished.stderr.count("longer than 120 s") >= 2
    assert (tmp_path / "two" / "resume" / "state.safetensors").exists() and len(two) < 9
