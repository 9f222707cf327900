"""What a run follows from, and what may not be trained on."""

import json
import tomllib
from collections.abc import Callable

import pytest

from studio.errors import StudioError
from studio.services import checkpoints, corrections, dialogues, training
from studio.workspace import Workspace
from tests.studio.test_jobs import wait

pytestmark = pytest.mark.usefixtures("fake_engine")


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
        from db.models import Dialogue, Split

        session.get_one(Dialogue, 1).split = Split.DEV
    corrected("new")
    with pytest.raises(StudioError, match="run-1 was trained on a recording of the held-out dialogue under another name"):
        start(ws, project)
