"""Recipe files: what a variant or a child recipe changes, and that it changes nothing else."""

import pytest

from engine.config import RecipeError, available_recipes, load_recipe, recipe_variants

PARENT = """
name = "parent"
run = ["one", "two"]
[model]
encoder = "e"
llm = "l"
connector = { kind = "mlp", width = 64 }
[[stages]]
name = "one"
trainable = ["connector"]
tasks = { asr = 1.0 }
steps = 10
[[stages]]
name = "two"
trainable = ["connector"]
tasks = { dst = 1.0 }
steps = 20
[[stages]]
name = "three"
trainable = ["connector"]
tasks = { dst = 1.0 }
steps = 30
[variants.short]
description = "fewer steps"
set = { "one.steps" = 1, "two.steps" = 2 }
[variants.more]
run = ["one", "three"]
set = { "three.steps" = 3, "model.connector.width" = 32 }
"""


@pytest.fixture
def parent(tmp_path):
    (tmp_path / "parent.toml").write_text(PARENT)
    return str(tmp_path / "parent.toml")


def steps(recipe):
    return {stage.name: stage.steps for stage in recipe.stages}


def test_a_recipe_runs_the_stages_it_says_and_variants_change_them_in_turn(parent):
    assert steps(load_recipe(parent)) == {"one": 10, "two": 20}
    assert steps(load_recipe(f"{parent}:short")) == {"one": 1, "two": 2}
    both = load_recipe(f"{parent}:short:more", ["three.steps=4"])
    assert steps(both) == {"one": 1, "three": 4}  # the command line has the last word
    assert (both.name, both.model.connector.width) == ("parent:short:more", 32)
    assert recipe_variants(parent) == {"short": "fewer steps", "more": ""}


def test_a_recipe_extends_another_one(parent, tmp_path):
    child = tmp_path / "child.toml"
    child.write_text(
        f'extends = "{parent}"\nname = "child"\n[model]\nllm = "other"\nconnector = {{ kind = "linear", stack = 4 }}\n'
        '[[stages]]\nname = "two"\nsteps = 99\n[variants.own]\nset = { seed = 5 }\n'
    )
    recipe = load_recipe(f"{child}:own:short", ["two.steps=7"])
    assert (recipe.model.encoder, recipe.model.llm, recipe.seed) == ("e", "other", 5)
    assert recipe.model.connector.kind == "linear" and recipe.model.connector.stack == 4  # nothing of the parent's mlp
    assert steps(recipe) == {"one": 1, "two": 7}
    assert steps(load_recipe(str(child))) == {"one": 10, "two": 99}


@pytest.mark.parametrize(
    ("line", "name", "reason"),
    [
        ("", ":shrt", "has no variant 'shrt'; it has short, more"),
        ('[variants.bad]\nsteps = { "one.steps" = 1 }', "", "variants.bad: unknown key 'steps'; there are description, run, set"),
        ('[variants.bad]\nrun = ["four"]', ":bad", "names stage 'four'; there are one, two, three"),
        ('[variants.bad]\nset = { "four.steps" = 1 }', ":bad", "no stage or section 'four'"),
        ('[variants.bad]\nset = { "one.stps" = 1 }', ":bad", "unknown key 'one.stps'; did you mean 'steps'"),
        ("[variants.bad]\nset = 3", ":bad", "variants.bad: set must be a table"),
        ("[variants]\nbad = 3", ":bad", "variants.bad must be a table with some of description, run, set"),
        ("[[stages]]\nsteps = 3", "", "every stage is a table with a name"),
    ],
)
def test_a_variant_that_cannot_be_is_named(parent, tmp_path, line, name, reason):
    (tmp_path / "parent.toml").write_text(f"{PARENT}\n{line}\n")
    with pytest.raises(RecipeError, match=reason):
        load_recipe(parent + name)


def test_recipes_that_extend_each_other_are_named(tmp_path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"')
    two.write_text(f'extends = "{one}"')
    with pytest.raises(RecipeError, match=r"one.toml extends itself, by way of .*one.toml, .*two.toml"):
        load_recipe(str(one))


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "latin.toml").write_bytes('name = "caf\xe9"'.encode("latin-1"))
    with pytest.raises(RecipeError, match=r"latin.toml: not valid TOML: .*utf-8"):
        load_recipe(str(tmp_path / "latin.toml"))


@pytest.mark.parametrize("name", [f"{name}:{variant}" for name in available_recipes() for variant in recipe_variants(name)])
def test_every_packaged_variant_loads_and_says_what_it_is(name):
    recipe, variant = name.split(":")
    assert load_recipe(name) != load_recipe(recipe) and recipe_variants(recipe)[variant]
