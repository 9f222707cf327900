"""The engine's command line: ``python -m engine COMMAND``; one module for each group of commands.

Exit codes: 0 done, 1 failed, 2 bad arguments or data, 3 stopped on request (resume goes on).
"""

from __future__ import annotations

import typer

from engine.cli.preparation import prepare
from engine.cli.report import report
from engine.cli.scoring import score
from engine.cli.sweep import sweep
from engine.cli.tracking import calibrate, evaluate, track, transcribe
from engine.cli.training import export, recipes, train
from engine.data.synthesis import command as synthesise
from engine.data.writers.__main__ import HELP as LAYOUTS
from engine.data.writers.__main__ import command as convert

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(prepare, name="prepare")
app.command("convert", help=LAYOUTS)(convert)
app.command("synthesise")(synthesise)
for command in (train, sweep, transcribe, track, evaluate, calibrate, score, report, export, recipes):
    app.command()(command)


def main() -> None:
    app()
