"""Training: the promises that make a run trustworthy."""

import json

import pytest
import torch

from engine.checkpoints import CheckpointError, load_checkpoint, load_weights, read_info, save_checkpoint
from engine.config import RecipeError, load_recipe
from engine.data.batching import DataError, Sampler, build_examples, build_row
from engine.data.frames import FrameCache
from engine.training import TrainingError, train
from engine.training import loop as loop_module


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="module")
def straight(base_models, recipe, dialogues, cache, tmp_path_factory):
    """An uninterrupted run of all three stages."""
    out = tmp_path_factory.mktemp("straight")
    result = train(recipe, dialogues, out, cache=cache)
    assert result["status"] == "finished" and result["steps"] == 6
    return out


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "checkpoint" / "connector.safetensors") | load_file(
        folder / "checkpoint" / "adapter.safetensors"
    )


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_run_stopped_anywhere_and_resumed_equals_the_straight_one_bit_for_bit(
    straight, recipe, dialogues, cache, tmp_path, monkeypatch, after
):
    write = loop_module._Run._log

    def log_then_stop(run, **values):
        write(run, **values)
        if values["step"] == after:
            (run.out / "stop").touch()

    monkeypatch.setattr(loop_module._Run, "_log", log_then_stop)
    assert train(recipe, dialogues, tmp_path, cache=cache)["status"] == "stopped"
    assert not (tmp_path / "checkpoint").exists()
    monkeypatch.setattr(loop_module._Run, "_log", write)
    assert train(recipe, dialogues, tmp_path, resume=True, cache=cache)["status"] == "finished"
    assert losses(tmp_path) == losses(straight)
    mine, theirs = weights(tmp_path), weights(straight)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_run_folder_is_never_overwritten_and_resumes_only_what_it_began(straight, recipe, dialogues, cache, tmp_path):
    with pytest.raises(DataError, match="holds a finished run"):
        train(recipe, dialogues, straight, cache=cache)
    assert train(recipe, dialogues, straight, resume=True, cache=cache)["steps"] == 6  # there is nothing left to do
    (tmp_path / "resume").mkdir()
    identity = loop_module._identity(recipe, dialogues)
    torch.save({"identity": identity}, tmp_path / "resume" / "state.pt")
    with pytest.raises(DataError, match="add --resume"):
        train(recipe, dialogues, tmp_path, cache=cache)
    with pytest.raises(DataError, match="its recipe has changed"):
        train(recipe.model_copy(update={"seed": 9}), dialogues, tmp_path, resume=True, cache=cache)
    with pytest.raises(DataError, match="its training data has changed"):
        train(recipe, dialogues[:2], tmp_path, resume=True, cache=cache)


def test_steps_logged_after_the_last_resume_point_are_not_counted_twice(
    straight, recipe, dialogues, cache, tmp_path, monkeypatch
):
    """A killed run has logged steps that its resume point does not hold; they run again and are logged once."""
    sparse = recipe.model_copy(update={"checkpoint_every": 100})
    write = loop_module._Run._log

    def log_then_die(run, **values):
        write(run, **values)
        if values["step"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop_module._Run, "_log", log_then_die)
    with pytest.raises(KeyboardInterrupt):
        train(sparse, dialogues, tmp_path, cache=cache)
    monkeypatch.setattr(loop_module._Run, "_log", write)
    train(sparse, dialogues, tmp_path, resume=True, cache=cache)
    assert losses(tmp_path) == losses(straight)


def test_accumulating_small_batches_equals_one_big_batch(recipe, dialogues, cache, tmp_path, straight):
    stage = recipe.stage("stage2").model_copy(
        update={"augment": recipe.stage("stage2").augment.model_copy(update={"time_masks": 0})}
    )
    model = recipe.model.model_copy(update={"connector": recipe.model.connector.model_copy(update={"dropout": 0.0})})
    results = []
    for name, positions in (("big", 100000), ("small", 64)):
        one = recipe.model_copy(
            update={"model": model, "stages": [stage.model_copy(update={"max_positions": positions})]}
        )
        train(one, dialogues, tmp_path / name, cache=cache)
        results.append(
            (losses(tmp_path / name), json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0]))
        )
    (big, first_big), (small, first_small) = results
    assert big == pytest.approx(small, rel=1e-4)
    assert first_big["grad_norm"] == pytest.approx(first_small["grad_norm"], rel=1e-3)


def test_target_logits_are_those_of_the_whole_row_and_do_not_depend_on_the_batch(model, recipe, dialogues, cache):
    frames = FrameCache(model, cache)
    rows = [build_row(model, recipe.prompt, e, frames.get(e.turn)) for e in build_examples(dialogues, "dst")[:4]]

    @torch.no_grad()
    def logits(some):
        batch = model.collate(some, multiple=16)
        return model.target_logits(batch, *model.speech(batch.frames, batch.valid))

    together = logits(rows)
    alone = torch.cat([logits([row]) for row in rows])
    assert len(together) == sum(len(row.target) for row in rows)
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=1e-3)


def test_saved_and_loaded_checkpoint_gives_the_same_logits(straight, recipe, dialogues, cache):
    first, info = load_checkpoint(straight / "checkpoint")
    assert info.stages == ("align", "stage1", "stage2") and "restaurant" in info.ontology.values
    second, _ = load_checkpoint(straight / "checkpoint")
    example = build_examples(dialogues, "dst")[0]
    row = build_row(first, recipe.prompt, example, FrameCache(first, cache).get(example.turn))
    with torch.no_grad():
        batches = [m.eval().collate([row]) for m in (first, second)]
        one, two = (
            m.target_logits(b, *m.speech(b.frames, b.valid)) for m, b in zip((first, second), batches, strict=True)
        )
    assert torch.equal(one, two)


def test_a_trainable_parameter_without_a_gradient_is_named(recipe, dialogues, cache, tmp_path, base_models):
    stage = recipe.stage("align").model_copy(update={"trainable": ["^connector\\.", "lora_"]})
    with pytest.raises(TrainingError, match="no gradient on the first step, for instance llm.*lora_A"):
        train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, cache=cache)


def test_a_non_finite_loss_stops_and_keeps_the_last_resume_point(
    recipe, dialogues, cache, tmp_path, monkeypatch, base_models
):
    stage = recipe.stage("align").model_copy(update={"steps": 3})
    calls = []

    def poisoned(*arguments):
        calls.append(1)
        mask = original(*arguments)
        return mask * float("nan") if len(calls) == 2 else mask

    original = loop_module._mask
    monkeypatch.setattr(loop_module, "_mask", poisoned)
    with pytest.raises(TrainingError, match="step 2, on .*flac turn .*lower the learning rate"):
        train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, cache=cache)
    assert torch.load(tmp_path / "resume" / "state.pt", weights_only=True)["step"] == 1


def test_frozen_parts_stay_as_they_were(straight, recipe, model):
    trained, _ = load_checkpoint(straight / "checkpoint")
    fresh = dict(model.named_parameters())
    for name, parameter in trained.named_parameters():
        if name.startswith("encoder.") or (name.startswith("llm.") and "lora_" not in name):
            assert torch.equal(parameter, fresh[name]), name


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
    one, two = (Sampler(dialogues, stage, seed=5) for _ in range(2))
    epoch = -(-len(one.examples()) // 3)
    assert [one.batch(step) for step in range(2 * epoch)] == [two.batch(step) for step in range(2 * epoch)]
    seen = [example for step in range(epoch) for example in one.batch(step)]
    assert sorted(map(id, seen)) == sorted(map(id, one.examples()))
    assert one.batch(0) != Sampler(dialogues, stage, seed=6).batch(0)


def test_data_without_states_cannot_train_stage_2(recipe, dialogues):
    from dataclasses import replace

    unlabelled = [replace(d, turns=[replace(t, state=None) for t in d.turns]) for d in dialogues]
    with pytest.raises(DataError, match="transcript and a state"):
        Sampler(unlabelled, recipe.stage("stage2"), 1)


def test_patterns_that_match_nothing_and_foreign_weights_are_refused(recipe, dialogues, cache, tmp_path, straight):
    stage = recipe.stage("align").model_copy(update={"trainable": ["conector"]})
    with pytest.raises(RecipeError, match="'conector' matches no parameter"):
        train(recipe.model_copy(update={"stages": [stage]}), dialogues, tmp_path, cache=cache)
    from engine.model import SpeechLLM

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
