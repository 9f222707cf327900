"""Training: the promises that make a run trustworthy."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.checkpoints import CheckpointError, load_checkpoint, load_weights, read_info, save_checkpoint
from engine.config import RecipeError, load_recipe
from engine.data.batching import DataError, Sampler, build_examples, build_row
from engine.data.frames import FrameCache
from engine.model import SpeechLLM
from engine.training import TrainingError, saving, train
from engine.training import loop as loop_module
from engine.training.feed import Feed
from engine.training.folder import RunFolder, RunFolderError
from engine.training.processes import Processes


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="module")
def straight_run(base_models, recipe, dialogues, cache, tmp_path_factory):
    """An uninterrupted run of all three stages, with its model as it was at the end."""
    run = loop_module._Run(recipe, dialogues, RunFolder(tmp_path_factory.mktemp("straight")), None, Processes("cpu"), cache)
    result = run.run()
    assert result["status"] == "finished" and result["steps"] == 6
    return run


@pytest.fixture(scope="module")
def straight(straight_run):
    """The folder of that run."""
    return straight_run.folder.path


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "checkpoint" / "connector.safetensors") | load_file(folder / "checkpoint" / "adapter.safetensors")


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("after", [2, 5])  # between two stages, and within one
def test_a_run_stopped_anywhere_and_resumed_equals_the_straight_one_bit_for_bit(
    straight, recipe, dialogues, cache, tmp_path, monkeypatch, after
):
    write = RunFolder.log

    def log_then_stop(folder, **values):
        write(folder, **values)
        if values["step"] == after:
            folder.stop.touch()

    monkeypatch.setattr(RunFolder, "log", log_then_stop)
    assert train(recipe, dialogues, tmp_path, cache=cache)["status"] == "stopped"
    assert not (tmp_path / "checkpoint").exists()
    model, info = load_checkpoint(tmp_path / "stopped")
    stands = RunFolder(tmp_path).read_state()["weights"]
    assert all(torch.equal(parameter, stands[name]) for name, parameter in model.named_parameters() if name in stands)
    assert info.stages == tuple(stage.name for stage in recipe.stages[: after // 2 + after % 2])
    monkeypatch.setattr(RunFolder, "log", write)
    assert train(recipe, dialogues, tmp_path, resume=True, cache=cache)["status"] == "finished"
    assert not (tmp_path / "stopped").exists()
    assert losses(tmp_path) == losses(straight)
    mine, theirs = weights(tmp_path), weights(straight)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_run_that_finds_no_room_for_a_checkpoint_stops_all_the_same(
    recipe, dialogues, cache, tmp_path, monkeypatch, capsys, base_models
):
    write = RunFolder.log

    def log_then_stop(folder, **values):
        write(folder, **values)
        folder.stop.touch()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "log", log_then_stop)
    monkeypatch.setattr(saving, "save_checkpoint", full)
    assert train(recipe, dialogues, tmp_path, cache=cache)["status"] == "stopped"
    assert "stopped without a checkpoint: the checkpoint of step 1 could not be written" in capsys.readouterr().err
    assert RunFolder(tmp_path).read_state()["done"] == 1
    monkeypatch.undo()
    (tmp_path / "lost").mkdir()
    with pytest.raises(RunFolderError, match="holds no resume point"):
        train(recipe, dialogues, tmp_path / "lost", resume=True, keep=True, cache=cache)
    gone = [replace(d, turns=[replace(t, audio=t.audio and f"/gone/{Path(t.audio).name}") for t in d.turns]) for d in dialogues]
    assert train(recipe, gone, tmp_path, resume=True, keep=True)["status"] == "stopped"  # recordings that are lost do not matter
    model, _ = load_checkpoint(tmp_path / "stopped")
    saved = RunFolder(tmp_path).read_state()
    assert (saved["done"], losses(tmp_path)) == (1, losses(tmp_path)[:1])
    assert all(torch.equal(parameter, saved["weights"][n]) for n, parameter in model.named_parameters() if n in saved["weights"])
    noted = tmp_path / "base_models.json"
    hashes = json.loads(noted.read_text())
    hashes["llm"]["model.safetensors"] = "0" * 64  # it began with other weights than those that are here
    noted.write_text(json.dumps(hashes))
    with pytest.raises(RunFolderError, match=r"cannot be resumed: model\.safetensors of its llm changed since; put it back"):
        train(recipe, dialogues, tmp_path, resume=True, cache=cache)
    assert RunFolder(tmp_path).read_state()["done"] == 1


def test_a_run_folder_is_never_overwritten_and_resumes_only_what_it_began(straight, recipe, dialogues, cache, tmp_path):
    before = (straight / "result.json").read_text()
    with pytest.raises(RunFolderError, match="holds a finished run"):
        train(recipe, dialogues, straight, cache=cache)
    assert (straight / "result.json").read_text() == before
    assert train(recipe, dialogues, straight, resume=True, cache=cache)["steps"] == 6  # there is nothing left to do
    RunFolder(tmp_path).save_state({"identity": saving.identity_of(recipe, dialogues, None)})
    with pytest.raises(RunFolderError, match="add --resume"):
        train(recipe, dialogues, tmp_path, cache=cache)
    with pytest.raises(RunFolderError, match="its recipe changed"):
        train(recipe.model_copy(update={"seed": 9}), dialogues, tmp_path, resume=True, cache=cache)
    with pytest.raises(RunFolderError, match="its training data changed"):
        train(recipe, dialogues[:2], tmp_path, resume=True, cache=cache)


def test_moving_the_audio_does_not_make_another_run_of_it(recipe, dialogues):
    moved = [
        replace(d, turns=[replace(t, audio=t.audio and t.audio.replace("/audio/", "/elsewhere/")) for t in d.turns])
        for d in dialogues
    ]
    assert moved != dialogues
    assert saving.identity_of(recipe, moved, None) == saving.identity_of(recipe, dialogues, None)


def test_steps_logged_after_the_last_resume_point_are_not_counted_twice(
    straight, recipe, dialogues, cache, tmp_path, monkeypatch
):
    """A killed run has logged steps that its resume point does not hold; they run again and are logged once."""
    sparse = recipe.model_copy(update={"checkpoint_every": 100})
    write = RunFolder.log

    def log_then_die(folder, **values):
        write(folder, **values)
        if values["step"] == 3:
            raise SystemExit

    monkeypatch.setattr(RunFolder, "log", log_then_die)
    with pytest.raises(SystemExit):
        train(sparse, dialogues, tmp_path, cache=cache)
    monkeypatch.setattr(RunFolder, "log", write)
    train(sparse, dialogues, tmp_path, resume=True, cache=cache)
    assert losses(tmp_path) == losses(straight)


def test_accumulating_small_batches_equals_one_big_batch(recipe, dialogues, cache, tmp_path, straight):
    unmasked = recipe.stage("stage2").augment.model_copy(update={"time_masks": 0})
    stage = recipe.stage("stage2").model_copy(update={"steps": 1, "augment": unmasked})
    model = recipe.model.model_copy(update={"connector": recipe.model.connector.model_copy(update={"dropout": 0.0})})
    results = []
    for name, positions in (("big", 100000), ("small", 64)):
        one = recipe.model_copy(update={"model": model, "stages": [stage.model_copy(update={"max_positions": positions})]})
        train(one, dialogues, tmp_path / name, cache=cache)
        results.append((losses(tmp_path / name), json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])))
    (big, first_big), (small, first_small) = results
    assert big == pytest.approx(small, rel=1e-4)
    assert first_big["grad_norm"] == pytest.approx(first_small["grad_norm"], rel=1e-3)


def test_target_logits_are_those_of_the_whole_row_and_do_not_depend_on_the_batch(model, recipe, dialogues, cache):
    frames = FrameCache(model, cache)
    examples = build_examples(dialogues, "dst", recipe.prompt)[:4]
    rows = [build_row(model, recipe.prompt, e, frames.get(e.turn)) for e in examples]

    @torch.no_grad()
    def logits(some):
        batch = model.collate(some, multiple=16)
        return model.target_logits(batch, *model.speech(batch.frames, batch.valid))

    together = logits(rows)
    alone = torch.cat([logits([row]) for row in rows])
    assert len(together) == sum(len(row.target) for row in rows)
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=1e-3)


def test_saved_and_loaded_checkpoint_gives_the_same_logits(straight_run, straight, recipe, dialogues, cache):
    loaded, info = load_checkpoint(straight / "checkpoint")
    assert info.stages == ("align", "stage1", "stage2") and "restaurant" in info.ontology.values
    example = build_examples(dialogues, "dst", recipe.prompt)[0]
    logits = []
    for model in (straight_run.model.eval(), loaded.eval()):
        row = build_row(model, recipe.prompt, example, FrameCache(model, cache).get(example.turn))
        with torch.no_grad():
            batch = model.collate([row])
            logits.append(model.target_logits(batch, *model.speech(batch.frames, batch.valid)))
    assert torch.equal(*logits)


def test_a_trainable_parameter_without_a_gradient_is_named(recipe, dialogues, cache, tmp_path, base_models):
    stage = recipe.stage("align").model_copy(update={"trainable": ["^connector\\.", "lora_"]})
    with pytest.raises(TrainingError, match="no gradient on the first step, for instance llm.*lora_A"):
        train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, cache=cache)


def test_a_non_finite_loss_stops_and_keeps_the_last_resume_point(recipe, dialogues, cache, tmp_path, monkeypatch, base_models):
    stage = recipe.stage("align").model_copy(update={"steps": 3})
    calls = []

    def poisoned(*arguments):
        calls.append(1)
        mask = original(*arguments)
        return mask * float("nan") if len(calls) == 2 else mask

    original = Feed.masks
    monkeypatch.setattr(Feed, "masks", poisoned)
    with pytest.raises(TrainingError, match="step 2, on .*flac turn .*--base .*last_good"):
        train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, cache=cache)
    assert RunFolder(tmp_path).read_state()["step"] == 1
    load_checkpoint(tmp_path / "last_good")


def test_an_infinite_loss_with_finite_gradients_changes_no_weights(recipe, dialogues, cache, tmp_path, monkeypatch, base_models):
    stage = recipe.stage("align").model_copy(update={"steps": 3})
    original = loop_module._Run._loss

    def infinite(run, *arguments):
        loss, *rest = original(run, *arguments)
        return (loss + float("inf") if run.done == 1 else loss), *rest

    monkeypatch.setattr(loop_module._Run, "_loss", infinite)
    with pytest.raises(TrainingError, match="the loss became inf"):
        train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, cache=cache)
    good = load_checkpoint(tmp_path / "last_good")[0].state_dict()
    before = RunFolder(tmp_path).read_state()["weights"]
    assert all(torch.equal(good[name], value) for name, value in before.items())


def test_a_power_cut_that_tears_the_metrics_costs_figures_and_not_the_run(
    straight, recipe, dialogues, cache, tmp_path, monkeypatch, capsys
):
    write = RunFolder.log

    def log_then_stop(folder, **values):
        write(folder, **values)
        if values["step"] == 5:
            folder.stop.touch()

    monkeypatch.setattr(RunFolder, "log", log_then_stop)
    train(recipe, dialogues, tmp_path, cache=cache)
    monkeypatch.setattr(RunFolder, "log", write)
    metrics = tmp_path / "metrics.jsonl"
    kept = metrics.read_text().splitlines(keepends=True)[:3]
    metrics.write_text("".join(kept[:2]) + kept[2][:30])
    result = train(recipe, dialogues, tmp_path, resume=True, cache=cache)
    assert (result["status"], result["steps"]) == ("finished", 6)
    assert losses(tmp_path) == losses(straight)[:2] + losses(straight)[5:]
    assert "the figures of 3 of 5 steps are lost" in capsys.readouterr().err
    mine, theirs = weights(tmp_path), weights(straight)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_figures_are_on_the_disk_before_the_resume_point_that_counts_them(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("engine.training.folder.fsync", lambda path: synced.append(path.name))
    folder = RunFolder(tmp_path)
    folder.log(step=1)
    folder.save_state({"stage": 0, "best": {"step": 0}})
    assert synced == ["metrics.jsonl", "state.partial"]


@pytest.mark.parametrize("left", [0, 100, -10])
def test_frames_that_cannot_be_read_are_computed_again(model, dialogues, tmp_path, left):
    turn = next(turn for dialogue in dialogues for turn in dialogue.user_turns() if turn.audio)
    frames = FrameCache(model, tmp_path)
    whole = frames.get(turn)
    file = next(tmp_path.rglob("*.npy"))
    file.write_bytes(file.read_bytes()[:left])
    assert frames.read(turn) is None
    assert torch.equal(frames.get(turn), whole) and torch.equal(frames.read(turn), whole)


def test_frozen_parts_stay_as_they_were_and_the_others_move(straight_run, model):
    fresh = dict(model.named_parameters())
    moved = {name for name, parameter in straight_run.model.named_parameters() if not torch.equal(parameter, fresh[name])}
    assert not [name for name in moved if model.is_base(name)]
    assert {"connector.inlet.weight", "ctc.blank"} < moved and any("lora_B" in name for name in moved)


def test_a_run_can_start_from_a_checkpoint(straight, recipe, dialogues, cache, tmp_path):
    stage = recipe.stage("stage2").model_copy(
        update={"steps": 1, "learning_rate": 1e-12, "learning_rates": {}, "weight_decay": 0.0}
    )
    train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, base=straight / "checkpoint", cache=cache)
    mine, theirs = weights(tmp_path), weights(straight)
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-6) for name in theirs)
    assert read_info(tmp_path / "checkpoint").stages == ("align", "stage1", "stage2", "stage2")


def test_batches_are_a_function_of_seed_and_step_and_cover_every_example(recipe, dialogues):
    stage = recipe.stage("stage2").model_copy(update={"batch": 3})
    one, two = (Sampler(dialogues, stage, recipe.prompt, seed=5) for _ in range(2))
    epoch = -(-len(one.examples()) // 3)
    assert [one.batch(step) for step in range(2 * epoch)] == [two.batch(step) for step in range(2 * epoch)]
    seen = [example for step in range(epoch) for example in one.batch(step)]
    assert sorted(map(id, seen)) == sorted(map(id, one.examples()))
    other = Sampler(dialogues, stage, recipe.prompt, seed=6)
    assert [one.batch(step) for step in range(epoch)] != [other.batch(step) for step in range(epoch)]


def test_data_without_states_cannot_train_stage_2(recipe, dialogues):
    from dataclasses import replace

    unlabelled = [replace(d, turns=[replace(t, state=None) for t in d.turns]) for d in dialogues]
    with pytest.raises(DataError, match="transcript and a state"):
        Sampler(unlabelled, recipe.stage("stage2"), recipe.prompt, 1)


@pytest.mark.parametrize(
    ("pattern", "reason"), [("conector", "'conector' matches no parameter"), ("^encoder", "matches encoder.*a base model's")]
)
def test_what_no_checkpoint_holds_is_refused_before_the_first_stage(recipe, dialogues, cache, tmp_path, pattern, reason):
    bad = recipe.stage("stage2").model_copy(update={"trainable": [pattern]})
    with pytest.raises(RecipeError, match=reason):
        train(recipe.model_copy(update={"stages": [recipe.stage("align"), bad]}), dialogues, tmp_path, cache=cache)
    assert not (tmp_path / "metrics.jsonl").read_text()


def test_no_training_split_and_no_base_are_said_before_models_are_loaded(recipe, dialogues, tmp_path):
    from dataclasses import replace

    with pytest.raises(DataError, match="has split 'train'"):
        train(recipe, [replace(dialogue, split="test") for dialogue in dialogues], tmp_path)
    with pytest.raises(RecipeError, match="name it with --base"):
        train(load_recipe("adapt"), dialogues, tmp_path)


def test_foreign_weights_are_refused(straight):
    other = SpeechLLM(load_recipe("demo", ["model.connector.stack=6"]).model)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_weights(other, straight / "checkpoint")


def test_a_damaged_checkpoint_says_what_is_wrong(straight, tmp_path, model, info):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        load_checkpoint(tmp_path)
    save_checkpoint(model, info, tmp_path / "c")
    (tmp_path / "c" / "adapter.safetensors").write_bytes(b"\x00" * 10)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "c")


def test_bfloat16_export_is_smaller_and_loads(model, info, tmp_path):
    save_checkpoint(model, info, tmp_path / "c", torch.bfloat16)
    assert sum(file.stat().st_size for file in (tmp_path / "c").iterdir()) < 45e6
    loaded, _ = load_checkpoint(tmp_path / "c")
    assert loaded.connector.inlet.weight.dtype == torch.float32
