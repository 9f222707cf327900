"""What the commands share: options, the project, refusals as one sentence."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import base_models
from studio.errors import StudioError
from studio.workspace import Workspace

Home = Annotated[
    Path | None,
    typer.Option(help="The workspace folder; DST_STUDIO_HOME, or this platform's place for user data, if not given."),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CheckpointName = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A checkpoint's name, such as run-3.")]
ProjectName = Annotated[str | None, typer.Option("--project", help="The project's name; not needed where there is only one.")]


def who() -> str:
    """Whoever has the shell may do everything; the record says by what name."""
    try:
        return f"{getpass.getuser()} (shell)"
    except (KeyError, OSError):  # a container's user need not have a name
        return f"user {os.getuid()} (shell)"


def project_named(ws: Workspace, name: str | None, make: bool = False) -> int:
    """The id of the project of that name, or of the only one; with ``make`` a new one where there is none.

    Raises:
        StudioError: which one is not clear.
    """
    from studio.services import projects

    known = {project.name: project.id for project in projects.list_projects(ws)}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    if name is not None and make:
        return projects.create_project(ws, name).id
    raise StudioError(f"Name the project with --project; there are: {', '.join(known) or 'none yet'}.")


def checkpoint_named(ws: Workspace, name: str) -> int:
    """The id of the checkpoint of that name.

    Raises:
        StudioError: there is none.
    """
    from studio.services import checkpoints

    known = {item.name: item.id for item in checkpoints.list_checkpoints(ws)}
    if name not in known:
        raise StudioError(f"There is no checkpoint {name!r}; there are: {', '.join(known)}.")
    return known[name]


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, ensure_ascii=False, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def say(step: str) -> None:
    """Name what is done."""
    print(f"==> {step}", flush=True)


@contextmanager
def sentences() -> Iterator[None]:
    """End with one sentence on standard error where people can put something right."""
    try:
        yield
    except (StudioError, base_models.BaseModelError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error
