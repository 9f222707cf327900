"""What can go wrong with a recipe, its data or the machine: one sentence each, and nothing lost."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.audio import AudioError
from engine.checkpoints import CheckpointInfo, load_checkpoint
from engine.config import RecipeError, parse_recipe
from engine.data.batching import DataError
from engine.training import TrainingError, train
from engine.training.checks import check_model, with_base
from engine.training.feed import Feed
from engine.training.folder import RunFolder, RunFolderError
from engine.training.objective import Objective


@pytest.mark.parametrize(
    ("stage", "model", "message"),
    [
        ({"trainable": ["conector"]}, {}, "'conector' matches no parameter"),
        ({"trainable": ["^encoder"]}, {}, "encoder.*stays frozen.*model.encoder_tuning"),
        ({"tasks": {"slot-filling": 1.0}}, {}, "stage 's1'.*task 'slot-filling' cannot be trained"),
        ({"sources": {"gamma": 1.0}}, {}, "'gamma' selects no turn.*'alpha', 'beta', 'noise'"),
        ({"sources": {"alpha": 1.0, "beta": 0.05}}, {}, "'beta' has a share of 0.19 rows in a batch of 4; raise"),
        ({"tasks": {"asr": 1.0}, "sources": {"noise": 1.0}, "matching": {"cosine": 1.0}}, {}, "matching compares speech"),
        ({"augment": {"noise": "nowhere"}}, {}, "augment.noise must name a folder.*nowhere: no such manifest"),
        ({"eval_every": 1, "sources": {"noise": 1.0}, "tasks": {"asr": 1.0}}, {}, "'dev' with turns for its tasks and sources"),
    ],
)
def test_a_stage_that_cannot_work_is_refused_before_the_first_step(make_recipe, corpus, tmp_path, stage, model, message):
    with pytest.raises((RecipeError, DataError), match=message):
        train(make_recipe(model=model, **stage), corpus, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("patience", 2, "patience needs eval_every"),
        ("ce_weight", 0, "a stage needs a loss"),
        ("eval_dialogues", 2, "eval_dialogues needs eval_every"),
        ("augment", {"noise_snr": [20, 5]}, r"noise_snr \[20.0, 5.0\] must be \[lowest, highest\]"),
        ("augment", {"speeds": [9.0]}, "less than or equal to 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(make_recipe, key, value, message):
    data = make_recipe().model_dump()
    data["stages"][0][key] = value
    with pytest.raises(RecipeError, match=message):
        parse_recipe(data)


def test_fsdp_on_4_bit_weights_is_refused(make_recipe):
    spread = SimpleNamespace(shard=True)
    with pytest.raises(RecipeError, match="FSDP cannot spread 4-bit weights: leave out --fsdp"):
        check_model(make_recipe(model={"quantization": "4bit"}), spread)
    check_model(make_recipe(), spread)


def test_a_base_trained_otherwise_is_refused(make_recipe):
    recipe = make_recipe()
    info = CheckpointInfo("base", recipe.model, recipe.prompt)
    assert with_base(recipe, info).model == recipe.model
    for section, key, value in (("prompt", "layout", "history_first"), ("model", "llm", "elsewhere")):
        data = recipe.model_dump(exclude_unset=True)
        data.setdefault(section, {})[key] = value
        with pytest.raises(RecipeError, match=f"says {section}.{key} = '{value}', but checkpoint base was trained with"):
            with_base(parse_recipe(data), info)
    faster = recipe.model_dump(exclude_unset=True)
    faster["model"]["llm_dtype"] = "bfloat16"
    assert with_base(parse_recipe(faster), info).model.llm_dtype == "bfloat16"  # how it computes is the recipe's to say


def test_missing_recordings_are_counted_before_the_first_step(make_recipe, corpus, tmp_path):
    gone = [replace(d, turns=[replace(t, audio=t.audio and t.audio + ".gone") for t in d.turns]) for d in corpus]
    with pytest.raises(AudioError, match=r"d0-0.flac.gone: no such audio file \(and \d+ others\); put it back"):
        train(make_recipe(), gone, tmp_path)


def test_data_gone_in_the_middle_costs_no_step(make_recipe, corpus, tmp_path, monkeypatch):
    read = Feed._sound
    steps = []

    def vanishing(feed, example, seed):
        steps.append(seed)
        if len(steps) > 8:
            raise AudioError(f"{example.turn.audio}: no such audio file")
        return read(feed, example, seed)

    recipe = make_recipe(steps=5).model_copy(update={"checkpoint_every": 100})
    monkeypatch.setattr(Feed, "_sound", vanishing)
    with pytest.raises(TrainingError, match="stage s1, step 3 could not read its data: .*no such audio file.*--resume"):
        train(recipe, corpus, tmp_path / "a", cache=tmp_path / "cache")
    monkeypatch.setattr(Feed, "_sound", read)
    train(recipe, corpus, tmp_path / "a", cache=tmp_path / "cache", resume=True)
    train(recipe, corpus, tmp_path / "b", cache=tmp_path / "cache")
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate")]
)
def test_memory_that_ran_out_names_the_knob_and_a_lower_one_goes_on(make_recipe, corpus, tmp_path, monkeypatch, error):
    forward = Objective.forward
    calls = []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return forward(*arguments)

    monkeypatch.setattr(Objective, "forward", full)
    with pytest.raises(TrainingError, match=r"out of memory in stage s1, step 2: lower s1.max_positions \(now 4096\)"):
        train(make_recipe(), corpus, tmp_path, cache=tmp_path / "cache")
    assert train(make_recipe(max_positions=64), corpus, tmp_path, cache=tmp_path / "cache", resume=True)["steps"] == 3


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from types import SimpleNamespace
from engine.config import parse_recipe
from engine.dialogue import read_manifest
from engine.training import TrainingError, train
from engine.training.folder import RunFolder
recipe, manifest, out = sys.argv[1:]
log = RunFolder.log
def log_then_fill(folder, **values):
    log(folder, **values)
    if values["step"] == 2:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
RunFolder.log = log_then_fill
try:
    train(parse_recipe(json.loads(Path(recipe).read_text())), read_manifest(manifest), Path(out), cache=Path(out) / "cache")
except TrainingError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_disk_that_fills_up_leaves_the_last_resume_point(make_recipe, manifest, corpus, tmp_path):
    """The disk is filled by a limit on file sizes: writing fails half-way through the second resume point."""
    (tmp_path / "recipe.json").write_text(make_recipe().model_dump_json())
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    arguments = [str(tmp_path / "recipe.json"), str(manifest), str(tmp_path / "run")]
    said = subprocess.run([sys.executable, "-c", FULL_DISK, *arguments], env=environment, capture_output=True, text=True)
    assert "the resume point of step 2 could not be written" in said.stdout and "--resume" in said.stdout, said.stderr[-2000:]
    assert RunFolder(tmp_path / "run").read_state()["step"] == 1
    assert [file.name for file in (tmp_path / "run" / "resume").iterdir()] == ["state.safetensors"]
    assert train(make_recipe(), corpus, tmp_path / "run", resume=True)["steps"] == 3
    load_checkpoint(tmp_path / "run" / "checkpoint")


def test_a_damaged_resume_point_is_named_and_left_alone(make_recipe, corpus, tmp_path):
    folder = RunFolder(tmp_path)
    folder.save_state({"identity": {}, "stage": 0, "step": 1, "done": 1, "best": {"step": 0}, "weights": {"w": torch.ones(9)}})
    file = tmp_path / "resume" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(RunFolderError, match="state.safetensors is damaged .*start a new run"):
        train(make_recipe(), corpus, tmp_path, resume=True)
    assert file.exists()


KEEPS_THE_FOLDER = """
import sys
from pathlib import Path
from engine.training.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
folder.claim({"recipe": "one"})
print("mine", flush=True)
sys.stdin.read()
"""


def test_two_processes_never_write_to_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.training.folder.LOCK_SECONDS", 0.2, raising=False)
    command = [sys.executable, "-c", KEEPS_THE_FOLDER, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    other = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "mine\n"
        (tmp_path / "result.json").write_text("{}")
        with pytest.raises(RunFolderError, match=f"another process writes to {tmp_path}: end it"):
            RunFolder(tmp_path).claim({"recipe": "one"})
        assert (tmp_path / "result.json").exists(), "nothing was changed"
    finally:
        other.kill()
        other.communicate()
    RunFolder(tmp_path).claim({"recipe": "one"})


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_what_a_kill_left_of_a_save_goes_when_the_run_is_claimed_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "resume").mkdir()
    (tmp_path / "resume" / ".tmpab12").write_bytes(b"half")
    folder.claim({})
    assert list((tmp_path / "resume").iterdir()) == []
