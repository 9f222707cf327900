"""Recipes that the studio offers, and the one a run is given: complete, as the TOML that the command line takes too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tomlkit

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

    views = []
    for name, description in available_recipes().items():
        recipe = load_recipe(name)
        if not {recipe.model.encoder, recipe.model.llm} <= set(FIRST_START):
            continue
        views.append(RecipeView(name, description, sum(stage.steps for stage in recipe.stages), recipe_toml(name)))
    return sorted(views, key=lambda view: (view.steps, view.name))


def recipe_toml(name: str, overrides: Sequence[str] = (), stages: Sequence[str] | None = None) -> str:
    """A recipe as one TOML text: what it extends merged in, overrides applied, only ``stages`` (all of them if ``None``).

    Raises:
        StudioError: no such recipe or stage, an unknown key or a bad value.
    """
    from engine.config import RecipeError, parse_recipe, recipe_content

    try:
        content = recipe_content(name, list(overrides), stages)
        parse_recipe(content, name)
    except RecipeError as error:
        raise StudioError(str(error)) from error
    return tomlkit.dumps(content)
