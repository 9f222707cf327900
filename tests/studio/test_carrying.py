"""Imported labels follow a correction when somebody asks for it, as far as they hold the same wrong value."""

from collections.abc import Callable
from pathlib import Path

import pytest

from db.models import Turn as TurnRow
from engine.dialogue import Dialogue, Turn
from studio.errors import StudioError
from studio.services import carrying, corrections, dialogues, double, imports, labels, propagation, review, understanding
from studio.services.exchange import Source
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

CENTRE = {"restaurant": {"area": "center", "food": "thai"}}


@pytest.fixture
def imported(ws: Workspace, project: int) -> Callable[..., list[TurnView]]:
    """Import a dialogue whose user turns have the given states; its user turns."""

    def bring(*states: dict, split: str = "train", audio: str | None = None) -> list[TurnView]:
        turns = [Turn(2 * place, "user", f"words {place}", audio, state=state) for place, state in enumerate(states)]
        turns += [Turn(2 * place + 1, "agent", "and?") for place in range(len(states))]
        found = Dialogue("d1", sorted(turns, key=lambda turn: turn.turn_id), split)
        imports.carry_out(ws, project, imports.plan(ws, project, Source(Path("m"), "manifest", [found])))
        (row,) = dialogues.list_dialogues(ws, project)
        return [turn for turn in dialogues.get_dialogue(ws, row.id).turns if turn.speaker == "user"]

    return bring


def correct(ws: Workspace, turn: TurnView, value: str | None, author: str = "anna") -> TurnView:
    head = dialogues.get_turn(ws, turn.id).state_head
    return corrections.save_slot(ws, turn.id, "restaurant", "area", value, author, head)


def areas(ws: Workspace, turns: list[TurnView]) -> list[str | None]:
    return [(dialogues.get_turn(ws, turn.id).state or {}).get("restaurant", {}).get("area") for turn in turns]


def carry(ws: Workspace, turn: TurnView, author: str = "anna") -> int:
    return carrying.carry(ws, turn.id, author, dialogues.get_turn(ws, turn.id).state_head)


def test_a_corrected_value_goes_into_the_later_turns_that_hold_the_old_one_and_each_can_be_undone(
    ws: Workspace, imported: Callable[..., list[TurnView]]
) -> None:
    north = {"restaurant": {"area": "north", "food": "thai"}}
    turns = imported(CENTRE, CENTRE, CENTRE, north, CENTRE)
    assert carrying.offer(ws, turns[0].id, "anna") is None
    correct(ws, turns[0], "centre")
    offer = carrying.offer(ws, turns[0].id, "anna")
    assert offer == carrying.Offer({("restaurant", "area"): "centre"}, (2, 4))
    assert carry(ws, turns[0]) == 2
    assert areas(ws, turns) == ["centre", "centre", "centre", "north", "center"]
    assert carrying.offer(ws, turns[0].id, "anna") is None
    last = dialogues.get_turn(ws, turns[2].id)
    newest = corrections.history(ws, last.id)[0]
    assert (newest.author, newest.source) == ("anna", "propagated")
    assert last.state == {"restaurant": {"area": "centre", "food": "thai"}}
    corrections.undo(ws, last.id, "anna", last.head)
    assert areas(ws, turns) == ["centre", "centre", "center", "north", "center"]


def test_what_was_carried_is_carried_again_when_it_was_wrong_too_and_so_are_added_and_removed_values(
    ws: Workspace, imported: Callable[..., list[TurnView]]
) -> None:
    turns = imported(CENTRE, CENTRE, CENTRE)
    for value in ("south", "centre", None, "west"):
        correct(ws, turns[0], value)
        assert carry(ws, turns[0]) == 2
        assert areas(ws, turns) == [value] * 3


def test_an_undo_goes_back_to_what_was_imported_and_no_further(ws: Workspace, imported: Callable[..., list[TurnView]]) -> None:
    """One key too many took the corpus's labels away."""
    (turn,) = imported(CENTRE)
    assert not turn.can_undo
    with pytest.raises(StudioError, match="nothing to undo"):
        corrections.undo(ws, turn.id, "anna", turn.head)
    back = corrections.undo(ws, turn.id, "anna", correct(ws, turn, "north").head)
    assert (back.state, back.transcript, back.status) == (turn.state, turn.transcript, "corrected")
    assert (back.can_undo, back.can_redo, back.imported) == (False, True, True)


def test_decided_reviewed_final_and_unlabelled_turns_stay(ws: Workspace, imported: Callable[..., list[TurnView]]) -> None:
    turns = imported(CENTRE, CENTRE, CENTRE, CENTRE, CENTRE)
    corrections.mark_slot(ws, turns[1].id, "restaurant", "area", "ben")
    for turn, steps in ((turns[2], ("reviewed",)), (turns[3], ("reviewed", "final"))):
        for step in steps:
            review.take_step(ws, turn.id, step, "rita")
    correct(ws, turns[0], "centre")
    assert carrying.offer(ws, turns[0].id, "anna") == carrying.Offer({("restaurant", "area"): "centre"}, (8,))
    assert carry(ws, turns[0]) == 1
    assert areas(ws, turns) == ["centre", "center", "center", "center", "centre"]


def test_held_out_labels_that_are_locked_stay(ws: Workspace, imported: Callable[..., list[TurnView]]) -> None:
    turns = imported(CENTRE, CENTRE, split="test")
    labels.unlock(ws, turns[0].id, "anna")
    correct(ws, turns[0], "centre")
    assert carrying.offer(ws, turns[0].id, "ben") is None  # who has not unlocked them
    assert carry(ws, turns[0], "ben") == 0
    assert areas(ws, turns) == ["centre", "center"]
    assert carry(ws, turns[0]) == 1


def test_another_state_than_the_one_seen_is_not_carried(ws: Workspace, imported: Callable[..., list[TurnView]]) -> None:
    turns = imported(CENTRE, CENTRE)
    seen = correct(ws, turns[0], "centre")
    correct(ws, turns[0], "north", "ben")
    with pytest.raises(StudioError, match="changed this turn meanwhile"):
        carrying.carry(ws, turns[0].id, "anna", seen.state_head)
    assert areas(ws, turns) == ["north", "center"]


def test_blind_layers_and_what_the_model_answered_are_offered_nothing(
    ws: Workspace, imported: Callable[..., list[TurnView]], twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    annotate(twice[0], "ben", "area", "south")
    assert carrying.offer(ws, twice[0].id, "ben", double.layer_of_turn(ws, twice[0].id, "ben")) is None
    assert carrying.offer(ws, twice[0].id, "ben") is None
    with ws.read() as session:
        assert session.get_one(TurnRow, twice[1].id).revisions == []


def test_imported_labels_that_were_corrected_do_not_follow_the_model(
    ws: Workspace,
    imported: Callable[..., list[TurnView]],
    sound: Callable[..., Path],
    tracker: FakeTracker,
) -> None:
    """One slot of them was corrected, and the model's answer took the place of all the others."""
    turns = imported(CENTRE, CENTRE, audio=str(sound()))
    tracker.understood = {"restaurant": {"area": "north", "food": "chinese"}}
    for turn in turns:
        understanding.predict_turn(ws, turn.id)
    for turn in turns:
        correct(ws, turn, "centre")
    propagation.propagate(ws, turns[0].id)
    assert dialogues.get_turn(ws, turns[1].id).state == {"restaurant": {"area": "centre", "food": "thai"}}
