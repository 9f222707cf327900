"""The command line: ``dst-studio [start]`` opens the studio, ``dst-studio setup`` prepares everything and opens nothing;
``import``, ``call`` and ``export`` bring dialogues in and out; ``users`` says who may log in; ``agreement`` how far annotators
agree; ``jobs`` trains; ``checkpoints`` brings in what was trained elsewhere; ``settings`` says where.

What people can put right ends in one sentence on standard error and exit code 2.
"""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine import base_models
from studio.cli_calls import call
from studio.cli_checkpoints import checkpoints
from studio.cli_common import Home, ProjectName, project_named, say, sentences
from studio.cli_jobs import jobs
from studio.cli_settings import settings
from studio.errors import StudioError
from studio.workspace import DATABASE, Workspace, open_workspace

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
users = typer.Typer(no_args_is_help=True, help="Who may log in. Without users there is no login, and this machine only.")
app.add_typer(users, name="users")
app.add_typer(jobs, name="jobs")
app.add_typer(checkpoints, name="checkpoints")
app.command()(settings)
app.command()(call)


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
    with sentences():
        if (certificate is None) != (key is None):
            raise StudioError("HTTPS takes both: give --certificate and --key.")
        _refuse_others(host, home)
        ws = prepare(home)
        say("Opening the studio")
        from studio.app import launch  # Gradio takes seconds to import

        launch(ws, host, port, browser, certificate, key)


@app.command()
def setup(home: Home = None) -> None:
    """Prepare base models, workspace, database and sample project."""
    with sentences():
        say(f"Ready: {prepare(home).home}")


@app.command("import")
def import_dialogues(
    source: Annotated[str, typer.Argument(metavar="[FORMAT]", help="A format that --formats lists; manifest if left out.")] = "",
    path: Annotated[Path | None, typer.Argument(help="A file, a folder, or an archive of one.", show_default=False)] = None,
    project: ProjectName = None,
    split: Annotated[list[str] | None, typer.Option(help="Only this split; can be given several times.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")] = False,
    rename: Annotated[bool, typer.Option("--rename", help="Give a new name to what has another dialogue's.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats.")] = False,
    home: Home = None,
) -> None:
    """Bring dialogues of a manifest or corpus into a project, which is made if there is none of that name.

    What is there already, known by its content, is left out; an import that was killed goes on when it is started again.
    """
    with sentences():
        from studio.services import exchange, imports

        if formats:
            _list(exchange.import_formats())
            return
        if not source:
            raise StudioError("Say what to import: dst-studio import FORMAT PATH, or dst-studio import manifest.jsonl.")
        name, place = (source, path) if path is not None else (exchange.MANIFEST, Path(source))
        ws = open_workspace(home)
        with exchange.opened(ws, place, name, split or ()) as opened:
            # A dry run makes no project; what it would be compared with is then empty
            project_id = None if dry_run and _is_new(ws, project) else project_named(ws, project, make=True)
            planned = imports.plan(ws, project_id, opened, rename)
            if as_json:
                print(json.dumps(planned.to_json(), ensure_ascii=False, indent=2))
            elif dry_run:
                print("\n".join(imports.lines(planned)))
            if dry_run:
                return
            assert project_id is not None
            number = imports.carry_out(ws, project_id, planned, progress=_count)
            if not as_json:
                there = len(planned.those("there"))
                say(f"{number} dialogues imported" + (f", {there} were there already" if there else ""))


@app.command()
def export(
    out: Annotated[Path | None, typer.Argument(help="The folder to write.", show_default=False)] = None,
    project: ProjectName = None,
    to: Annotated[str, typer.Option("--format", help="A format that --formats lists.")] = "manifest",
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this split; can be given several times. Held-out dialogues (test) only go out if named."),
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only dialogues whose user turns are all at least corrected, reviewed or final.")
    ] = None,
    text: Annotated[str, typer.Option(help="Only dialogues in whose name, words or values this occurs.")] = "",
    dialogue: Annotated[list[str] | None, typer.Option(help="Only this dialogue; can be given several times.")] = None,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats.")] = False,
    home: Home = None,
) -> None:
    """Write a project's dialogues with their corrections into the folder OUT."""
    with sentences():
        from studio.services import exchange, exports

        if formats:
            _list(exchange.export_formats())
            return
        if out is None:
            raise StudioError("Name the folder to write: dst-studio export OUT.")
        chosen = exports.Selection(tuple(split or exports.TRAINING), status, text, tuple(dialogue or ()))
        ws = open_workspace(home)
        written = exports.export(ws, project_named(ws, project), out, to, chosen)
        for finding in written.findings:
            print(f"    {finding}")
        if written.held_out:
            print(f"    {written.held_out} held-out dialogues left out: name --split test to have them")
        say(f"{written.dialogues} dialogues written to {written.folder}")


@app.command()
def agreement(
    project: ProjectName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON, week by week too.")] = False,
    home: Home = None,
) -> None:
    """Print how far people agree who annotated the same turns blind: Krippendorff's alpha of every slot, and whole states."""
    with sentences():
        from studio.services import agreement as service

        ws = open_workspace(home)
        found = service.report(ws, project_named(ws, project))
        if as_json:
            print(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
            return
        joint = found.overall.joint
        print(f"{'turns':32} {found.overall.turns}")
        print(f"{'same whole state':32} {'undefined' if joint is None else f'{joint:.1%}'}")
        for slot in found.overall.slots:
            print(f"{f'{slot.domain}-{slot.slot}':32} {'undefined' if slot.alpha is None else f'{slot.alpha:.3f}'}")


Password = Annotated[str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, help="Asked for if not given.")]
RoleName = Annotated[str, typer.Option(help="annotator, reviewer, trainer or admin; each may do what the ones before it may.")]


@users.command("list")
def list_users(home: Home = None) -> None:
    """Print everybody's name and role."""
    from studio.services import people

    with sentences():
        for user in people.list_users(open_workspace(home)):
            print(f"{user.name}\t{user.role}" + ("" if user.active else "\tmay not log in"))


@users.command("add")
def add_user(name: str, password: Password, role: RoleName = "annotator", home: Home = None) -> None:
    """Let somebody log in; the first one has to be an admin. A running studio asks for logins when it is started again."""
    from studio.services import people

    with sentences():
        user = people.add_user(open_workspace(home), name, password, role)
        say(f"{user.name} may log in as {user.role}")


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

    with sentences():
        new = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
        user = people.change_user(open_workspace(home), name, password=new, role=role, active=active)
        say(f"{user.name}: {user.role}" + ("" if user.active else ", may not log in"))


def prepare(home: Path | None) -> Workspace:
    """Do what a first start has to do, naming each step; quick and without network when all of it is there."""
    if home is not None:
        os.environ["DST_STUDIO_HOME"] = str(home.expanduser().absolute())  # the engine and the jobs read it too
    for name in base_models.FIRST_START:
        say(f"Base model {name}")
        base_models.ensure(name, progress=lambda message: print(f"    {message}", flush=True))
    say(f"Workspace and database in {base_models.home()}")
    ws = open_workspace()
    say("Sample project")
    from studio.services.projects import seed_sample

    seed_sample(ws)
    return ws


def main() -> None:
    """The console command; without a command it starts the studio."""
    if sys.platform == "win32":
        sys.exit("Spoken DST Studio does not run on Windows itself: install WSL 2 and start it in its Linux.")
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
    there = bool(os.environ.get(DATABASE)) or ((home or base_models.home()) / "studio.db").exists()
    if not here and not (there and people.list_users(open_workspace(home))):
        raise StudioError(
            f"Without a login the studio serves this machine only: add an admin with dst-studio users add NAME --role admin, "
            f"or start it without --host {host} and reach it from elsewhere through an SSH tunnel."
        )


def _is_new(ws: Workspace, name: str | None) -> bool:
    from studio.services import projects

    return name is not None and name not in {project.name for project in projects.list_projects(ws)}


def _list(formats: dict[str, str]) -> None:
    for name, summary in formats.items():
        print(f"{name:12} {summary}")


def _count(done: int, total: int) -> None:
    print(f"    {done} of {total} dialogues", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
