"""Stages on tiny models: encoders that train, augmented waveforms, evaluation, what a resumed run repeats."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from engine.data.batching import build_row
from engine.dialogue import Dialogue, Turn
from engine.training import loop as loop_module
from engine.training import train, watching
from engine.training.folder import RunFolder
from engine.training.watching import FIRST_TURNS, excerpt

LORA = {"encoder_tuning": "lora", "encoder_lora": {"rank": 2, "alpha": 4}}
FULL = {"encoder_tuning": "full"}


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return [line["loss"] for line in lines(folder)]


@pytest.fixture
def stop_after(monkeypatch):
    """Make the run stop after a step, once."""
    write = RunFolder.log

    def arm(step):
        def log(folder, **values):
            write(folder, **values)
            if values["step"] == step:
                folder.stop.touch()
                monkeypatch.setattr(RunFolder, "log", write)

        monkeypatch.setattr(RunFolder, "log", log)

    return arm


def resumed(recipe, corpus, folder, after, stop_after):
    stop_after(after)
    assert train(recipe, corpus, folder, cache=folder / "cache")["status"] == "stopped"
    assert train(recipe, corpus, folder, cache=folder / "cache", resume=True)["status"] == "finished"
    return losses(folder)


@pytest.mark.parametrize(("model", "pattern"), [(LORA, "encoder.*lora_"), (FULL, "^encoder\\.")])
def test_an_encoder_trains_and_its_run_resumes_bit_for_bit(make_recipe, corpus, tmp_path, stop_after, model, pattern):
    """With dropout, speed perturbation, noise and SpecAugment all on, and an own learning rate for the encoder."""
    augment = {"speeds": [0.9, 1.0, 1.1], "noise": str(tmp_path / "noise"), "time_masks": 2, "feature_masks": 1}
    (tmp_path / "noise").mkdir()
    shutil.copy(corpus[-1].turns[0].audio, tmp_path / "noise")
    stages = [
        {
            "trainable": ["^connector\\.", pattern],
            "augment": augment,
            "learning_rates": {"^encoder": 1e-3},
            "tasks": {"asr": 1.0},
        },
        {"steps": 1},
    ]
    recipe = make_recipe(model=model, stages=stages)
    run = loop_module._Run(recipe, corpus, RunFolder(tmp_path / "straight"), None, loop_module.Processes("cpu"), tmp_path / "c")
    before = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    fingerprint = run.model.encoder.fingerprint
    run.run()
    moved = [name for name, value in run.model.named_parameters() if not torch.equal(value, before[name])]
    assert any(name.startswith("encoder.") for name in moved)
    assert run.model.encoder.fingerprint != fingerprint
    assert resumed(recipe, corpus, tmp_path / "resumed", 2, stop_after) == losses(tmp_path / "straight")


def test_frozen_frames_come_from_the_cache_unless_waveforms_change(make_recipe, corpus, tmp_path):
    train(make_recipe(steps=1), corpus, tmp_path / "plain", cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 4
    train(make_recipe(steps=1, augment={"speeds": [0.9]}), corpus, tmp_path / "fast", cache=tmp_path / "other")
    assert not list((tmp_path / "other").rglob("*.npy"))
    assert losses(tmp_path / "plain") != losses(tmp_path / "fast")


def test_accumulation_changes_nothing_even_with_an_encoder_that_trains(make_recipe, steady_encoder, corpus, tmp_path):
    connector = {"stack": 4, "layers": 1, "width": 32, "heads": 2, "ffn": 32, "dropout": 0.0}
    model = LORA | {"encoder": steady_encoder, "connector": connector, "lora": {"rank": 4}}
    curves = []
    for positions in (100_000, 64):
        stage = {"trainable": ["^connector\\.", "lora_"], "max_positions": positions, "augment": {"time_masks": 1}}
        train(make_recipe(model=model, **stage), corpus, tmp_path / str(positions))
        curves.append(losses(tmp_path / str(positions)))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_the_best_weights_of_the_dev_dialogues_are_kept_and_patience_ends_a_stage(
    make_recipe, corpus, tmp_path, monkeypatch, stop_after
):
    """Dev losses 5, 3, 4, 6: the stage ends after the fourth evaluation and keeps the weights of the second."""
    recipe = make_recipe(stages=[{"steps": 20, "eval_every": 1, "patience": 2, "eval_dialogues": 1}, {"steps": 1}])
    kept, restored = {}, []
    take, save, put = loop_module.Best.take, RunFolder.save_best, loop_module._Run._put_weights

    def save_best(folder, stage, step, weights):
        kept[step] = weights
        save(folder, stage, step, weights)

    def put_weights(run, weights):
        restored.append(weights)
        put(run, weights)

    monkeypatch.setattr(loop_module.Best, "take", lambda best, loss, step: take(best, [5.0, 3.0, 4.0, 6.0][step - 1], step))
    monkeypatch.setattr(RunFolder, "save_best", save_best)
    monkeypatch.setattr(loop_module._Run, "_put_weights", put_weights)
    train(recipe, corpus, tmp_path / "a", cache=tmp_path / "cache")
    written = lines(tmp_path / "a")
    assert [line["stage"] for line in written] == ["s1"] * 4 + ["s2"] and written[-1]["step"] == written[-1]["total_steps"] == 5
    assert sorted(kept) == [1, 2] and all(torch.equal(restored[0][name], value) for name, value in kept[2].items())
    assert any(not torch.equal(kept[1][name], value) for name, value in kept[2].items())
    assert {"eval_loss", "eval_wer", "eval_jga", "eval_seconds"} <= set(written[0]) and "eval_loss" not in written[-1]
    assert not list((tmp_path / "a").rglob("best-*"))
    assert resumed(recipe, corpus, tmp_path / "b", 3, stop_after) == losses(tmp_path / "a")


@pytest.mark.parametrize(("where", "task"), [("loss", "dst"), ("eval", "dst"), ("eval", "asr"), ("held_out", "dst")])
def test_a_stop_is_heard_in_the_middle_of_an_evaluation_and_costs_nothing(
    make_recipe, corpus, tmp_path, monkeypatch, where, task
):
    """It is asked for after the second step: in the dev loss, in the answers to dev dialogues, or in those that are watched."""
    stage = {"steps": 4, "batch": 2, "eval_every": 2, "eval_dialogues": 2, "patience": 2, "tasks": {task: 1.0}}
    recipe, held_out = make_recipe(**stage), [replace(d, split="test") for d in corpus if d.split == "dev"]
    monkeypatch.setattr(watching, "WATCH_STEPS", 2)

    def run(name, **more):
        return train(recipe, corpus, tmp_path / name, cache=tmp_path / "cache", watched=held_out, **more)["status"]

    run("a")
    done = []

    def ask(place, step):
        if step == 2:
            done.append(place)
            if done.count(where) == 1:
                (tmp_path / "b" / "stop").touch()

    loss, to, track = loop_module._Run._loss, watching.Answers.to, watching.track_dialogues

    def evaluated_loss(one, feed, micro):
        if not one.model.training:
            ask("loss", one.done)
        return loss(one, feed, micro)

    def answers_to(answers, what, dialogues, stage, step, *more):
        def tracked(*arguments):
            for turn in track(*arguments):
                ask(what, step)
                yield turn

        monkeypatch.setattr(watching, "track_dialogues", tracked)
        if "asr" in stage.tasks:
            ask(what, step)
        return to(answers, what, dialogues, stage, step, *more)

    with monkeypatch.context() as watched:
        watched.setattr(loop_module._Run, "_loss", evaluated_loss)
        watched.setattr(watching.Answers, "to", answers_to)
        assert run("b") == "stopped"
    assert (done[-1], done.count(where)) == (where, 1), "it ends before the next batch or turn"
    assert len(lines(tmp_path / "b")) == 2, "the step itself counts"
    assert ("eval_loss" in lines(tmp_path / "b")[1]) == (where == "held_out")
    assert run("b", resume=True) == "finished"
    kept = [[{key: value for key, value in line.items() if told(key)} for line in lines(tmp_path / name)] for name in "ab"]
    assert kept[0] == kept[1]
    for file in (tmp_path / "a" / "checkpoint").glob("*.safetensors"):
        assert file.read_bytes() == (tmp_path / "b" / "checkpoint" / file.name).read_bytes()


def told(key):
    return not key.startswith("held_out") and "seconds" not in key and key != "memory_gb"


def test_the_dev_loss_is_that_of_whole_rows_without_dropout_or_augmentation(make_recipe, corpus, tmp_path):
    stage = {"steps": 2, "eval_every": 1, "learning_rate": 1e-12, "augment": {"time_masks": 2}, "max_positions": 64}
    train(make_recipe(**stage), corpus, tmp_path, cache=tmp_path / "cache")
    first, second = (line["eval_loss"] for line in lines(tmp_path))
    assert first == pytest.approx(second, rel=1e-6)


def test_a_stage_of_asr_alone_is_decoded_as_asr(make_recipe, corpus, tmp_path):
    train(make_recipe(steps=1, tasks={"asr": 1.0}, eval_every=1, eval_dialogues=1), corpus, tmp_path, cache=tmp_path / "cache")
    assert lines(tmp_path)[0]["eval_wer"] > 0 and "eval_jga" not in lines(tmp_path)[0]


def test_non_speech_trains_to_answer_nothing(make_recipe, corpus, tmp_path):
    """Empty transcripts are rows of their own, with the end of the sequence as their only target, under every loss."""
    stage = {"tasks": {"asr": 1.0}, "sources": {"noise": 1.0, "alpha": 1.0}, "max_positions": 64, "ctc_weight": 1.0}
    recipe = make_recipe(**stage, trainable=["^connector\\.", "^ctc\\.", "llm.*lora_"], matching={"mse": 1.0, "cosine": 1.0})
    run = loop_module._Run(recipe, corpus, RunFolder(tmp_path), None, loop_module.Processes("cpu"), tmp_path / "cache")
    rows = [build_row(run.model, recipe.prompt, e, torch.empty(3, 0)) for e in run.samplers[0].batch(0) if not e.turn.transcript]
    assert [row.target for row in rows] == [[run.model.tokenizer.eos_token_id]] * 2
    assert run.run()["status"] == "finished"


@pytest.mark.parametrize("tasks", [{"dst": 1.0}, {"asr": 1.0}], ids=["dst", "asr"])
def test_watched_dialogues_are_answered_and_change_nothing(make_recipe, corpus, tmp_path, monkeypatch, tasks):
    monkeypatch.setattr(watching, "WATCH_STEPS", 2)
    recipe = make_recipe(steps=5, tasks=tasks)
    held_out = [replace(dialogue, split="test") for dialogue in corpus if dialogue.split == "dev"]
    train(recipe, corpus, tmp_path / "alone", cache=tmp_path / "cache")
    train(recipe, corpus, tmp_path / "watched", cache=tmp_path / "cache", watched=held_out)
    alone, watched = lines(tmp_path / "alone"), lines(tmp_path / "watched")
    assert [line["step"] for line in watched if "held_out_wer" in line] == [1, 2, 4, 5]
    assert all(("held_out_jga" in line) == ("dst" in tasks and "held_out_wer" in line) for line in watched)
    assert [(line["loss"], line["grad_norm"]) for line in watched] == [(line["loss"], line["grad_norm"]) for line in alone]
    for file in (tmp_path / "alone" / "checkpoint").glob("*.safetensors"):
        assert file.read_bytes() == (tmp_path / "watched" / "checkpoint" / file.name).read_bytes()
    samples = json.loads((tmp_path / "watched" / "samples.json").read_text())
    assert (samples["step"], samples["stage"], samples["of"]) == (5, "s1", "held_out")
    asked = [(d.dialogue_id, turn.turn_id, turn.transcript) for d in held_out for turn in d.user_turns()]
    assert [(turn["dialogue_id"], turn["turn_id"], turn["said"]) for turn in samples["turns"]] == asked
    assert all((turn["answer"] is not None) == ("dst" in tasks) for turn in samples["turns"])
    assert not (tmp_path / "alone" / "samples.json").exists()


def test_what_goes_wrong_while_watching_does_not_end_the_run(make_recipe, corpus, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(watching, "decode", fail)
    held_out = [replace(dialogue, split="test") for dialogue in corpus if dialogue.split == "dev"]
    result = train(make_recipe(steps=2), corpus, tmp_path, cache=tmp_path / "cache", watched=held_out)
    assert result["status"] == "finished" and not any("held_out_wer" in line for line in lines(tmp_path))
    assert capsys.readouterr().err.count("watching the held-out dialogues ends at step 1: CUDA out of memory") == 1


@pytest.mark.parametrize("tasks", [{"asr": 1.0}, {"dst": 1.0}])
def test_a_process_that_cannot_make_its_tracker_says_so_where_the_others_wait_for_it(monkeypatch, tasks):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    told = []

    def together(work):
        try:
            return [work()]
        except torch.OutOfMemoryError as error:
            told.append(error)
            raise

    monkeypatch.setattr(watching, "Tracker", fail)
    llm = SimpleNamespace(config=SimpleNamespace(_attn_implementation="eager"), set_attn_implementation=lambda name: None)
    processes = SimpleNamespace(rank=0, world=2, device="cpu", together=together)
    stage = SimpleNamespace(tasks=tasks)
    with pytest.raises(torch.OutOfMemoryError):
        watching.decode(SimpleNamespace(llm=llm), SimpleNamespace(prompt=None), stage, [], processes, lambda: False)
    assert len(told) == 1


def test_what_is_watched_is_little_however_much_is_held_out():
    def talk(name):
        return Dialogue(name, [Turn(n, "user" if n % 2 else "agent", "north", "a.flac") for n in range(40)])

    held_out = [talk(f"d{n}") for n in range(1000)]
    cut = excerpt(held_out, FIRST_TURNS)
    assert [(dialogue.dialogue_id, len(dialogue.user_turns())) for dialogue in cut] == [("d0", 2), ("d256", 2), ("d512", 2)]
    before: set[tuple[str, int]] = set()
    for turns in (6, 7, 2000, 2001, 4100, 30_000):
        now = {(d.dialogue_id, turn.turn_id) for d in excerpt(held_out, turns) for turn in d.user_turns()}
        assert len(now) == min(turns, 20_000) and now > before, "more turns are the same ones and others"
        before = now
    assert excerpt([Dialogue("typed", [Turn(0, "user", "north")])], 6) == []


@pytest.mark.parametrize(("share", "turns"), [(1e-9, [6, 6, 6, 6]), (1e9, [6, 8, 8, 8])])
def test_as_many_turns_are_watched_as_the_time_allows_and_the_figures_say_how_many(
    make_recipe, corpus, tmp_path, monkeypatch, share, turns
):
    monkeypatch.setattr(watching, "WATCH_STEPS", 2)
    monkeypatch.setattr(watching, "SHARE", share)
    held_out = [replace(dialogue, split="test") for dialogue in corpus if dialogue.source != "noise"][:4]
    train(make_recipe(steps=5), corpus, tmp_path, cache=tmp_path / "cache", watched=held_out)
    watched = [line for line in lines(tmp_path) if "held_out_wer" in line]
    assert [line["held_out_wer_turns"] for line in watched] == [line["held_out_jga_turns"] for line in watched] == turns
    assert len(json.loads((tmp_path / "samples.json").read_text())["turns"]) == FIRST_TURNS


def test_metrics_tell_the_throughput(make_recipe, corpus, tmp_path):
    train(make_recipe(steps=1), corpus, tmp_path, cache=tmp_path / "cache")
    line = lines(tmp_path)[0]
    assert line["positions"] > line["tokens"] > 0 and 0 <= line["padding"] < 1
    assert line["turns"] == 4 and line["speech_seconds"] > 0.9 and line["memory_gb"] > 0.1
