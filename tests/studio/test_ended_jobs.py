"""Jobs that failed, were stopped, killed or lost, and how they go on: with real processes and an engine that only pretends."""

import json
import os
import shutil
import signal
import threading
import time
import tomllib
from socket import gethostname

import psutil
import pytest
from typer.testing import CliRunner

from db.models import Job, utc_now
from db.repositories import jobs
from studio import cli
from studio.errors import StudioError
from studio.jobs import shell, train
from studio.jobs.shell import Shell
from studio.services import (
    checkpoints,
    corrections,
    deleting,
    dialogues,
    provenance,
    queueing,
    runs,
    training,
)
from studio.workspace import Workspace, open_workspace
from tests.studio.job_runs import SLOW, process_of, training_on, wait

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]
BOTH = pytest.mark.databases("sqlite", "postgresql")


def test_a_failed_job_says_why_and_keeps_the_checkpoint_in_use(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="fail").id)
    assert (job.status, job.error) == ("failed", "the loss became nan; lower the learning rate, then resume")
    assert checkpoints.in_use(ws).name == "demo"


def test_an_engine_that_crashes_is_told_apart_from_its_log(ws: Workspace, start) -> None:
    job = wait(ws, start(FAKE_ENGINE="crash").id)
    assert (job.status, job.failure) == ("failed", "gpu memory")
    assert "The GPU's memory ran out: free the GPU and resume" in (job.error or "")
    assert "RuntimeError" in job.log_tail


def test_the_last_save_of_a_job_that_ended_is_made_a_checkpoint_on_request(ws: Workspace, start, monkeypatch) -> None:
    crashed = wait(ws, start(FAKE_ENGINE="crash").id)
    assert (crashed.can_keep, crashed.kept) == (True, {})
    kept = wait(ws, training.keep_last_save(ws, crashed.id, "anna").id)
    assert (kept.status, kept.failure, list(kept.kept)) == ("failed", "gpu memory", ["run-1-step-2"])
    assert kept.error == f"{crashed.error} run-1-step-2 has the weights of the last save."
    assert (kept.can_keep, kept.can_take_less_memory) == (False, True), "it stands as it did"
    with pytest.raises(StudioError, match="Job 1 has no save to make a checkpoint of: it is failed, has saved nothing, or has"):
        training.keep_last_save(ws, crashed.id)
    scored = wait(ws, queueing.start_evaluation(ws, 1, kept.kept["run-1-step-2"]).id)
    assert scored.status == "finished", scored.error
    monkeypatch.setenv("FAKE_ENGINE", "")
    ended = wait(ws, training.resume_job(ws, crashed.id).id)
    assert (ended.status, ended.step, ended.checkpoint) == ("finished", 5, "run-1")


def test_a_save_that_cannot_be_made_a_checkpoint_says_why_and_the_job_is_resumed_all_the_same(
    ws: Workspace, start, monkeypatch
) -> None:
    crashed = wait(ws, start(FAKE_ENGINE="crash").id)
    saved = crashed.folder / "train" / "resume" / "step"
    saved.write_text("damaged")
    tried = wait(ws, training.keep_last_save(ws, crashed.id).id)
    assert (tried.status, tried.failure, tried.kept) == ("failed", "gpu memory", {})
    assert (tried.error or "").startswith(f"{crashed.error} No checkpoint could be made of the last save: ")
    saved.write_text("2")
    monkeypatch.setenv("FAKE_ENGINE", "")
    assert wait(ws, training.resume_job(ws, crashed.id).id).status == "finished"


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
    groups = [(os.getsid(pid), os.getpgid(pid)) for pid in (process.pid, engine.pid)]
    assert groups == [(process.pid, process.pid)] * 2, "no logout and no closed terminal reaches either"
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


def test_a_trainer_that_saves_gets_the_time_that_takes(ws: Workspace, start, monkeypatch) -> None:
    monkeypatch.setattr(shell, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    job = start(steps=500, FAKE_SAVE="3", FAKE_STEP="0.05")
    with ws.write() as session:
        jobs.claim(session, job.id, gethostname(), os.getpid(), runs.started_at(psutil.Process()))
    threading.Timer(1.5, training.stop_job, (ws, job.id)).start()
    ended = train.run(Shell(ws, job.id))
    assert (ended.status, ended.error, len(training.job_view(ws, job.id).kept)) == ("stopped", None, 1)


def test_a_save_that_goes_no_further_gets_no_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.2)
    out = tmp_path / "train"
    (out / "resume").mkdir(parents=True)
    pulse, written, stop = (out / name for name in ("pulse.json", "resume/state.partial", "stop"))
    saves = train._saves(out)
    pulse.write_text(json.dumps({"doing": "training"}))
    assert not saves()
    pulse.write_text(json.dumps({"doing": "saving"}))
    assert saves()
    for _ in range(8):
        with written.open("a") as file:
            file.write("more")
        assert saves()
        time.sleep(0.05)
    deadline = time.monotonic() + 20
    while saves() and time.monotonic() < deadline:
        stop.touch()
        time.sleep(0.05)
    assert not saves()


def test_a_worker_that_breaks_off_takes_its_trainer_along(ws: Workspace, start, monkeypatch) -> None:
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    monkeypatch.setattr(shell, "POLL_SECONDS", "soon")
    job = start(steps=500, **SLOW)
    before = psutil.Process().children()  # other tests' helpers
    with pytest.raises(TypeError):
        train.run(Shell(ws, job.id))
    assert psutil.Process().children() == before
