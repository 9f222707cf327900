"""What is said of a job whose process is gone, and what keeps the next ones from starting."""

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from db.models import FailureKind, Job, JobKind, JobStatus, utc_now
from db.repositories import jobs
from engine.training.folder import RunFolder
from studio.errors import StudioError
from studio.services import deaths, queueing, room, runs, scheduling, training
from studio.services.failures import LESS
from studio.workspace import Workspace


def ended_by(number: int) -> int:
    """A process that this one started and that a signal has ended; its id."""
    child = subprocess.Popen(["sleep", "600"])
    deaths.remember(child)
    child.send_signal(number)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child.pid


@pytest.mark.parametrize(
    ("number", "counts", "kind", "sentence"),
    [
        (
            9,
            (3, 4),
            "memory",
            "The system ended processes for lack of memory, its own probably among them: close what else uses memory; r",
        ),
        (None, (3, 4), "memory", "The system ended processes for lack of memory, its own probably among them"),
        (9, None, "memory", "Ended by signal 9; the machine probably ran out of memory: close what else uses memory; resume"),
        (9, (3, 3), None, "Ended by signal 9, and not by the kernel for lack of memory: somebody killed it"),
        (15, (3, 4), None, "Ended by signal 15: somebody or something ended it"),
        (None, (3, 3), None, "It ended without a word"),
    ],
)
def test_a_process_that_left_no_word_is_told_by_its_signal_and_the_systems_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, counts: tuple[int, int] | None, kind, sentence: str
) -> None:
    counter = tmp_path / "memory.events"
    monkeypatch.setattr(deaths, "_counters", lambda: [tmp_path / "not there", counter])
    for count in counts or ():
        counter.write_text(f"oom 9\noom_kill {count}\noom_group_kill 0\n")
        if not (tmp_path / "heartbeat").exists():
            deaths.note_kills(tmp_path)
    job = Job(kind=JobKind.PREDICT, pid=ended_by(number) if number else 1, started=utc_now())
    told, of_kind = deaths.why(job, tmp_path)
    assert (told.startswith(sentence), of_kind) == (True, kind), told
    assert told.endswith("; resume goes on with what is left.")


def test_it_is_said_where_a_resume_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(kind=JobKind.TRAIN, pid=1, started=utc_now())
    assert deaths.why(job, tmp_path)[0] == "It ended without a word; nothing was saved yet, and resume begins again."
    RunFolder(tmp_path / "train").save_state({"done": 120, "stage": 0, "best": {"step": 0}})
    assert deaths.why(job, tmp_path)[0] == "It ended without a word; resume goes on from step 120."
    monkeypatch.setattr(deaths, "killed_since", lambda folder: True)
    assert deaths.why(job, tmp_path)[0].endswith(f"close what else uses memory{LESS}; resume goes on from step 120.")
    monkeypatch.setattr(psutil, "boot_time", lambda: utc_now().timestamp() + 3600)
    assert deaths.why(job, tmp_path)[0].startswith("The machine was started again while it ran; resume goes on from")


def test_the_system_of_this_machine_counts_somewhere(tmp_path: Path) -> None:
    deaths.note_kills(tmp_path)
    assert deaths.killed_since(tmp_path) is (False if Path("/proc/vmstat").exists() else None)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Jobs that a process would have been started for."""
    found: list[int] = []
    monkeypatch.setattr(scheduling, "_start", lambda ws, job: found.append(job.id))
    return found


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.FINISHED], ids=["a job", "the scoring after a training"])
def test_after_a_job_found_the_disk_full_the_next_ones_wait_for_room_and_then_start_by_themselves(
    ws: Workspace, project: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[int], status: JobStatus
) -> None:
    saved = ws.path("runs/1/train/resume/state.safetensors")
    saved.parent.mkdir(parents=True)
    saved.write_bytes(bytes(1000))
    disk = SimpleNamespace(free=room.LEAST + 999)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: disk)
    (tmp_path / "m.jsonl").touch()
    with ws.write() as session:
        session.add(failed := Job(project_id=project, kind=JobKind.PREDICT))
        session.flush()
        jobs.end(failed, status, "The disk is full.", FailureKind.DISK)
    job = queueing.start_import(ws, project, tmp_path / "m.jsonl")
    with ws.write() as session:
        session.get_one(Job, job.id).created -= jobs.PATIENCE
    (waiting, _) = training.list_jobs(ws)
    told = "waits for room on the disk, which job 1 found full: 0.2 GB are free, 0.2 GB are needed"
    assert (waiting.status, waiting.waits_for, started) == ("queued", told, [])
    disk.free += 1
    training.list_jobs(ws)
    assert started == [job.id]
    with ws.write() as session:
        assert jobs.claim(session, job.id, "here", 1, 0.0) is not None
        assert jobs.disk_failed(session) is None, "it started: what it finds counts from now on"


def test_a_disk_that_nobody_can_write_to_holds_the_queue_too(
    ws: Workspace, project: int, tmp_path: Path, started: list[int]
) -> None:
    with ws.write() as session:
        session.add(failed := Job(project_id=project, kind=JobKind.PREDICT))
        session.flush()
        jobs.end(failed, JobStatus.FAILED, "The disk is gone.", FailureKind.DISK)
    ws.path("runs").rmdir()
    with ws.read() as session:
        assert f"The folder {ws.path('runs')} is gone" in (room.lacks(ws, session) or "")


def test_a_job_whose_processes_come_to_nothing_fails_and_holds_nothing_up(
    ws: Workspace, project: int, tmp_path: Path, started: list[int]
) -> None:
    (tmp_path / "m.jsonl").touch()
    first, second = (queueing.start_import(ws, project, tmp_path / "m.jsonl").id for _ in range(2))
    training.start_next(ws)  # several at once are one try
    (ws.path(f"runs/{first}") / "log.txt").write_text("Traceback\nModuleNotFoundError: No module named 'gone'\n")
    tries = []
    for _ in range(jobs.TRIES):
        with ws.write() as session:
            tries.append(session.get_one(Job, first).calls)
            session.get_one(Job, first).called = utc_now() - 2 * jobs.PATIENCE
        job = training.job_view(ws, first)
    assert tries == [1, 2, 3, 4]
    told = "4 processes were started for it, and none began. It broke off (ModuleNotFoundError: No module named 'gone')"
    assert (job.status, (job.error or "").startswith(told)) == ("failed", True)
    assert started[-1] == second
    training.stop_job(ws, second)  # behind which it would wait
    assert training.resume_job(ws, first).status == "queued"
    with ws.read() as session:
        assert session.get_one(Job, first).calls == 1, "it has all its tries again"


@pytest.mark.parametrize(("seconds", "status"), [(runs.SILENCE / 2, "running"), (runs.SILENCE + 5, "interrupted")])
def test_a_job_of_another_machine_is_known_by_the_signs_it_gives(
    ws: Workspace, project: int, tmp_path: Path, started: list[int], seconds: float, status: str
) -> None:
    (tmp_path / "m.jsonl").touch()
    first, second = (queueing.start_import(ws, project, tmp_path / "m.jsonl").id for _ in range(2))
    with ws.write() as session:  # the number is a living process's of this machine, which tells nothing
        assert jobs.claim(session, first, "elsewhere", os.getpid(), runs.started_at(psutil.Process())) is not None
    heartbeat = ws.path(f"runs/{first}") / runs.HEARTBEAT
    heartbeat.touch()
    os.utime(heartbeat, (time.time() - seconds, time.time() - seconds))
    started.clear()
    job = training.job_view(ws, first)
    assert (job.status, job.can_resume, started) == (status, status == "interrupted", [second] * (status == "interrupted"))
    if status == "interrupted":
        assert job.error == "elsewhere gave no sign of it for 120 seconds: its process or that machine ended; resume it."


def test_a_job_of_another_machine_that_never_gave_a_sign_is_gone(
    ws: Workspace, project: int, tmp_path: Path, started: list[int]
) -> None:
    (tmp_path / "m.jsonl").touch()
    job = queueing.start_import(ws, project, tmp_path / "m.jsonl").id
    with ws.write() as session:
        jobs.claim(session, job, "elsewhere", 1, 0.0)
    assert training.reconcile(ws) == [job]


def test_a_studio_looks_after_its_jobs_while_nobody_else_does(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([StudioError("the disk is gone"), None, KeyboardInterrupt()])

    def look(ws: Workspace) -> None:
        if (found := next(looks)) is not None:
            raise found

    monkeypatch.setattr(scheduling, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(scheduling, "look_after", look)
    with pytest.raises(KeyboardInterrupt):
        scheduling.keep_going(ws)
