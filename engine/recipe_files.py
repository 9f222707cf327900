"""Recipe files: where they lie, what they extend, their variants and overrides. Dictionaries here; `engine.config` types them.

A file may hold, beside a recipe's own keys:

    extends = "other-recipe"      start from that packaged recipe; tables are merged, stages by name; a table with `kind` replaces
    run = ["stage1", "stage2"]    the stages a run goes through; all of them if not given
    [variants.NAME]               a named change of the recipe: description, run, set = { "stage2.steps" = 20 }

A recipe is named ``recipe``, ``recipe:variant`` or ``recipe:variant:variant``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any

# What this module reads of a recipe and of its variants; the rest is for `engine.config` to judge.
RECIPE_KEYS: dict[str, type] = {"extends": str, "run": list, "stages": list, "variants": dict}
VARIANT_KEYS: dict[str, type] = {"description": str, "run": list, "set": dict}
_A: dict[type, str] = {str: "text", list: "a list", dict: "a table"}


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the file, the key and what to write instead."""


def packaged(folder: str) -> dict[str, dict[str, Any]]:
    """Name -> content of the TOML files of ``engine/<folder>``, by name."""
    files = sorted(resources.files("engine").joinpath(folder).iterdir(), key=lambda item: item.name)
    return {
        item.name.removesuffix(".toml"): tomllib.loads(item.read_text(encoding="utf-8"))
        for item in files
        if item.name.endswith(".toml")
    }


def read_toml(name_or_path: str, folder: str, what: str) -> dict[str, Any]:
    """A packaged file by name, or any TOML file by path.

    Raises:
        RecipeError: there is none, or it is not TOML in UTF-8.
    """
    path = Path(name_or_path)
    built_in = resources.files("engine").joinpath(folder, f"{name_or_path}.toml")
    file = path if path.suffix == ".toml" and path.is_file() else built_in
    if not file.is_file():
        known = ", ".join(packaged(folder))
        raise RecipeError(f"no {what} {name_or_path!r}; name one of {known}, or give the path of a .toml file")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name_or_path}: not valid TOML: {error}") from error


def read_recipe(name: str, children: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A recipe with what it extends merged in, and its variants. ``children`` are the recipes that came here by ``extends``.

    Raises:
        RecipeError: no such file, not TOML, a circle of recipes, a stage without a name, or a key that is unknown or no table.
    """
    data = read_toml(name, "recipes", "recipe")
    if name in children:
        raise RecipeError(f"{name} extends itself, by way of {', '.join(children)}; take one `extends` out")
    _check_kinds(data, RECIPE_KEYS, name)
    if not all(isinstance(stage, dict) and "name" in stage for stage in data.get("stages", [])):
        raise RecipeError(f'{name}: every stage is a table with a name: [[stages]], and below it name = "..."')
    if "extends" in data:
        parent, inherited = read_recipe(data.pop("extends"), (*children, name))
        data["variants"] = inherited | data.get("variants", {})
        data = _merged(parent, data)
    variants = data.pop("variants", {})
    for variant, content in variants.items():
        where = f"{name}: variants.{variant}"
        if not isinstance(content, dict):
            raise RecipeError(f"{where} must be a table with some of {', '.join(VARIANT_KEYS)}")
        for key in content:
            if key not in VARIANT_KEYS:
                raise RecipeError(f"{where}: unknown key {key!r}; there are {', '.join(VARIANT_KEYS)}")
        _check_kinds(content, VARIANT_KEYS, where)
    return data, variants


def compose(name: str, sections: Collection[str], stages: Collection[str] | None = None) -> dict[str, Any]:
    """The recipe that ``recipe[:variant...]`` names, its stages those that it runs, or ``stages`` in their place.

    Raises:
        RecipeError: no such recipe, variant or stage.
    """
    file, *chosen = re.split(r"(?<=\.toml):" if ".toml" in name else ":", name, maxsplit=1)
    data, variants = read_recipe(file)
    names = chosen[0].split(":") if chosen else []
    run = data.pop("run", None)
    for variant in names:
        if variant not in variants:
            raise RecipeError(f"recipe {file} has no variant {variant!r}; it has {', '.join(variants) or 'none'}")
        for key, value in variants[variant].get("set", {}).items():
            assign(data, key, value, sections)
        run = variants[variant].get("run", run)
    choose_stages(data, run if stages is None else stages, file)
    if names:
        data["name"] = ":".join([str(data.get("name", file)), *names])
    return data


def override(data: dict[str, Any], text: str, sections: Collection[str]) -> None:
    """Apply ``key.path=value``. Values are TOML (``0.001``, ``true``, ``"text"``); bare words are text.

    Raises:
        RecipeError: not ``key=value``, or a key path that leads nowhere.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f"override {text!r} must read key=value, for instance stage2.steps=20")
    try:
        assign(data, key, tomllib.loads(f"v = {value}")["v"], sections)
    except tomllib.TOMLDecodeError:
        assign(data, key, value, sections)


def assign(data: dict[str, Any], key: str, value: Any, sections: Collection[str]) -> None:
    """Set ``section.key`` or ``stage.key`` in place; a stage is addressed by its name.

    Raises:
        RecipeError: the path's first part is neither a stage nor one of ``sections``, or a part is no table.
    """
    *parents, last = key.split(".")
    target: Any = data
    for depth, part in enumerate(parents):
        stages = {stage.get("name"): stage for stage in data.get("stages", [])}
        if depth == 0 and part in stages:
            target = stages[part]
        elif depth == 0 and part not in sections:
            raise RecipeError(f"override {key!r}: no stage or section {part!r}; stages are {', '.join(map(str, stages))}")
        else:
            target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise RecipeError(f"override {key!r}: {part!r} is not a section")
    target[last] = value


def choose_stages(data: dict[str, Any], run: Collection[str] | None, where: str) -> None:
    """Keep the stages that a run goes through, in its order; None keeps all.

    Raises:
        RecipeError: a name that is no stage's.
    """
    stages = {stage.get("name"): stage for stage in data.get("stages", [])}
    for name in run or ():
        if name not in stages:
            raise RecipeError(f"{where}: `run` names stage {name!r}; there are {', '.join(map(str, stages))}")
    if run is not None:
        data["stages"] = [stages[name] for name in run]


def _check_kinds(content: dict[str, Any], kinds: dict[str, type], where: str) -> None:
    for key, kind in kinds.items():
        if not isinstance(content.get(key, kind()), kind):
            raise RecipeError(f"{where}: {key} must be {_A[kind]}")


def _merged(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """``child`` over ``parent``: tables key by key, stages by name; a table that names its ``kind`` stands for itself."""
    merged = dict(parent)
    for key, value in child.items():
        before = parent.get(key)
        if key == "stages" and before is not None:
            stages = {stage["name"]: stage for stage in before}
            for stage in value:
                stages[stage["name"]] = _merged(stages.get(stage["name"], {}), stage)
            value = list(stages.values())
        elif isinstance(value, dict) and isinstance(before, dict) and "kind" not in value:
            value = _merged(before, value)
        merged[key] = value
    return merged
