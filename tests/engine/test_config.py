"""Recipes: every packaged one loads, and a typo is named with what was meant."""

import re

import pytest

from engine.config import RecipeError, available_recipes, load_recipe, parse_recipe


@pytest.mark.parametrize("name", available_recipes())
def test_packaged_recipes_load(name):
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.description


def test_unknown_key_names_the_nearest_known_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[model]\nencoder = "e"\nllm = "l"\n[[stages]]\nname = "s"\nlerning_rate = 1e-3\n')
    with pytest.raises(RecipeError, match="unknown key 's.lerning_rate'; did you mean 'learning_rate'"):
        load_recipe(str(path))


def test_overrides_reach_stages_by_name_and_sections_by_path():
    recipe = load_recipe("demo", ["stage2.steps=20", "model.lora.rank=4", 'prompt.layout="history_first"', "seed=7"])
    assert recipe.stage("stage2").steps == 20
    assert (recipe.model.lora.rank, recipe.prompt.layout, recipe.seed) == (4, "history_first", 7)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("stage2.steps", "must read key=value"),
        ("stage9.steps=1", "no stage or section 'stage9'"),
        ("stage2.steps=0", "steps"),
    ],
)
def test_bad_overrides_are_refused(override, reason):
    with pytest.raises(RecipeError, match=reason):
        load_recipe("demo", [override])


def test_unknown_recipe_and_stage_list_what_there_is():
    with pytest.raises(RecipeError, match="name one of .*demo"):
        load_recipe("demmo")
    with pytest.raises(RecipeError, match="it has align, stage1, stage2"):
        load_recipe("demo").stage("stage3")


def test_a_recipe_without_stages_is_refused():
    with pytest.raises(RecipeError, match="stages"):
        parse_recipe({"name": "x", "model": {"encoder": "e", "llm": "l"}, "stages": []})


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("stage2.tasks={}", "tasks"),
        ("stage2.tasks={dst=0.0}", "tasks.dst"),
        ('stage2.trainable=["("]', "no regular expression"),
        ("model.connector.heads=7", "must be a multiple of heads"),
        ('stage2.name="align"', "needs its own name"),
        ("decoding.dst.no_repeat_ngram=3", "its answer is JSON, where keys, quotes and braces have to repeat"),
        ("decoding.asr.grammar=true", "only the JSON of dialogue states has a grammar"),
        ("decoding.dst.beamz=2", "did you mean 'beams'"),
    ],
)
def test_values_that_would_only_fail_later_are_refused_now(override, reason):
    with pytest.raises(RecipeError, match=reason):
        load_recipe("demo", [override])


@pytest.mark.parametrize(
    ("override", "whole"),
    [
        ("stage2.patience=3", "demo: stage2: patience needs eval_every, the steps between two evaluations"),
        ("stage2.steps=few", "demo: stage2.steps: Input should be .*integer.* \\(got 'few'\\)"),
        ("model.connector={kind='cnn', stack=6}", "demo: model.connector: each convolution halves .*, not 6"),
        ("decoding.dst.no_repeat_ngram=3", "demo: no_repeat_ngram is not for task dst: .*\\(it is meant for asr\\)"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_key_as_it_is_written(override, whole):
    with pytest.raises(RecipeError) as refused:
        load_recipe("demo", [override])
    assert re.fullmatch(whole, str(refused.value))


def test_full_tuning_of_quantised_weights_is_refused():
    model = {"encoder": "e", "llm": "l", "llm_tuning": "full", "quantization": "4bit"}
    stage = {"name": "s", "trainable": ["^llm\\."], "tasks": {"asr": 1.0}, "steps": 1}
    with pytest.raises(RecipeError, match="cannot train quantised weights"):
        parse_recipe({"name": "r", "model": model, "stages": [stage]})
