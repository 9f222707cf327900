"""Files are deleted for good where nothing needs them; what is known of them stays."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from db.models import Checkpoint, Evaluation, Job, JobStatus, Snapshot, utc_now
from db.repositories import snapshots
from studio import cli
from studio.errors import StudioError
from studio.pages.gate_panel import history_html
from studio.services import checkpoints, deleting, promotion, training
from studio.workspace import Workspace

pytestmark = pytest.mark.databases("sqlite")
BOTH = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def run(ws: Workspace, project: int, tracker) -> Callable[..., int]:
    """Make it as if a job had trained a checkpoint and scored it and the demo; the checkpoint's id comes back, job N's is N+1."""

    def make(base: int = 1, status: JobStatus = JobStatus.FINISHED, error: str | None = None) -> int:
        with ws.write() as session:
            job = Job(project_id=project, base_id=base, recipe="adapt", status=status, error=error)
            job.ended = utc_now() if status == JobStatus.FINISHED else None
            sounds = {"data": {"sounds": {"train": ["abc"]}}}
            frozen = {"sha256": "0" * 64, "dialogues": ["d"], "held_out": ["h"], "held_out_sha256": "h", "provenance": sounds}
            job.snapshot = Snapshot(project_id=project, ontology_id=1, path="runs/1", **frozen)
            session.add(job)
            session.flush()
            job.checkpoint = Checkpoint(name=f"run-{job.id}", path=f"runs/{job.id}/train/checkpoint", parent_id=base)
            session.flush()
            for id_ in (1, job.checkpoint.id):
                kept = f"runs/{job.id}/predictions-{id_}.jsonl"
                if session.scalar(select(Evaluation.id).where(Evaluation.checkpoint_id == id_)) is None:
                    found = {"manifest_sha256": "h", "scores": {"jga": 50.0}, "predictions": kept}
                    session.add(Evaluation(checkpoint_id=id_, **found))
            folder, made = ws.path(job.folder) / "train" / "checkpoint", job.checkpoint.id
        folder.mkdir(parents=True)
        for name in checkpoints.REQUIRED:
            (folder / name).write_text("{}")
        return made

    return make


def names(ws: Workspace) -> list[str]:
    return [item.name for item in checkpoints.list_checkpoints(ws)]


@BOTH
def test_a_checkpoint_is_deleted_and_its_scores_and_what_it_was_trained_on_stay_known(ws: Workspace, run) -> None:
    deleting.delete_checkpoint(ws, run())
    assert names(ws) == ["demo"] and not ws.path("runs/1/train/checkpoint").exists()
    job = training.job_view(ws, 1)
    assert (job.checkpoint, job.checkpoint_id, job.scores_after) == ("run-1 (deleted)", None, {"jga": 50.0})
    for act in (
        lambda: deleting.delete_checkpoint(ws, 2),
        lambda: promotion.promote(ws, 2, "anna"),
        lambda: training.start_job(ws, 1, 2, "adapt"),
    ):
        with pytest.raises(StudioError, match="does not exist any more"):
            act()
    with pytest.raises(StudioError, match="run-1 was deleted"):
        training.rerun_job(ws, 1)
    with ws.read() as session:
        snapshot = session.get_one(Checkpoint, 2).job.snapshot
        assert snapshot.provenance["data"]["sounds"]["train"] == ["abc"]


@BOTH
def test_a_job_goes_with_its_folder_checkpoint_and_answers(ws: Workspace, run) -> None:
    run()
    run()
    run()
    deleting.delete_job(ws, 3)
    with ws.read() as session:
        found = snapshots.held_out(session, "h")
        assert found is not None and found.id == 2, "it was the newest; its files are gone"
    deleting.delete_job(ws, 1)
    assert (names(ws), [job.id for job in training.list_jobs(ws)]) == (["run-2", "demo"], [2])
    assert not ws.path("runs/1").exists() and ws.path("runs/2/train/checkpoint").is_dir()
    with pytest.raises(StudioError, match="There is no job 1"):
        training.job_view(ws, 1)
    with ws.read() as session:
        kept = {row.checkpoint_id: row.predictions for row in session.scalars(select(Evaluation))}
    assert kept == {1: None, 2: None, 3: "runs/2/predictions-3.jsonl", 4: None}, "the demo is answered anew when it is compared"


def test_what_is_needed_is_not_deleted(ws: Workspace, run) -> None:
    def refused(checkpoint: int, sentence: str) -> None:
        with pytest.raises(StudioError, match=sentence):
            deleting.delete_checkpoint(ws, checkpoint)

    first = run()
    second = run(base=first)
    refused(1, "demo cannot be deleted: it comes with the program")
    refused(first, "run-1 cannot be deleted: run-2 was trained from it; delete that first")
    with pytest.raises(StudioError, match="run-1 cannot be deleted: run-2 was trained from it"):
        deleting.delete_job(ws, 1)
    for chosen in (first, second):
        promotion.promote(ws, chosen, "root", "because", from_shell=True)
    deletable = run()
    promotion.promote(ws, deletable, "root", "because", from_shell=True)
    promotion.rollback(ws, "root", from_shell=True)
    refused(second, "run-2 cannot be deleted: it is in use")
    refused(first, "run-1 cannot be deleted: one can still go back to it")
    deleting.delete_checkpoint(ws, deletable)
    assert names(ws) == ["run-2", "run-1", "demo"]
    assert ws.path("runs/1/train/checkpoint").is_dir() and ws.path("runs/2/train/checkpoint").is_dir()


@pytest.mark.parametrize(
    ("status", "error"), [(JobStatus.RUNNING, None), (JobStatus.QUEUED, None), (JobStatus.FINISHED, "it was not scored")]
)
def test_what_a_job_still_needs_is_not_deleted(
    ws: Workspace, run, status: JobStatus, error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run()
    with ws.write() as session:
        ended = utc_now() if error else None
        session.add(Job(project_id=1, base_id=first, recipe="adapt", status=status, error=error, ended=ended))
    with pytest.raises(StudioError, match="run-1 cannot be deleted: job 2 needs it"):
        deleting.delete_checkpoint(ws, first)
    with pytest.raises(StudioError, match="run-1 cannot be deleted: job 2 needs it"):
        deleting.delete_job(ws, 1)
    if error:
        deleting.delete_job(ws, 2)
        deleting.delete_checkpoint(ws, first)
    else:
        with pytest.raises(StudioError, match="Job 2 cannot be deleted: it is .*; stop it first"):
            deleting.delete_job(ws, 2)


def test_who_deleted_a_checkpoint_is_kept_and_told(ws: Workspace, run) -> None:
    first, _, third = run(), run(), run()
    promotion.promote(ws, third, "root", "because", from_shell=True)
    promotion.rollback(ws, "root", from_shell=True)
    deleting.delete_checkpoint(ws, first, "ada")
    deleting.delete_job(ws, 2, "tom")
    deleting.delete_checkpoint(ws, third)
    gone = deleting.deleted_checkpoints(ws)
    assert [(step.checkpoint, step.author) for step in gone] == [("run-3", ""), ("run-2", "tom"), ("run-1", "ada")]
    assert training.job_view(ws, 1).checkpoint == "run-1 (deleted by ada)"
    with pytest.raises(StudioError, match="run-1 does not exist any more: ada deleted it"):
        promotion.promote(ws, first, "anna")
    page = history_html(promotion.history(ws), gone)
    assert page.index("run-3</b> deleted") < page.index("run-1</b> deleted") < page.index("put back in use")
    assert page.index("run-1</b> deleted") < page.index("ada") < page.index("put back in use")


def test_the_shell_deletes(ws: Workspace, run) -> None:
    def call(*options: str):
        return CliRunner().invoke(cli.app, [*options, "--home", str(ws.home)])

    run()
    run()
    assert call("checkpoints", "delete", "run-2").stdout == "==> run-2 is deleted\n"
    assert call("jobs", "delete", "1").stdout == "==> Job 1 is deleted\n"
    assert names(ws) == ["demo"]
    assert [step.author.endswith(" (shell)") for step in deleting.deleted_checkpoints(ws)] == [True, True]
    refused = call("checkpoints", "delete", "demo")
    assert (refused.exit_code, refused.stderr) == (2, "demo cannot be deleted: it comes with the program.\n")
