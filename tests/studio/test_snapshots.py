"""What a job freezes of the corrections, and what cannot be started on them."""

import json
import re

import pytest

from db.models import Job, Ontology
from engine.dialogue import Turn, read_manifest
from studio.errors import StudioError
from studio.pages import train_html
from studio.services import (
    corrections,
    dialogues,
    ontology,
    training,
    understanding,
)
from studio.services.training import JobView
from studio.workspace import Workspace
from tests.studio.job_runs import wait

pytestmark = [pytest.mark.usefixtures("fake_engine"), pytest.mark.databases("sqlite")]
BOTH = pytest.mark.databases("sqlite", "postgresql")


def test_a_snapshot_holds_what_was_corrected_and_never_what_is_held_out(ws: Workspace, project, corrected, sound) -> None:
    mixed = corrected("mixed")
    heard = dialogues.add_user_turn(ws, mixed, sound(77))
    corrected("held out", split="test")
    dialogues.create_dialogue(ws, project, "untouched")
    preview = training.preview(ws, project)
    assert (preview.dialogues, preview.turns, preview.held_out_dialogues, preview.problem) == (1, 1, 1, None)
    assert (preview.hours, preview.slots) == (pytest.approx(0.5 / 3600), {("restaurant", "area"): 1})
    cells = re.findall(r"<td[^>]*>(.*?)</td>", train_html.slots_html(preview))
    assert cells == ["restaurant area", "1"]
    version = ontology.versions(ws, project)[0].version
    job = training.start_job(ws, project, 1, "adapt", ["adapt.steps=1"])
    corrections.save_slot(ws, heard.id, "restaurant", "food", "new here", "anna", None)
    assert ontology.versions(ws, project)[0].version == version + 1
    job = wait(ws, job.id)
    with ws.read() as session:
        snapshot = session.get_one(Job, job.id).snapshot
        assert snapshot is not None
        then = session.get_one(Ontology, snapshot.ontology_id)
        assert (then.version, "new here" in then.values["restaurant"]["food"]) == (version, False)
        assert json.loads((job.folder / "provenance.json").read_text())["data"]["ontology"] == then.id
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
