"""What was changed is followed sooner or later, and once: whatever closed, died or failed meanwhile."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.errors import StudioError
from studio.services import adjudication, corrections, dialogues, double, following, review, understanding, verdicts
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker


@pytest.fixture
def turns(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker) -> list[TurnView]:
    """Two user turns that the model understood alike."""
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    for number in range(2):
        dialogues.add_user_turn(ws, dialogue.id, sound(number))
    return list(understanding.predict_dialogue(ws, dialogue.id).turns)


def correct(ws: Workspace, turn: TurnView, value: str) -> TurnView:
    return corrections.save_slot(ws, turn.id, "restaurant", "area", value, "anna", dialogues.get_turn(ws, turn.id).state_head)


def area(ws: Workspace, turn: TurnView) -> str:
    return dialogues.get_turn(ws, turn.id).state["restaurant"]["area"]


def waits(ws: Workspace, turn: TurnView, layer: str = "") -> tuple[int, ...]:
    return following.waiting(ws, turn.dialogue_id, layer).turns


def test_a_change_waits_from_its_transaction_on_until_all_that_follows_is_stored(ws: Workspace, turns: list[TurnView]) -> None:
    first, last = turns
    correct(ws, first, "south")
    assert waits(ws, first) == (0,) and area(ws, last) == "north"
    before = following.newest()
    following.catch_up(ws)
    assert waits(ws, first) == () and area(ws, last) == "south"
    assert [verdict.slot for verdict in verdicts.of_turn(ws, first.id)] == ["area"], "and why it was wrong is known"
    (done,) = following.followed(first.dialogue_id, before)
    assert [(move.turn_id, move.new) for move in done.seen_in("") or []] == [(last.id, "south")]
    assert done.seen_in("ben") is None


def test_what_changes_nothing_and_what_is_refused_waits_for_nothing(ws: Workspace, turns: list[TurnView]) -> None:
    corrections.save_transcript(ws, turns[0].id, turns[0].transcript or "", "anna", None)
    with pytest.raises(StudioError):
        corrections.undo(ws, turns[0].id, "anna", None)
    review.take_step(ws, turns[0].id, "note", "anna", "hm")
    assert waits(ws, turns[0]) == ()
    corrections.mark_slot(ws, turns[0].id, "restaurant", "area", "anna")
    assert waits(ws, turns[0]) == (0,)


def test_what_a_reviewer_settles_is_followed_too(ws: Workspace, turns: list[TurnView]) -> None:
    corrections.save_transcript(ws, turns[0].id, "words", "anna", None)
    following.catch_up(ws)
    review.take_step(ws, turns[0].id, "reviewed", "rita")
    assert waits(ws, turns[0]) == (0,)


def test_what_fails_waits_and_says_why_until_it_is_tried_again(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = turns
    correct(ws, first, "south")

    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(FakeTracker, "turns", fail)
        following.catch_up(ws)
    found = following.waiting(ws, first.dialogue_id)
    assert found.turns == (0,) and "no memory" in (found.problem or "")
    following.catch_up(ws)
    assert area(ws, last) == "north", "not again and again"
    following.catch_up(ws, first.dialogue_id, again=True)
    assert (waits(ws, first), area(ws, last)) == ((), "south")


def test_what_cannot_be_followed_holds_nothing_else_up(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = turns
    correct(ws, first, "south")
    corrections.mark_slot(ws, last.id, "restaurant", "food", "anna")
    real = following.propagation.propagate

    def once(workspace: Workspace, turn_id: int, layer: str) -> dict:
        monkeypatch.setattr(following.propagation, "propagate", real)
        raise ZeroDivisionError(turn_id)

    monkeypatch.setattr(following.propagation, "propagate", once)
    following.catch_up(ws)
    assert (waits(ws, first), area(ws, last)) == ((), "south"), "and is tried again once something succeeds"
    assert "ZeroDivisionError" in caplog.text


def test_however_many_look_on_it_is_decoded_once(ws: Workspace, turns: list[TurnView], tracker: FakeTracker) -> None:
    correct(ws, turns[0], "south")
    before = len(tracker.asked)
    threads = [threading.Thread(target=following.catch_up, args=(ws, turns[0].dialogue_id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tracker.asked) - before == 2, "the later turn, and why the first one was wrong"
    assert len(following.followed(turns[0].dialogue_id, following.newest() - 1)) == 1


def test_a_change_of_the_moment_in_which_an_earlier_one_is_followed_waits_still(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = turns
    correct(ws, first, "south")
    real = following.propagation.propagate

    def in_between(workspace: Workspace, turn_id: int, layer: str) -> dict:
        monkeypatch.setattr(following.propagation, "propagate", real)
        moved = real(workspace, turn_id, layer)
        correct(ws, first, "west")
        return moved

    monkeypatch.setattr(following.propagation, "propagate", in_between)
    following.catch_up(ws)
    assert (waits(ws, first), area(ws, last)) == ((), "west")


def test_blind_layers_follow_each_its_own_and_tell_nothing_of_the_other(
    ws: Workspace, twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    first, last = twice
    annotate(first, "ben", "area", "south")
    assert (waits(ws, first, "ben"), waits(ws, first, "cleo"), waits(ws, first)) == ((first.turn_id,), (), ())
    following.catch_up(ws)
    assert waits(ws, first, "ben") == ()
    assert [dialogues.get_turn(ws, last.id, layer).state["restaurant"]["area"] for layer in ("ben", "cleo")] == ["south", "north"]
    annotate(first, "cleo", "area", "west")
    following.catch_up(ws)
    adjudication.decide(ws, first.id, "words", {"restaurant": {"area": "east"}}, "rita")
    assert waits(ws, first) == (), "a decision must not tell in the next turn"
    assert double.layer_of(ws, first.dialogue_id, "dan") == "dan"
    assert dialogues.get_turn(ws, last.id, "dan").state["restaurant"]["area"] == "north"
