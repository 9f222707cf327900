"""Recipes that the studio offers, what can be set in them, and the one a run is given: complete, as TOML."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import tomlkit
from pydantic import BaseModel

from studio.errors import StudioError

if TYPE_CHECKING:
    from engine.config import ModelConfig, Recipe

MAY_CHANGE = (
    "A job that is resumed may change max_positions of its stages, model.activation_checkpointing, checkpoint_every and threads: "
    "how it computes, not what. For anything else start a new job."
)


@dataclass(frozen=True)
class RecipeView:
    """A recipe: its name, one line about it, the names of all its stages, those that it runs and their steps, its TOML text.

    ``fits`` says whether it goes with the embedded base models; the papers' recipes take others and days of a large GPU.
    """

    name: str
    description: str
    stages: tuple[str, ...]
    run: tuple[str, ...]
    steps: int
    toml: str
    fits: bool


@dataclass(frozen=True)
class Setting:
    """One key of a recipe as a form shows it. ``kind`` is whole, number, choice, switch or toml (anything else, as text)."""

    key: str
    kind: Literal["whole", "number", "choice", "switch", "toml"]
    value: Any
    help: str
    choices: tuple[str, ...] = ()


def recipes() -> list[RecipeView]:
    """All recipes, and the variants of those for corrections. First those of the embedded base models, the quickest first."""
    from engine.config import available_recipes, load_recipe, recipe_variants

    views = []
    for name, description in available_recipes().items():
        views.append(_view(name, description))
        if load_recipe(name).needs_base:
            views += [_view(f"{name}:{variant}", change) for variant, change in recipe_variants(name).items()]
    return sorted(views, key=lambda view: (not view.fits, view.steps, view.name))


def recipe_toml(name: str, overrides: Sequence[str] = (), stages: Sequence[str] | None = None) -> str:
    """A recipe as one TOML text: what it extends merged in, overrides applied, only ``stages`` (``None``: those it runs).

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


def resumed_with(file: Path, overrides: Sequence[str]) -> str:
    """A job's recipe with overrides that a resumed run may have.

    Raises:
        StudioError: an unknown key, a bad value, or what would make another run of it.
    """
    from engine.config import HOW, parse_recipe, recipe_content

    text = recipe_toml(str(file), overrides)
    before, after = (parse_recipe(content) for content in (recipe_content(str(file)), tomlkit.parse(text).unwrap()))
    if before.model_dump_json(exclude=HOW) != after.model_dump_json(exclude=HOW):
        raise StudioError(MAY_CHANGE)
    return text


def less_memory(file: Path) -> list[str]:
    """Overrides with which a job's recipe takes less memory and comes to the same: more and smaller pieces of a step."""
    from engine.config import StageConfig, load_recipe

    least = next(rule.ge for rule in StageConfig.model_fields["max_positions"].metadata if hasattr(rule, "ge"))
    halved = [f"{stage.name}.max_positions={max(least, stage.max_positions // 2)}" for stage in load_recipe(str(file)).stages]
    return [*halved, "model.activation_checkpointing=true"]


def on_base(toml: str, base: Path | None) -> Recipe:
    """A complete recipe with the model and prompts of the checkpoint in ``base``; with ``None`` it builds its own.

    Raises:
        StudioError: it is made for another model or needs a checkpoint, or the checkpoint cannot be read.
    """
    from engine.checkpoints import CheckpointError, read_info
    from engine.config import RecipeError, parse_recipe
    from engine.training.checks import with_base

    try:
        recipe = parse_recipe(tomlkit.parse(toml).unwrap())
        if base is None and recipe.needs_base:
            raise StudioError(f"Recipe {recipe.name} goes on from a checkpoint: choose the one to start from.")
        if base is None:
            return recipe
        info = read_info(base)
        if not recipe.needs_base and (others := list(_other_parts(recipe.model, info.model))):
            raise StudioError(
                f"Recipe {recipe.name} is not for the checkpoint it is to start from: it says {'; '.join(others)}; choose a "
                "checkpoint with such parts, the base models alone, or a recipe that takes any checkpoint, such as adapt."
            )
        return with_base(recipe, info)
    except (RecipeError, CheckpointError) as error:
        raise StudioError(str(error)) from error


def _other_parts(wanted: ModelConfig, there: ModelConfig) -> Iterator[str]:
    """Which parts a recipe's model has otherwise than a checkpoint's."""
    for key, name in (("encoder", "encoder"), ("llm", "LLM")):
        mine, theirs = getattr(wanted, key), getattr(there, key)
        if key in wanted.model_fields_set and mine != theirs:
            yield f"{name} {mine}, not {theirs}"
    if "connector" in wanted.model_fields_set and wanted.connector.kind != there.connector.kind:
        yield f"connector {wanted.connector.kind}, not {there.connector.kind}"


def settings(toml: str) -> list[Setting]:
    """What can be set in a complete recipe besides its model and prompts: each stage's keys, then the run's own."""
    from engine.config import Recipe

    recipe = Recipe.model_validate(tomlkit.parse(toml).unwrap())
    found = [setting for stage in recipe.stages for setting in _settings(stage, f"{stage.name}.")]
    return found + [_setting(recipe, key, key) for key in ("seed", "threads", "checkpoint_every")]


def _settings(section: BaseModel, prefix: str) -> Iterator[Setting]:
    for key in type(section).model_fields:
        if key != "name":
            inner = getattr(section, key)
            if isinstance(inner, BaseModel):
                yield from _settings(inner, f"{prefix}{key}.")
            else:
                yield _setting(section, key, prefix + key)


def _setting(section: BaseModel, key: str, path: str) -> Setting:
    field, value = type(section).model_fields[key], getattr(section, key)
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    text = field.description or ""
    if get_origin(kind) is Literal:
        return Setting(path, "choice", value, text, get_args(kind))
    if kind in (bool, int, float):
        return Setting(path, {bool: "switch", int: "whole", float: "number"}[kind], value, text)  # type: ignore[arg-type,index]
    return Setting(path, "toml", _toml_value(value), text)


def _toml_value(value: Any) -> str:
    """A value as it stands behind the equals sign."""
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()


def _view(name: str, description: str) -> RecipeView:
    from engine.base_models import FIRST_START
    from engine.config import load_recipe
    from engine.recipe_files import read_recipe

    recipe = load_recipe(name)
    every = tuple(stage["name"] for stage in read_recipe(name.partition(":")[0])[0]["stages"])
    run = tuple(stage.name for stage in recipe.stages)
    fits = {recipe.model.encoder, recipe.model.llm} <= set(FIRST_START)
    return RecipeView(name, description, every, run, sum(stage.steps for stage in recipe.stages), recipe_toml(name), fits)
