"""The model is asked with what stands, and only what it said is stored."""

from collections.abc import Callable
from pathlib import Path

import pytest

from db.models import Checkpoint
from engine.tracking import HistoryTurn
from studio.errors import StudioError
from studio.services import checkpoints, corrections, dialogues, promotion, understanding
from studio.workspace import Workspace


@pytest.fixture
def dialogue(ws: Workspace, project: int, sound: Callable[..., Path]) -> dialogues.DialogueView:
    made = dialogues.create_dialogue(ws, project, "d1")
    dialogues.add_user_turn(ws, made.id, sound(0))
    dialogues.add_agent_turn(ws, made.id, text="any area?")
    dialogues.add_user_turn(ws, made.id, sound(1))
    return dialogues.get_dialogue(ws, made.id)


def test_a_prediction_is_stored_with_all_it_says(ws: Workspace, dialogue, tracker) -> None:
    turn = understanding.predict_turn(ws, dialogue.turns[0].id)
    assert (turn.transcript, turn.state) == ("a place in the north", {"restaurant": {"area": "north"}})
    assert (turn.raw, turn.valid, turn.checkpoint) == ("{...}", True, "demo")
    assert turn.confidence == {"restaurant": {"area": 0.9}}
    assert turn == dialogues.get_turn(ws, turn.id)


def test_history_and_previous_state_are_what_people_corrected(ws: Workspace, dialogue, tracker) -> None:
    first = understanding.predict_turn(ws, dialogue.turns[0].id)
    corrections.save_transcript(ws, first.id, "something in the south", "anna", None)
    corrections.save_slot(ws, first.id, "restaurant", "area", "south", "anna", None)
    understanding.predict_turn(ws, dialogue.turns[2].id)
    assert tracker.asked[-1].previous == {"restaurant": {"area": "south"}}
    assert tracker.asked[-1].history == [
        HistoryTurn("user", "something in the south"),
        HistoryTurn("agent", "any area?"),
    ]


def test_earlier_turns_nobody_has_heard_are_heard_first(ws: Workspace, dialogue, tracker) -> None:
    understanding.predict_turn(ws, dialogue.turns[2].id)
    assert [len(asked.history) for asked in tracker.asked] == [0, 2]


def test_a_whole_dialogue_is_predicted_in_order_with_progress(ws: Workspace, dialogue, tracker) -> None:
    steps: list[tuple[int, int]] = []
    understanding.predict_dialogue(ws, dialogue.id, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]
    assert understanding.predict_dialogue(ws, dialogue.id).state == {"restaurant": {"area": "north"}}
    assert len(tracker.asked) == 2


def test_a_user_turn_that_was_typed_before_it_was_heard_is_understood_all_the_same(ws: Workspace, dialogue, tracker) -> None:
    typed = corrections.save_transcript(ws, dialogue.turns[0].id, "in the north", "anna", None)
    assert typed.waits_for_model
    understood = understanding.predict_dialogue(ws, dialogue.id).turns
    assert (understood[0].transcript, understood[0].state) == ("in the north", {"restaurant": {"area": "north"}})
    assert not any(turn.waits_for_model for turn in understood)


def test_predicting_again_never_touches_a_correction(ws: Workspace, dialogue, tracker) -> None:
    first = understanding.predict_turn(ws, dialogue.turns[0].id)
    corrections.save_slot(ws, first.id, "restaurant", "area", "south", "anna", None)
    tracker.heard, tracker.understood = "something else", {}
    again = understanding.predict_turn(ws, first.id)
    assert (again.transcript, again.predicted_state) == ("something else", {})
    assert again.state == {"restaurant": {"area": "south"}}


def test_a_recorded_agent_is_transcribed_but_has_no_state(ws: Workspace, dialogue, tracker, sound) -> None:
    agent = dialogues.add_agent_turn(ws, dialogue.id, audio=sound(2))
    agent = understanding.predict_turn(ws, agent.id)
    assert (agent.transcript, agent.state) == ("a place in the north", None)


def test_the_tracker_is_loaded_once_and_again_when_another_checkpoint_is_put_in_use(
    ws: Workspace, dialogue, tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    understanding.predict_dialogue(ws, dialogue.id)
    with ws.write() as session:
        session.add(Checkpoint(name="better", path="runs/1/train/checkpoint", parent_id=1))
    monkeypatch.setattr(checkpoints, "missing_files", lambda folder: [])
    promotion.promote(ws, 2, "anna", "to see it answer")
    turn = understanding.predict_turn(ws, dialogue.turns[0].id)
    assert turn.checkpoint == "better"
    assert [folder.name for folder in tracker.loaded] == ["demo", "checkpoint"]


def test_a_model_that_breaks_is_a_sentence_and_no_prediction(
    ws: Workspace, dialogue, tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "turn", lambda *_, **__: 1 / 0)
    with pytest.raises(StudioError, match="could not answer this turn"):
        understanding.predict_turn(ws, dialogue.turns[0].id)
    assert dialogues.get_turn(ws, dialogue.turns[0].id).status == "new"


def test_a_turn_without_recording_has_nothing_to_predict(ws: Workspace, dialogue, tracker) -> None:
    with pytest.raises(StudioError, match="no recording"):
        understanding.predict_turn(ws, dialogue.turns[1].id)
