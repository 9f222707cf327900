"""Jobs from start to end, with real processes and an engine that only pretends."""

import json
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from db.models import Evaluation, Job, JobStatus
from studio import cli
from studio.errors import StudioError
from studio.services import (
    checkpoints,
    estimates,
    projects,
    runs,
    training,
)
from studio.workspace import Workspace
from tests.studio.job_runs import SLOW, STAGES, wait

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]


def test_a_job_ends_with_a_checkpoint_in_use_scored_before_and_after(ws: Workspace, start) -> None:
    job = wait(ws, start().id)
    assert (job.status, job.step, job.total_steps, job.error) == ("finished", 5, 5, None)
    for scores, of in ((job.scores_before, "demo"), (job.scores_after, "checkpoint")):
        assert scores is not None and scores.items() >= {"wer": 10.0, "jga": 50.0, "of": of}.items()
    assert job.gate == "Passes the gate on Restaurants."
    used = checkpoints.in_use(ws)
    assert (used.name, used.parent, used.job_id) == ("run-1", "demo", job.id)
    assert used.path.is_dir()
    assert (used.scores, used.parent_scores) == (job.scores_after, job.scores_before)
    with ws.read() as session:
        scored_on = {evaluation.labels for evaluation in session.scalars(select(Evaluation))}
        assert [(labels.number, labels.turns) for labels in scored_on] == [(1, 1)]


def test_the_turns_of_a_scoring_are_counted_over_all_its_checkpoints(
    ws: Workspace, start, corrected, monkeypatch, tmp_path
) -> None:
    corrected("also held out", turns=3, split="test")
    (tmp_path / "hold").touch()
    monkeypatch.setenv("FAKE_HOLD", str(tmp_path / "hold"))
    job = wait(ws, start(steps=3).id, lambda job: job.unit == "turn" and job.step == 2)
    assert (job.status, job.phase, job.total_steps) == ("running", "scoring the checkpoint in use", 8)
    line, found = (
        CliRunner().invoke(cli.app, ["jobs", "list", *form, "--home", str(ws.home)]).stdout for form in ([], ["--json"])
    )
    assert "turn 2 of 8" in line
    assert {"unit": "turn", "step": 2, "total_steps": 8}.items() <= json.loads(found)[0].items()
    (tmp_path / "hold").unlink()
    done = wait(ws, job.id)
    assert (done.status, done.unit, done.step, done.total_steps) == ("finished", "step", 3, 3)


def test_what_is_left_is_known_from_the_pace_since_the_first_of_it(tmp_path, monkeypatch) -> None:
    clock = iter([0.0, 90.0, 91.0, 93.0, 94.0])  # the model is loaded for 90 s
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    progress, left = runs.Progress(tmp_path), []
    for done in (10, 11, 12, 14):
        progress.tell(done, 20)
        left.append(runs.progress(tmp_path)["eta_seconds"])
    assert left == [None, None, 8.0, 6.0]
    progress.tell(0, 20)  # other work begins
    assert runs.progress(tmp_path).items() >= {"step": 0, "total_steps": 20, "eta_seconds": None, "usual_seconds": None}.items()


def test_a_recipe_with_stages_of_its_own_starts_from_the_base_models_alone(
    ws: Workspace, project: int, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudioError, match="Recipe adapt goes on from a checkpoint"):
        training.start_job(ws, project, None, "adapt")
    job = wait(ws, training.start_job(ws, project, None, "demo", [f"{stage}.steps=1" for stage in STAGES]).id)
    assert (job.status, job.title, job.base_checkpoint) == ("finished", "demo from the base models", None)
    assert job.gate == "Passes the gate on Restaurants.", "the one in use was scored beside it"
    assert (job.scores_before, job.scores_after and job.scores_after["of"]) == (None, "checkpoint")
    used = checkpoints.in_use(ws)
    assert (used.name, used.parent, used.parent_scores) == ("run-1", None, None)
    assert json.loads((used.path / "checkpoint.json").read_text()) == {}, "of no base"
    toml = training.recipe_toml("demo", [f"{stage}.steps=2" for stage in STAGES])
    points = [SimpleNamespace(step=step, stage=stage, seconds=0.5) for step, stage in enumerate(STAGES, start=1)]
    monkeypatch.setattr(runs, "read_metrics", lambda *_: points)
    monkeypatch.setattr(runs, "seconds_beside", lambda _: {})
    assert estimates.measured_seconds(ws, toml, None) == pytest.approx(3.0)


def test_a_checkpoint_that_got_worse_is_not_put_in_use(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="regress").id)
    assert (job.status, job.error, job.checkpoint) == ("finished", None, "run-1")
    assert "Refused by the gate: Joint goal accuracy on Restaurants: 50.0 % → 0.0 %" in (job.gate or "")
    assert checkpoints.in_use(ws).name == "demo"


def test_the_base_is_scored_once_for_the_same_held_out_dialogues(ws: Workspace, start) -> None:
    first = start()
    wait(ws, first.id)
    again = wait(ws, training.start_job(ws, 1, 1, "demo", first.overrides, use_when_finished=False).id)
    assert not (again.folder / "scores-1.json").exists()
    assert again.scores_before is not None and again.scores_before["of"] == "demo"
    assert checkpoints.in_use(ws).name == "run-1"


def test_a_job_older_than_the_list_is_opened_by_its_link(ws: Workspace, project: int) -> None:
    other = projects.create_project(ws, "Other").id
    with ws.write() as session:
        session.add_all(Job(project_id=project, status=JobStatus.FINISHED) for _ in range(52))
        session.add(Job(project_id=other, status=JobStatus.FINISHED))
    found, chosen = training.job_lines(ws, project, wanted=1)
    assert ([line.id for line in found], chosen) == ([*range(52, 2, -1), 1], 1)
    for elsewhere in (53, 99, None):
        found, chosen = training.job_lines(ws, project, elsewhere)
        assert ([line.id for line in found], chosen) == ([*range(52, 2, -1)], 52)


def test_curves_are_read_in_pieces_and_thinned(ws: Workspace, start) -> None:
    job = wait(ws, start(steps=20).id)
    assert [point.step for point in training.metrics(ws, job.id)] == list(range(1, 21))
    assert [point.step for point in training.metrics(ws, job.id, after_step=18)] == [19, 20]
    thinned = [point.step for point in training.metrics(ws, job.id, max_points=5)]
    assert (len(thinned), thinned[-1]) == (5, 20)
    assert training.metrics(ws, job.id, after_step=20) == []


def test_the_time_that_is_left_of_a_training_names_the_scoring_that_comes_on_top(ws: Workspace, start) -> None:
    base = checkpoints.in_use(ws).id
    job = wait(ws, start(steps=50, **SLOW).id, lambda job: job.step > 1)
    assert job.left is not None and job.left.endswith(" left, then scoring"), "no scoring was measured yet"
    with ws.write() as session:
        scores = {"compute_seconds": 200.0, "user_turns": 2}
        session.add(Evaluation(checkpoint_id=base, manifest_sha256="0" * 64, scores=scores))
    job = training.job_view(ws, job.id)
    assert job.left is not None and job.left.endswith(" left, then scoring for about 3.3 minutes"), "of the base and the new one"
    toml = training.recipe_toml("demo")
    assert estimates.seconds_per_turn(ws, toml, base) == 100.0
    assert estimates.seconds_per_turn(ws, toml, None) == 100.0, "it has the same base models"
    assert estimates.seconds_per_turn(ws, training.recipe_toml("wavlm-large_olmo-1b"), None) is None, "it has others"
    training.stop_job(ws, job.id)
    assert wait(ws, job.id).left is None


def test_the_time_a_run_takes_is_known_from_earlier_ones(ws: Workspace, start, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = training.recipe_toml("demo", ["stage2.steps=100", "stage2.batch=8"], ["stage2"])
    base = checkpoints.in_use(ws).id
    assert estimates.measured_seconds(ws, toml, base) is None, "nothing was measured yet"
    wait(ws, start(steps=5).id)  # the fake engine says 0.01 s for a step, of 16 rows in stage2, and twice 0.1 s for watching
    assert estimates.measured_seconds(ws, toml, base) == pytest.approx(100 * (0.01 + 0.2 / 5) * 8 / 16)
    assert estimates.measured_seconds(ws, training.recipe_toml("demo"), base) is None, "no asr stage was measured"
    monkeypatch.setattr(estimates, "gethostname", lambda: "another machine")
    assert estimates.measured_seconds(ws, toml, base) is None, "a job elsewhere says nothing of this machine"
