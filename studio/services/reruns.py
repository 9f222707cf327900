"""Running a finished job again from its frozen snapshot, and whether it comes to the same: curve, weights and scores."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from db.models import Job, JobEventKind, JobKind, Snapshot
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs, snapshots
from engine.base_models import file_hashes, other_files
from engine.dialogue import read_manifest
from studio import backends
from studio.errors import StudioError
from studio.services import checkpoints, curves, provenance, recipes
from studio.services.job_views import JobView, find_job, job_view
from studio.services.provenance import RECIPE, weights_hash
from studio.services.recordings import sound_hash
from studio.services.runs import REPRODUCTION, move_into, new_folder, prepared
from studio.services.scheduling import start_next
from studio.services.snapshots import TRAIN, sha256
from studio.workspace import Workspace

CURVE = ("stage", "step", "loss", "lr", "grad_norm")  # of a step, what does not depend on how fast it was
CAUSES = ("code", "libraries", "machine")


def rerun_job(ws: Workspace, job_id: int, by: str = "") -> JobView:
    """Queue a finished job once more: same snapshot, recipe and base. Its checkpoint is not put in use.

    Raises:
        StudioError: no such job, it has not finished or is of an older version, something it was made of is not what it was, or
            its backend cannot be had.
    """
    with ws.read() as session:
        job = find_job(session, job_id)
        known = job.snapshot.provenance if job.snapshot is not None else None
        if job.kind != JobKind.TRAIN:
            raise StudioError(f"Job {job_id} trained nothing: only a training is run again to compare what comes out.")
        if job.checkpoint is None or job.snapshot is None or known is None:
            raise StudioError(f"Job {job_id} cannot be run again: it has not finished, or an older version did not note enough.")
        if job.checkpoint.deleted is not None:
            raise StudioError(f"Job {job_id} cannot be run again to compare: {job.checkpoint.name} was deleted.")
        base = checkpoints.folder(ws, job.base) if job.base is not None else None
        source = ws.path(job.snapshot.path).parents[1]
        _check(source, job.snapshot, known, base, job_id)
        snapshot_id, backend = job.snapshot.id, job.backend
    backends.named(backend).check()
    here = {"code": provenance.code(), "libraries": provenance.libraries(), "machine": provenance.machine()}
    now = {key: value for key, value in known.items() if key != "resumed"} | here | {"rerun_of": job_id}
    with prepared(ws) as folder:
        for part in ("snapshot", "held_out"):
            if (source / part).is_dir():
                shutil.copytree(source / part, folder / part, copy_function=_link)
        shutil.copyfile(source / RECIPE, folder / RECIPE)
        provenance.save(folder, now)
        with ws.write() as session:
            job = find_job(session, job_id)
            again = Job(
                project_id=job.project_id,
                base=job.base,
                recipe=job.recipe,
                overrides=job.overrides,
                backend=backend,
                use_when_finished=False,
            )
            jobs.note(again, JobEventKind.STARTED, by)
            session.add(again)
            session.flush()
            with new_folder(ws.path(again.folder)):
                again.snapshot = _copy(session.get_one(Snapshot, snapshot_id), f"{again.folder}/{TRAIN}", now)
                snapshots.add(session, again.snapshot, snapshots.revision_ids(session, snapshot_id))
                move_into(ws.path(again.folder), folder)
            again_id = again.id
    start_next(ws)
    return job_view(ws, again_id)


def judge(ws: Workspace, job_id: int) -> None:
    """Where a job was a rerun: hold its result against the first one's and write that into its folder."""
    with ws.read() as session:
        job = find_job(session, job_id)
        now = job.snapshot.provenance if job.snapshot is not None else None
        if now is None or "rerun_of" not in now or job.snapshot is None or job.checkpoint is None:
            return
        first = session.get_one(Job, now["rerun_of"])
        if first.checkpoint is None or first.checkpoint.deleted is not None or first.snapshot is None:
            return
        held_out = job.snapshot.held_out_sha256
        scores = [
            checkpoint_rows.scores(session, made.checkpoint.id, held_out) if made.checkpoint and held_out else None
            for made in (first, job)
        ]
        weights = [weights_hash(checkpoints.folder(ws, made.checkpoint)) for made in (first, job) if made.checkpoint]
        folders = [ws.path(made.folder) for made in (first, job)]
        before = first.snapshot.provenance or {}
    found: dict[str, Any] = {
        "rerun_of": first.id,
        "curve": _curves(*(_curve(folder) for folder in folders)),
        "weights": weights[0] == weights[1],
        "scores": _differing(*scores),
        "causes": [f"{kind}.{key}" for kind in CAUSES for key in _differing(before.get(kind), now.get(kind))],
    }
    before_files, files = (known.get("base", {}).get("files", {}) for known in (before, now))
    found["causes"] += [f"base.{part}" for part in other_files(before_files, files)]
    found["causes"] += ["recipe.resumed"] if "resumed" in before else []  # the first run began otherwise
    found["identical"] = found["curve"] is None and found["weights"] and not found["scores"]
    found["sentence"] = _sentence(found)
    (folders[1] / REPRODUCTION).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _check(source: Path, snapshot: Snapshot, known: dict[str, Any], base: Path | None, job_id: int) -> None:
    """Refuse to run what would be another run."""
    parts = [(source / TRAIN, snapshot.sha256), (source / "held_out" / "manifest.jsonl", snapshot.held_out_sha256)]
    whole = all(digest is None or (file.is_file() and sha256(file) == digest) for file, digest in parts)
    whole = whole and provenance.text_hash(_text(source / RECIPE)) == known["recipe"]["sha256"]
    manifests = [file for file, digest in parts if whole and digest is not None]
    heard = {Path(turn.audio) for file in manifests for found in read_manifest(file) for turn in found.turns if turn.audio}
    whole = whole and all(file.is_file() and sound_hash(file) == file.stem for file in heard)
    if not whole:
        raise StudioError(f"Job {job_id} cannot be run again: its snapshot in {source} was changed or is not complete.")
    if base is not None and weights_hash(base) != known["base"]["sha256"]:
        raise StudioError(f"Job {job_id} cannot be run again: its base checkpoint {known['base']['name']} is not what it was.")
    if then := known["base"].get("files"):  # else it is of an older version
        model = recipes.on_base(_text(source / RECIPE), base).model
        for part, name in other_files(then, {part: file_hashes(getattr(model, part)) for part in then}).items():
            raise StudioError(
                f"Job {job_id} cannot be run again: {name} of the {part} {getattr(model, part)} is not what it was; put it back."
            )


def _copy(snapshot: Snapshot, path: str, now: dict[str, Any]) -> Snapshot:
    kept = ("project_id", "ontology_id", "sha256", "dialogues", "held_out", "held_out_sha256", "labels_id")
    return Snapshot(**{key: getattr(snapshot, key) for key in kept}, path=path, provenance=now)


def _link(source: str, target: str) -> None:
    """A second name of a frozen file, which nobody writes to; a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _curve(folder: Path) -> list[list[Any]]:
    lines = _text(folder / "train" / "metrics.jsonl").splitlines()
    return [[point.get(key) for key in CURVE] for point in map(curves.parse, lines) if point]


def _curves(first: list[list[Any]], second: list[list[Any]]) -> dict[str, Any] | None:
    """Where two curves part: from which step on, and by how much the loss differs at most; ``None`` where they are equal."""
    if first == second:
        return None
    loss, step = CURVE.index("loss"), CURVE.index("step")
    parted = [old[step] for old, new in zip(first, second, strict=False) if old != new]
    apart = [abs(old[loss] - new[loss]) for old, new in zip(first, second, strict=False)]
    return {"from_step": min(parted, default=min(len(first), len(second)) + 1), "loss": max(apart, default=0.0)}


def _differing(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, list[Any]]:
    """The keys whose values differ, with both; seconds are no result."""
    old, new = first or {}, second or {}
    keys = [key for key in dict.fromkeys([*old, *new]) if "seconds" not in key]
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}


def _sentence(found: dict[str, Any]) -> str:
    if found["identical"]:
        return f"Identical to job {found['rerun_of']}: loss curve, weights and scores."
    parts = []
    if found["curve"]:
        parts.append(f"the loss from step {found['curve']['from_step']} on, by {found['curve']['loss']:.2g} at most")
    parts += ["the weights"] if not found["weights"] else []
    parts += [f"scores ({', '.join(found['scores'])})"] if found["scores"] else []
    why = (
        f"Not the same any more: {', '.join(found['causes'])}."
        if found["causes"]
        else "Code, libraries and machine are the same."
    )
    return f"Differs from job {found['rerun_of']} in {' and '.join(parts)}. {why}"
