"""The command sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.common import Device, Manifests, errors, make_folder, read


def sweep(
    name: Annotated[str, typer.Argument(help="A packaged sweep's name, or a TOML file.")],
    manifest: Manifests,
    out: Annotated[Path, typer.Option(help="The sweep's folder; called again, it goes on where it stopped.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe of the points, in place of the sweep's own.")] = None,
    base: Annotated[Path | None, typer.Option(help="Checkpoint that every point starts from.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, for every point.")] = None,
    only: Annotated[list[str] | None, typer.Option("--point", help="Run only these points.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only the first N dev dialogues.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Check and list the points; run nothing.")] = False,
    device: Device = "auto",
) -> None:
    """Run a recipe in many settings, one after the other, and tabulate parameters, losses and scores.

    Dialogues of split train are trained on, those of split dev scored.
    """
    with errors():
        from engine.config import RecipeError
        from engine.training.sweep import read_sweep, run_sweep, summary_table

        points = read_sweep(name, recipe, overrides or ())
        unknown = [each for each in only or () if each not in {point.name for point in points}]
        if unknown:
            known = ", ".join(point.name for point in points)
            raise RecipeError(f"sweep {name} has no point {unknown[0]!r}; it has {known}")
        points = [point for point in points if not only or point.name in only]
        dialogues = read(manifest)
        if dry_run:
            for point in points:
                model = point.recipe.model
                stages = ", ".join(f"{stage.name} {stage.steps} steps of {stage.batch}" for stage in point.recipe.stages)
                print(f"{point.name:32} {point.recipe.name}: {model.encoder} + {model.llm}; {stages}")
            return
        make_folder(out)
        rows = run_sweep(points, dialogues, out, limit=limit, base=base, device=device)
    if rows is None:
        raise typer.Exit(3)
    print(summary_table(rows), end="")
