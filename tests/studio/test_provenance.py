"""What a run follows from, and what may not be trained on."""

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from db.models import Dialogue, Job, Split
from db.repositories import settings
from engine.dialogue import read_manifest
from studio.errors import StudioError
from studio.services import (
    checkpoints,
    corrections,
    dialogues,
    leaks,
    provenance,
    queueing,
    reruns,
    scheduling,
    splits,
    training,
)
from studio.workspace import Workspace
from tests.faults.test_random_kills import learned
from tests.studio.job_runs import training_on, wait
from tests.studio.tiny_runs import TinyRuns, tiny_models  # noqa: F401

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]


def start(ws: Workspace, project: int, **options) -> training.JobView:
    """A short run from the checkpoint in use."""
    return training.start_job(ws, project, checkpoints.in_use(ws).id, "adapt", ["adapt.steps=2"], **options)


def test_a_run_keeps_what_it_follows_from(ws: Workspace, project: int, corrected) -> None:
    corrected("train", turns=2)
    corrected("held out", split="test")
    job = start(ws, project)
    kept = json.loads((job.folder / "provenance.json").read_text())
    revisions = [revision.id for turn in (1, 2) for revision in corrections.history(ws, turn)]
    assert sorted(kept["data"]["revisions"]) == sorted(revisions)
    assert [len(kept["data"]["sounds"][part]) for part in ("train", "held_out")] == [2, 1]
    files = {file.stem for file in (job.folder / "snapshot" / "audio").iterdir()}
    assert files == set(kept["data"]["sounds"]["train"])
    assert len(kept["code"]["engine"]) == 64 and kept["libraries"]["torch"] and kept["machine"]["cores"]
    assert kept["base"]["name"] == "demo" and len(kept["base"]["sha256"]) == 64
    recipe = tomllib.loads((job.folder / "recipe.toml").read_text())
    assert (recipe["name"], recipe["seed"], [stage["steps"] for stage in recipe["stages"]]) == ("adapt", 1, [2])
    wait(ws, job.id)


@pytest.mark.databases("sqlite", "postgresql")
def test_from_a_correction_one_sees_its_runs_and_from_a_run_its_corrections(ws: Workspace, project: int, corrected) -> None:
    corrected("train", turns=2)
    first = start(ws, project)
    words, state = sorted(revision.id for revision in corrections.history(ws, 1))
    turn = dialogues.get_turn(ws, 1)
    corrections.save_transcript(ws, 1, "other words", "ben", turn.transcript_head)
    newest = max(revision.id for revision in corrections.history(ws, 1))
    second = start(ws, project)
    assert provenance.runs_of(ws, 1) == {words: [first.id], state: [first.id, second.id], newest: [second.id]}
    used = provenance.corrections_of(ws, second.id)
    of_turn = [(one.revision_id, one.dialogue, one.number, one.author) for one in used if one.turn_id == 1]
    assert of_turn == [(state, "train", 0, "anna"), (newest, "train", 0, "ben")]
    for job in (first, second):
        wait(ws, job.id)


def test_a_rerun_comes_to_the_same_or_says_what_differs(
    ws: Workspace, project: int, corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrected("train", turns=2)
    corrected("held out", split="test")
    first = wait(ws, start(ws, project, use_when_finished=False).id)
    corrected("later")  # a rerun is of what was frozen, not of what is corrected now
    again = wait(ws, training.rerun_job(ws, first.id).id)
    assert again.reproduction is not None and again.reproduction["identical"], again.log_tail
    assert again.reproduction["sentence"] == "Identical to job 1: loss curve, weights and scores."
    assert (again.folder / "snapshot/manifest.jsonl").read_bytes() == (first.folder / "snapshot/manifest.jsonl").read_bytes()
    monkeypatch.setenv("FAKE_ENGINE", "another")
    monkeypatch.setattr(provenance, "libraries", lambda: {"torch": "0.1"})
    other = wait(ws, training.rerun_job(ws, first.id).id).reproduction
    assert other is not None and not other["identical"]
    assert (other["curve"]["from_step"], other["weights"], list(other["scores"])) == (2, False, ["jga"])
    assert "libraries.torch" in other["causes"] and "code.engine" not in other["causes"]
    assert "the loss from step 2 on, by 0.5 at most and the weights and scores (jga)" in other["sentence"]


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_rerun_with_the_real_engine_comes_to_identical_weights(
    ws: Workspace,
    tiny_models: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    from_scratch: bool,
) -> None:
    monkeypatch.delenv("DST_STUDIO_ENGINE")
    tiny = TinyRuns(ws, tiny_models)
    first = wait(ws, tiny.start(4, from_scratch=from_scratch).id)
    again = wait(ws, training.rerun_job(ws, first.id).id)
    assert again.reproduction is not None, f"{again.error}: {again.log_tail}"
    assert again.reproduction["sentence"] == f"Identical to job {first.id}: loss curve, weights and scores."
    losses, weights = learned(first)
    assert len(losses) == 4
    assert (losses, len(weights) > 0) == (learned(again)[0], True)
    assert all(torch.equal(tensor, learned(again)[1][name]) for name, tensor in weights.items())


def test_the_files_of_the_base_models_are_frozen_and_a_run_on_others_is_not_the_same(
    ws: Workspace,
    tiny_models: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DST_STUDIO_ENGINE")
    models = Path(shutil.copytree(tiny_models, tmp_path / "models"))
    tiny = TinyRuns(ws, models)
    first = wait(ws, tiny.start(2, from_scratch=True).id)
    with ws.read() as session:
        base = session.get_one(Job, first.id).snapshot.provenance["base"]
    assert base == json.loads((first.folder / "provenance.json").read_text())["base"]
    llm = models / "qwen2" / "model.safetensors"
    assert (base["name"], base["files"]["llm"][llm.name]) == (None, hashlib.sha256(llm.read_bytes()).hexdigest())
    assert "model.safetensors" in base["files"]["encoder"]
    before = llm.read_bytes()
    tensors = load_file(llm)
    change = next(name for name in tensors if "mlp.up_proj" in name)  # no vector and no embedding
    save_file(tensors | {change: tensors[change] * 1.5}, llm, {"format": "pt"})
    with pytest.raises(StudioError, match="model.safetensors of the llm .*qwen2 is not what it was; put it back"):
        training.rerun_job(ws, first.id)
    after = llm.read_bytes()
    llm.write_bytes(before)
    with monkeypatch.context() as waiting:
        waiting.setattr(reruns, "start_next", lambda ws: None)
        again = training.rerun_job(ws, first.id)
    llm.write_bytes(after)  # while it waits
    scheduling.start_next(ws)
    differs = wait(ws, again.id).reproduction
    assert differs is not None and (differs["identical"], differs["causes"]) == (False, ["base.llm"])


def test_what_is_no_longer_what_it_was_is_not_run_again(ws: Workspace, project: int, corrected) -> None:
    corrected("train")
    job = wait(ws, start(ws, project).id)
    recipe = job.folder / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text(text.replace("steps = 2", "steps = 3"))
    with pytest.raises(StudioError, match="was changed or is not complete"):
        training.rerun_job(ws, job.id)
    recipe.write_text(text)
    (sound,) = (job.folder / "snapshot" / "audio").iterdir()
    sound.unlink()
    with pytest.raises(StudioError, match="was changed or is not complete"):
        training.rerun_job(ws, job.id)
    assert len(training.list_jobs(ws)) == 1


@pytest.fixture
def copied(ws: Workspace, project: int, sound: Callable) -> Callable[..., None]:
    """A dialogue to train on and one held out, of two turns each, with these words and sounds."""

    def make(words: tuple[str, str], seeds: tuple[int, int]) -> None:
        for name, split, said, seed in zip(("a", "b"), ("train", "test"), words, seeds, strict=True):
            dialogue = dialogues.create_dialogue(ws, project, name, split)
            for number in (0, 1):
                turn = dialogues.add_user_turn(ws, dialogue.id, sound(seed + number))
                turn = corrections.save_transcript(ws, turn.id, f"{said} {number}", "anna", None)
                corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)

    return make


@pytest.mark.parametrize(
    ("words", "seeds", "how"),
    [(("one", "two"), (1, 2), "holds the same recording as a"), (("one", "One "), (1, 10), "says the same, turn by turn as a")],
)
def test_copies_of_held_out_dialogues_are_not_trained_on(ws: Workspace, project: int, copied, words, seeds, how) -> None:
    copied(words, seeds)
    assert how in (training.preview(ws, project).problem or "")
    with pytest.raises(StudioError, match=how):
        start(ws, project)
    assert training.list_jobs(ws) == []


def test_a_base_that_heard_the_held_out_recording_is_refused(ws: Workspace, project: int, corrected, copied, sound) -> None:
    copied(("one", "two"), (1, 10))
    wait(ws, start(ws, project).id)
    dialogue = dialogues.create_dialogue(ws, 1, "under another name", "test")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound(1))
    corrections.save_transcript(ws, turn.id, "one 0", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    with ws.write() as session:  # what was trained on is gone since
        session.get_one(Dialogue, 1).split = Split.DEV
    corrected("new")
    with pytest.raises(StudioError, match="run-1 was trained on a recording of the held-out dialogue under another name"):
        start(ws, project)


def test_a_checkpoint_in_use_that_heard_the_held_out_recording_is_refused_too(ws: Workspace, project: int, corrected) -> None:
    """It is scored beside the new one, and the gate compares with it."""
    demo, first = checkpoints.in_use(ws).id, corrected("a")
    trained = wait(ws, start(ws, project).id).checkpoint_id
    corrected("b")
    with ws.write() as session:
        session.get_one(Dialogue, first).split = Split.TEST
        settings.put(session, settings.CHECKPOINT_IN_USE, trained)
    for begin in (partial(training.start_job, ws, project, demo, "adapt"), partial(queueing.start_evaluation, ws, project, demo)):
        with pytest.raises(StudioError, match="run-1 was trained on .* dialogue a, .*: put another checkpoint in use"):
            begin()
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, demo)
    wait(ws, training.start_job(ws, project, demo, "adapt", ["adapt.steps=2"]).id)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs that are queued wait, until `began`."""
    with monkeypatch.context() as asleep:
        for module in (training, queueing, reruns):
            asleep.setattr(module, "start_next", lambda ws: None)
        yield


def began(ws: Workspace, job_id: int) -> training.JobView:
    scheduling.start_next(ws)
    return wait(ws, job_id)


@pytest.mark.usefixtures("waiting")
def test_a_checkpoint_that_is_put_in_use_while_a_job_waits_is_looked_at_before_it_starts(
    ws: Workspace, project: int, corrected
) -> None:
    demo, first = checkpoints.in_use(ws).id, corrected("a")
    trained = began(ws, start(ws, project).id).checkpoint_id
    corrected("b")
    with ws.write() as session:
        session.get_one(Dialogue, first).split = Split.TEST
        settings.put(session, settings.CHECKPOINT_IN_USE, demo)
    jobs = [training.start_job(ws, project, demo, "adapt", ["adapt.steps=2"]), queueing.start_evaluation(ws, project, demo)]
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, trained)
    for job in jobs:
        refused = began(ws, job.id)
        assert (refused.status, refused.failure) == ("failed", "data")
        assert (refused.error or "").startswith(
            "Something changed since it was queued. run-1 was trained on a recording of the held-out dialogue a, so"
        )
        assert not (job.folder / "train").exists() and not list(job.folder.glob("scores-*")), "nothing was started"
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, demo)
    for job in jobs:
        training.resume_job(ws, job.id)
        assert began(ws, job.id).status == "finished"


def test_a_checkpoint_that_is_put_in_use_while_a_job_trains_is_not_scored_beside_it(
    ws: Workspace, project: int, corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo, first = checkpoints.in_use(ws).id, corrected("a")
    heard = wait(ws, start(ws, project).id).checkpoint_id
    corrected("b")
    with ws.write() as session:
        session.get_one(Dialogue, first).split = Split.TEST
        settings.put(session, settings.CHECKPOINT_IN_USE, demo)
    monkeypatch.setenv("FAKE_STEP", "0.2")
    job = wait(ws, training.start_job(ws, project, demo, "adapt", ["adapt.steps=10"]).id, training_on(1))
    with ws.write() as session:
        settings.put(session, settings.CHECKPOINT_IN_USE, heard)
    trained = wait(ws, job.id)
    assert (trained.status, trained.failure, trained.checkpoint, trained.scores_after) == ("finished", "data", "run-2", None)
    assert "not scored: Something changed since it was queued. run-1 was trained on a recording of" in (trained.error or "")
    assert checkpoints.in_use(ws).id == heard


@pytest.mark.usefixtures("waiting")
def test_what_is_held_out_while_a_job_waits_is_not_trained_on(ws: Workspace, project: int, corrected, sound) -> None:
    first = corrected("a", turns=2)
    corrected("b", split="test")
    job = start(ws, project)
    with pytest.raises(StudioError, match="A run was trained on this dialogue"):
        splits.move(ws, first, "test", "anna")
    with ws.write() as session:
        session.get_one(Dialogue, first).split = Split.TEST
    moved = began(ws, job.id)
    assert (moved.status, moved.failure) == ("failed", "data")
    assert (moved.error or "").startswith(
        "Something changed since it was queued. a is held out now, and would be trained on: move it"
    )
    with ws.write() as session:
        session.get_one(Dialogue, first).split = Split.TRAIN
    copy = dialogues.create_dialogue(ws, project, "copy", "test").id
    turn = dialogues.add_user_turn(ws, copy, sound(sum(b"a") * 100))
    corrections.save_transcript(ws, turn.id, "the same recording", "anna", None)
    training.resume_job(ws, job.id)
    copied = began(ws, job.id)
    assert "The held-out dialogue copy holds the same recording as a, which would be trained on" in (copied.error or "")
    assert not (job.folder / "train").exists()
    with ws.write() as session:
        session.get_one(Dialogue, copy).split = Split.TRAIN
    training.resume_job(ws, job.id)
    assert began(ws, job.id).status == "finished"


@pytest.mark.usefixtures("waiting")
def test_a_run_is_repeated_whatever_is_held_out_by_now(ws: Workspace, project: int, corrected) -> None:
    first = corrected("a")
    began(ws, start(ws, project, use_when_finished=False).id)
    with ws.write() as session:
        session.get_one(Dialogue, first).split = Split.TEST
    again = began(ws, training.rerun_job(ws, 1).id)
    assert (again.status, again.error) == ("finished", None)


SPOKEN = (
    "i am looking for a cheap hotel",
    "it should be in the north",
    "please book it for two people",
    "for three nights from friday",
)


@pytest.mark.parametrize(
    ("trained", "copy"),
    [
        ((*SPOKEN[:3], "for four nights from friday"), False),  # three of four are less than four fifths
        (SPOKEN[:3], True),  # the others are not corrected yet
        ((*SPOKEN, "yes", "no"), True),  # what is short does not count
        ((*SPOKEN, "i am looking for a restaurant"), True),
        (SPOKEN[:2], False),
        (("yes please", "no thanks", "that is all"), False),
    ],
)
def test_a_copy_is_known_by_most_of_what_is_said(trained: tuple[str, ...], copy: bool) -> None:
    def labelled(name: str, said: tuple[str, ...]) -> leaks.Labelled:
        row = SimpleNamespace(name=name, turns=[])
        return row, [SimpleNamespace(turn_id=n, transcript=words) for n, words in enumerate(said)]  # type: ignore[return-value]

    held_out = labelled("held out", (*SPOKEN, "yes please", "no thanks", "that is all"))
    said = leaks.refusal([labelled("other", ("a", "b")), labelled("trained", trained)], [held_out])
    assert (said is not None and "says the same in" in said and "turns as trained" in said) == copy, said


def test_a_recipe_that_evaluates_has_the_dev_dialogues_in_its_snapshot(ws: Workspace, project: int, corrected) -> None:
    corrected("d1")
    start = partial(training.start_job, ws, project, checkpoints.in_use(ws).id, "adapt")
    often = ["adapt.steps=2", "adapt.eval_every=1"]
    with pytest.raises(StudioError, match="by dialogues of the split dev, and none is corrected"):
        start(often)
    corrected("d2", split="dev")
    for overrides, wanted in ((often, {"train", "dev"}), (["adapt.steps=2"], {"train"})):
        job = start(overrides)
        frozen = read_manifest(ws.path(f"runs/{job.id}/snapshot/manifest.jsonl"))
        assert {dialogue.split for dialogue in frozen} == wanted
        wait(ws, job.id)
