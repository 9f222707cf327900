"""One correction and the rest of its dialogue: later turns are decoded around it, and decisions stay."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from studio.services import corrections, dialogues, propagation, review, splits, understanding
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

HEARD = {"restaurant": {"area": "north", "food": "thai"}}


@pytest.fixture
def turns(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker) -> list[TurnView]:
    return understood(ws, project, sound, tracker, HEARD)


def understood(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker, state: dict[str, dict[str, str]]
) -> list[TurnView]:
    """Three user turns with the agent between them; the model understood the same of each."""
    tracker.understood = state
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    for number in range(3):
        dialogues.add_user_turn(ws, dialogue.id, sound(number))
        dialogues.add_agent_turn(ws, dialogue.id, "and?")
    found = understanding.predict_dialogue(ws, dialogue.id).turns
    return [turn for turn in found if turn.speaker == "user"]


def correct(ws: Workspace, turn: TurnView, slot: str, value: str | None) -> TurnView:
    return corrections.save_slot(ws, turn.id, "restaurant", slot, value, "anna", turn.state_head)


def state(ws: Workspace, turn: TurnView) -> dict:
    return (dialogues.get_turn(ws, turn.id).state or {}).get("restaurant", {})


def test_a_corrected_slot_is_pinned_in_every_later_turn(ws: Workspace, turns: list[TurnView], tracker: FakeTracker) -> None:
    correct(ws, turns[0], "area", "south")
    moved = propagation.propagate(ws, turns[0].id)[""]
    assert [(move.number, move.slot, move.old, move.new) for move in moved] == [
        (2, "area", "north", "south"),
        (4, "area", "north", "south"),
    ]
    assert [state(ws, turn)["area"] for turn in turns] == ["south"] * 3
    assert dialogues.get_turn(ws, turns[2].id).status == "predicted", "nobody has looked at it yet"
    later = [asked for asked in tracker.asked if asked.pinned]
    assert [asked.transcript for asked in later] == ["a place in the north"] * 2, "only the state is asked for again"


def test_a_removed_slot_stays_away_later_too(ws: Workspace, turns: list[TurnView]) -> None:
    correct(ws, turns[0], "food", None)
    propagation.propagate(ws, turns[0].id)
    assert [state(ws, turn) for turn in turns] == [{"area": "north"}] * 3


def test_what_somebody_decided_never_moves_by_itself(ws: Workspace, turns: list[TurnView]) -> None:
    corrections.mark_slot(ws, turns[1].id, "restaurant", "area", "ben")
    last = correct(ws, turns[2], "food", "indian")
    correct(ws, turns[0], "area", "south")
    moved = propagation.propagate(ws, turns[0].id)[""]
    assert state(ws, turns[1])["area"] == "north", "somebody confirmed it there"
    assert state(ws, turns[2]) == {"area": "north", "food": "indian"}, "and from there on that stands"
    assert moved == []
    assert dialogues.get_turn(ws, last.id).corrected_state == last.corrected_state


def test_a_corrected_turn_follows_in_the_slots_nobody_decided(ws: Workspace, turns: list[TurnView]) -> None:
    correct(ws, turns[2], "food", "indian")
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    assert state(ws, turns[2]) == {"area": "south", "food": "indian"}
    newest = corrections.history(ws, turns[2].id)[0]
    assert (newest.source, newest.author) == ("propagated", "the model")
    view = corrections.undo(ws, turns[2].id, "ben", dialogues.get_turn(ws, turns[2].id).head)
    assert view.state == {"restaurant": {"area": "north", "food": "indian"}}


def test_what_was_undone_can_be_redone_after_the_turn_moved_by_itself(ws: Workspace, turns: list[TurnView]) -> None:
    """Nothing was left to redo, and a redo of the whole state would have taken the correction before it back."""
    named = correct(ws, turns[2], "name", "kohinoor")
    taken_back = corrections.undo(ws, turns[2].id, "anna", correct(ws, named, "food", "indian").head)
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    moved = dialogues.get_turn(ws, turns[2].id)
    without = {"area": "south", "food": "thai", "name": "kohinoor"}
    assert (moved.state, moved.can_redo, taken_back.can_redo) == ({"restaurant": without}, True, True)
    again = corrections.redo(ws, turns[2].id, "anna", moved.head)
    assert (again.state, again.can_redo) == ({"restaurant": without | {"food": "indian"}}, False)
    assert ("restaurant", "food") in again.confirmed
    back = corrections.undo(ws, turns[2].id, "anna", again.head)
    assert (back.state, back.confirmed) == (moved.state, moved.confirmed)
    assert corrections.redo(ws, turns[2].id, "anna", back.head).state == again.state
    corrections.undo(ws, turns[2].id, "anna", dialogues.get_turn(ws, turns[2].id).head)
    assert not correct(ws, dialogues.get_turn(ws, turns[2].id), "food", "lao").can_redo, "a new value forgets what was"


def test_an_answer_that_is_no_state_takes_no_valid_one_away(ws: Workspace, turns: list[TurnView], tracker: FakeTracker) -> None:
    """One broken answer put the turn back to what stood before it."""
    broken = {"taxi": {"destination": "nowhere"}}
    tracker.valid, tracker.understood = False, broken
    view = correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    last = dialogues.get_turn(ws, turns[2].id)
    assert last.state == {"restaurant": {"area": "south", "food": "thai"}} and last.valid
    assert (last.confidence, last.pinned) == ({"restaurant": {"food": 0.9}}, {"restaurant": {"area": "south"}})
    corrections.undo(ws, turns[0].id, "anna", view.head)
    propagation.propagate(ws, turns[0].id)
    assert state(ws, turns[2]) == HEARD["restaurant"], "nor does what nobody says any more stay"
    tracker.valid = True
    correct(ws, dialogues.get_turn(ws, turns[0].id), "area", "south")
    propagation.propagate(ws, turns[0].id)
    assert dialogues.get_turn(ws, turns[2].id).state == {"restaurant": {"area": "south"}} | broken


def test_all_that_stands_in_a_corrected_turn_is_decided_once_it_is_accepted(ws: Workspace, turns: list[TurnView]) -> None:
    accepted = corrections.accept_turn(ws, turns[2].id, "anna", correct(ws, turns[2], "food", "indian").head)
    assert accepted.confirmed == {("restaurant", "area"), ("restaurant", "food")}
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    assert state(ws, turns[2]) == {"area": "north", "food": "indian"}
    undone = corrections.undo(ws, turns[2].id, "anna", accepted.head)
    assert (undone.confirmed, undone.corrected_transcript) == ({("restaurant", "food")}, None), "both halves at once"


def test_a_held_out_label_never_moves_by_itself(ws: Workspace, turns: list[TurnView]) -> None:
    splits.move(ws, turns[0].dialogue_id, "test", "anna")
    correct(ws, turns[2], "food", "indian")
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    assert state(ws, turns[2]) == {"area": "north", "food": "indian"}


def test_a_new_value_heard_later_ends_what_was_settled(
    ws: Workspace, turns: list[TurnView], tracker: FakeTracker, sound: Callable[..., Path]
) -> None:
    tracker.understood = {"restaurant": {"area": "west", "food": "thai"}}
    changed = dialogues.add_user_turn(ws, turns[0].dialogue_id, sound(9))
    understanding.predict_turn(ws, changed.id)
    tracker.understood = HEARD
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    assert [state(ws, turn)["area"] for turn in (*turns, changed)] == ["south", "south", "south", "west"]


def test_a_turn_without_corrections_asks_nothing(ws: Workspace, turns: list[TurnView], tracker: FakeTracker) -> None:
    asked = len(tracker.asked)
    assert propagation.propagate(ws, turns[0].id) == {"": []}
    assert len(tracker.asked) == asked


def test_a_reviewed_turn_stays_reviewed_when_nothing_of_it_moves(ws: Workspace, turns: list[TurnView]) -> None:
    corrections.accept_turn(ws, turns[2].id, "anna", turns[2].head)
    review.take_step(ws, turns[2].id, "reviewed", "rita")
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    assert dialogues.get_turn(ws, turns[2].id).status == "reviewed"


@pytest.mark.parametrize("steps", [["reviewed"], ["reviewed", "final"]])
@pytest.mark.parametrize("words_alone", [True, False])
def test_nothing_moves_in_a_turn_somebody_has_reviewed(
    ws: Workspace, turns: list[TurnView], tracker: FakeTracker, steps: list[review.Step], words_alone: bool
) -> None:
    if words_alone:  # then what stands is the model's answer
        corrections.save_transcript(ws, turns[1].id, "that one", "ben", None)
    else:
        correct(ws, turns[1], "food", None)
    for step in steps:
        before = review.take_step(ws, turns[1].id, step, "rita")
    tracker.understood = {"restaurant": {"area": "north", "food": "thai", "name": "kohinoor"}}
    correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    earlier = dialogues.get_turn(ws, turns[0].id).state or {}
    assert dialogues.get_turn(ws, turns[1].id) == replace(before, previous_state=earlier)
    settled = {"area": "north", "food": "thai"} if words_alone else {"area": "north"}
    assert state(ws, turns[2]) == settled | {"name": "kohinoor"}


def test_what_is_reviewed_while_the_model_computes_stays(
    ws: Workspace, turns: list[TurnView], tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(ws, turns[1], "food", "indian")
    correct(ws, turns[0], "area", "south")
    answer = FakeTracker.turns

    def in_the_middle(self: FakeTracker, requests: list) -> list:
        monkeypatch.setattr(FakeTracker, "turns", answer)
        review.take_step(ws, turns[1].id, "reviewed", "rita")
        return answer(self, requests)

    monkeypatch.setattr(FakeTracker, "turns", in_the_middle)
    propagation.propagate(ws, turns[0].id)
    found = dialogues.get_turn(ws, turns[1].id)
    assert (found.status, found.state) == ("reviewed", {"restaurant": {"area": "north", "food": "indian"}})
    assert state(ws, turns[2]) == {"area": "north", "food": "indian"}, "and from there on that stands"


def test_corrected_words_are_understood_again_from_there_on(ws: Workspace, turns: list[TurnView], tracker: FakeTracker) -> None:
    tracker.on_words = {"indian food": {"restaurant": {"food": "indian"}}}
    corrections.save_transcript(ws, turns[1].id, "indian food", "anna", turns[1].transcript_head)
    moved = propagation.propagate(ws, turns[1].id)[""]
    assert [(move.number, move.slot, move.new) for move in moved] == [(2, "area", None), (2, "food", "indian")]
    assert state(ws, turns[1]) == {"food": "indian"}
    assert ("user", "indian food") in [(turn.speaker, turn.text) for turn in tracker.asked[-1].history]


def test_a_correction_taken_back_is_taken_back_in_later_turns_too(ws: Workspace, turns: list[TurnView]) -> None:
    view = correct(ws, turns[0], "area", "south")
    propagation.propagate(ws, turns[0].id)
    corrections.undo(ws, turns[0].id, "anna", view.head)
    moved = propagation.propagate(ws, turns[0].id)[""]
    assert [(move.number, move.old, move.new) for move in moved] == [(2, "south", "north"), (4, "south", "north")]


def test_words_taken_back_are_what_the_model_heard_and_understood(
    ws: Workspace, turns: list[TurnView], tracker: FakeTracker
) -> None:
    tracker.on_words = {"indian food": {"restaurant": {"food": "indian"}}}
    view = corrections.save_transcript(ws, turns[1].id, "indian food", "anna", turns[1].transcript_head)
    propagation.propagate(ws, view.id)
    told = dialogues.get_turn(ws, view.id)
    assert told.model_transcript == tracker.heard, "it was told the words, it did not hear them"
    assert corrections.undo(ws, view.id, "anna", told.head).transcript == tracker.heard
    propagation.propagate(ws, view.id)
    assert dialogues.get_turn(ws, view.id).state == HEARD


def test_what_is_decided_while_the_model_computes_is_asked_for_anew(
    ws: Workspace, turns: list[TurnView], tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = turns[0], turns[2]
    corrections.save_transcript(ws, first.id, "a place", "anna", None)
    tracker.on_words["a place"] = HEARD
    correct(ws, first, "food", "indian")
    meant = correct(ws, dialogues.get_turn(ws, first.id), "area", "south")
    answer = FakeTracker.turns

    def in_the_middle(self: FakeTracker, requests: list) -> list:
        monkeypatch.setattr(FakeTracker, "turns", answer)
        corrections.undo(ws, first.id, "anna", meant.head)
        correct(ws, last, "food", "greek")
        return answer(self, requests)

    monkeypatch.setattr(FakeTracker, "turns", in_the_middle)
    moved = propagation.propagate(ws, first.id)[""]
    assert [(move.number, move.slot, move.new) for move in moved] == [(2, "food", "indian")], "nothing moved to the south"
    assert state(ws, first) == {"area": "north", "food": "indian"}
    assert state(ws, last) == {"area": "north", "food": "greek"}
    assert [change.source for change in corrections.history(ws, first.id)][:2] == ["undo", "user"]
    undone = dialogues.get_turn(ws, first.id)
    assert undone.can_redo
    assert corrections.redo(ws, first.id, "anna", undone.head).state == {"restaurant": {"area": "south", "food": "indian"}}


def test_a_correction_is_followed_in_its_own_domain_alone(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    """Two domains with a slot of one name; the model does not name the third."""
    heard = {"hotel": {"area": "north", "stars": "4"}, "restaurant": {"area": "north"}}
    turns = understood(ws, project, sound, tracker, heard)
    corrections.mark_slot(ws, turns[2].id, "restaurant", "area", "ben")
    view = corrections.save_slot(ws, turns[0].id, "hotel", "area", "south", "anna", turns[0].state_head)
    corrections.save_slot(ws, turns[0].id, "taxi", "destination", "ely", "anna", view.state_head)
    moved = propagation.propagate(ws, turns[0].id)[""]
    one = [("hotel", "area", "north", "south"), ("taxi", "destination", None, "ely")]
    assert sorted((move.number, move.domain, move.slot, move.old, move.new) for move in moved) == [
        (number, *change) for number in (2, 4) for change in one
    ]
    both = {"hotel": {"area": "south", "stars": "4"}, "restaurant": {"area": "north"}, "taxi": {"destination": "ely"}}
    assert [dialogues.get_turn(ws, turn.id).state for turn in turns] == [both] * 3
    pinned = {"hotel": {"area": "south"}, "taxi": {"destination": "ely"}}
    assert [asked.pinned for asked in tracker.asked if asked.pinned] == [pinned, pinned | {"restaurant": {"area": "north"}}]
