"""What somebody presses on a turn counts for what they saw there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from studio.pages.actions import Seen, sight
from studio.pages.turn_editor import TurnEditor
from studio.pages.turn_saving import TurnSaving
from studio.services import corrections, dialogues, understanding
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

BEN: Any = SimpleNamespace(username="ben")


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker) -> TurnView:
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    dialogues.add_user_turn(ws, dialogue.id, sound())
    return understanding.predict_dialogue(ws, dialogue.id).turns[0]


@pytest.fixture
def saving(ws: Workspace) -> TurnSaving:
    with gr.Blocks():
        made = TurnSaving(ws, TurnEditor(ws, gr.Radio(), gr.Checkbox()))
        made.wire()
    return made


def press(saving: TurnSaving, now: Seen, act: str, value: str) -> dict[Any, Any]:
    event: Any = SimpleNamespace(_data={"turn": now["turn"], "act": act, "slot": "restaurant-area", "value": value})
    return saving.slot_event(event, now, BEN)


def test_a_value_that_nobody_saw_is_not_confirmed(ws: Workspace, turn: TurnView, saving: TurnSaving) -> None:
    bens = sight(turn)
    assert "data-act='confirm' data-slot='restaurant-area' data-value='north'" in str(saving.editor.opened(turn.id))
    corrections.save_slot(ws, turn.id, "restaurant", "area", "west", "cleo", None)
    shown = press(saving, bens, "confirm", "north")
    assert "cleo" in shown[saving.editor.versions] and "north" in shown[saving.editor.versions]
    assert saving.editor.seen not in shown and dialogues.get_turn(ws, turn.id).state == {"restaurant": {"area": "west"}}
    saving.save_refused(shown[saving.editor.refused], bens, BEN)
    assert dialogues.get_turn(ws, turn.id).state == {"restaurant": {"area": "north"}}, "ben saved his over it"


def test_what_stands_is_confirmed_in_all_its_forms(ws: Workspace, turn: TurnView, saving: TurnSaving) -> None:
    saved = corrections.save_slot(ws, turn.id, "restaurant", "area", ["north", "northern part"], "cleo", None)
    assert saving.editor.refused not in press(saving, sight(saved), "confirm", "north | northern part")


def test_who_reviews_agrees_with_what_they_saw(
    ws: Workspace, turn: TurnView, saving: TurnSaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title="": told.append(text))
    ritas = sight(corrections.accept_turn(ws, turn.id, "ben", None))
    press_reviewed = saving.editor.review._on("reviewed", lambda item: {}, saving.editor.opened)
    corrections.save_transcript(ws, turn.id, "other words", "cleo", ritas["transcript"])
    shown = press_reviewed("well done", ritas, BEN)
    assert "cleo changed this turn" in told[0] and dialogues.get_turn(ws, turn.id).status == "corrected"
    assert (shown[saving.editor.transcript], shown[saving.editor.review.note]) == ("other words", "well done")
    press_reviewed("", shown[saving.editor.seen], BEN)
    assert dialogues.get_turn(ws, turn.id).status == "reviewed"
