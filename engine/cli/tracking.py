"""Commands around inference: transcribe, track, evaluate."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.common import AsJson, Checkpoint, Corpus, Device, ManifestsIfAny, errors, read_spoken
from engine.config import TaskName


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
    with errors():
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


def track(
    manifest: ManifestsIfAny = None,
    corpus: Corpus = None,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    oracle_history: Annotated[bool, typer.Option(help="Use the manifest's transcripts as history.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Dialogues decoded together.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues of a manifest or corpus turn by turn; one object a user turn."""
    from engine.tracking import Tracker, track_dialogues

    with errors():
        dialogues = read_spoken(manifest, corpus)
        tracker = Tracker.load(checkpoint, device)
        for turn in track_dialogues(tracker, dialogues, oracle_history=oracle_history, batch=batch):
            text = f"{turn.dialogue_id} {turn.turn_id}: {_readable(turn)}"
            print(json.dumps(asdict(turn), ensure_ascii=False) if as_json else text, flush=True)


def evaluate(
    manifest: ManifestsIfAny = None,
    corpus: Corpus = None,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    oracle_history: Annotated[bool, typer.Option(help="Use the manifest's transcripts as history.")] = False,
    split: Annotated[str | None, typer.Option(help="Score only this split (of a corpus: test if not given).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only the first N dialogues.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Also write each turn's prediction to this JSON Lines file.")
    ] = None,
    task: Annotated[
        TaskName, typer.Option(help="dst tracks whole dialogues; any other task's examples are answered one by one.")
    ] = "dst",
    batch: Annotated[int, typer.Option(min=1, help="Dialogues, or examples, decoded together.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues of a manifest or corpus and score transcripts and states against it; or score another task."""
    from engine.tasks import TASKS, IndependentTask
    from engine.tracking import Tracker, evaluate_dialogues, evaluate_task

    alone = isinstance(TASKS[task], IndependentTask)
    with errors():
        dialogues = read_spoken(manifest, corpus, split)[:limit]
        with predictions.open("w", encoding="utf-8") if predictions else nullcontext() as file:
            tracker = Tracker.load(checkpoint, device)
            if alone:
                report, answers = evaluate_task(tracker, dialogues, task, batch=batch)
                lines = [answer.to_json() for answer in answers]
            else:
                report, turns = evaluate_dialogues(tracker, dialogues, oracle_history=oracle_history, batch=batch)
                lines = [asdict(turn) for turn in turns]
            if file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
    elif alone:
        _print_scores(report)
    else:
        _print_states(report)


def _print_scores(report: dict[str, Any], indent: str = "") -> None:
    """A report of any task for people: one figure a line, groups indented."""
    for key, value in report.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            _print_scores(value, indent + "  ")
        else:
            print(f"{indent}{key:<20} {_figure(value)}")


def _figure(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_figure, value))
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _print_states(report: dict[str, Any]) -> None:
    print(f"profile {report['profile']}, ontology {report['ontology']}, {report['history']} history")
    for key in ("wer", "jga", "ser", "slot_f1"):
        fuzzy = report["fuzzy"].get(key)
        print(f"{key:8} {_percent(report[key])}" + ("" if fuzzy is None else f"   with fuzzy matching {_percent(fuzzy)}"))
    print(f"answers that were not valid JSON: {report['invalid_outputs']}")


def _readable(answer: Any) -> str:
    """Transcript and state for people; an answer that was not valid JSON is shown as it came."""
    if not answer.valid:
        return f"{answer.transcript}  [not valid JSON: {answer.raw}]"
    return f"{answer.transcript}  {json.dumps(answer.state, ensure_ascii=False)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"
