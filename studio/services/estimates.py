"""What a run will take, before it starts: time from earlier runs of this machine, else a guess; memory from the engine's plan."""

from __future__ import annotations

import json
import os
import tomllib
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple

import tomlkit
from sqlalchemy.orm import Session

from db.models import Checkpoint, JobKind
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs
from studio import backends
from studio.errors import StudioError
from studio.services import checkpoints, placement, recipes, runs
from studio.services.provenance import RECIPE
from studio.workspace import Workspace

RUNS, POINTS = 30, 200  # how far back, and how many steps of a run are looked at
SCORINGS = 5  # how far back
# What a guess rests on: each parameter takes 6 operations for each of a row's positions, and so many are done in a second
POSITIONS, CORE_SPEED, GPU_SPEED = 300, 1e11, 5e13
BATCH = 16  # rows of a step where a recipe does not say


def measured_seconds(ws: Workspace, toml: str, base_checkpoint_id: int | None) -> float | None:
    """How long training with a complete recipe will take, without scoring; ``None`` where no earlier run did such work on this
    machine.

    A row of a stage takes as long as a row of the newest run of this machine whose base models, backend, tasks and kind of loss
    were the same, with what was measured beside the steps.

    Raises:
        StudioError: no such checkpoint.
    """
    backend = placement.default_backend(ws)
    with ws.read() as session:
        known = _seconds_per_row(ws, session)
        models = _models(toml, _folder(ws, session, base_checkpoint_id))
    total = 0.0
    for stage in tomllib.loads(toml)["stages"]:
        each = known.get(_work(stage, models, backend))
        if each is None:
            return None
        total += each * stage["steps"] * stage.get("batch", BATCH)
    return total


def guessed_seconds(ws: Workspace, toml: str, base_checkpoint_id: int | None) -> float:
    """How long it may take on a machine that nothing is known of: by the size of the models, and of an ordinary processor or GPU.

    Seconds, as `memory`.

    Raises:
        StudioError: see `memory`.
    """
    place = backends.named(placement.default_backend(ws))
    cards = place.processes if place.gpu else min(place.processes, backends.gpus())
    speed = GPU_SPEED * cards if cards else CORE_SPEED * (os.cpu_count() or 1)
    rows = sum(stage["steps"] * stage.get("batch", BATCH) for stage in tomllib.loads(toml)["stages"])
    return rows * POSITIONS * 6 * _planned(ws, toml, base_checkpoint_id).parameters / speed


def seconds_per_turn(ws: Workspace, toml: str, base_checkpoint_id: int | None) -> float | None:
    """See `scoring_seconds`; ``None`` too where there is no such checkpoint."""
    with ws.read() as session:
        base = session.get(Checkpoint, base_checkpoint_id) if base_checkpoint_id is not None else None
        return scoring_seconds(ws, session, toml, base) if base is not None or base_checkpoint_id is None else None


def scoring_seconds(ws: Workspace, session: Session, toml: str, base: Checkpoint | None) -> float | None:
    """How long scoring takes for a turn, by the newest one of a checkpoint with the same base models as what is started from: a
    checkpoint, or a complete recipe's own. ``None`` without.
    """
    models = _models(toml, checkpoints.folder(ws, base) if base is not None else None)
    for scored, evaluation in checkpoint_rows.newest_evaluations(session, SCORINGS):
        seconds, turns = (evaluation.scores.get(key) for key in ("compute_seconds", "user_turns"))
        if seconds and turns and _models("", checkpoints.folder(ws, scored)) == models:
            return float(seconds / turns)
    return None


def memory(ws: Workspace, toml: str, base_checkpoint_id: int | None) -> str:
    """What the plan says of memory, in one sentence. Seconds: the model is built without weights.

    Raises:
        StudioError: the recipe does not go with the base checkpoint, or its models' configurations are not to be had.
    """
    plan = _planned(ws, toml, base_checkpoint_id)
    where = f"the GPU has {plan.card / 1e9:.0f} GB" if plan.gpu else "there is no GPU, so it is the machine's memory"
    return f"{plan.most / 1e9:.1f} GB at most; {where}."


class _Plan(NamedTuple):
    """The most bytes a stage takes, the GPU's bytes and whether there is one, and the parameters of all parts."""

    most: int
    card: int
    gpu: bool
    parameters: int


def _planned(ws: Workspace, toml: str, base_checkpoint_id: int | None) -> _Plan:
    with ws.read() as session:
        folder = _folder(ws, session, base_checkpoint_id)
    content = tomllib.loads(toml)
    for stage in content["stages"]:  # what changes no figure, so that the plan is made once for all of them
        stage |= {"steps": 1, "warmup": 0, "learning_rate": 1.0}
    return _plan(tomlkit.dumps(content), folder)


@lru_cache(maxsize=32)
def _plan(recipe: str, base: Path | None) -> _Plan:
    import torch

    from engine.base_models import BaseModelError
    from engine.config import RecipeError
    from engine.planning import make_plan

    try:
        plan = make_plan(recipes.on_base(recipe, base))
    except (RecipeError, BaseModelError) as error:
        raise StudioError(str(error)) from error
    most = max(stage.total for stage in plan.stages)
    return _Plan(most, plan.card, torch.cuda.is_available(), sum(plan.parameters.values()))


def _folder(ws: Workspace, session: Session, checkpoint_id: int | None) -> Path | None:
    if checkpoint_id is None:
        return None
    return checkpoints.folder(ws, checkpoints.get(session, checkpoint_id))


def _seconds_per_row(ws: Workspace, session: Session) -> dict[tuple[Any, ...], float]:
    found: dict[tuple[Any, ...], float] = {}
    for job in jobs.load_many(session, None, RUNS, JobKind.TRAIN):
        if job.host != gethostname():
            continue
        folder = ws.path(job.folder)
        try:
            toml = (folder / RECIPE).read_text("utf-8")
        except OSError:  # of an older version
            continue
        stages = {stage["name"]: stage for stage in tomllib.loads(toml)["stages"]}
        models = _models(toml, checkpoints.folder(ws, job.base) if job.base is not None else None)
        seconds: dict[str, list[float]] = {}
        points, beside = runs.read_metrics(folder, 0, POINTS), runs.seconds_beside(folder)
        for point in points:
            seconds.setdefault(point.stage, []).append(point.seconds)
        for name, values in seconds.items():
            if name in stages:
                steps = points[-1].step * len(values) / len(points)  # points are spread evenly
                each = sum(values) / len(values) + beside.get(name, 0.0) / steps
                found.setdefault(_work(stages[name], models, job.backend), each / stages[name].get("batch", BATCH))
    return found


def _work(stage: dict[str, Any], models: tuple[Any, ...], backend: str) -> tuple[Any, ...]:
    return (*models, backend, *sorted(stage["tasks"]), stage.get("ce_weight", 1.0) > 0)


def _models(toml: str, checkpoint: Path | None) -> tuple[Any, ...]:
    """Encoder and LLM by name, of the checkpoint that is started from, else of the recipe; nothing where it does not say."""
    try:
        said = tomllib.loads(toml) if checkpoint is None else json.loads((checkpoint / "checkpoint.json").read_text("utf-8"))
        model = said["model"]
    except (OSError, ValueError, KeyError):
        return ()
    return model.get("encoder"), model.get("llm")
