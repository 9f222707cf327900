"""What became of somebody's corrections: changed by others, learnt by runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.services import adjudication, corrections, dialogues, feedback, review, training, understanding
from studio.services.feedback import WORDS, SlotOutcome
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker
from tests.studio.job_runs import wait


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker, team: None) -> TurnView:
    """A turn understood as north, in which ben wrote other words, another area and a food."""
    turn = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "d1").id, sound())
    understanding.predict_turn(ws, turn.id)
    corrections.save_transcript(ws, turn.id, "thai in the south", "ben", None)
    changed = corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "ben", None)
    return corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "ben", changed.state_head)


def told(ws: Workspace, author: str = "ben") -> list[tuple[str, str | None, str | None, str]]:
    return [(one.what, one.mine, one.theirs, one.author) for one in feedback.answers(ws, 1, author)]


def test_one_sees_what_others_put_in_place_of_ones_corrections(ws: Workspace, turn: TurnView) -> None:
    assert told(ws) == []
    view = corrections.save_slot(ws, turn.id, "restaurant", "area", "west", "rita", turn.state_head)
    assert told(ws) == [("restaurant-area", "south", "west", "rita")]
    view = corrections.save_transcript(ws, turn.id, "thai in the west", "rita", view.transcript_head)
    review.take_step(ws, turn.id, "returned", "rita", "listen again")
    assert told(ws) == [
        ("", None, None, "rita"),
        (WORDS, "thai in the south", "thai in the west", "rita"),
        ("restaurant-area", "south", "west", "rita"),
    ]
    newest = feedback.answers(ws, 1, "ben")[0]
    assert (newest.turn_id, newest.dialogue, newest.number, newest.note) == (turn.id, "d1", 0, "listen again")
    assert told(ws, "rita") == [] == told(ws, "cleo")
    corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "rita", view.state_head)
    assert ("restaurant-area", "south", "west", "rita") not in told(ws), "what stands as it was corrected is no answer"


def test_a_correction_taken_back_is_told_to_whom_it_belonged(ws: Workspace, turn: TurnView) -> None:
    view = corrections.undo(ws, turn.id, "rita", turn.head)
    assert told(ws) == [("restaurant-food", "thai", None, "rita")]
    corrections.undo(ws, turn.id, "ben", view.head)  # ben's own change of mind is no news to ben
    assert told(ws) == [("restaurant-food", "thai", None, "rita")]


def test_the_other_labels_of_a_dialogue_annotated_blind_are_told_once_it_is_decided(
    ws: Workspace, twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    for turn in twice:
        annotate(turn, "ben", "area", "south")
        annotate(turn, "cleo", "area", "west")
    adjudication.take(ws, twice[0].id, "cleo", "rita")
    assert told(ws) == [], "the second turn of the dialogue is blind still"
    adjudication.take(ws, twice[1].id, "ben", "rita")
    assert told(ws) == [("restaurant-area", "south", "west", "rita")]
    assert told(ws, "cleo") == [("restaurant-area", "west", "south", "rita")]


@pytest.mark.usefixtures("fake_engine")
def test_a_run_tells_what_it_learnt_from_somebody_and_what_came_of_it(ws: Workspace, project: int, corrected) -> None:
    corrected("train", turns=2)
    corrected("held out", turns=3, split="test")
    turn = dialogues.get_turn(ws, 1)
    corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "ben", turn.state_head)
    job = wait(ws, training.start_job(ws, project, 1, "adapt", ["adapt.steps=1"]).id)
    base = job.folder / "predictions-1.jsonl"
    answers = [json.loads(line) for line in base.read_text().splitlines()]
    answers[0]["state"] = answers[1]["state"] = {}  # the base understood nothing there
    base.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    (run,) = feedback.runs(ws, project, "anna")
    assert (run.job_id, run.checkpoint, run.base, run.turns, run.words) == (job.id, "run-1", "demo", 2, 2)
    assert run.slots == (SlotOutcome("restaurant-area", corrected=2, fixed=2, broken=0),)
    assert (run.fixed, run.broken, run.problem) == (2, 0, "")
    (run,) = feedback.runs(ws, project, "ben")
    assert (run.turns, run.words, run.slots) == (1, 0, (SlotOutcome("restaurant-food", corrected=1, fixed=0, broken=0),))
    assert feedback.runs(ws, project, "cleo") == []
    base.unlink()
    (run,) = feedback.runs(ws, project, "anna")
    assert (run.turns, run.fixed, run.problem != "") == (2, 0, True)
