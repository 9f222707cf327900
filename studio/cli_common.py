"""What the commands share: options, the project, refusals as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from engine import base_models
from studio.errors import StudioError
from studio.workspace import Workspace

Home = Annotated[
    Path | None,
    typer.Option(help="The workspace folder; DST_STUDIO_HOME, or this platform's place for user data, if not given."),
]

ProjectName = Annotated[str | None, typer.Option("--project", help="The project's name; not needed where there is only one.")]


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
