"""What a run follows from: written down when it is frozen, so that it can be read, compared and run again.

runs/<job id>/recipe.toml        the complete recipe; what the trainer reads
runs/<job id>/provenance.json    everything else; the snapshot's row has it too
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import engine
from db.models import Job
from db.repositories import snapshots
from studio.errors import StudioError
from studio.workspace import Workspace

RECIPE, PROVENANCE = "recipe.toml", "provenance.json"
BASE_MODELS = "train/base_models.json"  # the engine's
LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "numpy", "safetensors", "accelerate")
PACKAGE = "spoken-dst-studio"


@dataclass(frozen=True)
class Plan:
    """What a training is to be: its recipe by name, with overrides, and as the complete text ``toml``; what it starts from.

    ``base`` holds the checkpoint's ``name`` (``None`` for the base models alone) and what `describe_checkpoint` says of it; when
    it is trained, also the hashes of the base models' ``files``.
    """

    recipe: str
    overrides: tuple[str, ...]
    toml: str
    base: dict[str, Any]


def write(folder: Path, plan: Plan, data: dict[str, Any]) -> dict[str, Any]:
    """Write the files above into a job's folder; what they say beside the recipe comes back.

    Args:
        data: the hashes of both manifests, the ontology, the revisions and the hashes of the recordings.
    """
    (folder / RECIPE).write_text(plan.toml, encoding="utf-8")
    known = {
        "recipe": {"name": plan.recipe, "overrides": list(plan.overrides), "sha256": text_hash(plan.toml)},
        "base": plan.base,
        "data": data,
        "code": code(),
        "libraries": libraries(),
        "machine": machine(),
    }
    save(folder, known)
    return known


def change(folder: Path, job: Job, recipe: str, overrides: list[str], step: int) -> None:
    """Give a job that is resumed behind ``step`` another recipe, and keep in its provenance since when it has that."""
    snapshot = job.snapshot
    known = (snapshot.provenance or {}) if snapshot is not None else {}
    if snapshot is None or not known:
        raise StudioError(f"Job {job.id} is of an older version, which did not note its recipe: resume it as it is.")
    job.overrides = [*job.overrides, *overrides]
    resumed = [*known.get("resumed", ()), {"after_step": step, "overrides": overrides, "before": known["recipe"]["sha256"]}]
    named = known["recipe"] | {"overrides": job.overrides, "sha256": text_hash(recipe)}
    snapshot.provenance = known | {"recipe": named, "resumed": resumed}
    partial = folder / f"{RECIPE}.partial"
    partial.write_text(recipe, encoding="utf-8")
    partial.replace(folder / RECIPE)
    save(folder, snapshot.provenance)


def save(folder: Path, known: dict[str, Any]) -> None:
    """Write what a run follows from into its job's folder."""
    (folder / PROVENANCE).write_text(json.dumps(known, indent=1), encoding="utf-8")


def recipe_text(folder: Path) -> str:
    """A job's recipe, complete; empty of a job of an older version."""
    return (folder / RECIPE).read_text(encoding="utf-8") if (folder / RECIPE).is_file() else ""


def recipe_arguments(folder: Path, job: Job) -> list[str]:
    """How the command line is told the job's recipe; jobs of older versions have only its name and overrides."""
    if (folder / RECIPE).is_file():
        return [str(folder / RECIPE)]
    return [str(job.recipe), *(part for override in job.overrides for part in ("--set", override))]


def add_base_models(folder: Path, job: Job) -> None:
    """Add to a trained job's provenance the hashes of the files of its base models, which the engine read them from."""
    file, snapshot = folder / BASE_MODELS, job.snapshot
    if snapshot is None or not snapshot.provenance or not file.is_file():
        return
    models = json.loads(file.read_text(encoding="utf-8"))
    snapshot.provenance = snapshot.provenance | {"base": snapshot.provenance["base"] | {"files": models}}
    save(folder, snapshot.provenance)


@dataclass(frozen=True)
class UsedCorrection:
    """A correction that a run was trained on."""

    revision_id: int
    turn_id: int
    dialogue: str
    number: int
    kind: str
    author: str
    created: datetime


def corrections_of(ws: Workspace, job_id: int) -> list[UsedCorrection]:
    """Every correction a job was trained on, in the order of dialogues and turns."""
    with ws.read() as session:
        job = session.get(Job, job_id)
        if job is None or job.snapshot_id is None:
            return []
        return [
            UsedCorrection(
                revision.id, turn.id, dialogue.name, turn.turn_id, str(revision.kind), revision.author, revision.created
            )
            for revision, turn, dialogue in snapshots.revisions(session, job.snapshot_id)
        ]


def runs_of(ws: Workspace, turn_id: int) -> dict[int, list[int]]:
    """The jobs that were trained on a turn's revisions: their ids, by the revision's."""
    with ws.read() as session:
        found = snapshots.jobs_of_turn(session, turn_id)
        return {revision: [job.id for job in jobs] for revision, jobs in found.items()}


def describe_checkpoint(folder: Path) -> dict[str, Any]:
    """A checkpoint's hash, and the prints of the base models it belongs to."""
    try:
        head = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # `missing_files` and the engine say what is wrong with it
        head = {}
    return {"sha256": weights_hash(folder), "base_models": head.get("base", {})}


def weights_hash(folder: Path) -> str:
    """One hash of all weights of a checkpoint: equal for two runs that came to the same."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as content:
            total.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def text_hash(text: str) -> str:
    """The sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code() -> dict[str, str | None]:
    """Which program this is: its version, the commit where it is a checkout, and a hash of the engine's sources."""
    root = Path(engine.__path__[0])
    sources = hashlib.sha256()
    for file in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".toml")):
        sources.update(f"{file.relative_to(root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    try:
        version: str | None = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = None
    return {"version": version, "commit": _commit(root.parent), "engine": sources.hexdigest()}


@cache
def libraries() -> dict[str, str]:
    """The versions of what computes."""
    return {name: metadata.version(name) for name in LIBRARIES}


@cache
def machine() -> dict[str, Any]:
    """What it is computed on: figures of two kinds of processors differ in the last digits."""
    import torch

    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
