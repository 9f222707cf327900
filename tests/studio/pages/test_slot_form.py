"""What the slot form says of a turn; its script and its keys are tried in tests/browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from studio.pages.slot_form import form_html
from studio.services import corrections, dialogues, ontology, understanding
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker) -> TurnView:
    """An answered turn with an area."""
    added = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "d1").id, sound())
    return understanding.predict_turn(ws, added.id)


def form(ws: Workspace, project: int, turn: TurnView) -> str:
    return form_html(turn, ontology.get_ontology(ws, project), {}, {}, {}, 1)


def test_a_turn_whose_every_slot_was_confirmed_says_what_remains(ws: Workspace, project: int, turn: TurnView) -> None:
    assert "All slots are decided" not in form(ws, project, turn)
    decided = corrections.mark_slot(ws, turn.id, "restaurant", "area", "anna")
    shown = form(ws, project, decided)
    assert "All slots are decided" in shown and "All correct (A)" in shown and "key-a" not in shown
    accepted = corrections.accept_turn(ws, turn.id, "anna", decided.head)
    assert "All slots are decided" not in form(ws, project, accepted)


def test_a_slot_that_changed_says_from_which_value(ws: Workspace, project: int, turn: TurnView) -> None:
    assert "<del>" not in form(ws, project, turn), "it is new"
    changed = replace(turn, previous_state={"restaurant": {"area": "the <south>"}})
    assert "changed</span> <del>the &lt;south&gt;</del>" in form(ws, project, changed)
    assert "<del>" not in form(ws, project, replace(turn, previous_state={"restaurant": {"area": "north"}}))


def test_that_any_value_will_do_is_always_the_same_key(ws: Workspace, project: int, turn: TurnView) -> None:
    assert ">dontcare (5)<" in form(ws, project, turn)
    does_not_mind = replace(turn, corrected_state={"restaurant": {"area": "dontcare"}})
    assert "dontcare (" not in form(ws, project, does_not_mind)


def test_a_slot_without_a_value_has_keys_where_its_value_was_as_good_as_said(ws: Workspace, project: int, turn: TurnView) -> None:
    assert "Said, and in no slot?" not in form(ws, project, turn), "the north stands in its slot"
    shown = form(ws, project, replace(turn, corrected_transcript="a chineese place in the north"))
    assert "key-8' id='correct.said.8' data-act='set' data-slot='restaurant-food' data-value='chinese'" in shown
    assert ">restaurant food: chinese (8)<" in shown
