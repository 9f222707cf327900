"""Claims: one person has a dialogue, until they stop working on it or somebody takes it over."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.models import Claim, utc_now
from studio.errors import StudioError
from studio.services import claims, corrections, dialogues, people, review, search
from studio.workspace import Workspace, attach

ROUNDS = 10


@pytest.fixture
def turns(ws: Workspace, project: int, sound: Callable[..., Path]) -> list[int]:
    """Two dialogues of two user turns each that nobody has corrected."""
    found = []
    for name in ("one", "two"):
        dialogue = dialogues.create_dialogue(ws, project, name)
        found += [dialogues.add_user_turn(ws, dialogue.id, sound(seed)).id for seed in range(2)]
    return found


@pytest.mark.usefixtures("team")
def test_the_queue_gives_a_dialogue_to_one_person_at_a_time(ws: Workspace, project: int, turns: list[int]) -> None:
    assert claims.claim(ws, turns[0], "ben") is None
    other = claims.claim(ws, turns[1], "cleo")
    assert other is not None and other.holder == "ben"
    assert timedelta(minutes=14) < other.until - utc_now() <= timedelta(minutes=15)
    assert search.next_turn(ws, project, replace(search.TO_CORRECT, annotator="cleo")) == turns[2]
    assert search.next_turn(ws, project, replace(search.TO_CORRECT, annotator="ben")) == turns[0]
    assert claims.claim(ws, turns[2], "ben") is None, "another dialogue"
    assert claims.claim(ws, turns[0], "cleo") is None, "gives up the one before"


@pytest.mark.usefixtures("team")
def test_a_claim_runs_out_and_activity_puts_that_off(ws: Workspace, turns: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    claims.set_minutes(ws, 10, "ada")
    start = utc_now()

    def later(minutes: float) -> None:
        monkeypatch.setattr(claims, "utc_now", lambda: start + timedelta(minutes=minutes))

    later(0)
    assert claims.claim(ws, turns[0], "ben") is None
    later(9)
    assert claims.claim(ws, turns[1], "ben") is None
    later(18.9)
    other = claims.claim(ws, turns[0], "cleo")
    assert other is not None and other.until == start + timedelta(minutes=19)
    later(19)
    assert claims.claim(ws, turns[0], "cleo") is None
    with pytest.raises(StudioError, match="takes the role admin"):
        claims.set_minutes(ws, 10, "ben")
    with pytest.raises(StudioError, match="1 to 1440 minutes"):
        claims.set_minutes(ws, 0, "ada")


@pytest.mark.usefixtures("team")
def test_taking_over_is_recorded_and_who_was_there_loses_nothing(ws: Workspace, turns: list[int]) -> None:
    claims.claim(ws, turns[0], "ben")
    claims.take_over(ws, turns[0], "cleo")
    event = review.events(ws, turns[0])[0]
    assert (event.kind, event.text, event.author) == ("taken over", "from ben", "cleo")
    other = claims.claim(ws, turns[0], "ben")
    assert other is not None and other.holder == "cleo"
    assert corrections.save_transcript(ws, turns[0], "typed before", "ben", None).transcript == "typed before"


@pytest.mark.usefixtures("team")
def test_who_may_not_annotate_holds_nothing(ws: Workspace, turns: list[int]) -> None:
    people.change_user(ws, "dan", active=False)
    assert claims.claim(ws, turns[0], "dan") is None, "looking is free"
    assert claims.claim(ws, turns[0], "ben") is None
    with pytest.raises(StudioError, match="takes the role annotator"):
        claims.take_over(ws, turns[0], "dan")


def test_without_logins_nobody_claims_anything(ws: Workspace, turns: list[int]) -> None:
    assert claims.claim(ws, turns[0], "annotator") is None
    with ws.read() as session:
        assert session.scalars(select(Claim)).all() == []


@pytest.mark.usefixtures("team")
def test_of_two_processes_that_claim_at_once_one_wins(ws: Workspace, turns: list[int]) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    processes = [
        spawn.Process(target=claim_again_and_again, args=(ws.home, turns, name, barrier, results)) for name in ("ben", "cleo")
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=300) for _ in range(2 * ROUNDS)]
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0
    for number in range(ROUNDS):
        won = [name for name, place, other in found if place == number and other is None]
        lost = [other for name, place, other in found if place == number and other is not None]
        assert lost == won and len(won) == 1


def claim_again_and_again(home: Path, turns: list[int], name: str, barrier: Any, results: Any) -> None:
    ws = attach(home)
    for number in range(ROUNDS):
        barrier.wait(timeout=300)
        other = claims.claim(ws, turns[2 * (number % 2)], name)
        results.put((name, number, other.holder if other is not None else None))
