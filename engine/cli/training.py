"""Commands around training: train, recipes, export."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from engine.cli.common import AsJson, Device, errors, make_folder, read

if TYPE_CHECKING:
    from engine.config import Recipe


def train(
    recipe: Annotated[str, typer.Argument(help="A packaged recipe's name, or a TOML file.")],
    manifest: Annotated[list[Path] | None, typer.Option(help="Manifest (JSON Lines); may be given several times.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    base: Annotated[Path | None, typer.Option(help="Checkpoint to start from, in place of the recipe's model.")] = None,
    watch: Annotated[
        Path | None,
        typer.Option(help="Manifest of held-out dialogues: a few turns are answered now and then, for you to see."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last resume point.")] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="With --resume: only make a checkpoint of the resume point, in the run's folder stopped."),
    ] = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, for instance stage2.steps=20")] = None,
    stages: Annotated[list[str] | None, typer.Option("--stage", help="Run only these stages of the recipe.")] = None,
    device: Device = "auto",
    fsdp: Annotated[bool, typer.Option(help="With several processes: spread the LLM over them, if one cannot hold it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count parameters and plan memory; needs no weights.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe on manifests; see docs/architecture.md for what it writes.

    On several GPUs or machines: torchrun --nproc-per-node 4 -m engine train ..., or accelerate launch -m engine train ...
    """
    if not dry_run and not (manifest and out):
        raise typer.BadParameter("--manifest and --out are needed to train; --dry-run needs neither")
    with errors():
        from engine.checkpoints import read_info
        from engine.config import load_recipe
        from engine.failures import kind_of
        from engine.planning import is_big
        from engine.training import train as run
        from engine.training.checks import with_base
        from engine.training.folder import RunFolder, RunFolderError

        loaded = load_recipe(recipe, overrides)
        if stages:
            loaded = loaded.model_copy(update={"stages": [loaded.stage(name) for name in stages]})
        based = with_base(loaded, read_info(base) if base else None)
        if dry_run:
            show_plan(based, as_json)
            return
        assert manifest and out
        dialogues = read(manifest)
        watched = read([watch]) if watch else []
        make_folder(out)
        try:
            if is_big(based.model) and os.environ.get("RANK", "0") == "0":
                show_plan(based)
            result = run(loaded, dialogues, out, base=base, resume=resume, device=device, shard=fsdp, watched=watched, keep=keep)
        except RunFolderError:
            raise  # the folder is another run's: leave its result alone
        except Exception as error:
            failed = RunFolder(out)
            if os.environ.get("RANK", "0") == "0" or not failed.result.exists():  # a process may fail alone
                with suppress(OSError):  # the disk may be what failed
                    sentence = str(error).strip().split("\n")[0] or type(error).__name__
                    failed.write_result("failed", 0.0, sentence, kind_of(error))
            raise
    raise typer.Exit(3 if result["status"] == "stopped" else 0)


def show_plan(recipe: Recipe, as_json: bool = False) -> None:
    """Print parameters and memory of a run."""
    from engine.planning import describe, make_plan

    plan = make_plan(recipe)
    print(json.dumps(plan.to_json()) if as_json else describe(plan), flush=True)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="bfloat16 is half the size.")] = "bfloat16",
    merged: Annotated[bool, typer.Option("--merged", help="Write ordinary Hugging Face folders, LoRA merged.")] = False,
) -> None:
    """Write a checkpoint again: with smaller weights, to ship it, or merged with its base models, to use the LLM elsewhere."""
    import torch

    from engine.checkpoints import MODEL_CARD, load_checkpoint, refuse_existing, save_checkpoint, save_merged
    from engine.tracking.calibration import CALIBRATION

    with errors():
        refuse_existing(out)
        if merged:
            model, info = load_checkpoint(checkpoint, quantization="none", llm_dtype=dtype)
            save_merged(model, info, out)
        else:
            model, info = load_checkpoint(checkpoint)
            save_checkpoint(model, info, out, getattr(torch, dtype))
        for file in (MODEL_CARD, CALIBRATION):
            if (checkpoint / file).exists():
                shutil.copy(checkpoint / file, out)


def recipes() -> None:
    """List the packaged recipes and their variants; any of them takes another encoder and LLM by
    --set model.encoder=... --set model.llm=..."""
    from engine.config import available_recipes, recipe_variants

    for name, description in available_recipes().items():
        print(f"{name:44} {description}")
        for variant, change in recipe_variants(name).items():
            print(f"  :{variant:41} {change}")
