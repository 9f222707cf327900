"""What the form of a training offers: recipes, their settings, and a proposal from what was misheard or misunderstood."""

import re

import pytest

from studio.services import proposals, recipes, training


def test_recipes_for_corrections_come_first_and_the_papers_are_told_apart() -> None:
    found = training.recipes()
    fitting = [recipe for recipe in found if recipe.fits]
    assert [recipe.name for recipe in fitting] == ["adapt", "adapt:hear", "adapt:overnight", "demo"]
    assert found[: len(fitting)] == fitting and "wavlm-large_olmo-1b" in [recipe.name for recipe in found]
    assert [recipe.steps for recipe in fitting] == sorted(recipe.steps for recipe in fitting)


def test_what_can_be_set_comes_from_the_schema_and_what_is_set_from_the_recipe() -> None:
    toml = training.recipe_toml("adapt", ["adapt.steps=7"], ["hear", "adapt"])
    found = {setting.key: setting for setting in recipes.settings(toml)}
    assert (found["adapt.steps"].value, found["hear.steps"].value, found["adapt.batch"].kind) == (7, 60, "whole")
    assert found["hear.tasks"].value == "{asr = 1.0}" and found["hear.schedule"].choices == ("linear", "cosine", "constant")
    assert found["adapt.batch"].help == "rows an optimiser step sees"
    # what a form shows is what the command line takes
    for setting in found.values():
        value = str(setting.value).lower() if setting.kind == "switch" else setting.value
        assert training.recipe_toml("adapt", ["adapt.steps=7", f"{setting.key}={value}"], ["hear", "adapt"])


@pytest.mark.parametrize(
    ("errors", "stages", "why"),
    [
        ({}, ("adapt",), "No wrong answer of the checkpoint in use is known yet"),
        (
            {("hotel", "name"): (5, 0), ("hotel", "area"): (0, 1)},
            ("hear",),
            "5 of 6 .* misheard, most often hotel name",
        ),
        ({("hotel", "name"): (1, 0), ("hotel", "area"): (0, 3)}, ("adapt",), "3 of 4 .* misunderstood .* most often hotel area"),
        ({("hotel", "name"): (2, 1)}, ("hear",), "2 of 3 .* Only 3 of its errors were judged yet"),
        ({("hotel", "name"): (9, 1)}, ("hear",), "words.$"),
        ({("hotel", "name"): (2, 2)}, ("hear", "adapt"), "both stages"),
    ],
)
def test_what_was_wrong_proposes_what_to_train(errors: dict, stages: tuple[str, ...], why: str) -> None:
    found = proposals.propose(errors)
    assert found.stages == stages
    assert re.search(why, found.why)
