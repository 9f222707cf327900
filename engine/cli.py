"""The engine's command line: ``python -m engine train|transcribe|track|evaluate|prepare|synthesise|export``.

Exit codes: 0 done, 1 failed, 2 bad arguments or data, 3 stopped on request (resume goes on).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

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
    with _errors():
        from engine.config import load_recipe
        from engine.training import train as run
        from engine.training.folder import RunFolder, RunFolderError

        loaded = load_recipe(recipe, overrides)
        if stages:
            loaded = loaded.model_copy(update={"stages": [loaded.stage(name) for name in stages]})
        dialogues = _read(manifest)
        out.mkdir(parents=True, exist_ok=True)
        try:
            result = run(loaded, dialogues, out, base=base, resume=resume, device=device)
        except RunFolderError:
            raise  # the folder is another run's: leave its result alone
        except Exception as error:
            RunFolder(out).write_result("failed", 0.0, str(error).strip().split("\n")[0] or type(error).__name__)
            raise
    raise typer.Exit(3 if result["status"] == "stopped" else 0)


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
            text = f"{path}: {_readable(prediction)}"
            print(json.dumps(result, ensure_ascii=False) if as_json else text, flush=True)
    raise typer.Exit(2 if failed else 0)


_TURN_KEYS = ("transcript", "state", "confidence", "raw", "seconds")


@app.command()
def track(
    manifest: Manifests,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    oracle_history: Annotated[bool, typer.Option(help="Use the manifest's transcripts as history.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Dialogues decoded together.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues turn by turn; one object a user turn."""
    from engine.tracking import Tracker, track_dialogues

    with _errors():
        tracker = Tracker.load(checkpoint, device)
        for turn in track_dialogues(tracker, _read(manifest), oracle_history=oracle_history, batch=batch):
            text = f"{turn.dialogue_id} {turn.turn_id}: {_readable(turn)}"
            print(json.dumps(asdict(turn), ensure_ascii=False) if as_json else text, flush=True)


@app.command()
def evaluate(
    manifest: Manifests,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    oracle_history: Annotated[bool, typer.Option(help="Use the manifest's transcripts as history.")] = False,
    split: Annotated[str | None, typer.Option(help="Score only dialogues of this split.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only the first N dialogues.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Also write each turn's prediction to this JSON Lines file.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Dialogues decoded together.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues and score transcripts and states against the manifest."""
    from engine.tracking import Tracker, evaluate_dialogues

    with _errors():
        dialogues = [dialogue for dialogue in _read(manifest) if split is None or dialogue.split == split][:limit]
        with predictions.open("w", encoding="utf-8") if predictions else nullcontext() as file:
            tracker = Tracker.load(checkpoint, device)
            report, turns = evaluate_dialogues(tracker, dialogues, oracle_history=oracle_history, batch=batch)
            if file:
                file.writelines(json.dumps(asdict(turn), ensure_ascii=False) + "\n" for turn in turns)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    print(f"profile {report['profile']}, ontology {report['ontology']}, {report['history']} history")
    for key in ("wer", "jga", "ser", "slot_f1"):
        fuzzy = report["fuzzy"].get(key)
        print(f"{key:8} {_percent(report[key])}" + ("" if fuzzy is None else f"   with fuzzy matching {_percent(fuzzy)}"))
    print(f"answers that were not valid JSON: {report['invalid_outputs']}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="bfloat16 is half the size.")] = "bfloat16",
) -> None:
    """Write a checkpoint again with smaller weights, to ship it."""
    import torch

    from engine.checkpoints import MODEL_CARD, load_checkpoint, save_checkpoint

    with _errors():
        model, info = load_checkpoint(checkpoint)
        save_checkpoint(model, info, out, getattr(torch, dtype))
        if (checkpoint / MODEL_CARD).exists():
            shutil.copy(checkpoint / MODEL_CARD, out)


@app.command()
def recipes() -> None:
    """List the packaged recipes."""
    from engine.config import available_recipes

    for name, description in available_recipes().items():
        print(f"{name:32} {description}")


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

    expected = (AudioError, BaseModelError, CheckpointError, RecipeError, DataError, ManifestError, ScoreError, OSError)
    try:
        yield
    except (*expected, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, expected) else 1) from error


def _readable(answer: Any) -> str:
    """Transcript and state for people; an answer that was not valid JSON is shown as it came."""
    if not answer.valid:
        return f"{answer.transcript}  [not valid JSON: {answer.raw}]"
    return f"{answer.transcript}  {json.dumps(answer.state, ensure_ascii=False)}"


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


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"


def main() -> None:
    app()
