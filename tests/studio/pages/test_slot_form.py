"""What the slot form says of a turn; its script and its keys are tried in tests/browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.dialogue import Dialogue, State, Turn
from studio.pages.finder import filters_of
from studio.pages.slot_form import form_html, in_focus, split_name
from studio.services import corrections, dialogues, imports, ontology, understanding
from studio.services.exchange import Source
from studio.services.postprocessing import process
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
    assert "data-slot='restaurant-area' data-value='dontcare' data-domain='restaurant'" in form(ws, project, turn)
    does_not_mind = replace(turn, corrected_state={"restaurant": {"area": "dontcare"}})
    assert "dontcare (" not in form(ws, project, does_not_mind)


def test_a_slot_without_a_value_has_keys_where_its_value_was_as_good_as_said(ws: Workspace, project: int, turn: TurnView) -> None:
    assert "Said, and in no slot?" not in form(ws, project, turn), "the north stands in its slot"
    shown = form(ws, project, replace(turn, corrected_transcript="a chineese place in the north"))
    assert "key-8' id='correct.said.8' data-act='set' data-slot='restaurant-food' data-value='chinese'" in shown
    assert ">restaurant food: chinese (8)<" in shown
    none = replace(turn, corrected_transcript="a chineese place in the north", confirmed=frozenset({("restaurant", "food")}))
    assert "Said, and in no slot?" not in form(ws, project, none), "somebody decided that it has no value"


def test_the_slots_of_an_imported_turn_have_keys_before_anything_in_it_was_corrected(ws: Workspace, project: int) -> None:
    said = Turn(0, "user", "cheap thai food", state={"restaurant": {"area": "north", "food": "tai"}})
    imports.carry_out(ws, project, imports.plan(ws, project, Source(Path("m"), "manifest", [Dialogue("imported", [said])])))
    (dialogue,) = dialogues.list_dialogues(ws, project)
    (turn,) = dialogues.get_dialogue(ws, dialogue.id).turns
    assert in_focus(turn) == ("restaurant", "area")
    keys = form(ws, project, turn)
    assert "data-act='confirm' data-slot='restaurant-area' data-value='north'" in keys and ">Right (C)<" in keys
    right = corrections.mark_slot(ws, turn.id, "restaurant", "area", "anna", shown="north")
    assert in_focus(right) == ("restaurant", "food")
    keys = form(ws, project, right)
    assert "data-act='set' data-slot='restaurant-food' data-value='thai'" in keys and ">thai (1)<" in keys
    mended = corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "anna", right.state_head)
    assert in_focus(mended) is None, "all are decided"


def test_a_slots_name_is_cut_where_a_known_domain_ends() -> None:
    known = {"car": {"rental-days"}, "car-rental": {"type"}}
    cuts = {
        "car-rental-type": ("car-rental", "type"),
        "car-rental-days": ("car", "rental-days"),
        "car-rental-new one": ("car-rental", "new one"),
        "bike-rental-type": ("bike", "rental-type"),
        " hotel-price range ": ("hotel", "price range"),
        **dict.fromkeys(("hotel", "hotel-", "-area", "-", ""), ("", "")),
    }
    assert {name: split_name(name, known) for name in cuts} == cuts
    asked = {
        name: filters_of("", "all", name, "both", "", known=known) for name in ("", "car-rental", "car-rental-type", "hotel")
    }
    assert [(found.domain, found.slot) for found in asked.values()] == [
        ("", ""),
        ("car-rental", ""),
        ("car-rental", "type"),
        ("hotel", ""),
    ]


def test_a_row_says_what_the_model_said_how_sure_it_is_and_what_processing_makes_of_it(
    ws: Workspace, project: int, turn: TurnView
) -> None:
    known = ontology.get_ontology(ws, project)

    def model(domain: str, slot: str, value: str, sure: float = 0.42, **more: Any) -> str:
        """What stands beside a slot's field."""
        state: State = {domain: {slot: value}}
        told = replace(turn, predicted_state=state, confidence={domain: {slot: sure}}, corrected_state=state, **more)
        html = form_html(told, known, process(state, known), {}, {}, 1)
        return html.partition("<div class='dst-slot-model'>")[2].partition("<button")[0]

    near = model("restaurant", "food", "chineese")
    assert "<span>model: chineese</span><span class='dst-confidence low' style='--share:0.42'><i></i>42 %</span>" in near
    assert "closest known value: <b>chinese</b> (93\u00a0%)" in near and "then" in near
    assert "a known value" in (right := model("restaurant", "food", "thai", 0.9))
    assert "dst-confidence high" in right and "90 %" in right and "closest known" not in right
    assert "no known value comes close (at best " in model("restaurant", "food", "xylophone")
    assert "usual form" not in model("restaurant", "name", "kohinoor"), "as it is"
    assert "<div class='dst-muted'>usual form: 19:00</div>" in model("train", "leaveat", "7 pm")
    assert "model: " not in model("restaurant", "food", "thai", pinned={"restaurant": {"food": "thai"}})
    gone = replace(turn, predicted_state={}, corrected_state={"restaurant": {"food": "thai"}})
    assert "model: no value" in form(ws, project, gone)
