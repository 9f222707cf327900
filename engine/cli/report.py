"""Report: one self-contained HTML page of a run, or of two compared."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.cli.common import AsJson, errors

_HELP = {
    "manifest": "Gold states: a manifest, or the published evaluators' JSON (then without words and audio).",
    "predictions": "What the system answered: evaluate --predictions, or the published evaluators' JSON.",
    "compare": "Predictions of a second system for the same turns: what it fixes, what it breaks.",
    "names": "What to call the two systems; their files' names, told apart, if not given.",
    "ontology": "Known values, for fuzzy matching: a checkpoint's ontology.json, or a list of paper 1's evaluator.",
    "built_from": "The splits that --ontology comes from, where the file does not say it; all (an oracle) if unknown.",
    "robustness": "Also score with the predicted names misspelt and paraphrased; needs --ontology.",
    "checkpoint": "The checkpoint that answered, to be described; may be given for each of the two systems.",
}


def report(
    manifest: Annotated[Path, typer.Option(help=_HELP["manifest"])],
    predictions: Annotated[Path, typer.Option(help=_HELP["predictions"])],
    out: Annotated[Path, typer.Option(dir_okay=False, help="The page to write.")],
    compare: Annotated[Path | None, typer.Option(help=_HELP["compare"])] = None,
    names: Annotated[tuple[str, str] | None, typer.Option(help=_HELP["names"])] = None,
    profile: Annotated[Literal["strict", "but", "mwzeval"], typer.Option(help="What counts as right.")] = "strict",
    ontology: Annotated[Path | None, typer.Option(help=_HELP["ontology"])] = None,
    built_from: Annotated[Literal["train", "train+dev", "all"] | None, typer.Option(help=_HELP["built_from"])] = None,
    fuzzy: Annotated[Literal["paper", "typed"], typer.Option(help="How values are matched with the ontology.")] = "paper",
    robustness: Annotated[bool, typer.Option("--robustness", help=_HELP["robustness"])] = False,
    checkpoint: Annotated[list[Path] | None, typer.Option(help=_HELP["checkpoint"])] = None,
    audio: Annotated[Literal["all", "wrong", "none"], typer.Option(help="Which turns bring their recording along.")] = "all",
    audio_limit: Annotated[float, typer.Option(min=0, help="Megabytes that the recordings may take.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page that opens from disk: scores, plots and every turn behind them, with its audio."""
    from engine.report.build import Options, build
    from engine.report.page import render
    from engine.scoring import PROFILES
    from engine.scoring.files import read_matcher

    if robustness and ontology is None:
        raise typer.BadParameter("--robustness needs --ontology: it shows what fuzzy matching saves")
    if names and compare is None:
        raise typer.BadParameter("--names names two systems: give --compare too")
    with errors():
        matcher = read_matcher(ontology, fuzzy, PROFILES[profile], built_from) if ontology else None
        files = [predictions, *([compare] if compare else [])]
        options = Options(PROFILES[profile], matcher, robustness, audio, int(audio_limit * 1e6))
        page = build(manifest, files, names or _names(files), options)
        for system, folder in zip(page.systems, checkpoint or [], strict=False):
            page.facts.append((f"{system.name}: checkpoint", _described(folder)))
        page.facts += [
            ("Made", f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"),
            ("Command", shlex.join(["python", "-m", "engine", *sys.argv[1:]])),
        ]
        text = render(page)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    size = f"{out}: {len(page.rows)} turns, {out.stat().st_size / 1e6:.1f} MB"
    print(json.dumps(page.numbers(), ensure_ascii=False) if as_json else size)


def _names(files: list[Path]) -> list[str]:
    """What the systems are called by default: their files' names, with as many folders before them as tell them apart."""
    parts = [file.absolute().with_suffix("").parts for file in files]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{file.name} ({number})" for number, file in enumerate(files, 1)]


def _described(folder: Path) -> str:
    from engine.checkpoints import read_info

    info = read_info(folder)
    return (
        f"{info.name} ({info.model.encoder}, {info.model.llm}; stages {', '.join(info.stages) or 'not stated'}; "
        f"prompt layout {info.prompt.layout}, history {info.prompt.history})"
    )
