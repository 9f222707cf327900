"""Report: one self-contained HTML page of a run, or of two compared."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.cli.common import Manifests, errors, read


def report(
    manifest: Manifests,
    predictions: Annotated[Path, typer.Option(help="What the system answered, as `evaluate --predictions` writes it.")],
    out: Annotated[Path, typer.Option(help="The page to write.")],
    compare: Annotated[Path | None, typer.Option(help="Predictions of a second system for the same manifest.")] = None,
    names: Annotated[tuple[str, str] | None, typer.Option(help="What to call the two systems.")] = None,
    ontology: Annotated[
        Path | None, typer.Option(help="Slots and values for fuzzy matching: a checkpoint's ontology.json.")
    ] = None,
    fuzzy: Annotated[Literal["paper", "typed"], typer.Option(help="How values are matched with the ontology.")] = "paper",
    audio: Annotated[Literal["all", "wrong", "none"], typer.Option(help="Which turns bring their recording along.")] = "all",
    audio_limit: Annotated[float, typer.Option(min=0, help="Megabytes that the recordings may take.")] = 20.0,
) -> None:
    """Write one HTML page that opens from disk: scores, plots and every turn behind them, with its audio."""
    from engine.dialogue import Ontology
    from engine.report.build import build
    from engine.report.page import render

    with errors():
        dialogues = read(manifest)
        known = Ontology.from_json(json.loads(ontology.read_text(encoding="utf-8"))) if ontology else None
        files = [predictions, *([compare] if compare else [])]
        page = build(dialogues, files, names or [file.stem for file in files], known, fuzzy, audio, int(audio_limit * 1e6))
        page.facts += [
            ("Made", f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"),
            ("Command", shlex.join(["python", "-m", "engine", *sys.argv[1:]])),
        ]
        text = render(page)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    print(f"{out}: {len(page.rows)} turns, {len(text.encode()) / 1e6:.1f} MB")
