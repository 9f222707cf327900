"""Jobs that train nothing: scoring, answering, importing; queued behind and before trainings."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from db.models import Checkpoint, FailureKind, Job, JobStatus, Project
from db.repositories import jobs, settings
from engine.dialogue import Dialogue, Turn, write_manifest
from studio.errors import StudioError
from studio.jobs import own
from studio.jobs.shell import STOPPED, Shell
from studio.services import (
    checkpoints,
    corrections,
    dialogues,
    gates,
    import_jobs,
    imports,
    projects,
    queueing,
    runs,
    training,
    understanding,
)
from studio.workspace import Workspace, attach
from tests.studio.job_runs import wait
from tests.studio.tiny_runs import TinyRuns, tiny_models  # noqa: F401

pytestmark = pytest.mark.databases("sqlite")
BOTH = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for a job: the test does its work."""
    monkeypatch.setattr(queueing, "start_next", lambda ws: None)


@pytest.fixture
def spoken(ws: Workspace, project: int, sound: Callable[..., Path]) -> list[int]:
    """Three dialogues of two recorded turns each; a fourth was only typed."""
    made = []
    for name in ("a", "b", "c"):
        dialogue = dialogues.create_dialogue(ws, project, name)
        for number in range(2):
            dialogues.add_user_turn(ws, dialogue.id, sound(ord(name) * 10 + number))
        made.append(dialogue.id)
    dialogues.add_agent_turn(ws, dialogues.create_dialogue(ws, project, "typed").id, "hello")
    return made


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Five dialogues that are only text."""
    found = [Dialogue(f"d{number}", [Turn(0, "user", f"words {number}")]) for number in range(5)]
    write_manifest(tmp_path / "m.jsonl", found)
    return tmp_path / "m.jsonl"


def counted(folder: Path) -> tuple[int, int]:
    found = runs.progress(folder)
    return found["step"], found["total_steps"]


def unanswered(ws: Workspace, made: list[int]) -> list[int]:
    return [sum(turn.waits_for_model for turn in dialogues.get_dialogue(ws, dialogue).turns) for dialogue in made]


@pytest.mark.usefixtures("fake_engine")
def test_a_checkpoint_is_scored_on_its_own_beside_the_one_in_use_so_that_the_gate_can_judge(
    ws: Workspace, project: int, corrected
) -> None:
    corrected("train")
    corrected("held out", split="test")
    with ws.write() as session:
        session.add(Checkpoint(name="other", path="runs/other", parent_id=1))
    assert not gates.verdict(ws, 2).judged
    job = wait(ws, queueing.start_evaluation(ws, project, 2).id)
    assert (job.kind, job.title, job.status, job.error) == ("evaluate", "score other", "finished", None)
    assert job.scores_after is not None and job.scores_after["of"] == "other"
    assert gates.verdict(ws, 2).passed
    assert checkpoints.in_use(ws).name == "demo"
    again = wait(ws, queueing.start_evaluation(ws, project, 2).id)
    assert again.status == "finished" and not (again.folder / "scores-2.json").exists(), "on the same dialogues it is known"


@pytest.mark.usefixtures("asleep")
def test_nobodys_save_waits_while_it_is_looked_which_turns_wait_for_the_model(
    ws: Workspace, project: int, spoken, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = queueing.dialogues.with_unasked
    seen: list[int] = []

    def looking(session, project_id):
        with attach(ws.home, patience=1).write() as other:  # somebody saves
            seen.append(other.get_one(Project, project_id).id)
        return look(session, project_id)

    monkeypatch.setattr(queueing.dialogues, "with_unasked", looking)
    assert queueing.start_prediction(ws, project).status == "queued"
    assert seen == [project]


@BOTH
@pytest.mark.usefixtures("fake_engine", "asleep")
def test_what_cannot_be_scored_answered_or_imported_is_refused_and_leaves_nothing(
    ws: Workspace, project: int, tmp_path: Path
) -> None:
    for sentence, start in {
        "Nothing is held out yet": lambda: queueing.start_evaluation(ws, project, 1),
        "checkpoint does not exist": lambda: queueing.start_evaluation(ws, project, 99),
        "answered every recorded turn": lambda: queueing.start_prediction(ws, project),
        "no file or folder": lambda: queueing.start_import(ws, project, tmp_path / "nothing.jsonl"),
        "no format 'tape'": lambda: queueing.start_import(ws, project, tmp_path, "tape"),
        "project does not exist": lambda: queueing.start_import(ws, 99, tmp_path),
    }.items():
        with pytest.raises(StudioError, match=sentence):
            start()
    assert training.list_jobs(ws) == []
    assert list(ws.path("runs").iterdir()) == []


@BOTH
@pytest.mark.usefixtures("asleep")
def test_answering_can_be_stopped_and_goes_on_with_what_is_left(
    ws: Workspace, project: int, spoken, tracker, monkeypatch
) -> None:
    job = queueing.start_prediction(ws, project)
    answer, shell = tracker.turn, Shell(ws, job.id)

    def stop_at_the_third(*asked, **told):
        if len(tracker.asked) == 2:
            (job.folder / "stop").touch()
        return answer(*asked, **told)

    monkeypatch.setattr(tracker, "turn", stop_at_the_third)
    assert own.work(shell) == STOPPED
    assert (unanswered(ws, spoken), counted(job.folder)) == ([0, 1, 2], (3, 6))
    (job.folder / "stop").unlink()
    assert own.work(shell) == 0
    assert unanswered(ws, spoken) == [0, 0, 0]
    assert len(tracker.asked) == 6, "nothing was asked twice"
    assert [len(asked.history) for asked in tracker.asked] == [0, 1] * 3


@pytest.mark.usefixtures("asleep")
def test_a_recording_that_is_gone_costs_its_dialogue_and_no_other(
    ws: Workspace, project: int, spoken, tracker, monkeypatch
) -> None:
    answer, gone = tracker.turn, dialogues.get_dialogue(ws, spoken[1]).turns[0].audio

    def read(audio, *asked, **told):
        Path(audio).read_bytes()
        return answer(audio, *asked, **told)

    monkeypatch.setattr(tracker, "turn", read)
    assert gone is not None
    gone.unlink()
    job = queueing.start_prediction(ws, project)
    assert own.work(Shell(ws, job.id)) == 0
    assert unanswered(ws, spoken) == [0, 2, 0]
    assert (
        "Not answered to the end: 1 of 3 dialogues, the first for this: The model could not" in runs.result(job.folder)["error"]
    )


@pytest.mark.usefixtures("asleep")
def test_only_the_dialogues_asked_for_are_answered(ws: Workspace, project: int, spoken, tracker) -> None:
    job = queueing.start_prediction(ws, project, spoken[1:2])
    assert job.title == "answer chosen dialogues (1)"
    assert own.work(Shell(ws, job.id)) == 0
    assert unanswered(ws, spoken) == [2, 0, 2]


@pytest.mark.usefixtures("asleep")
def test_an_import_that_was_stopped_goes_on_and_takes_nothing_twice(
    ws: Workspace, project: int, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "STAGED_TURNS", 2)
    job = queueing.start_import(ws, project, manifest, author="anna")
    shell, store_audio, stored = Shell(ws, job.id), imports.store_audio, []

    def stop_at_the_fourth(ws, found):
        stored.extend(found)
        if len(stored) == 4:
            (job.folder / "stop").touch()
        return store_audio(ws, found)

    with monkeypatch.context() as during:
        during.setattr(imports, "store_audio", stop_at_the_fourth)
        assert own.work(shell) == STOPPED
    assert dialogues.list_dialogues(ws, project) == []
    assert (runs.import_found(job.folder)["imported"], runs.progress(job.folder)["step"]) == (0, 4)
    (job.folder / "stop").unlink()
    with monkeypatch.context() as during:
        during.setattr(imports, "store_audio", lambda ws, found: stored.extend(found) or store_audio(ws, found))
        assert own.work(shell) == 0
    assert len(stored) == 5, "four of them were written"
    rows = dialogues.list_dialogues(ws, project)
    assert sorted(row.name for row in rows) == ["d0", "d1", "d2", "d3", "d4"]
    assert corrections.history(ws, dialogues.get_dialogue(ws, rows[0].id).turns[0].id)[0].author == "anna"


@pytest.mark.usefixtures("asleep")
def test_an_import_that_is_stopped_within_a_part_brings_nothing(
    ws: Workspace, project: int, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queueing.start_import(ws, project, manifest)
    monkeypatch.setattr(imports, "store_audio", lambda ws, found: (job.folder / "stop").touch() or {})
    assert own.work(Shell(ws, job.id)) == STOPPED
    assert (dialogues.list_dialogues(ws, project), runs.import_found(job.folder)["imported"]) == ([], 0)


@pytest.mark.usefixtures("asleep")
def test_an_upload_stays_until_it_is_imported_or_known_to_be_of_no_use(ws: Workspace, project: int, tmp_path: Path) -> None:
    for text, code in (('{"dialogue_id": "d", "turns": []}\n', 0), ('{"dialogue_id": "d"}\n', 1)):
        upload = tmp_path / "uploads" / "0123" / "m.jsonl"
        upload.parent.mkdir(parents=True, exist_ok=True)
        upload.write_text(text)
        job = queueing.start_import(ws, project, upload, uploaded=True)
        upload.unlink()
        assert not any(ws.path("tmp/uploads").iterdir())
        assert job.title == "import m.jsonl"
        assert own.work(Shell(ws, job.id)) == code
        assert not (job.folder / "upload").exists()
    with pytest.raises(StudioError, match="does not exist any more"):
        queueing.start_import(ws, project + 1, __file__, uploaded=True)
    assert not any(ws.path("tmp/uploads").iterdir()), "what was refused is not kept"
    found = runs.result(job.folder)
    assert (found["failure"], found["error"]) == ("data", "m.jsonl, line 1: the key 'turns' is missing")
    with ws.write() as session:
        jobs.end(session.get_one(Job, job.id), JobStatus.FAILED, found["error"], FailureKind.DATA)
    newest = import_jobs.shown(ws, project)
    assert newest is not None and (newest.job.id, newest.can_resume) == (job.id, False)
    with pytest.raises(StudioError, match="cannot be resumed: its folder, or what was frozen in it, is gone"):
        training.resume_job(ws, job.id)


@BOTH
@pytest.mark.usefixtures("asleep", "spoken")
def test_an_import_waits_for_imports_and_for_nothing_that_computes(ws: Workspace, project: int, manifest: Path) -> None:
    queued = [queueing.start_prediction(ws, project), *(queueing.start_import(ws, project, manifest) for _ in range(2))]
    assert [job.queue_position for job in queued] == [1, 1, 2]

    def claimed() -> list[bool]:
        with ws.write() as session:
            return [jobs.claim(session, job.id, "elsewhere", 1, 0.0) is not None for job in queued]

    for job in queued:
        (job.folder / "heartbeat").touch()
    assert claimed() == [True, True, False]
    waits = [training.job_view(ws, job.id).waits_for for job in queued]
    assert waits == [None, None, f"waits for job {queued[1].id} (import m.jsonl) to end"]
    with ws.write() as session:
        jobs.end(session.get_one(Job, queued[1].id), JobStatus.FINISHED)
    assert claimed() == [False, False, True]


@BOTH
@pytest.mark.usefixtures("asleep", "spoken")
def test_a_job_that_is_resumed_goes_behind_those_that_have_waited(ws: Workspace, project: int, monkeypatch) -> None:
    monkeypatch.setattr(training, "start_next", lambda ws: None)
    first, second, third = (queueing.start_prediction(ws, project).id for _ in range(3))
    training.stop_job(ws, first)
    training.resume_job(ws, first)
    order = []
    for _ in range(3):
        queued = [training.job_view(ws, id_) for id_ in (first, second, third)]
        places = {job.queue_position: job.id for job in queued if job.queue_position is not None}
        with ws.write() as session:
            (due,) = jobs.to_start(session)
            assert places[1] == due.id and sorted(places) == list(range(1, len(places) + 1))
            order.append(due.id)
            jobs.end(due, JobStatus.FINISHED)
    assert order == [second, third, first]


@pytest.fixture
def tiny(ws: Workspace, tiny_models: Path) -> TinyRuns:  # noqa: F811
    """A project with something to train on; the tiny checkpoint is in use."""
    made = TinyRuns(ws, tiny_models)
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, made.base_id)
    return made


def test_jobs_of_all_kinds_run_one_after_the_other_in_the_order_they_came(
    ws: Workspace, tiny: TinyRuns, manifest: Path, sound
) -> None:
    """With the real engine and real processes."""
    dialogue = dialogues.create_dialogue(ws, tiny.project_id, "spoken")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound(5))
    imported, queued = queueing.start_import(ws, tiny.project_id, manifest), [tiny.start(2)]
    tiny.correct("test")
    queued.append(queueing.start_prediction(ws, tiny.project_id))
    queued.append(queueing.start_evaluation(ws, tiny.project_id, tiny.base_id))
    ended = [wait(ws, job.id) for job in (imported, *queued)]
    assert [(job.kind, job.status, job.error) for job in ended] == [
        (kind, "finished", None) for kind in ("import", "train", "predict", "evaluate")
    ], "\n".join(job.log_tail for job in ended)
    assert [(job.step, job.total_steps) for job in ended] == [(5, 5), (2, 2), (1, 1), (4, 4)]
    for earlier, later in pairwise(ended[1:]):
        assert earlier.ended is not None and later.started is not None and earlier.ended <= later.started
    assert dialogues.get_turn(ws, turn.id).checkpoint == "base"
    assert ended[-1].scores_after is not None and ended[-1].scores_after["dialogues"] == 1
    assert projects.list_projects(ws)[0].dialogues == 8
    assert understanding.waiting(ws, tiny.project_id) == {}
