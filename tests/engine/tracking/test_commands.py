"""Commands that decode: settings that make no sense are refused in one sentence, before a model is loaded."""

import json

import pytest
from typer.testing import CliRunner

from engine.checkpoints import DEMO
from engine.cli import app
from engine.dialogue import Dialogue, Turn, read_manifest, write_manifest
from engine.tracking.calibration import CALIBRATION
from engine.tracking.predictions import TrackedTurn
from tests.engine.conftest import SAMPLE


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--no-repeat-ngram", "3"], "its answer is JSON, where keys, quotes and braces have to repeat"),
        (["--grammar", "--task", "asr"], "only the JSON of dialogue states has a grammar"),
        (["--resume"], "--resume goes on from a file of --predictions"),
        (["--predictions", str(SAMPLE), "--resume", "--overwrite"], "give one of them"),
        (["--predictions", str(SAMPLE)], "manifest.jsonl holds something already: go on from it with --resume"),
        (["--predictions", str(SAMPLE), "--task", "asr"], "manifest.jsonl holds something already"),
    ],
)
def test_evaluate_refuses(arguments, reason):
    done = CliRunner().invoke(app, ["evaluate", "--manifest", str(SAMPLE), *arguments])
    assert done.exit_code == 2 and reason in " ".join(done.stderr.split())


def test_calibrate_fits_on_predictions_and_writes_into_the_checkpoint(tmp_path):
    dialogues, lines = [], []
    for number in range(80):
        state = {"restaurant": {"food": "thai", "area": "north"}}
        dialogues.append(Dialogue(f"d{number}", [Turn(0, "user", "x", state=state)], "dev"))
        heard = {"restaurant": {"food": "thai" if number % 3 else "italian", "area": "north"}}
        sure = {"restaurant": {"food": 0.97, "area": 0.999}}
        lines.append(TrackedTurn(f"d{number}", 0, "x", heard, sure, "", True, 0.0).to_json() + "\n")
    write_manifest(tmp_path / "dev.jsonl", dialogues)
    (tmp_path / "predictions.jsonl").write_text("".join(lines))
    options = ["--manifest", str(tmp_path / "dev.jsonl"), "--predictions", str(tmp_path / "predictions.jsonl")]
    done = CliRunner().invoke(app, ["calibrate", "--checkpoint", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / CALIBRATION).read_text())
    assert written["slots"] == 160 and written["ece_after"] < 0.02 < written["ece_before"]
    assert written["fitted_on"][0].endswith("/dev.jsonl")


def test_calibrate_refuses_what_it_cannot_learn_from(tmp_path):
    dialogue = read_manifest(SAMPLE)[0]
    write_manifest(tmp_path / "dev.jsonl", [dialogue])
    (tmp_path / "predictions.jsonl").write_text("")
    options = ["--manifest", str(tmp_path / "dev.jsonl"), "--predictions", str(tmp_path / "predictions.jsonl")]
    done = CliRunner().invoke(app, ["calibrate", "--checkpoint", str(DEMO), *options])
    assert done.exit_code == 2 and "50 are needed" in " ".join(done.stderr.split())
