"""``dst-studio call``: one long recording of a call becomes a dialogue, by the same service as the Data page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli_common import AsJson, Home, ProjectName, print_json, project_named, say, sentences
from studio.errors import StudioError
from studio.workspace import open_workspace

USERS = ("left", "right")


def call(
    recording: Annotated[Path, typer.Argument(help="The recording of a whole call.")],
    project: ProjectName = None,
    name: Annotated[str, typer.Option(help="What the dialogue is called; as the file if not given.")] = "",
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "train",
    channels: Annotated[str, typer.Option(help="separate: a speaker each; mixed: all on one; auto finds out.")] = "auto",
    user: Annotated[str, typer.Option(help="The user's channel, left or right.")] = "left",
    silence: Annotated[float | None, typer.Option(help="Seconds of silence that end a turn; 0.8 if not given.", min=0.1)] = None,
    table: Annotated[Path | None, typer.Option(help="Take the turns from this CSV or TSV file; nothing is cut.")] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the turns to this CSV or TSV file, to edit and give back; store nothing."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the turns and store nothing.")] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Cut the recording of a call into turns, by its channels or its silences, and store it as a dialogue.

    Look at the turns with --dry-run, or write them to a table, put them right there and give it back:
    dst-studio call c.wav --write c.csv, then dst-studio call c.wav --table c.csv.
    """
    with sentences():
        from studio.services import calls

        if user not in USERS:
            raise StudioError(f"There is no channel {user!r}; choose of {', '.join(USERS)}.")
        if table is not None:
            rows = calls.read_table(table)
        else:
            rows = calls.cut(recording, channels, calls.MIN_SILENCE if silence is None else silence, USERS.index(user))
        turns = calls.check(recording, rows)
        if write is not None:
            calls.write_table(write, rows)
        if as_json:
            print_json({"recording": recording, "turns": turns})
        elif dry_run:
            print("\t".join(calls.COLUMNS))
            for turn in turns:
                print("\t".join(map(_cell, (turn.speaker, turn.start, turn.end, turn.channel))))
        if write is not None and not as_json:
            say(f"{len(turns)} turns written to {write}; nothing is stored yet")
        if dry_run or write is not None:
            return
        ws = open_workspace(home)
        calls.store(ws, project_named(ws, project, make=True), recording, rows, name or recording.stem, split, "import")
        if not as_json:
            say(f"{len(turns)} turns stored as dialogue {name or recording.stem}")


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
