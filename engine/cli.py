"""The engine's command line: ``python -m engine train|transcribe|track|evaluate|prepare|synthesise|export``.

Exit codes: 0 done, 1 failed, 2 bad arguments or data, 3 stopped on request (resume goes on).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.data.readers.__main__ import command as prepare
from engine.data.synthesis import command as synthesise

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command("prepare")(prepare)
app.command("synthesise")(synthesise)

Checkpoint = Annotated[Path | None, typer.Option(help="Checkpoint folder; the demo checkpoint if not given.")]
Manifests = Annotated[list[Path], typer.Option("--manifest", help="Manifest (JSON Lines); may be given several times.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A packaged recipe's name, or a TOML file.")],
    manifest: Manifests,
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    base: Annotated[Path | None, typer.Option(help="Checkpoint to start from, in place of the recipe's model.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last resume point.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, for instance stage2.steps=20")
    ] = None,
    stages: Annotated[list[str] | None, typer.Option("--stage", help="Run only these stages of the recipe.")] = None,
    device: Device = "auto",
) -> None:
    """Train a recipe on manifests; see docs/architecture.md for what it writes."""
    from engine.config import load_recipe

    status = "failed"
    out.mkdir(parents=True, exist_ok=True)
    try:
        with _errors():
            loaded = load_recipe(recipe, overrides)
            if stages:
                loaded = loaded.model_copy(update={"stages": [loaded.stage(name) for name in stages]})
            from engine.training import train as run

            result = run(loaded, _read(manifest), out, base=base, resume=resume, device=device)
            status = result["status"]
    except typer.Exit as stop:
        result = {"status": "failed", "steps": 0, "seconds": 0.0, "error": _LAST_ERROR.get("text", "")}
        _write_result(out, result)
        raise stop
    _write_result(out, result)
    raise typer.Exit(3 if status == "stopped" else 0)


@app.command()
def transcribe(
    audio: Annotated[list[Path], typer.Argument(help="Audio files, each one user turn.")],
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Transcribe and understand recordings, each on its own."""
    from engine.audio import AudioError
    from engine.tracking import Tracker

    failed = False
    with _errors():
        tracker = Tracker.load(checkpoint, device)
        for path in audio:
            try:
                prediction = tracker.turn(path)
            except AudioError as error:
                failed = True
                print(f"error: {error}", file=sys.stderr)
                if as_json:
                    print(json.dumps({"file": str(path), "error": str(error)}, ensure_ascii=False), flush=True)
                continue
            result = {"file": str(path)} | {key: getattr(prediction, key) for key in _TURN_KEYS}
            text = f"{path}: {prediction.transcript}  {json.dumps(prediction.state, ensure_ascii=False)}"
            print(json.dumps(result, ensure_ascii=False) if as_json else text, flush=True)
    raise typer.Exit(2 if failed else 0)


_TURN_KEYS = ("transcript", "state", "confidence", "raw", "seconds")


@app.command()
def track(
    manifest: Manifests,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    oracle_history: Annotated[bool, typer.Option(help="Use the manifest's transcripts as history.")] = False,
    batch: Annotated[int, typer.Option(help="Dialogues decoded together.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues turn by turn; one object a user turn."""
    from engine.tracking import Tracker, track_dialogues

    with _errors():
        tracker = Tracker.load(checkpoint, device)
        for turn in track_dialogues(tracker, _read(manifest), oracle_history=oracle_history, batch=batch):
            text = f"{turn.dialogue_id} {turn.turn_id}: {turn.transcript}  {json.dumps(turn.state, ensure_ascii=False)}"
            print(json.dumps(asdict(turn), ensure_ascii=False) if as_json else text, flush=True)


@app.command()
def evaluate(
    manifest: Manifests,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    oracle_history: Annotated[bool, typer.Option(help="Use the manifest's transcripts as history.")] = False,
    limit: Annotated[int | None, typer.Option(help="Score only the first N dialogues.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Also write each turn's prediction to this JSON Lines file.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Dialogues decoded together.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues and score transcripts and states against the manifest."""
    from engine.tracking import Tracker, evaluate_dialogues

    with _errors():
        tracker = Tracker.load(checkpoint, device)
        dialogues = _read(manifest)[:limit]
        report, turns = evaluate_dialogues(tracker, dialogues, oracle_history=oracle_history, batch=batch)
        if predictions:
            predictions.write_text("".join(json.dumps(asdict(turn), ensure_ascii=False) + "\n" for turn in turns))
        if as_json:
            print(json.dumps(report, ensure_ascii=False))
        else:
            for key in ("wer", "jga", "ser", "slot_f1"):
                fuzzy = report.get("fuzzy", {}).get(key)
                print(
                    f"{key:8} {_percent(report.get(key))}"
                    + (f"   with fuzzy matching {_percent(fuzzy)}" if fuzzy else "")
                )


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16 (half the size).")] = "bfloat16",
) -> None:
    """Write a checkpoint again with smaller weights, to ship it."""
    import torch

    from engine.checkpoints import load_checkpoint, save_checkpoint

    with _errors():
        model, info = load_checkpoint(checkpoint)
        save_checkpoint(model, info, out, getattr(torch, dtype))


@app.command()
def recipes() -> None:
    """List the packaged recipes."""
    from engine.config import available_recipes

    for name, description in available_recipes().items():
        print(f"{name:32} {description}")


_LAST_ERROR: dict[str, str] = {}


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what a user can mend into one sentence on standard error and exit code 2 (1 when training itself failed)."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from engine.audio import AudioError
    from engine.base_models import BaseModelError
    from engine.checkpoints import CheckpointError
    from engine.config import RecipeError
    from engine.data.batching import DataError
    from engine.dialogue import ManifestError
    from engine.scoring import ScoreError
    from engine.training import TrainingError

    expected = (AudioError, BaseModelError, CheckpointError, RecipeError, DataError, ManifestError, ScoreError)
    try:
        yield
    except expected as error:
        _fail(str(error), 2, error)
    except TrainingError as error:
        _fail(str(error), 1, error)


def _fail(text: str, code: int, error: Exception) -> None:
    _LAST_ERROR["text"] = text
    print(f"error: {text}", file=sys.stderr)
    raise typer.Exit(code) from error


def _read(manifests: list[Path]) -> list[Any]:
    from engine.dialogue import ManifestError, read_manifest

    dialogues = [dialogue for path in manifests for dialogue in read_manifest(path)]
    seen: set[str] = set()
    for dialogue in dialogues:
        if dialogue.dialogue_id in seen:
            raise ManifestError(
                f"dialogue {dialogue.dialogue_id!r} is in two of the manifests; every dialogue needs its own id"
            )
        seen.add(dialogue.dialogue_id)
    return dialogues


def _write_result(out: Path, result: dict[str, Any]) -> None:
    partial = out / "result.json.partial"
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.replace(out / "result.json")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"


def main() -> None:
    app()
