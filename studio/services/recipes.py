"""Recipes that the studio offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from studio.errors import StudioError


@dataclass(frozen=True)
class RecipeView:
    """A recipe one can start: its name, one line about it, its steps over all stages, and its TOML text."""

    name: str
    description: str
    steps: int
    toml: str


def recipes() -> list[RecipeView]:
    """The engine's recipes for the embedded base models, the quickest first: those are the ones to adapt a checkpoint with.

    The papers' recipes take other base models and days of a large GPU: they are started from the command line.
    """
    from engine.base_models import FIRST_START
    from engine.config import available_recipes, load_recipe

    folder = resources.files("engine").joinpath("recipes")
    views = []
    for name, description in available_recipes().items():
        recipe = load_recipe(name)
        if not {recipe.model.encoder, recipe.model.llm} <= set(FIRST_START):
            continue
        steps = sum(stage.steps for stage in recipe.stages)
        views.append(RecipeView(name, description, steps, folder.joinpath(f"{name}.toml").read_text(encoding="utf-8")))
    return sorted(views, key=lambda view: (view.steps, view.name))


def check_recipe(recipe: str, overrides: Sequence[str]) -> None:
    from engine.config import RecipeError, load_recipe

    try:
        load_recipe(recipe, list(overrides))
    except RecipeError as error:
        raise StudioError(str(error)) from error
