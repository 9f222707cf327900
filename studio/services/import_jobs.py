"""The import that a project's Data page shows: the one that runs or waits, else the last."""

from __future__ import annotations

from dataclasses import dataclass

from studio.services import runs
from studio.services.job_views import JobView, find_job, list_jobs
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


def newest(ws: Workspace, project_id: int) -> ImportView | None:
    """A project's newest import; ``None`` where there was none."""
    item = next(iter(list_jobs(ws, project_id, limit=1, kind="import")), None)
    if item is None:
        return None
    found = runs.import_found(item.folder)
    with ws.read() as session:
        whole = is_whole(ws, find_job(session, item.id))
    return ImportView(
        item,
        tuple((name, text) for name, text in found.get("facts", ())),
        tuple(found.get("findings", ())),
        found.get("new"),
        found.get("imported"),
        item.can_resume and whole,
    )
