"""Commands around inference: transcribe, track, evaluate, calibrate."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.cli.common import AsJson, Checkpoint, Corpus, Device, Manifests, ManifestsIfAny, errors, read, read_spoken
from engine.cli.decoding import (
    Beams,
    Grammar,
    Guard,
    History,
    LengthPenalty,
    MaxNewTokens,
    NoRepeatNgram,
    Speakers,
    choose_history,
    load_tracker,
)
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
            result = {"file": str(path)} | {key: getattr(prediction, key) for key in _TURN_KEYS} | tracker.settings()
            text = f"{path}: {_readable(prediction)}"
            print(json.dumps(result, ensure_ascii=False) if as_json else text, flush=True)
    raise typer.Exit(2 if failed else 0)


_TURN_KEYS = ("transcript", "state", "confidence", "raw", "seconds", "guarded")


def track(
    manifest: ManifestsIfAny = None,
    corpus: Corpus = None,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    history: History = "own",
    speakers: Speakers = None,
    beams: Beams = None,
    length_penalty: LengthPenalty = None,
    grammar: Grammar = None,
    max_new_tokens: MaxNewTokens = None,
    guard: Guard = True,
    batch: Annotated[int, typer.Option(min=1, help="Dialogues decoded side by side; the answers do not depend on it.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues of a manifest or corpus turn by turn; one object a user turn, as soon as it is answered."""
    from engine.tracking import track_dialogues

    settings = {"beams": beams, "length_penalty": length_penalty, "grammar": grammar, "max_new_tokens": max_new_tokens}
    with errors():
        dialogues = read_spoken(manifest, corpus)
        tracker = load_tracker(checkpoint, device, "dst", speakers, guard, **settings)
        for turn in track_dialogues(tracker, dialogues, history=choose_history(history, dialogues), batch=batch):
            text = f"{turn.dialogue_id} {turn.turn_id}: {_readable(turn)}"
            print(turn.to_json() if as_json else text, flush=True)


def evaluate(
    manifest: ManifestsIfAny = None,
    corpus: Corpus = None,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    history: History = "own",
    speakers: Speakers = None,
    beams: Beams = None,
    length_penalty: LengthPenalty = None,
    no_repeat_ngram: NoRepeatNgram = None,
    grammar: Grammar = None,
    max_new_tokens: MaxNewTokens = None,
    guard: Guard = True,
    split: Annotated[str | None, typer.Option(help="Score only this split (of a corpus: test if not given).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only the first N dialogues.")] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Also write each turn's prediction to this JSON Lines file, as soon as it is made."),
    ] = None,
    fuzzy: Annotated[
        Literal["paper", "typed"],
        typer.Option(help="How values are matched with the checkpoint's ontology; typed asks the audio where entries tie."),
    ] = "paper",
    resume: Annotated[bool, typer.Option(help="Go on from what the predictions file holds already.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Lose what the predictions file holds already.")] = False,
    task: Annotated[
        TaskName, typer.Option(help="dst tracks whole dialogues; any other task's examples are answered one by one.")
    ] = "dst",
    batch: Annotated[int, typer.Option(min=1, help="Dialogues, or examples, decoded side by side.")] = 16,
    device: Device = "auto",
) -> None:
    """Track dialogues of a manifest or corpus and score transcripts and states against it; or score another task."""
    from engine.config import RecipeError
    from engine.tasks import TASKS, IndependentTask
    from engine.tracking import evaluate_dialogues, evaluate_task
    from engine.tracking.predictions import refuse_to_overwrite

    alone = isinstance(TASKS[task], IndependentTask)
    settings = {"beams": beams, "length_penalty": length_penalty, "no_repeat_ngram": no_repeat_ngram, "grammar": grammar}
    with errors(as_json):
        if resume and (alone or predictions is None):
            raise RecipeError("--resume goes on from a file of --predictions, and of task dst only")
        if resume and overwrite:
            raise RecipeError("--resume goes on from the predictions file, --overwrite loses it: give one of them")
        if predictions is not None and not (resume or overwrite):
            refuse_to_overwrite(predictions)
        dialogues = read_spoken(manifest, corpus, split)[:limit]
        tracker = load_tracker(checkpoint, device, task, speakers, guard, max_new_tokens=max_new_tokens, **settings)
        if alone:
            with predictions.open("w", encoding="utf-8") if predictions else nullcontext() as file:
                report, answers = evaluate_task(tracker, dialogues, task, batch=batch)
                if file:
                    made = tracker.settings(task)
                    file.writelines(json.dumps(answer.to_json() | made, ensure_ascii=False) + "\n" for answer in answers)
        else:
            chosen = choose_history(history, dialogues)
            report, _ = evaluate_dialogues(
                tracker, dialogues, history=chosen, batch=batch, fuzzy=fuzzy, predictions=predictions, resume=resume
            )
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
    elif alone:
        _print_scores(report)
    else:
        _print_states(report)


def calibrate(
    manifest: Manifests,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder; calibration.json is written into it.")],
    predictions: Annotated[
        Path | None, typer.Option(help="Predictions of this manifest by `evaluate --predictions`; made now if not given.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Dialogues decoded side by side.")] = 16,
    device: Device = "auto",
) -> None:
    """Fit confidences on held-out corrected dialogues, so that of slots with 80 % some 80 % are right."""
    from engine.dialogue import ManifestError
    from engine.tracking import Tracker, track_dialogues
    from engine.tracking.calibration import calibrate_on, check_checkpoint, refuse_test_split, write_calibration
    from engine.tracking.predictions import read_predictions

    with errors():
        dialogues = read(manifest)
        refuse_test_split(dialogues)
        if predictions is None:
            tracker = Tracker.load(checkpoint, device, calibrated=False)
            turns = list(track_dialogues(tracker, dialogues, batch=batch))
        else:
            turns = read_predictions(predictions)
            check_checkpoint(turns, checkpoint)
        try:
            calibration = calibrate_on(turns, dialogues, [Path(*path.absolute().parts[-2:]).as_posix() for path in manifest])
        except ValueError as error:
            raise ManifestError(f"{', '.join(map(str, manifest))}: {error}") from error
        path = write_calibration(checkpoint, calibration)
    print(
        f"{path}: {calibration.slots} slots, {100 * calibration.right / calibration.slots:.1f} % of them right; expected "
        f"calibration error {100 * calibration.ece_before:.2f} % before, {100 * calibration.ece_after:.2f} % after, "
        "on the same turns"
    )


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
    oracle = " (oracle)" if report["oracle"] else ""
    matching = f"ontology {report['ontology']}{oracle}, fuzzy matching {report['fuzzy']['mode']}"
    print(f"profile {report['profile']}, {matching}, {report['history']} history")
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
