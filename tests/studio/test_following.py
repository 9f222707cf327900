"""What was changed is followed sooner or later, and once: whatever closed, died or failed meanwhile."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from db.models import Follow, utc_now
from db.repositories import follows
from studio.errors import StudioError
from studio.services import (
    adjudication,
    corrections,
    dialogues,
    double,
    follow_claims,
    following,
    propagation,
    review,
    runs,
    understanding,
    verdicts,
)
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


def test_a_page_that_finds_nothing_waiting_any_more_was_told_what_followed(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, told = follows.settle, []

    def settle_told(*asked: Any) -> None:
        told.append(following.newest())
        settle(*asked)

    monkeypatch.setattr(follows, "settle", settle_told)
    before = following.newest()
    correct(ws, turns[0], "south")
    following.catch_up(ws)
    assert told == [before + 1] == [following.newest()]


def test_a_page_that_waits_for_the_studio_itself_is_told_once(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    begun, go_on, real = threading.Event(), threading.Event(), propagation.propagate

    def slowly(*asked: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return real(*asked)

    monkeypatch.setattr(propagation, "propagate", slowly)
    before = following.newest()
    correct(ws, turns[0], "south")
    studio = threading.Thread(target=following.catch_up, args=(ws,))
    studio.start()
    assert begun.wait(20)
    page = threading.Thread(target=following.catch_up, args=(ws, turns[0].dialogue_id))
    page.start()
    page.join(0.3)
    assert page.is_alive()
    go_on.set()
    for thread in (studio, page):
        thread.join(20)
    assert len(following.followed(turns[0].dialogue_id, before)) == 1


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
    assert waits(ws, first) == (first.turn_id,), "why the model was wrong"
    following.catch_up(ws)
    review.take_step(ws, first.id, "reviewed", "rita")
    following.catch_up(ws)
    assert waits(ws, first) == () and following.followed(first.dialogue_id, 0)[-1].moved == {"": []}
    assert double.layer_of(ws, first.dialogue_id, "dan") == "dan"
    assert dialogues.get_turn(ws, last.id, "dan").state["restaurant"]["area"] == "north", (
        "a decision must not tell in the next turn"
    )


@contextmanager
def another_studio(ws: Workspace, turn: TurnView) -> Iterator[psutil.Process]:
    """Another process that has claimed what follows from a turn."""
    process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with ws.write() as session:
        mark = session.get_one(Follow, (turn.id, ""))
        assert follow_claims.take(session, mark)
        mark.pid, mark.pid_started = process.pid, runs.started_at(process)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.databases("sqlite")
def test_what_another_studio_follows_is_left_to_it_until_it_dies(
    ws: Workspace, turns: list[TurnView], tracker: FakeTracker
) -> None:
    correct(ws, turns[0], "south")
    asked = len(tracker.asked)
    with another_studio(ws, turns[0]):
        following.catch_up(ws)
        assert waits(ws, turns[0]) == (0,) and len(tracker.asked) == asked
    following.catch_up(ws)
    assert (waits(ws, turns[0]), area(ws, turns[1])) == ((), "south")


@pytest.mark.databases("sqlite")
def test_what_hangs_on_another_machine_is_taken_over_in_the_end(ws: Workspace, turns: list[TurnView]) -> None:
    correct(ws, turns[0], "south")
    for since, left in ((utc_now(), (0,)), (utc_now() - follow_claims.CLAIMED_FOR - timedelta(seconds=1), ())):
        with ws.write() as session:
            mark = session.get_one(Follow, (turns[0].id, ""))
            mark.host, mark.pid, mark.pid_started, mark.claimed = "elsewhere", 1, 0.0, since
        following.catch_up(ws)
        assert waits(ws, turns[0]) == left


@pytest.mark.databases("sqlite")
def test_pages_wait_for_another_studio_and_show_what_moved_once(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    correct(ws, turns[0], "south")
    before = following.newest()
    with another_studio(ws, turns[0]):
        pages = [threading.Thread(target=following.catch_up, args=(ws, turns[0].dialogue_id)) for _ in range(2)]
        for page in pages:
            page.start()
        time.sleep(0.3)
        assert all(page.is_alive() for page in pages)
        with ws.read() as session:
            ((mark, _),) = follows.waiting(session)
        propagation.propagate(ws, turns[0].id)  # as the other one does
        with ws.write() as session:
            follows.settle(session, mark)
        for page in pages:
            page.join(20)
    (done,) = following.followed(turns[0].dialogue_id, before)
    assert [(move.turn_id, move.old, move.new) for move in done.seen_in("") or []] == [(turns[1].id, "north", "south")]


@pytest.mark.databases("sqlite")
def test_two_studios_on_one_database_follow_a_change_once(
    ws: Workspace, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(ws, turns[0], "south")
    real, calls = following.propagation.propagate, []

    def meanwhile(workspace: Workspace, turn_id: int, layer: str) -> dict:
        calls.append(turn_id)
        other = threading.Thread(target=following.catch_up, args=(ws,), daemon=True)
        with monkeypatch.context() as patch:
            patch.setattr(following, "_one", threading.Lock())  # which another process does not share
            other.start()
            other.join(10)
        assert not other.is_alive()
        return real(workspace, turn_id, layer)

    monkeypatch.setattr(following.propagation, "propagate", meanwhile)
    following.catch_up(ws)
    assert calls == [turns[0].id] and (waits(ws, turns[0]), area(ws, turns[1])) == ((), "south")


@pytest.mark.databases("sqlite")
def test_what_the_model_answered_before_it_was_killed_is_followed(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    first, _, third, _ = [dialogues.add_user_turn(ws, dialogue.id, sound(number)) for number in range(4)]
    corrections.save_slot(ws, first.id, "restaurant", "food", "thai", "anna", None)
    following.catch_up(ws)
    real = FakeTracker.turn

    def killed(self: FakeTracker, *arguments: Any, **options: Any) -> object:
        if len(tracker.asked) == 2:
            following.catch_up(ws)  # what is answered yet has to wait for the rest
            assert waits(ws, first) == (0,)
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeTracker, "turn", killed)
        patch.setattr(follow_claims, "give_back", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            understanding.predict_dialogue(ws, dialogue.id, followed_in="")
    assert dialogues.get_turn(ws, third.id).state == {"restaurant": {"area": "north"}}
    with ws.write() as session:
        ((mark, _),) = follows.waiting(session)
        mark.pid_started = 0.0  # whose process is gone
    following.catch_up(ws)
    assert waits(ws, first) == ()
    assert dialogues.get_turn(ws, third.id).state["restaurant"] == {"area": "north", "food": "thai"}
    understanding.predict_dialogue(ws, dialogue.id, followed_in="")
    following.catch_up(ws)
    assert [turn.state["restaurant"]["food"] for turn in dialogues.get_dialogue(ws, dialogue.id).turns] == ["thai"] * 4
