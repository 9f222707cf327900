"""What a run will take, before it starts: time from earlier runs' measured steps, memory from the engine's plan."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.models import Checkpoint, JobKind
from db.repositories import jobs
from studio.errors import StudioError
from studio.services import checkpoints, recipes, runs
from studio.services.provenance import RECIPE
from studio.workspace import Workspace

RUNS, POINTS = 10, 200  # how far back, and how many steps of a run are looked at


def expected_seconds(ws: Workspace, toml: str) -> float | None:
    """How long training with a complete recipe will take; ``None`` where no earlier run did such work here.

    A row of a stage takes as long as a row of the newest run whose stage had the same tasks and the same loss through the LLM.
    """
    with ws.read() as session:
        known = _seconds_per_row(ws, session)
    total = 0.0
    for stage in tomllib.loads(toml)["stages"]:
        each = known.get(_work(stage))
        if each is None:
            return None
        total += each * stage["steps"] * stage.get("batch", 16)
    return total


def memory(ws: Workspace, toml: str, base_checkpoint_id: int) -> str:
    """What the plan says of memory, in one sentence. Seconds: the model is built without weights.

    Raises:
        StudioError: the recipe does not go with the base checkpoint, or its models' configurations are not to be had.
    """
    with ws.read() as session:
        base = session.get(Checkpoint, base_checkpoint_id)
        if base is None:
            raise StudioError("This checkpoint does not exist any more: choose another one.")
        folder = checkpoints.folder(ws, base)
    most, card, gpu = _plan(toml, folder)
    where = f"the GPU has {card / 1e9:.0f} GB" if gpu else "there is no GPU, so it is the machine's memory"
    return f"{most / 1e9:.1f} GB at most; {where}."


@lru_cache(maxsize=32)
def _plan(toml: str, base: Path) -> tuple[int, int, bool]:
    import torch

    from engine.base_models import BaseModelError
    from engine.config import RecipeError
    from engine.planning import make_plan

    try:
        plan = make_plan(recipes.on_base(toml, base))
    except (RecipeError, BaseModelError) as error:
        raise StudioError(str(error)) from error
    return max(stage.total for stage in plan.stages), plan.card, torch.cuda.is_available()


def _seconds_per_row(ws: Workspace, session: Session) -> dict[tuple[Any, ...], float]:
    found: dict[tuple[Any, ...], float] = {}
    for job in jobs.load_many(session, None, RUNS, JobKind.TRAIN):
        folder = ws.path(job.folder)
        try:
            stages = {stage["name"]: stage for stage in tomllib.loads((folder / RECIPE).read_text("utf-8"))["stages"]}
        except OSError:  # of an older version
            continue
        seconds: dict[str, list[float]] = {}
        for point in runs.read_metrics(folder, 0, POINTS):
            seconds.setdefault(point.stage, []).append(point.seconds)
        for name, values in seconds.items():
            if name in stages:
                each = sum(values) / len(values) / stages[name].get("batch", 16)
                found.setdefault(_work(stages[name]), each)
    return found


def _work(stage: dict[str, Any]) -> tuple[Any, ...]:
    return (*sorted(stage["tasks"]), stage.get("ce_weight", 1.0) > 0)
