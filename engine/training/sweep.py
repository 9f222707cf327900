"""Sweeps: one recipe in many settings, trained and scored one after the other by the same code, with one table at the end.

A sweep is a TOML file:

    description = "..."
    recipe = "demo"                        what the points start from; --recipe names another one
    set = { "stage2.steps" = 60 }          for every point
    [grid]                                 every combination of these is a point
    "model.connector.stack" = [3, 6, 9]
    [[points]]                             and so is each of these
    name = "mlp"
    recipe = "demo"                        where it differs
    run = ["stage2"]                       the stages it goes through, in place of the recipe's
    set = { "model.connector" = { kind = "mlp" } }

    DIR/POINT/              the point's run folder (`engine.training.folder`)
    DIR/POINT/scores.json   written when it is trained and scored; such a point is not run again
    DIR/summary.json, DIR/summary.md, DIR/curves.svg
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError

from engine.checkpoints import load_checkpoint
from engine.config import Recipe, RecipeError, load_recipe, parse_recipe
from engine.connector_config import Section
from engine.data.frames import FrameCache
from engine.dialogue import Dialogue
from engine.losses import EmbeddingCtc
from engine.model import SpeechLLM, pick_device
from engine.recipe_files import assign, choose_stages, override, read_toml
from engine.scoring import wer
from engine.tracking import Tracker, evaluate_dialogues, evaluate_task
from engine.training.curves import draw_curves
from engine.training.folder import RunFolder
from engine.training.loop import TrainingError, train

LAST_STEPS = 20  # a point's training loss is the mean over so many


class PointConfig(Section):
    """One setting of a sweep."""

    name: str
    recipe: str | None = None
    run: list[str] | None = None
    set: dict[str, Any] = {}


class SweepConfig(Section):
    """What a sweep's file holds."""

    description: str = ""
    recipe: str = "demo"
    run: list[str] | None = None
    set: dict[str, Any] = {}
    grid: dict[str, list[Any]] = Field({}, description="key -> values; every combination is a point")
    points: list[PointConfig] = []


@dataclass(frozen=True)
class Point:
    """A named recipe, ready to run."""

    name: str
    recipe: Recipe


def read_sweep(name: str, recipe: str | None = None, overrides: Sequence[str] = ()) -> list[Point]:
    """The points of a packaged sweep, or of a TOML file; all of them are checked before the first one costs hours.

    Raises:
        RecipeError: no such sweep, an unknown key, a point that is no recipe, or two points of one name.
    """
    try:
        config = SweepConfig.model_validate(read_toml(name, "sweeps", "sweep"))
    except ValidationError as error:
        problem = error.errors()[0]
        raise RecipeError(f"sweep {name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error
    settings = list(config.points)
    if config.grid:
        for values in itertools.product(*config.grid.values()):
            chosen = dict(zip(config.grid, values, strict=True))
            label = "_".join(f"{key.rpartition('.')[2].lstrip('^')}-{value}" for key, value in chosen.items())
            settings.append(PointConfig(name=label, set=chosen))
    names = [_folder_name(point.name) for point in settings]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice or not names:
        raise RecipeError(f"sweep {name}: " + (f"two points are named {twice[0]!r}" if twice else "it has no points"))
    return [Point(label, _recipe(point, config, recipe, overrides)) for label, point in zip(names, settings, strict=True)]


def _recipe(point: PointConfig, config: SweepConfig, recipe: str | None, overrides: Sequence[str]) -> Recipe:
    name = point.recipe or recipe or config.recipe
    data = load_recipe(name).model_dump()
    try:
        for key, value in {**config.set, **point.set}.items():
            assign(data, key, value, Recipe.model_fields)
        for text in overrides:
            override(data, text, Recipe.model_fields)
        choose_stages(data, point.run if point.run is not None else config.run, name)
        return parse_recipe(data, name)
    except RecipeError as error:
        raise RecipeError(f"point {point.name}: {error}") from error


def _folder_name(label: str) -> str:
    return re.sub(r"[^\w.=-]+", "-", label).strip("-")


def run_sweep(
    points: Sequence[Point],
    dialogues: Sequence[Dialogue],
    out: Path,
    *,
    limit: int | None = None,
    base: Path | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> list[dict[str, Any]] | None:
    """Train and score every point that is not done yet; the rows of the summary, or None when it was stopped.

    A point whose training fails is a row too, with its error, and is tried again the next time.

    Args:
        dialogues: those of split ``train`` are trained on, those of split ``dev`` scored.
        limit: score only the first so many.
    """
    held_out = [dialogue for dialogue in dialogues if dialogue.split == "dev"][:limit]
    rows: list[dict[str, Any]] = []
    for point in points:
        folder = out / point.name
        try:
            result = train(point.recipe, dialogues, folder, base=base, resume=True, device=device, cache=cache)
        except TrainingError as error:
            rows.append({"point": point.name, "status": "failed", **_trained(folder), "error": str(error)})
        else:
            if result["status"] == "stopped":
                return None
            rows.append(_scored(point, folder, dialogues, held_out, device, cache))
        write_summary(out, rows)
    return rows


def _scored(
    point: Point, folder: Path, dialogues: Sequence[Dialogue], held_out: Sequence[Dialogue], device: str, cache: Path | None
) -> dict[str, Any]:
    done = folder / "scores.json"
    if done.exists():
        return json.loads(done.read_text(encoding="utf-8"))
    model, info = load_checkpoint(folder / "checkpoint")
    model.to(pick_device(device)).eval()
    patterns = [pattern for stage in point.recipe.stages for pattern in stage.trainable]
    row: dict[str, Any] = {
        "point": point.name,
        "status": "finished",
        "connector_parameters": sum(parameter.numel() for parameter in model.connector.parameters()),
        "trained_parameters": sum(
            parameter.numel()
            for name, parameter in model.named_parameters()
            if any(re.search(pattern, name) for pattern in patterns)
        ),
        **_trained(folder),
    }
    if held_out and any(stage.ctc_weight for stage in point.recipe.stages):
        row["ctc_wer"] = ctc_wer(model, dialogues, held_out, cache)
    last = point.recipe.stages[-1]
    if held_out and last.ce_weight:
        tracker = Tracker(model, info, device)
        for task in last.tasks:
            score = evaluate_dialogues if task == "dst" else partial(evaluate_task, name=task)
            report, _ = score(tracker, held_out)
            row |= {key: value for key, value in report.items() if key in COLUMNS}
            if "partial" in report:
                row["partial_f1"] = report["partial"]["f1"]
    unfinished = done.with_suffix(".partial")
    unfinished.write_text(json.dumps(row, indent=1), encoding="utf-8")
    unfinished.replace(done)
    return row


def _trained(folder: Path) -> dict[str, Any]:
    lines = _metrics(folder)
    steps = [line for line in lines if "loss" in line]
    last = [line["loss"] for line in steps[-LAST_STEPS:] if line["stage"] == steps[-1]["stage"]]
    evaluations = [line["eval_loss"] for line in lines if line.get("eval_loss") is not None]
    return {
        "steps": len(steps),
        "loss": sum(last) / len(last) if last else None,
        "dev_loss": evaluations[-1] if evaluations else None,
        "seconds": round(sum(line["seconds"] for line in steps), 1),
    }


def _metrics(folder: Path) -> list[dict[str, Any]]:
    path = RunFolder(folder).metrics
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


@torch.no_grad()
def ctc_wer(
    model: SpeechLLM, dialogues: Sequence[Dialogue], held_out: Sequence[Dialogue], cache: Path | None = None
) -> float | None:
    """WER (percent) of what the CTC head reads from the connector's outputs, best path, without the LLM.

    It can write the tokens that the training transcripts hold.
    """
    words = (turn.transcript for each in dialogues if each.split == "train" for turn in each.user_turns() if turn.transcript)
    tokens = torch.tensor(sorted({token for text in words for token in model.token_ids(" " + text)}), device=model.device)
    table = model.llm.get_input_embeddings().weight[tokens].float()
    turns = [turn for dialogue in held_out for turn in dialogue.user_turns() if turn.audio and turn.transcript]
    frames = FrameCache(model, cache)
    texts = []
    for turn in turns:
        row = frames.get(turn)[None].to(model.device)
        speech, _ = model.speech(row, torch.ones(row.shape[:2], dtype=torch.bool, device=model.device))
        texts.append(model.tokenizer.decode(tokens[best_path(model.ctc, speech, table)].tolist()))
    return wer([turn.transcript or "" for turn in turns], texts).wer


def best_path(ctc: EmbeddingCtc, speech: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Indices into ``table`` ``(K, D)`` along the best path of one row ``(1, S, D)``: repeats merged, blanks dropped."""
    path = ctc.log_probs(speech, table)[0].argmax(-1).unique_consecutive()
    return path[path > 0] - 1


COLUMNS = {
    "point": "point",
    "connector_parameters": "connector, M",
    "trained_parameters": "trained, M",
    "steps": "steps",
    "loss": "loss",
    "dev_loss": "dev loss",
    "ctc_wer": "CTC WER %",
    "wer": "WER %",
    "jga": "JGA %",
    "slot_f1": "slot F1 %",
    "partial_f1": "partial F1 %",
    "token_f1": "token F1 %",
    "bleu": "BLEU",
    "seconds": "seconds",
    "status": "status",
}


def write_summary(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the table of the rows so far, as JSON and Markdown, and their loss curves."""
    (out / "summary.json").write_text(json.dumps(list(rows), indent=1), encoding="utf-8")
    (out / "summary.md").write_text(summary_table(rows), encoding="utf-8")
    losses = {row["point"]: [line["loss"] for line in _metrics(out / row["point"]) if "loss" in line] for row in rows}
    (out / "curves.svg").write_text(draw_curves(losses), encoding="utf-8")


def summary_table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table with the columns that some row has a value for."""
    columns = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    lines = [[COLUMNS[key] for key in columns], ["---"] * len(columns)]
    lines += [[_cell(key, row.get(key)) for key in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key.endswith("_parameters"):
        return f"{value / 1e6:.2f}"
    return f"{value:.0f}" if key == "seconds" else f"{value:.2f}" if isinstance(value, float) else str(value)
