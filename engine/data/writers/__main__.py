"""Manifest to a public corpus's layout:  python -m engine.data.writers MANIFEST --to sgd --out FOLDER"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine.data.writers import WriteError, layouts
from engine.dialogue import ManifestError, read_manifest

app = typer.Typer(add_completion=False)
_LISTING = "\n".join(f"{name}: {layout.summary}" for name, layout in layouts().items())
HELP = f"Write a manifest's dialogues in the layout of a public corpus or tool.\n\n\b\n{_LISTING}"


@app.command(help=HELP)
def command(
    manifest: Annotated[Path, typer.Argument(help="Manifest (JSON Lines).", show_default=False)],
    to: Annotated[str, typer.Option(help="One of the layouts listed above.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    console = Console(stderr=True, soft_wrap=True)
    try:
        if to not in layouts():
            raise WriteError(f"no layout {to!r}; choose of {', '.join(layouts())}")
        report = layouts()[to].write(out, read_manifest(manifest))
    except (WriteError, ManifestError, OSError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from error
    console.print("\n".join(report.lines()), markup=False)


if __name__ == "__main__":
    app()
