"""Commands around training: train, recipes, export."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.cli.common import Device, Manifests, errors, read


def train(
    recipe: Annotated[str, typer.Argument(help="A packaged recipe's name, or a TOML file.")],
    manifest: Manifests,
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    base: Annotated[Path | None, typer.Option(help="Checkpoint to start from, in place of the recipe's model.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last resume point.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, for instance stage2.steps=20")
    ] = None,
    stages: Annotated[list[str] | None, typer.Option("--stage", help="Run only these stages of the recipe.")] = None,
    device: Device = "auto",
) -> None:
    """Train a recipe on manifests; see docs/architecture.md for what it writes."""
    with errors():
        from engine.config import load_recipe
        from engine.training import train as run
        from engine.training.folder import RunFolder, RunFolderError

        loaded = load_recipe(recipe, overrides)
        if stages:
            loaded = loaded.model_copy(update={"stages": [loaded.stage(name) for name in stages]})
        dialogues = read(manifest)
        out.mkdir(parents=True, exist_ok=True)
        try:
            result = run(loaded, dialogues, out, base=base, resume=resume, device=device)
        except RunFolderError:
            raise  # the folder is another run's: leave its result alone
        except Exception as error:
            RunFolder(out).write_result("failed", 0.0, str(error).strip().split("\n")[0] or type(error).__name__)
            raise
    raise typer.Exit(3 if result["status"] == "stopped" else 0)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="bfloat16 is half the size.")] = "bfloat16",
) -> None:
    """Write a checkpoint again with smaller weights, to ship it."""
    import torch

    from engine.checkpoints import MODEL_CARD, load_checkpoint, save_checkpoint

    with errors():
        model, info = load_checkpoint(checkpoint)
        save_checkpoint(model, info, out, getattr(torch, dtype))
        if (checkpoint / MODEL_CARD).exists():
            shutil.copy(checkpoint / MODEL_CARD, out)


def recipes() -> None:
    """List the packaged recipes and their variants; any of them takes another encoder and LLM by
    --set model.encoder=... --set model.llm=..."""
    from engine.config import available_recipes, recipe_variants

    for name, description in available_recipes().items():
        print(f"{name:44} {description}")
        for variant, change in recipe_variants(name).items():
            print(f"  :{variant:41} {change}")
