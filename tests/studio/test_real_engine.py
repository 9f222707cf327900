"""The whole loop with the real engine: correct, fine-tune, score, answer with what came out."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db.models import Checkpoint
from studio.services import checkpoints, corrections, dialogues, exports, manifests, projects, training, understanding
from studio.workspace import Workspace

LABELS = Path(__file__).with_name("sample_labels.json")
ONE_STEP_EACH = ["align.steps=1", "stage1.steps=1", "stage2.steps=1"]
SMALL = [f"{stage}.batch=2" for stage in ("align", "stage1", "stage2")]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("base_models")]


@pytest.fixture
def base(ws: Workspace, project: int, tmp_path: Path) -> int:
    """A checkpoint that knows nothing: one step a stage on one corrected dialogue; a turn of another is held out."""
    sounds = sorted((projects.SAMPLE / "audio").glob("*.flac"))
    splits: list[tuple[dialogues.Split, list[Path]]] = [("train", sounds[:3]), ("test", sounds[3:4])]
    for split, heard in splits:
        dialogue = dialogues.create_dialogue(ws, project, split, split)
        for sound in heard:
            turn = dialogues.add_user_turn(ws, dialogue.id, sound)
            corrections.save_transcript(ws, turn.id, "a restaurant in the north", "anna", None)
            corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    chosen = exports.Selection(splits=("train", "dev", "test"))
    manifest = exports.export(ws, project, tmp_path / "export", selection=chosen).folder / "manifest.jsonl"
    settings = [part for override in ONE_STEP_EACH + SMALL for part in ("--set", override)]
    out = ws.path("runs/base")
    command = [sys.executable, "-m", "engine", "train", "demo", "--manifest", str(manifest), "--out", str(out)]
    subprocess.run([*command, *settings], check=True)
    with ws.write() as session:
        checkpoint = Checkpoint(name="base", path="runs/base/checkpoint")
        session.add(checkpoint)
        session.flush()
        return checkpoint.id


def test_a_fine_tune_on_corrections_ends_with_a_checkpoint_that_answers(ws: Workspace, project: int, base: int) -> None:
    job = training.start_job(ws, project, base, "demo", ONE_STEP_EACH + SMALL)
    while job.active:
        time.sleep(1)
        job = training.job_view(ws, job.id)
    assert (job.status, job.error, job.step) == ("finished", None, 3), job.log_tail
    assert job.scores_before is not None
    assert job.scores_after is not None
    assert {"wer", "jga", "slot_f1", "ser"} <= job.scores_after.keys()
    assert checkpoints.in_use(ws).name == "run-1"
    answered = understanding.predict_turn(ws, 1)
    assert answered.checkpoint == "run-1"
    assert answered.raw is not None


def test_ten_dialogues_corrected_by_hand_make_a_checkpoint_that_answers(ws: Workspace, project: int) -> None:
    """The shipped checkpoint and recipe: predict the sample's ten training dialogues, correct what is wrong, fine-tune, ask."""
    labels = json.loads(LABELS.read_text(encoding="utf-8"))  # of WOZ 2.0 (Apache-2.0), whose dialogues the sample speaks
    for spoken in manifests.read(projects.SAMPLE / "manifest.jsonl"):
        dialogue = dialogues.create_dialogue(ws, project, spoken.dialogue_id, spoken.split)
        for label in spoken.turns:
            if label.speaker == "agent":
                dialogues.add_agent_turn(ws, dialogue.id, label.transcript)
                continue
            said, state = labels[spoken.dialogue_id][str(label.turn_id)]
            turn = dialogues.add_user_turn(ws, dialogue.id, label.audio)
            turn = understanding.predict_turn(ws, turn.id)
            turn = corrections.save_transcript(ws, turn.id, said, "anna", turn.transcript_head)
            turn = corrections.save_state(ws, turn.id, state, "anna", turn.state_head)
            if not turn.labelled:
                corrections.accept_turn(ws, turn.id, "anna", turn.head)
    job = training.start_job(ws, project, checkpoints.in_use(ws).id, "adapt")
    while job.active:
        time.sleep(1)
        job = training.job_view(ws, job.id)
    assert (job.status, job.error) == ("finished", None), job.log_tail
    print(f"before {job.scores_before}; after {job.scores_after}")
    assert checkpoints.in_use(ws).name == "run-1"
    answered = understanding.predict_turn(ws, 1)
    assert (answered.checkpoint, answered.valid) == ("run-1", True)
