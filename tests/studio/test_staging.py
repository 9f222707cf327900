"""What an import staged and nobody goes on with is removed, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from db.models import Dialogue as DialogueRow
from db.models import Job, JobKind, JobStatus, Project, Revision, Turn, TurnSlot, utc_now
from engine.dialogue import Dialogue
from engine.dialogue import Turn as Said
from studio.services import deleting, imports, staging
from studio.services.exchange import Source
from studio.workspace import Workspace

SQLITE = pytest.mark.databases("sqlite")


def planned(ws: Workspace, project: int, folder: Path, number: int = 5) -> imports.Plan:
    state = {"restaurant": {"area": "north"}}
    found = [Dialogue(f"d{i}", [Said(0, "user", f"words of {i}", state=state), Said(1, "agent", "hm")]) for i in range(number)]
    return imports.plan(ws, project, Source(folder, "manifest", found))


@pytest.fixture
def staged(ws: Workspace, project: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of five dialogues of an import that was broken off, two hours ago."""
    monkeypatch.setattr(imports, "STAGED_TURNS", 4)
    monkeypatch.setattr(staging, "PART", 4)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports.carry_out(ws, project, planned(ws, project, tmp_path), progress=stop)
    with ws.write() as session:
        session.execute(update(DialogueRow).values(created=utc_now() - timedelta(hours=2)))


@pytest.fixture
def add(ws: Workspace, project: int) -> Callable[..., int]:
    """An import job that is what it is said to be."""

    def job(status: JobStatus, **about) -> int:
        with ws.write() as session:
            row = Job(project_id=project, kind=JobKind.IMPORT, status=status, options={"path": "m.jsonl"} | about)
            row.ended = utc_now()
            session.add(row)
            session.flush()
            ws.path(row.folder).mkdir()
            return row.id

    return job


def rows(ws: Workspace) -> list[int]:
    """How many there are of what is staged."""
    with ws.read() as session:
        (place,) = session.scalars(select(Project.id).where(Project.staged_for.is_not(None)))
        its = select(Turn.id).where(Turn.project_id == place)
        found = [session.scalar(select(func.count(DialogueRow.id)).where(DialogueRow.project_id == place))]
        found += [session.scalar(select(func.count()).where(table.turn_id.in_(its))) for table in (Revision, TurnSlot)]
        return [number or 0 for number in found]


@pytest.mark.usefixtures("staged")
def test_what_a_deleted_job_staged_goes_and_the_same_comes_in_later(
    ws: Workspace, project: int, corrected, add, tmp_path: Path
) -> None:
    corrected("mine")
    job = add(JobStatus.STOPPED)
    assert (staging.sweep(ws), rows(ws)) == (0, [4, 12, 4]), "the job can be resumed"
    deleting.delete_job(ws, job)
    assert (staging.sweep(ws), rows(ws)) == (4, [0, 0, 0])
    assert staging.sweep(ws) == 0
    assert imports.carry_out(ws, project, planned(ws, project, tmp_path)) == 5
    with ws.read() as session:
        assert session.scalar(select(func.count(DialogueRow.id)).where(DialogueRow.project_id == project)) == 6
        assert session.scalar(select(func.count(Revision.id))) == 17


@SQLITE
@pytest.mark.usefixtures("staged")
@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.INTERRUPTED])
def test_what_a_job_may_go_on_with_stays(ws: Workspace, add, status: JobStatus) -> None:
    add(status)
    assert staging.sweep(ws) == 0


@SQLITE
@pytest.mark.usefixtures("staged")
def test_what_no_job_can_go_on_with_goes(ws: Workspace, add) -> None:
    add(JobStatus.FINISHED)
    add(JobStatus.FAILED, path="runs/2/upload/m.jsonl", uploaded=True)  # which was of no use and is gone
    assert staging.sweep(ws) == 4


@SQLITE
@pytest.mark.usefixtures("staged")
def test_an_import_that_begins_meanwhile_goes_on_with_what_is_left(ws: Workspace, add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "give_way", lambda ws: add(JobStatus.QUEUED))
    assert (staging.sweep(ws), rows(ws)[0]) == (2, 2)


@SQLITE
@pytest.mark.usefixtures("staged")
def test_an_import_without_a_job_that_may_be_at_work_is_left_alone(ws: Workspace, project: int, tmp_path: Path) -> None:
    with ws.write() as session:
        session.execute(update(DialogueRow).where(DialogueRow.id == 4).values(created=utc_now()))
    assert staging.sweep(ws) == 0
