"""Commands that decode: settings that make no sense are refused in one sentence, before a model is loaded."""

import json
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from engine.checkpoints import DEMO, weights_hash
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


@pytest.fixture
def calibrate(tmp_path):
    """Calibrate a checkpoint whose weights are a stand-in, on predictions of 80 turns that say ``more``."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("checkpoint.json", "ontology.json"):
        shutil.copy(DEMO / name, folder)
    (folder / "connector.safetensors").write_bytes(b"weights")
    dialogues, turns = [], []
    for number in range(80):
        state = {"restaurant": {"food": "thai", "area": "north"}}
        dialogues.append(Dialogue(f"d{number}", [Turn(0, "user", "x", state=state)], "dev"))
        heard = {"restaurant": {"food": "thai" if number % 3 else "italian", "area": "north"}}
        sure = {"restaurant": {"food": 0.97, "area": 0.999}}
        turns.append(TrackedTurn(f"d{number}", 0, "x", heard, sure, "", True, 0.0))
    write_manifest(tmp_path / "dev.jsonl", dialogues)
    options = ["--manifest", str(tmp_path / "dev.jsonl"), "--predictions", str(tmp_path / "predictions.jsonl")]

    def _calibrate(folder=folder, **more):
        (tmp_path / "predictions.jsonl").write_text("".join(replace(turn, **more).to_json() + "\n" for turn in turns))
        return CliRunner().invoke(app, ["calibrate", "--checkpoint", str(folder), *options]), folder

    return _calibrate


def test_calibrate_fits_on_predictions_and_writes_into_the_checkpoint(calibrate):
    done, folder = calibrate(checkpoint="demo")
    assert done.exit_code == 0 and "after, on the same turns" in done.stdout, done.output
    written = json.loads((folder / CALIBRATION).read_text())
    assert written["slots"] == 160 and written["ece_after"] < 0.02 < written["ece_before"]
    assert written["fitted_on"][0].endswith("/dev.jsonl")


def test_calibrate_refuses_another_checkpoints_predictions_and_a_folder_that_is_none(calibrate, tmp_path):
    done, folder = calibrate(checkpoint="adapt")
    assert done.exit_code == 2 and "the predictions were made with 'adapt'" in " ".join(done.stderr.split())
    assert calibrate(checkpoint="demo", checkpoint_hash="1a")[0].exit_code == 2, "another of the same name"
    assert calibrate(checkpoint="demo", checkpoint_hash=weights_hash(folder))[0].exit_code == 0
    done, _ = calibrate(tmp_path, checkpoint="demo")
    assert done.exit_code == 2 and "no checkpoint here" in done.stderr and not (tmp_path / CALIBRATION).exists()


def test_calibrate_refuses_what_it_cannot_learn_from(tmp_path):
    write_manifest(tmp_path / "dev.jsonl", [next(found for found in read_manifest(SAMPLE) if found.split != "test")])
    (tmp_path / "predictions.jsonl").write_text("")
    options = ["--manifest", str(tmp_path / "dev.jsonl"), "--predictions", str(tmp_path / "predictions.jsonl")]
    done = CliRunner().invoke(app, ["calibrate", "--checkpoint", str(DEMO), *options])
    assert done.exit_code == 2 and "50 are needed" in " ".join(done.stderr.split())
    write_manifest(tmp_path / "dev.jsonl", read_manifest(SAMPLE))
    done = CliRunner().invoke(app, ["calibrate", "--checkpoint", str(DEMO), *options])
    assert done.exit_code == 2 and "'woz20-dev-0610' is of the split test" in " ".join(done.stderr.split())
