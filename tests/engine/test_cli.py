"""The engine's command line as a user and the studio call it: processes, exit codes, one JSON object a line."""

import json
import subprocess
import sys

import pytest

from tests.engine.conftest import SAMPLE


def engine(*arguments, **options):
    command = [sys.executable, "-m", "engine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def clip(dialogues):
    return dialogues[0].user_turns()[0].audio


def test_transcribe_prints_one_object_a_line_in_order_and_names_bad_files(base_models, clip, tmp_path):
    bad = tmp_path / "notes.wav"
    bad.write_text("not audio")
    done = engine("transcribe", "--json", clip, bad, clip)
    first, refused, last = map(json.loads, done.stdout.splitlines())
    answer = ["file", "transcript", "state", "confidence", "raw", "seconds", "guarded"]
    assert list(first) == [*answer, "checkpoint", "checkpoint_hash", "speakers", "decoding"]
    assert first["transcript"] == last["transcript"] != ""
    assert refused["file"] == str(bad) and "error" in refused
    assert done.returncode == 2 and "notes.wav" in done.stderr and "Traceback" not in done.stderr


def test_train_evaluate_round_trip(base_models, dialogues, tmp_path):
    from engine.dialogue import write_manifest

    write_manifest(tmp_path / "m.jsonl", dialogues[:2])
    run = tmp_path / "run"
    steps = ["--set", "adapt.steps=2", "--set", "adapt.batch=2"]
    from engine.checkpoints import DEMO

    done = engine("train", "adapt", "--manifest", tmp_path / "m.jsonl", "--out", run, "--base", DEMO, *steps)
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2] and metrics[0]["total_steps"] == 2
    scored = engine("evaluate", "--checkpoint", run / "checkpoint", "--manifest", tmp_path / "m.jsonl", "--json")
    report = json.loads(scored.stdout)
    assert {"wer", "jga", "slot_f1", "profile", "fuzzy", "invalid_outputs"} <= set(report)
    assert {"jga", "slot_f1"} <= set(report["fuzzy"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "demmo", "--manifest", SAMPLE, "--out", "run"], "no recipe 'demmo'"),
        (["train", "demo", "--manifest", "no.jsonl", "--out", "run"], "no such manifest"),
        (["train", "demo", "--manifest", SAMPLE, "--out", "run", "--set", "stage2.stepz=3"], "did you mean 'steps'"),
        (["evaluate", "--checkpoint", ".", "--manifest", SAMPLE, "--json"], "no checkpoint here"),
        (["transcribe", "missing.wav"], "missing.wav"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(base_models, arguments, reason, tmp_path):
    done = engine(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr and "Traceback" not in done.stderr
    if "--json" in arguments:
        told = json.loads(done.stdout)
        assert (reason in told["error"], told["failure"]) == (True, "weights")
