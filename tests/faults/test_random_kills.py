"""``kill -9`` at random moments of a real small run: of its process, of the studio, of both, with and without its trainer.

No job is stuck, nothing is half written, and what was interrupted and resumed learned to the last bit what an uninterrupted run
learns. Three kills run with the other tests; all of them: ``pytest -m slow tests/faults/test_random_kills.py`` (some minutes).
"""

import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from sqlalchemy import delete

from db.models import Evaluation, Job, Turn
from db.repositories import settings
from studio.services import dialogues, projects, queueing, runs, training
from studio.services.training import JobView
from studio.workspace import Workspace, open_workspace
from tests.studio.tiny_runs import TinyRuns, tiny_models  # noqa: F401

STEPS = 30
PATIENCE = 180.0
STUDIO = """
import sys, time
from studio.services import training
from studio.workspace import open_workspace
ws = open_workspace(sys.argv[1])
print("open", flush=True)
while True:
    training.list_jobs(ws)  # what its pages do
    time.sleep(0.3)
"""


class Studio:
    """A studio without its pages, in a process of its own that can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.command = [sys.executable, "-c", STUDIO, str(home)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def studio(ws: Workspace) -> Iterator[Studio]:
    started = Studio(ws.home)
    yield started
    started.kill()


def wait(ws: Workspace, job_id: int, until: Callable[[JobView], bool]) -> JobView:
    deadline = time.monotonic() + PATIENCE
    while not until(job := training.job_view(ws, job_id)):
        assert time.monotonic() < deadline, f"stuck: {job.status}, {job.phase}, step {job.step}: {job.log_tail}"
        time.sleep(0.1)
    return job


def ended(job: JobView) -> bool:
    return not job.active


def learned(job: JobView) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The loss curve and the weights of a finished job."""
    lines = (job.folder / "train" / "metrics.jsonl").read_text().splitlines()
    files = (job.folder / "train" / "checkpoint").glob("*.safetensors")
    return [json.loads(line)["loss"] for line in lines], {
        f"{file.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()
    }


def a_moment(ws: Workspace, job: JobView, chance: random.Random, seconds: float) -> None:
    """Wait for some moment of a job that takes ``seconds``: of all of it, or (every other time in a training) around a step."""
    if job.kind != "train" or chance.random() < 0.5:
        time.sleep(chance.uniform(0, seconds))
        return
    step, deadline = runs.last_metrics(job.folder).get("step", 0), time.monotonic() + PATIENCE
    while runs.last_metrics(job.folder).get("step", 0) == step and time.monotonic() < deadline:
        with ws.read() as session:
            if session.get_one(Job, job.id).status in ("finished", "failed"):
                return
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.2))


def kill(ws: Workspace, job_id: int, with_trainer: bool) -> bool:
    """Kill a job's process, at once with all that it started if ``with_trainer``; ``False``: it has none."""
    with ws.read() as session:
        job = session.get_one(Job, job_id)
    if not runs.alive(job.pid, job.pid_started):
        return False
    process = psutil.Process(job.pid)
    victims = [process, *(process.children(recursive=True) if with_trainer else [])]
    for victim in victims:
        victim.kill()
    psutil.wait_procs(victims, timeout=10)
    return True


def nothing_is_half_written(job: JobView) -> None:
    out = job.folder / "train"
    for file in [*out.glob("checkpoint/*.safetensors"), *out.glob("resume/state.safetensors")]:
        load_file(file)
    if (out / "checkpoint").exists():
        json.loads((out / "checkpoint" / "checkpoint.json").read_text())
        assert (out / "checkpoint" / "connector.safetensors").exists()


def nobody_is_left(job: JobView) -> None:
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    engine, own = str(job.folder), f"studio.jobs.own {job.id} --home {job.folder.parent.parent}"
    assert not [line for line in lines if engine in line or own in line]


def survive(ws: Workspace, studio: Studio, tiny: TinyRuns, victims: list[tuple[str, bool]], seed: int) -> None:
    """Kill these, one after another, in as many runs as that takes; every run has to learn what an undisturbed one does."""
    chance = random.Random(seed)
    begun = time.monotonic()
    undisturbed = wait(ws, tiny.start(STEPS).id, ended)
    seconds = time.monotonic() - begun
    assert (undisturbed.status, undisturbed.error) == ("finished", None), undisturbed.log_tail
    losses, weights = learned(undisturbed)
    while victims:
        job = through(ws, studio, tiny.start(STEPS), victims, chance, seconds)
        mine, tensors = learned(job)
        assert mine == losses
        assert tensors.keys() == weights.keys()
        assert all(torch.equal(tensors[name], weights[name]) for name in weights)


def through(
    ws: Workspace, studio: Studio, job: JobView, victims: list[tuple[str, bool]], chance: random.Random, seconds: float
) -> JobView:
    """Kill ``victims``, the last first, while a job runs that takes ``seconds``, and resume it until it is done."""
    while job.status != "finished":
        interrupted = False
        if victims:
            a_moment(ws, job, chance, seconds)
            who, with_trainer = victims[-1]
            if who != "worker":
                studio.kill()
            interrupted = who != "studio" and kill(ws, job.id, with_trainer)
            if who == "studio" or interrupted:
                victims.pop()
            if who != "worker":
                studio.start()
        job = wait(ws, job.id, ended) if interrupted or not victims else training.job_view(ws, job.id)
        if ended(job):
            nothing_is_half_written(job)
            nobody_is_left(job)
        if job.can_resume:
            assert job.status == "interrupted", job.error
            job = training.resume_job(ws, job.id)
    return job


def test_three_kills_of_a_real_run_change_nothing_of_what_it_learns(ws: Workspace, studio: Studio, tiny_models: Path) -> None:  # noqa: F811
    survive(ws, studio, TinyRuns(ws, tiny_models), [("both", False), ("studio", False), ("worker", True)], seed=1)


@pytest.mark.slow
def test_thirty_kills_of_real_runs_change_nothing_of_what_they_learn(ws: Workspace, studio: Studio, tiny_models: Path) -> None:  # noqa: F811
    kinds = [(who, with_trainer) for who in ("worker", "studio", "both") for with_trainer in (False, True)]
    victims = kinds * 6
    random.Random(0).shuffle(victims)
    survive(ws, studio, TinyRuns(ws, tiny_models, held_out=True), victims, seed=2)


def answers(ws: Workspace, project_id: int) -> list[tuple[str, str | None, object, object]]:
    """What the model answered to the turns of a project, which are each answered once."""
    found = [turn for d in dialogues.list_dialogues(ws, project_id) for turn in dialogues.get_dialogue(ws, d.id).turns]
    with ws.read() as session:
        assert all(len(session.get_one(Turn, turn.id).predictions) == 1 for turn in found)
    return sorted((turn.original_name, turn.raw, turn.predicted_state, turn.confidence) for turn in found)


@pytest.mark.slow
def test_kills_of_scoring_and_answering_change_no_score_and_no_answer(ws: Workspace, studio: Studio, tiny_models: Path) -> None:  # noqa: F811
    tiny, chance = TinyRuns(ws, tiny_models, held_out=True), random.Random(3)
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, tiny.base_id)

    def recorded(name: str) -> int:
        project_id = projects.create_project(ws, name).id
        for number in range(3):
            dialogue = dialogues.create_dialogue(ws, project_id, f"{name} {number}")
            for place in range(4):
                path = ws.home / "tmp" / f"{number}-{place}.wav"
                soundfile.write(path, np.random.default_rng([number, place]).normal(0, 0.1, 16_000), 16_000)
                dialogues.add_user_turn(ws, dialogue.id, path)
        return project_id

    def victims() -> list[tuple[str, bool]]:
        found = [(who, with_child) for who in ("worker", "studio", "both") for with_child in (False, True)]
        chance.shuffle(found)
        return found

    begun, undisturbed, runs_so_far = time.monotonic(), recorded("undisturbed"), itertools.count(1)
    assert wait(ws, queueing.start_prediction(ws, undisturbed).id, ended).status == "finished"
    seconds, killed = time.monotonic() - begun, victims()
    while killed:
        disturbed = recorded(f"disturbed {next(runs_so_far)}")
        through(ws, studio, queueing.start_prediction(ws, disturbed), killed, chance, seconds)
        assert answers(ws, disturbed) == answers(ws, undisturbed)

    def score() -> JobView:
        with ws.write() as session:
            session.execute(delete(Evaluation))
        return queueing.start_evaluation(ws, tiny.project_id, tiny.base_id)

    def scores(job: JobView) -> dict[str, object]:
        assert (job.status, job.error) == ("finished", None)
        return {name: found for name, found in (job.scores_after or {}).items() if name != "compute_seconds"}

    begun, wanted = time.monotonic(), scores(wait(ws, score().id, ended))
    seconds, killed = time.monotonic() - begun, victims()
    assert wanted["dialogues"] == 1
    while killed:
        assert scores(through(ws, studio, score(), killed, chance, seconds)) == wanted
