"""The command line: ``dst-studio [start]`` opens the studio, ``dst-studio setup`` prepares everything and opens nothing;
``import`` and ``export`` bring dialogues in and out; ``users`` says who may log in.

What people can put right ends in one sentence on standard error and exit code 2.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from engine import base_models
from studio.errors import StudioError
from studio.workspace import Workspace, open_workspace

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
users = typer.Typer(no_args_is_help=True, help="Who may log in. Without users there is no login, and this machine only.")
app.add_typer(users, name="users")

Home = Annotated[
    Path | None,
    typer.Option(help="The workspace folder; DST_STUDIO_HOME, or this platform's place for user data, if not given."),
]

ProjectName = Annotated[str | None, typer.Option("--project", help="The project's name; not needed where there is only one.")]


@app.command()
def start(
    host: Annotated[str, typer.Option(help="The address to serve on; other than this machine's takes a login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to serve on; the next free one if it is taken.", max=65_535)] = 7860,
    home: Home = None,
    browser: Annotated[bool, typer.Option(help="Open the studio in the browser.")] = True,
    certificate: Annotated[Path | None, typer.Option(help="PEM file, to serve over HTTPS.", exists=True, dir_okay=False)] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key, a PEM file.", exists=True, dir_okay=False)] = None,
) -> None:
    """Prepare what is missing and open the studio."""
    with _sentences():
        if (certificate is None) != (key is None):
            raise StudioError("HTTPS takes both: give --certificate and --key.")
        _refuse_others(host, home)
        ws = prepare(home)
        _say("Opening the studio")
        from studio.app import launch  # Gradio takes seconds to import

        launch(ws, host, port, browser, certificate, key)


@app.command()
def setup(home: Home = None) -> None:
    """Prepare base models, workspace, database and sample project."""
    with _sentences():
        _say(f"Ready: {prepare(home).home}")


@app.command("import")
def import_dialogues(manifest: Path, project: ProjectName = None, home: Home = None) -> None:
    """Bring the dialogues of a manifest into a project; it is made if there is none of that name."""
    with _sentences():
        from studio.services import manifests

        ws = open_workspace(home)
        number = manifests.import_manifest(ws, _project(ws, project, make=True), manifest)
        _say(f"{number} dialogues imported")


@app.command()
def export(out: Path, project: ProjectName = None, home: Home = None) -> None:
    """Write a project's dialogues with their corrections to OUT/manifest.jsonl and OUT/audio."""
    with _sentences():
        from studio.services import manifests

        ws = open_workspace(home)
        _say(f"Written: {manifests.export_manifest(ws, _project(ws, project), out)}")


Password = Annotated[
    str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, help="Asked for if not given.")
]
RoleName = Annotated[str, typer.Option(help="annotator, reviewer, trainer or admin; each may do what the ones before it may.")]


@users.command("list")
def list_users(home: Home = None) -> None:
    """Print everybody's name and role."""
    from studio.services import people

    with _sentences():
        for user in people.list_users(open_workspace(home)):
            print(f"{user.name}\t{user.role}" + ("" if user.active else "\tmay not log in"))


@users.command("add")
def add_user(name: str, password: Password, role: RoleName = "annotator", home: Home = None) -> None:
    """Let somebody log in; the first one has to be an admin. A running studio asks for logins when it is started again."""
    from studio.services import people

    with _sentences():
        user = people.add_user(open_workspace(home), name, password, role)
        _say(f"{user.name} may log in as {user.role}")


@users.command("change")
def change_user(
    name: str,
    role: Annotated[str | None, typer.Option(help="The new role.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a new password.")] = False,
    active: Annotated[bool | None, typer.Option(help="Whether they may log in.")] = None,
    home: Home = None,
) -> None:
    """Change somebody's role or password, or whether they may log in."""
    from studio.services import people

    with _sentences():
        new = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
        user = people.change_user(open_workspace(home), name, password=new, role=role, active=active)
        _say(f"{user.name}: {user.role}" + ("" if user.active else ", may not log in"))


def prepare(home: Path | None) -> Workspace:
    """Do what a first start has to do, naming each step; quick and without network when all of it is there."""
    if home is not None:
        os.environ["DST_STUDIO_HOME"] = str(home.expanduser().absolute())  # the engine and the jobs read it too
    for name in base_models.FIRST_START:
        _say(f"Base model {name}")
        base_models.ensure(name, progress=lambda message: print(f"    {message}", flush=True))
    _say(f"Workspace and database in {base_models.home()}")
    ws = open_workspace()
    _say("Sample project")
    from studio.services.projects import seed_sample

    seed_sample(ws)
    return ws


def main() -> None:
    """The console command; without a command it starts the studio."""
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments = ["start", *arguments]
    app(arguments)


def _refuse_others(host: str, home: Path | None) -> None:
    """Without a login nobody else may reach the studio; asked before anything is prepared."""
    from studio.services import people

    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    there = ((home or base_models.home()) / "studio.db").exists()
    if not here and not (there and people.list_users(open_workspace(home))):
        raise StudioError(
            f"Without a login the studio serves this machine only: add an admin with dst-studio users add NAME --role admin, "
            f"or start it without --host {host} and reach it from elsewhere through an SSH tunnel."
        )


def _project(ws: Workspace, name: str | None, make: bool = False) -> int:
    from studio.services import projects

    known = {project.name: project.id for project in projects.list_projects(ws)}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    if name is not None and make:
        return projects.create_project(ws, name).id
    raise StudioError(f"Name the project with --project; there are: {', '.join(known) or 'none yet'}.")


def _say(step: str) -> None:
    print(f"==> {step}", flush=True)


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except (StudioError, base_models.BaseModelError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    main()
