"""Deleting for good: the files of a checkpoint or of a job go. Their rows stay, marked: they tell what was trained and used."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import Checkpoint, JobEventKind, utc_now
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import jobs, promotions
from studio.errors import StudioError
from studio.services import checkpoints
from studio.services.job_views import find_job
from studio.workspace import Workspace, disk_errors


@dataclass(frozen=True)
class Deletion:
    """A checkpoint that was deleted; ``author`` is empty where nobody logged in or that was not kept."""

    checkpoint: str
    author: str
    created: datetime


def delete_checkpoint(ws: Workspace, checkpoint_id: int, by: str = "") -> None:
    """Delete a checkpoint. What it scored stays, and who deleted it.

    Raises:
        StudioError: no such checkpoint, it is the demo or in use, or something goes back to it or starts from it.
    """
    with ws.write() as session:
        checkpoint = checkpoints.get(session, checkpoint_id)
        if (job := jobs.in_need_of(session, checkpoint_id)) is not None:
            raise StudioError(f"{checkpoint.name} cannot be deleted: job {job.id} needs it; delete that first, or let it finish.")
        _refuse_needed(session, checkpoint)
        folder = checkpoints.folder(ws, checkpoint)
        checkpoint.deleted, checkpoint.deleted_by = utc_now(), by
    _remove(folder)


def delete_job(ws: Workspace, job_id: int, by: str = "") -> None:
    """Delete a job with its folder and the checkpoints in it; comparisons turn by turn that rest on its answers go too.

    Raises:
        StudioError: no such job, it has not ended, or one of its checkpoints cannot be deleted.
    """
    with ws.write() as session:
        job = find_job(session, job_id)
        if job.ended is None:
            raise StudioError(f"Job {job_id} cannot be deleted: it is {job.status}; stop it first.")
        for checkpoint in checkpoint_rows.below(session, job.folder):
            if (other := jobs.in_need_of(session, checkpoint.id, besides=job.id)) is not None:
                raise StudioError(f"{checkpoint.name} cannot be deleted: job {other.id} needs it; delete that first.")
            _refuse_needed(session, checkpoint)
            checkpoint.deleted, checkpoint.deleted_by = utc_now(), by
        checkpoint_rows.forget_answers(session, job.folder)
        job.deleted = utc_now()
        jobs.note(job, JobEventKind.DELETED, by)
        folder = ws.path(job.folder)
    _remove(folder)


def deleted_checkpoints(ws: Workspace) -> list[Deletion]:
    """Every checkpoint that was deleted, newest deletion first."""
    with ws.read() as session:
        return [Deletion(row.name, row.deleted_by or "", row.deleted) for row in checkpoint_rows.deleted(session) if row.deleted]


def _refuse_needed(session: Session, checkpoint: Checkpoint) -> None:
    cannot = f"{checkpoint.name} cannot be deleted: "
    if checkpoint.path is None:
        raise StudioError(f"{cannot}it comes with the program.")
    if checkpoints.in_use_id(session) == checkpoint.id:
        raise StudioError(f"{cannot}it is in use; put another one in use first.")
    if checkpoint.id in {step.from_id for step in promotions.all_standing(session)}:
        raise StudioError(f"{cannot}one can still go back to it from what was put in use after it.")
    if (child := checkpoint_rows.child(session, checkpoint.id)) is not None:
        raise StudioError(f"{cannot}{child.name} was trained from it; delete that first.")


def _remove(folder: Path) -> None:
    with disk_errors(folder):
        if folder.exists():
            shutil.rmtree(folder)
