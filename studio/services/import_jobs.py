"""The import that a project's Data page shows: the one that runs, else the last."""

from __future__ import annotations

from dataclasses import dataclass

from db.models import JobKind
from db.repositories import jobs
from studio.services import runs
from studio.services.job_views import JobView, job_view
from studio.services.scheduling import is_whole
from studio.workspace import Workspace


@dataclass(frozen=True)
class ImportView:
    """An import: ``facts`` of what it found (as `imports.facts`) and ``findings`` of the reader are empty before it has read.

    ``new`` dialogues were to come in and ``imported`` of them did; ``None`` before that is known.
    """

    job: JobView
    facts: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    new: int | None
    imported: int | None
    can_resume: bool


def shown(ws: Workspace, project_id: int) -> ImportView | None:
    """The import of a project that runs, else its newest; ``None`` where there was none."""
    with ws.read() as session:
        job = jobs.running_or_newest(session, project_id, JobKind.IMPORT)
        if job is None:
            return None
        whole = is_whole(ws, job)
    item = job_view(ws, job.id)
    found = runs.import_found(item.folder)
    return ImportView(
        item,
        tuple((name, text) for name, text in found.get("facts", ())),
        tuple(found.get("findings", ())),
        found.get("new"),
        found.get("imported"),
        item.can_resume and whole,
    )
