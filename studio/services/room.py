"""Room on the disk: where a job found none, the next ones wait until there is some, or they would fail one after another."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy.orm import Session

from db.repositories import jobs
from studio.services import failures
from studio.workspace import Workspace

LEAST = 200_000_000  # bytes that have to be free beside another save of the run that found the disk full


def lacks(ws: Workspace, session: Session) -> str | None:
    """What jobs wait for if a job found the disk full, or gone, none was started since, and it still is."""
    failed = jobs.disk_failed(session)
    if failed is None:
        return None
    runs = ws.path("runs")
    needed = LEAST + _size(ws.path(failed.folder) / "train" / "resume")
    try:
        free = shutil.disk_usage(runs).free
    except OSError:
        return failures.disk_trouble(runs)
    if free < needed:
        return (
            f"waits for room on the disk, which job {failed.id} found full: "
            f"{free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed"
        )
    return failures.disk_trouble(runs)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
