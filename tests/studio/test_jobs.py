"""Jobs from start to end, with real processes and an engine that only pretends."""

import json
import os
import shutil
import signal
import threading
import time
import tomllib
from collections.abc import Callable
from itertools import pairwise
from socket import gethostname
from types import SimpleNamespace

import psutil
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from db.models import Evaluation, Job, JobStatus, utc_now
from db.repositories import jobs
from engine.dialogue import Turn, read_manifest
from studio import cli
from studio.errors import StudioError
from studio.jobs import shell, train
from studio.jobs.shell import Shell
from studio.services import (
    checkpoints,
    corrections,
    deleting,
    dialogues,
    estimates,
    projects,
    provenance,
    queueing,
    runs,
    training,
    understanding,
)
from studio.services.training import JobView
from studio.workspace import Workspace, open_workspace

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]
BOTH = pytest.mark.databases("sqlite", "postgresql")
STAGES = ("align", "stage1", "stage2")
SLOW = {"FAKE_STEP": "0.2"}


@pytest.fixture
def start(ws: Workspace, project: int, corrected, monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobView]:
    """Start a fine-tune of ``steps`` steps on one corrected dialogue; one more is held out."""
    corrected("train", turns=2)
    corrected("held out", split="test")

    def begin(steps: int = 5, **environment: str) -> JobView:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        overrides = ["align.steps=1", "stage1.steps=1", f"stage2.steps={steps - 2}"]
        return training.start_job(ws, project, checkpoints.in_use(ws).id, "demo", overrides)

    return begin


def wait(
    ws: Workspace, job_id: int, until: Callable[[JobView], bool] = lambda job: not job.active, seconds: float = 300
) -> JobView:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = training.job_view(ws, job_id)
        if until(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"still {job.status}, {job.phase}, step {job.step}: {job.log_tail}")


def training_on(step: int) -> Callable[[JobView], bool]:
    return lambda job: job.status == "running" and job.step >= step


def process_of(ws: Workspace, job_id: int) -> psutil.Process:
    with ws.read() as session:
        return psutil.Process(session.get_one(Job, job_id).pid)


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


def test_a_training_is_stopped_while_it_is_scored_and_keeps_its_checkpoint(
    ws: Workspace, start, corrected, monkeypatch, tmp_path
) -> None:
    corrected("also held out", turns=3, split="test")
    (tmp_path / "hold").touch()
    monkeypatch.setenv("FAKE_HOLD", str(tmp_path / "hold"))
    job = wait(ws, start(steps=3).id, lambda job: job.unit == "turn" and job.step == 2)
    assert training.stop_job(ws, job.id).status == "saving"
    stopped = wait(ws, job.id)
    assert (stopped.status, stopped.error, stopped.checkpoint) == ("stopped", train.SCORING_STOPPED, "run-1")
    assert [known.name for known in checkpoints.list_checkpoints(ws)] == ["run-1", "demo"]
    assert checkpoints.in_use(ws).name == "demo", "nobody knows yet how good it is"
    (tmp_path / "hold").unlink()
    training.resume_job(ws, job.id)
    done = wait(ws, job.id)
    assert (done.status, done.error, done.scores_after is not None) == ("finished", None, True)
    assert checkpoints.in_use(ws).name == "run-1"


def test_what_is_left_is_known_from_the_pace_since_the_first_of_it(tmp_path, monkeypatch) -> None:
    clock = iter([0.0, 90.0, 91.0, 93.0, 94.0])  # the model is loaded for 90 s
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    progress, left = runs.Progress(tmp_path), []
    for done in (10, 11, 12, 14):
        progress.tell(done, 20)
        left.append(runs.progress(tmp_path)["eta_seconds"])
    assert left == [None, None, 8.0, 6.0]
    progress.tell(0, 20)  # other work begins
    assert runs.progress(tmp_path) == {"step": 0, "total_steps": 20, "eta_seconds": None}


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


def test_ten_jobs_of_three_people_run_one_after_the_other_in_the_order_they_came(ws: Workspace, start, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_STEP", "0.001")
    first = start()

    def submit(jobs: int) -> None:
        for _ in range(jobs):
            training.start_job(ws, 1, 1, "demo", first.overrides)

    people = [threading.Thread(target=submit, args=(jobs,)) for jobs in (3, 3, 3)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert training.job_view(ws, 10).queue_position is not None
    ended = [wait(ws, number) for number in range(1, 11)]
    assert [job.status for job in ended] == ["finished"] * 10
    for earlier, later in pairwise(ended):
        assert earlier.ended is not None
        assert later.started is not None
        assert earlier.ended <= later.started


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


def test_a_failed_job_says_why_and_keeps_the_checkpoint_in_use(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="fail").id)
    assert (job.status, job.error) == ("failed", "the loss became nan; lower the learning rate, then resume")
    assert checkpoints.in_use(ws).name == "demo"


def test_an_engine_that_crashes_is_told_apart_from_its_log(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="crash").id)
    assert (job.status, job.failure) == ("failed", "gpu memory")
    assert "The GPU's memory ran out: free the GPU and resume" in (job.error or "")
    assert "RuntimeError" in job.log_tail


def test_a_job_that_found_too_little_memory_goes_on_with_less(ws: Workspace, start, monkeypatch) -> None:
    job = wait(ws, start(FAKE_ENGINE="crash").id)
    assert (job.can_take_less_memory, job.error) == (
        True,
        "The GPU's memory ran out: free the GPU and resume, or resume with less memory, which the Train page has a button for.",
    )
    before = (job.folder / "recipe.toml").read_text()
    with pytest.raises(StudioError, match="may change max_positions of its stages, model.activation_checkpointing, checkpoint_e"):
        training.resume_job(ws, job.id, ["stage2.max_positions=64", "stage2.learning_rate=1"])
    with pytest.raises(StudioError, match="did you mean 'max_positions'"):
        training.resume_job(ws, job.id, ["stage2.max_position=64"])
    unchanged = training.job_view(ws, job.id)
    assert (unchanged.status, unchanged.overrides, (job.folder / "recipe.toml").read_text()) == ("failed", job.overrides, before)
    monkeypatch.setenv("FAKE_ENGINE", "")
    training.resume_with_less_memory(ws, job.id)
    done = wait(ws, job.id)
    less = ("align.max_positions=2048", "stage1.max_positions=2048", "stage2.max_positions=2048")
    assert (done.status, done.step) == ("finished", 5)
    assert done.overrides == (*job.overrides, *less, "model.activation_checkpointing=true")
    recipe = tomllib.loads((job.folder / "recipe.toml").read_text())
    assert [stage["max_positions"] for stage in recipe["stages"]] == [2048] * 3 and recipe["model"]["activation_checkpointing"]
    known = json.loads((job.folder / "provenance.json").read_text())
    assert known["recipe"]["sha256"] == provenance.text_hash((job.folder / "recipe.toml").read_text())
    assert known["resumed"] == [
        {"after_step": 2, "overrides": list(done.overrides[3:]), "before": provenance.text_hash(before)},
    ]
    again = wait(ws, training.rerun_job(ws, job.id).id)
    assert (again.status, again.overrides) == ("finished", done.overrides)
    assert "resumed" not in json.loads((again.folder / "provenance.json").read_text())


def test_a_resume_in_the_shell_takes_settings(ws: Workspace, start, monkeypatch) -> None:
    job = wait(ws, start(FAKE_ENGINE="crash").id)
    monkeypatch.setenv("FAKE_ENGINE", "")

    def shell(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(cli.app, ["jobs", "resume", str(job.id), *words, "--home", str(ws.home)])
        return found.exit_code, found.output

    assert "For anything else start a new job." in shell("--set", "seed=5")[1]
    assert shell("--set", "stage2.max_positions=512", "--set", "threads=1")[0] == 0
    done = wait(ws, job.id)
    assert (done.status, done.overrides[3:]) == ("finished", ("stage2.max_positions=512", "threads=1"))
    with pytest.raises(StudioError, match="cannot be resumed: it is finished"):
        training.resume_job(ws, job.id, ["threads=2"])


def test_what_is_trained_is_resumed_as_it_is(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="unscored").id)
    assert not job.can_take_less_memory
    with pytest.raises(StudioError, match="does not train any more"):
        training.resume_job(ws, job.id, ["threads=2"])
    with pytest.raises(StudioError, match="did not end for lack of memory in its training"):
        training.resume_with_less_memory(ws, job.id)


def test_a_checkpoint_that_cannot_be_scored_is_kept_and_can_be_scored_later(ws: Workspace, start, monkeypatch) -> None:
    job = wait(ws, start(FAKE_ENGINE="unscored").id)
    assert (job.status, job.checkpoint, job.scores_after) == ("finished", "run-1", None)
    assert (job.error or "").startswith("The checkpoint is trained, not scored: It broke off (")
    assert "resume the job to score again" in (job.error or "")
    monkeypatch.setenv("FAKE_ENGINE", "")
    training.resume_job(ws, job.id)
    scored = wait(ws, job.id)
    assert (scored.error, scored.can_resume, scored.scores_after is not None) == (None, False, True)


def test_a_scoring_that_finds_the_disk_full_says_so(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="full").id)
    assert (job.status, job.checkpoint, job.failure) == ("finished", "run-1", "disk")
    assert "not scored: The disk is full: make room on it" in (job.error or "")


def test_a_stopped_job_saves_and_goes_on_where_it_was(ws: Workspace, start) -> None:
    job = wait(ws, start(steps=20, **SLOW).id, training_on(3))
    assert training.stop_job(ws, job.id).status == "saving"
    stopped = wait(ws, job.id)
    assert (stopped.status, stopped.error) == ("stopped", None)
    assert 3 <= stopped.step < 20
    training.resume_job(ws, job.id)
    finished = wait(ws, job.id)
    assert (finished.status, finished.step) == ("finished", 20)
    assert [point.step for point in training.metrics(ws, job.id)] == list(range(1, 21))


def test_where_a_job_was_stopped_is_a_checkpoint_to_score_and_to_start_from(ws: Workspace, project: int, start) -> None:
    job = wait(ws, start(steps=20, **SLOW).id, training_on(3))
    training.stop_job(ws, job.id)
    stopped = wait(ws, job.id)
    ((name, kept),) = stopped.kept.items()
    assert (name, stopped.checkpoint) == (f"run-1-step-{stopped.step}", None)
    scored = wait(ws, queueing.start_evaluation(ws, project, kept).id)
    assert (scored.status, scored.scores_after is not None) == ("finished", True)
    further = training.start_job(ws, project, kept, "demo", (*stopped.overrides[:2], "stage2.steps=1"))
    assert wait(ws, further.id).status == "finished"
    training.resume_job(ws, job.id)
    wait(ws, job.id, training_on(stopped.step + 2))
    training.stop_job(ws, job.id)
    again = wait(ws, job.id)
    assert list(again.kept) == [name, f"run-1-step-{again.step}"]
    deleting.delete_checkpoint(ws, again.kept[f"run-1-step-{again.step}"])
    assert list(training.job_view(ws, job.id).kept) == [name], "a deleted one is named no more"
    training.resume_job(ws, job.id)
    done = wait(ws, job.id)
    assert (done.status, done.checkpoint, list(done.kept)) == ("finished", "run-1", [name])
    whole = {item.name: (item.job_id, item.parent, item.path.is_dir()) for item in checkpoints.list_checkpoints(ws)}
    assert all(whole[each] == (job.id, "demo", True) for each in (name, "run-1"))
    with pytest.raises(StudioError, match=f"{name} cannot be deleted: run-3 was trained from it"):
        deleting.delete_checkpoint(ws, kept)


def test_held_out_dialogues_stay_so_for_what_was_trained_on_them_before_it_was_stopped(
    ws: Workspace, project: int, start, sound
) -> None:
    job = wait(ws, start(steps=20, **SLOW).id, training_on(1))
    training.stop_job(ws, job.id)
    (kept,) = wait(ws, job.id).kept.values()
    copy = dialogues.create_dialogue(ws, project, "copy", "test").id
    turn = dialogues.add_user_turn(ws, copy, sound(sum(b"train") * 100))
    corrections.save_transcript(ws, turn.id, "the same recording", "anna", None)
    with pytest.raises(StudioError, match="was trained on a recording of the held-out dialogue copy"):
        queueing.start_evaluation(ws, project, kept)


def test_the_weights_before_a_loss_that_is_no_number_are_a_checkpoint_and_the_advice_names_it(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="nan").id)
    assert (job.status, job.failure, list(job.kept)) == ("failed", "loss", ["run-1-last-good-2"])
    assert (job.error or "").endswith("run-1-last-good-2 has the weights before that: start from it.")
    training.resume_job(ws, job.id)
    again = wait(ws, job.id)
    assert (again.status, again.kept) == ("failed", job.kept)
    assert [path.name for path in (job.folder / "kept").iterdir()] == ["last-good-2"]
    (kept,) = job.kept.values()
    deleting.delete_checkpoint(ws, kept)
    assert list((job.folder / "kept").iterdir()) == [] and not training.job_view(ws, job.id).kept
    training.resume_job(ws, job.id)
    assert wait(ws, job.id).kept == job.kept, "it is there again"
    assert checkpoints.view(ws, kept).path.is_dir()
    deleting.delete_job(ws, job.id)
    assert [item.name for item in checkpoints.list_checkpoints(ws)] == ["demo"]


def test_a_job_asked_to_stop_before_its_engine_listens_stops_all_the_same(ws: Workspace, start) -> None:
    job = start(steps=50, **SLOW)
    wait(ws, job.id, lambda job: job.status == "running")
    training.stop_job(ws, job.id)
    assert wait(ws, job.id).status == "stopped"


def test_a_queued_job_is_stopped_at_once_and_ended_jobs_not_at_all(ws: Workspace, start) -> None:
    first, second = start(steps=30, **SLOW), start()
    assert training.stop_job(ws, second.id).status == "stopped"
    wait(ws, first.id, training_on(1))
    training.stop_job(ws, first.id)
    wait(ws, first.id)
    with pytest.raises(StudioError, match="cannot be stopped: it is stopped"):
        training.stop_job(ws, first.id)
    with pytest.raises(StudioError, match="no job 99"):
        training.stop_job(ws, 99)


def test_a_killed_worker_is_interrupted_takes_its_engine_along_and_resumes(
    ws: Workspace, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = wait(ws, start(steps=30, **SLOW).id, training_on(3))
    process = process_of(ws, job.id)
    (engine,) = process.children()
    begun, started = runs.started_at(process), runs.started_at(engine)
    process.send_signal(signal.SIGKILL)
    while runs.alive(process.pid, begun):
        time.sleep(0.02)
    assert training.reconcile(ws) == [job.id]
    assert not runs.alive(engine.pid, started)
    interrupted = training.job_view(ws, job.id)
    assert (interrupted.status, interrupted.can_resume) == ("interrupted", True)
    assert "Ended by signal 9" in (interrupted.error or "")
    monkeypatch.setenv("FAKE_STEP", "0.01")
    training.resume_job(ws, job.id)
    finished = wait(ws, job.id)
    assert finished.status == "finished"
    assert [point.step for point in training.metrics(ws, job.id)] == list(range(1, 31))


@BOTH
def test_looking_at_a_job_whose_worker_died_is_enough_to_know_and_to_go_on_with_the_next(
    ws: Workspace, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = wait(ws, start(steps=30, **SLOW).id, training_on(1))
    monkeypatch.setenv("FAKE_STEP", "0.01")
    second = start()
    process_of(ws, first.id).kill()
    assert wait(ws, second.id).status == "finished"
    assert training.job_view(ws, first.id).status == "interrupted"


def test_a_job_whose_process_came_to_nothing_gets_another(ws: Workspace, start, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(training, "start_next", lambda ws: None)
        job = start()
        assert training.job_view(ws, job.id).status == "queued"
        with ws.write() as session:
            session.get_one(Job, job.id).called = utc_now() - jobs.PATIENCE
    assert wait(ws, job.id).status == "finished"


def test_a_queued_job_whose_folder_is_gone_ends_and_holds_nothing_up(ws: Workspace, start, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(training, "start_next", lambda ws: None)
        gone, second = start(), start()
    shutil.rmtree(gone.folder)
    open_workspace(ws.home)
    assert wait(ws, second.id).status == "finished"
    ended = training.job_view(ws, gone.id)
    assert (ended.status, ended.error) == ("failed", "Its folder runs/1 is gone: start a new job.")


def test_a_folder_that_is_there_before_its_job_is_kept_aside(ws: Workspace, start) -> None:
    trained = ws.path("runs/1/train/checkpoint/connector.safetensors")  # by a run the restored database knows nothing of
    trained.parent.mkdir(parents=True)
    trained.write_text("weights")
    assert wait(ws, start().id).status == "finished"
    assert ws.path("runs/1.aside-1/train/checkpoint/connector.safetensors").read_text() == "weights"


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it() -> None:
    own = psutil.Process()
    assert runs.alive(own.pid, runs.started_at(own))
    assert not runs.alive(own.pid, runs.started_at(own) - 60)
    assert not runs.alive(None, None)


def test_a_process_stays_itself_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    started = runs.started_at(psutil.Process())
    boot = psutil.boot_time() + 3600
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot)
    assert runs.alive(os.getpid(), started)


@pytest.mark.parametrize("result_written", [True, False])
def test_a_job_killed_after_training_does_not_train_again(ws: Workspace, start, result_written: bool) -> None:
    job = wait(ws, start().id)
    if not result_written:
        (job.folder / "train" / "result.json").unlink()
    with ws.write() as session:
        session.get_one(Job, job.id).status = "interrupted"
    trained = (job.folder / "train" / "metrics.jsonl").stat().st_mtime
    training.resume_job(ws, job.id)
    again = wait(ws, job.id)
    assert (again.status, again.checkpoint_id) == ("finished", job.checkpoint_id)
    assert (job.folder / "train" / "metrics.jsonl").stat().st_mtime == trained


def test_a_trainer_that_does_not_hear_is_ended_and_resumes_from_an_earlier_step(ws: Workspace, start, monkeypatch) -> None:
    monkeypatch.setattr(shell, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    job = start(steps=500, FAKE_ENGINE="deaf", **SLOW)
    with ws.write() as session:
        jobs.claim(session, job.id, gethostname(), os.getpid(), runs.started_at(psutil.Process()))
    threading.Timer(1.5, training.stop_job, (ws, job.id)).start()
    ended = train.run(Shell(ws, job.id))
    assert ended.status == "stopped"
    assert "did not save in time" in (ended.error or "")


def test_a_trainer_whose_steps_are_long_gets_the_time_of_one_to_hear(ws: Workspace, start, monkeypatch) -> None:
    monkeypatch.setattr(shell, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    job = start(steps=500, FAKE_STEP="3")
    with ws.write() as session:
        jobs.claim(session, job.id, gethostname(), os.getpid(), runs.started_at(psutil.Process()))

    def stop_in_the_second_step() -> None:
        wait(ws, job.id, training_on(1))
        training.stop_job(ws, job.id)

    asking = threading.Thread(target=stop_in_the_second_step)
    asking.start()
    ended = train.run(Shell(ws, job.id))
    asking.join()
    assert (ended.status, ended.error) == ("stopped", None)
    assert training.job_view(ws, job.id).step == 2


def test_a_worker_that_breaks_off_takes_its_trainer_along(ws: Workspace, start, monkeypatch) -> None:
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    monkeypatch.setattr(shell, "POLL_SECONDS", "soon")
    job = start(steps=500, **SLOW)
    before = psutil.Process().children()  # other tests' helpers
    with pytest.raises(TypeError):
        train.run(Shell(ws, job.id))
    assert psutil.Process().children() == before


def test_a_snapshot_holds_what_was_corrected_and_never_what_is_held_out(ws: Workspace, project, corrected, sound) -> None:
    mixed = corrected("mixed")
    heard = dialogues.add_user_turn(ws, mixed, sound(77))
    corrected("held out", split="test")
    dialogues.create_dialogue(ws, project, "untouched")
    preview = training.preview(ws, project)
    assert (preview.dialogues, preview.turns, preview.held_out_dialogues, preview.problem) == (1, 1, 1, None)
    job = wait(ws, training.start_job(ws, project, 1, "adapt", ["adapt.steps=1"]).id)
    (frozen,) = read_manifest(job.folder / "snapshot" / "manifest.jsonl")
    assert frozen.dialogue_id == "mixed"
    assert frozen.turns[0].state == {"restaurant": {"area": "north"}}
    assert (frozen.turns[heard.turn_id].audio, frozen.turns[heard.turn_id].state) == (None, None)
    assert [dialogue.dialogue_id for dialogue in read_manifest(job.folder / "held_out" / "manifest.jsonl")] == ["held out"]


def test_nothing_a_model_said_is_taught_or_scored_as_right(ws: Workspace, project, corrected, sound, tracker) -> None:
    for name, split, seed in (("train", "train", 50), ("held out", "test", 60)):
        dialogue = corrected(name, split=split)
        slot_only, words_only, _ = (dialogues.add_user_turn(ws, dialogue, sound(seed + number)) for number in range(3))
        understanding.predict_dialogue(ws, dialogue)
        corrections.save_slot(ws, slot_only.id, "restaurant", "area", "south", "anna", None)
        corrections.save_transcript(ws, words_only.id, "hello", "anna", None)
    preview = training.preview(ws, project)
    assert (preview.turns, preview.held_out_turns) == (3, 3)
    job = wait(ws, training.start_job(ws, project, 1, "adapt", ["adapt.steps=1"]).id)
    north, south = ({"restaurant": {"area": area}} for area in ("north", "south"))
    heard = tracker.heard  # words beside a corrected state, and history
    assert frozen(job, "snapshot") == [("turn 0 of train", north), (heard, south), ("hello", None), (heard, None)]
    assert frozen(job, "held_out") == [("turn 0 of held out", north), (None, south), ("hello", None), (None, None)]
    assert [turn.audio is not None for turn in manifest(job, "snapshot")] == [True, True, True, False]
    assert all(turn.audio for turn in manifest(job, "held_out"))


def manifest(job: JobView, part: str) -> list[Turn]:
    (dialogue,) = read_manifest(job.folder / part / "manifest.jsonl")
    return dialogue.turns


def frozen(job: JobView, part: str) -> list[tuple]:
    return [(turn.transcript, turn.state) for turn in manifest(job, part)]


def test_transcripts_alone_teach_words_and_no_state(ws: Workspace, project: int, sound, fake_engine) -> None:
    turn = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "d").id, sound())
    corrections.save_transcript(ws, turn.id, "hello", "anna", None)
    found = training.preview(ws, project)
    assert found.words_only and found.problem is None
    for stages in (["adapt"], ["hear", "adapt"]):
        with pytest.raises(StudioError, match="correct or accept the state of a turn too"):
            training.start_job(ws, project, 1, "adapt", stages=stages)
    job = wait(ws, training.start_job(ws, project, 1, "adapt", ["hear.steps=1"], stages=["hear"]).id)
    assert job.status == "finished" and frozen(job, "snapshot") == [("hello", None)]
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    assert not training.preview(ws, project).words_only


@BOTH
def test_a_snapshot_stays_what_it_was_when_the_turn_is_corrected_again(ws: Workspace, start) -> None:
    job = wait(ws, start().id)
    manifest = job.folder / "snapshot" / "manifest.jsonl"
    before = manifest.read_bytes()
    turn = dialogues.get_dialogue(ws, 1).turns[0]
    corrections.save_transcript(ws, turn.id, "something else", "ben", turn.transcript_head)
    assert manifest.read_bytes() == before
    with ws.read() as session:
        snapshot = session.get_one(Job, job.id).snapshot
        assert snapshot is not None
        assert sorted(link.revision_id for link in snapshot.revisions) == [1, 2, 3, 4]


def test_without_a_correction_there_is_nothing_to_start(ws: Workspace, project: int, corrected) -> None:
    corrected("held out", split="test")
    assert "Nothing is corrected yet" in (training.preview(ws, project).problem or "")
    with pytest.raises(StudioError, match="Nothing is corrected yet"):
        training.start_job(ws, project, 1, "demo")
    assert training.list_jobs(ws) == []
    assert list((ws.home / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("base", "recipe", "overrides", "sentence"),
    [
        (1, "nothing", [], "no recipe 'nothing'"),
        (1, "demo", ["stage2.stepz=1"], "steps"),
        (9, "demo", [], "choose another"),
        (1, "wavlm-large_olmo-1b", [], "encoder microsoft/wavlm-large, not openai/whisper-tiny.en; LLM allenai/OLMo-1B-hf, not"),
        (1, "whisper-base_cnn_llama-3.2-1b", [], "connector cnn, not stacked-transformer; choose a checkpoint"),
    ],
)
def test_what_cannot_be_started_is_refused_before_anything_is_written(
    ws: Workspace, project: int, corrected, base: int, recipe: str, overrides: list[str], sentence: str
) -> None:
    corrected()
    with pytest.raises(StudioError, match=sentence):
        training.start_job(ws, project, base, recipe, overrides)
    assert training.list_jobs(ws) == []


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
