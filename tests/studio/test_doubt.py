"""How doubtful an answer is and why: by its slots, its words, a second reading of the sound, and another checkpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from db.models import Checkpoint, Prediction
from db.repositories.queue import Filters
from studio.services import corrections, dialogues, doubt, propagation, reindex, search, understanding
from studio.services.doubt import Doubt
from studio.services.views import TurnView
from studio.workspace import Workspace, open_workspace
from tests.studio.conftest import FakeTracker, older


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker) -> TurnView:
    return dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "d1").id, sound())


def answered(ws: Workspace, turn: TurnView) -> Doubt | None:
    """What the model's answer to a turn is worth; the queue says the same."""
    found = doubt.of(understanding.predict_turn(ws, turn.id))
    (entry,) = search.doubtful(ws, 1, Filters()).entries
    assert found is not None and (entry.doubt, entry.why) == (pytest.approx(found.degree), found.why)
    return found


def test_the_largest_sign_is_the_doubt_and_its_reason(ws: Workspace, turn: TurnView, tracker: FakeTracker) -> None:
    assert doubt.of(turn) is None
    assert answered(ws, turn) == Doubt(pytest.approx(0.1), "unsure of area")  # as of older answers: slots alone
    tracker.sure = 0.8
    assert answered(ws, turn) == Doubt(pytest.approx(0.2), "hard to hear")
    tracker.read = "a place on the north"  # one word of five
    tracker.sure = 0.95
    assert answered(ws, turn) == Doubt(pytest.approx(0.2), "heard two ways")
    assert doubt.second_reading(dialogues.get_turn(ws, turn.id)) == "a place on the north"
    tracker.read = "A place in the north!"
    assert answered(ws, turn) == Doubt(pytest.approx(0.1), "unsure of area")
    assert doubt.second_reading(dialogues.get_turn(ws, turn.id)) is None
    tracker.valid = False
    assert answered(ws, turn) == Doubt(1.0, "no valid answer")


def other_answer(ws: Workspace, turn: TurnView, area: str) -> None:
    """What another checkpoint, named after the area it understood, made of the turn before the newest answer."""
    state = {"restaurant": {"area": area}}
    with ws.write() as session:
        other = Checkpoint(name=area, path=area)
        known = {"raw": "", "transcript": "", "confidence": {}, "valid": True, "seconds": 0.1}
        session.add(other)
        session.flush()
        session.add(Prediction(turn_id=turn.id, checkpoint_id=other.id, state=state, **known))


def test_checkpoints_that_disagree_are_a_sign(ws: Workspace, turn: TurnView) -> None:
    other_answer(ws, turn, "North")
    assert answered(ws, turn) == Doubt(pytest.approx(0.1), "unsure of area")
    other_answer(ws, turn, "south")
    assert answered(ws, turn) == Doubt(0.5, "checkpoints disagree")


def test_what_somebody_settled_is_not_doubted(
    ws: Workspace, turn: TurnView, tracker: FakeTracker, sound: Callable[..., Path]
) -> None:
    later = dialogues.add_user_turn(ws, turn.dialogue_id, sound(1))
    tracker.sure, tracker.read = 0.6, "something else"
    understanding.predict_dialogue(ws, turn.dialogue_id)
    other_answer(ws, later, "north")
    understanding.predict_turn(ws, later.id)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "anna", None)
    propagation.propagate(ws, turn.id)  # the later turn is told the area and its own words
    moved = dialogues.get_turn(ws, later.id)
    assert (moved.state, moved.pinned) == ({"restaurant": {"area": "south"}},) * 2
    assert (moved.transcript_confidence, moved.ctc_transcript) == (0.6, "something else"), "of when it listened"
    found = doubt.of(moved)
    assert found is not None and found.why == "heard two ways"
    reworded = corrections.save_transcript(ws, later.id, "the other words", "anna", None)
    found = doubt.of(reworded)
    assert found is not None and found.why.startswith("unsure of")


def test_slots_confirmed_one_by_one_are_not_doubted_and_what_was_accepted_is_reviewed_by_its_doubt(
    ws: Workspace, turn: TurnView, tracker: FakeTracker
) -> None:
    tracker.sure = 0.95
    other_answer(ws, turn, "south")
    assert answered(ws, turn) == Doubt(0.5, "checkpoints disagree")
    view = corrections.mark_slot(ws, turn.id, "restaurant", "area", "anna")
    (entry,) = search.doubtful(ws, 1, search.TO_CORRECT).entries
    assert (entry.doubt, entry.why) == (pytest.approx(0.05), "hard to hear"), "nobody checked the words"
    assert view.status == "predicted"
    accepted = corrections.accept_turn(ws, turn.id, "anna", view.head)
    assert doubt.of(accepted) == Doubt(0.5, "checkpoints disagree")


@pytest.mark.databases("sqlite")
def test_answers_of_an_older_database_keep_their_order_and_say_why(tmp_path: Path) -> None:
    home = tmp_path / "old"
    with older(home, "0011") as connection:
        now = "'2026-01-01 00:00:00.000000'"
        for statement in (
            f"INSERT INTO projects (id, name, created) VALUES (1, 'p', {now})",
            f"INSERT INTO settings (key, value) VALUES ('indexed', '{reindex.DONE}')",
            "INSERT INTO dialogues (id, project_id, name, split, source, licence, created) "
            f"VALUES (1, 1, 'd', 'train', '', '', {now})",
            *(
                "INSERT INTO turns (id, project_id, dialogue_id, turn_id, speaker, status, doubt, words, created) "
                f"VALUES ({number}, 1, 1, {number}, 'user', 'predicted', {degree}, 'said in {number}', {now})"
                for number, degree in ((1, 0.2), (2, 1.0), (3, 0.4), (4, 0.0))
            ),
            *(
                f"INSERT INTO turn_slots (turn_id, domain, slot, value, confidence) VALUES ({number}, 'r', '{slot}', 'x', {sure})"
                for number, slot, sure in ((1, "area", 0.8), (1, "food", 0.9), (3, "area", 0.7), (3, "food", 0.6), (4, "area", 1))
            ),
        ):
            connection.execute(text(statement))
    ws = open_workspace(home)
    entries = search.doubtful(ws, 1, Filters()).entries
    expected = [(2, "no valid answer"), (3, "unsure of food"), (1, "unsure of area"), (4, "")]
    assert [(entry.turn_id, entry.why) for entry in entries] == expected
    assert [entry.turn_id for entry in search.doubtful(ws, 1, Filters(text="IN 3")).entries] == [3]
