"""``dst-studio checkpoints``: which there are, and bringing in those that the engine trained on its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli_common import AsJson, CheckpointName, Home, checkpoint_named, print_json, say, sentences, who
from studio.workspace import open_workspace

if TYPE_CHECKING:
    from studio.services.checkpoints import CheckpointView

checkpoints = typer.Typer(no_args_is_help=True, help="Checkpoints: list them, bring in what was trained elsewhere, delete.")


@checkpoints.command("list")
def list_checkpoints(as_json: AsJson = False, home: Home = None) -> None:
    """Print the checkpoints, newest first, with their scores on the held-out dialogues last used."""
    from studio.services import checkpoints

    with sentences():
        found = checkpoints.list_checkpoints(open_workspace(home))
        if as_json:
            print_json(found)
            return
        for item in found:
            print(_line(item))


@checkpoints.command()
def add(
    folder: Annotated[Path, typer.Argument(help="A checkpoint's folder, or that of the run it lies in.")],
    name: Annotated[str, typer.Option(help="What it is called here; its own name if not given.")] = "",
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Copy a checkpoint of python -m engine train into the workspace, to score, compare, train on and put in use."""
    from studio.services import bringing

    with sentences():
        found = bringing.bring(open_workspace(home), folder, name)
        if as_json:
            print_json(found)
        else:
            say(f"{found.checkpoint.name} is here now" if found.new else f"It is here already, as {found.checkpoint.name}")


@checkpoints.command()
def delete(checkpoint: CheckpointName, home: Home = None) -> None:
    """Delete a checkpoint's files for good; what it scored stays."""
    from studio.services import deleting

    with sentences():
        ws = open_workspace(home)
        deleting.delete_checkpoint(ws, checkpoint_named(ws, checkpoint), who())
        say(f"{checkpoint} is deleted")


def _line(item: CheckpointView) -> str:
    scores = item.scores or {}
    figures = [f"{key.upper()} {scores[key]:.1f} %" for key in ("wer", "jga") if scores.get(key) is not None]
    origin = [f"from {item.parent}"] if item.parent else []
    return ", ".join([f"{'*' if item.in_use else ' '} {item.name}", *origin, *figures])
