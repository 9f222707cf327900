"""Blind double annotation: two people, two layers, nothing of one reaches the other or a training before it is decided."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from db.models import Dialogue, ErrorKind
from studio.errors import ConflictError, StudioError
from studio.services import (
    adjudication,
    claims,
    corrections,
    dialogues,
    double,
    ontology,
    people,
    propagation,
    review,
    search,
    snapshots,
    verdicts,
)
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

NAMES = [f"dialogue {number}" for number in range(40)]


@pytest.fixture
def turn(twice: list[dialogues.TurnView]) -> dialogues.TurnView:
    return twice[0]


def seen(ws: Workspace, turn: dialogues.TurnView, author: str) -> dialogues.TurnView:
    return dialogues.get_turn(ws, turn.id, double.layer_of_turn(ws, turn.id, author))


@pytest.mark.usefixtures("team")
def test_the_lot_is_drawn_by_name_and_a_larger_share_keeps_a_smaller_one(
    ws: Workspace, project: int, sound: Callable[..., Path]
) -> None:
    made = {name: dialogues.create_dialogue(ws, project, name).id for name in NAMES}
    for dialogue_id in made.values():
        dialogues.add_user_turn(ws, dialogue_id, sound())

    def drawn() -> set[str]:
        return {name for name, dialogue_id in made.items() if double.layer_of(ws, dialogue_id, "ben")}

    assert double.set_share(ws, project, 0.1, "rita").dialogues == len(few := drawn())
    double.set_share(ws, project, 0.5, "rita")
    assert few == {name for name in NAMES if double.lot(name) < 0.1} and few < drawn()
    double.set_share(ws, project, 0.1, "rita")
    assert drawn() == few
    late = dialogues.create_dialogue(ws, project, next(f"late {n}" for n in range(99) if double.lot(f"late {n}") < 0.1))
    dialogues.add_user_turn(ws, late.id, sound())
    assert double.layer_of(ws, late.id, "ben") == "ben", "what comes later is drawn when it is opened"


@pytest.mark.databases("sqlite")
@pytest.mark.usefixtures("team")
def test_dialogues_are_drawn_in_parts_between_which_others_work(
    ws: Workspace, project: int, sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [dialogues.create_dialogue(ws, project, name) for name in NAMES[:4]]
    turns = [dialogues.add_user_turn(ws, dialogue.id, sound()) for dialogue in made]
    parts = 0

    def others(ws: Workspace) -> None:
        nonlocal parts
        parts += 1
        if parts == 1:  # the last one is begun, and another reviewer wants none
            corrections.save_transcript(ws, turns[3].id, "hello", "cleo", None)
            monkeypatch.setattr(double, "PART", 9)
            double.set_share(ws, project, 0, "rita")

    monkeypatch.setattr(double, "PART", 2)
    monkeypatch.setattr(Workspace, "give_way", others)
    assert double.set_share(ws, project, 1, "rita").dialogues == 0
    assert parts == 3
    with ws.read() as session:
        drawn = [session.get_one(Dialogue, dialogue.id).double for dialogue in made]
    assert drawn == [False, False, False, None]


def test_what_somebody_has_begun_keeps_its_lot(
    ws: Workspace,
    project: int,
    turn: dialogues.TurnView,
    annotate: Callable[..., dialogues.TurnView],
    corrected: Callable[..., int],
) -> None:
    annotate(turn, "ben", "food", "thai")
    one = corrected("by one")
    double.set_share(ws, project, 0, "rita")
    assert seen(ws, turn, "cleo").layer == "cleo"
    double.set_share(ws, project, 1, "rita")
    assert double.layer_of(ws, one, "cleo") == ""


def test_neither_sees_what_the_other_does(
    ws: Workspace, project: int, turn: dialogues.TurnView, annotate: Callable[..., dialogues.TurnView]
) -> None:
    annotate(turn, "ben", "name", "a place nobody knows")
    review.take_step(ws, turn.id, "note", "ben", "it is this place")
    view = seen(ws, turn, "cleo")
    assert view.state == turn.predicted_state and view.confirmed == frozenset() and view.status == "predicted"
    assert view.state_head is None and not view.can_undo
    assert corrections.history(ws, turn.id, view.layer) == [] and review.events(ws, turn.id, view.layer) == []
    assert "a place nobody knows" not in ontology.choices(ws, project, "restaurant", "name")
    assert seen(ws, turn, "ben").status == "corrected"
    around = dialogues.get_dialogue(ws, turn.dialogue_id, "cleo")
    assert around.turns[0].transcript == "hello", "what the agent said is there for all"


def area(ws: Workspace, turn: dialogues.TurnView, layer: str) -> str | None:
    return (dialogues.get_turn(ws, turn.id, layer).state or {}).get("restaurant", {}).get("area")


def test_a_correction_moves_the_later_turns_of_its_own_layer_alone(
    ws: Workspace, project: int, twice: list[dialogues.TurnView], annotate: Callable[..., dialogues.TurnView]
) -> None:
    first, second = twice
    annotate(first, "ben", "area", "south")
    moved = propagation.propagate(ws, first.id, "ben")["ben"]
    assert [(move.turn_id, move.slot, move.old, move.new) for move in moved] == [(second.id, "area", "north", "south")]
    assert [area(ws, second, layer) for layer in ("ben", "cleo", "")] == ["south", "north", "north"]
    assert seen(ws, second, "ben").status == "predicted", "he has not looked at it yet"
    assert seen(ws, second, "cleo").pinned == {} and seen(ws, second, "cleo").prediction_id == second.prediction_id
    search_for = replace(search.TO_CORRECT, text="south")
    assert search.doubtful(ws, project, search_for).entries == [], "nobody finds what he wrote"
    found = search.doubtful(ws, project, replace(search.TO_CORRECT, error=ErrorKind.UNDERSTANDING))
    assert found.entries == [] and verdicts.counts(ws, project) == {}, "nor that he found the model wrong"
    assert verdicts.of_turn(ws, first.id, "cleo") == []
    assert [verdict.slot for verdict in verdicts.of_turn(ws, first.id, "ben")] == ["area"]


def test_what_the_agent_said_moves_every_layer_around_what_is_settled_in_it(
    ws: Workspace, twice: list[dialogues.TurnView], annotate: Callable[..., dialogues.TurnView], tracker: FakeTracker
) -> None:
    first, second = twice
    annotate(first, "ben", "area", "south")
    propagation.propagate(ws, first.id, "ben")
    annotate(second, "cleo", "food", "thai")
    tracker.understood = {"restaurant": {"area": "north", "name": "curry house"}}
    agent = dialogues.get_dialogue(ws, first.dialogue_id).turns[0]
    corrections.save_transcript(ws, agent.id, "the curry house?", "ben", agent.transcript_head)
    moved = propagation.propagate(ws, agent.id, "ben")["ben"]
    assert [(move.turn_id, move.slot, move.new) for move in moved] == [(turn.id, "name", "curry house") for turn in twice]
    seen_by = {layer: dialogues.get_turn(ws, second.id, layer).state for layer in ("ben", "cleo", "dan", "")}
    assert seen_by == {
        "ben": {"restaurant": {"area": "south", "name": "curry house"}},
        "cleo": {"restaurant": {"area": "north", "name": "curry house", "food": "thai"}},
        "dan": {"restaurant": {"area": "north", "name": "curry house"}},
        "": {"restaurant": {"area": "north", "name": "curry house"}},
    }
    assert "the curry house?" in [heard.text for heard in tracker.asked[-1].history]


def test_what_is_decided_tells_nothing_to_who_has_not_begun(
    ws: Workspace, twice: list[dialogues.TurnView], annotate: Callable[..., dialogues.TurnView]
) -> None:
    first, second = twice
    for author in ("ben", "cleo"):
        annotate(first, author, "area", "south")
    adjudication.take(ws, first.id, "ben", "rita")
    agent = dialogues.get_dialogue(ws, first.dialogue_id).turns[0]
    corrections.save_transcript(ws, agent.id, "hello there", "ben", agent.transcript_head)
    assert [move.turn_id for move in propagation.propagate(ws, agent.id, "ben")["ben"]] == [second.id]
    assert [area(ws, second, layer) for layer in ("ben", "cleo", "dan")] == ["south", "south", "north"]
    assert len(corrections.history(ws, first.id)) == 2, "and what is decided does not move"


def test_what_an_annotator_decided_stays_and_the_rest_of_their_turn_follows(
    ws: Workspace, twice: list[dialogues.TurnView], annotate: Callable[..., dialogues.TurnView]
) -> None:
    first, second = twice
    corrections.mark_slot(ws, second.id, "restaurant", "area", "cleo", layer="cleo")
    for author in ("ben", "cleo"):
        annotate(second, author, "food", "thai")
        annotate(first, author, "area", "south")
        propagation.propagate(ws, first.id, author)
    assert [area(ws, second, layer) for layer in ("ben", "cleo", "")] == ["south", "north", "north"]
    newest = corrections.history(ws, second.id, "ben")[0]
    assert (newest.source, newest.author) == ("propagated", "the model")
    assert corrections.history(ws, second.id) == []
    back = corrections.undo(ws, second.id, "ben", seen(ws, second, "ben").head, layer="ben")
    assert back.state == {"restaurant": {"area": "north", "food": "thai"}}


def test_after_the_decision_no_layer_moves_any_more(
    ws: Workspace, twice: list[dialogues.TurnView], annotate: Callable[..., dialogues.TurnView]
) -> None:
    first, second = twice
    for author in ("ben", "cleo"):
        annotate(second, author, "food", "thai")
    adjudication.take(ws, second.id, "cleo", "rita")
    annotate(first, "ben", "area", "south")
    propagation.propagate(ws, first.id, "ben")
    assert len(corrections.history(ws, second.id, "ben")) == 1
    assert area(ws, second, "") == "north"


def test_nothing_is_trained_on_before_it_is_decided(
    ws: Workspace, project: int, turn: dialogues.TurnView, annotate: Callable[..., dialogues.TurnView]
) -> None:
    for author in ("ben", "cleo"):
        annotate(turn, author, "food", "thai")
    assert snapshots.preview(ws, project).turns == 0
    assert dialogues.get_turn(ws, turn.id).status == "predicted"
    assert double.progress(ws, project).to_decide == 1


def test_the_queue_gives_a_turn_to_two_people_and_not_twice_to_one(
    ws: Workspace, project: int, twice: list[dialogues.TurnView], annotate: Callable[..., dialogues.TurnView]
) -> None:
    def given(author: str) -> int | None:
        return search.next_turn(ws, project, replace(search.TO_CORRECT, annotator=author))

    first, second = twice
    for author in ("ben", "cleo"):
        assert given(author) == first.id and claims.claim(ws, first.id, author) is None
    assert given("dan") is None, "two are at it"
    assert claims.claim(ws, first.id, "dan") is not None
    view = annotate(first, "ben", "food", "thai")
    assert given("ben") == second.id and given("cleo") == first.id and given("dan") is None
    corrections.undo(ws, first.id, "ben", view.head, layer="ben")
    assert given("ben") == first.id
    for turn in twice:
        for author in ("ben", "cleo"):
            annotate(turn, author, "food", "thai")
    assert [given(author) for author in ("ben", "cleo", "dan")] == [None] * 3


def test_a_page_that_was_open_when_the_lot_was_drawn_is_told_so(ws: Workspace, turn: dialogues.TurnView) -> None:
    with pytest.raises(StudioError, match="annotated by two people since you opened it") as refused:
        corrections.save_transcript(ws, turn.id, "words", "ben", None)
    assert not isinstance(refused.value, ConflictError)


def test_the_share_takes_a_reviewer_two_people_and_a_part(ws: Workspace, project: int) -> None:
    with pytest.raises(StudioError, match="two people who log in"):
        double.set_share(ws, project, 0.1, "annotator")
    people.add_user(ws, "ada", "correct horse", "admin")
    people.add_user(ws, "ben", "correct horse", "annotator")
    with pytest.raises(StudioError, match="takes the role reviewer"):
        double.set_share(ws, project, 0.1, "ben")
    with pytest.raises(StudioError, match="between 0 and 100 %"):
        double.set_share(ws, project, 1.1, "ada")
