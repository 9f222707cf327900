"""What somebody presses on a turn counts for what they saw there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from studio import app
from studio.pages import correct
from studio.pages.actions import Seen, sight
from studio.pages.correct import Watched
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


@pytest.mark.parametrize("act", ["confirm", "set"])
def test_a_colleagues_words_that_are_not_on_the_page_are_not_overwritten(
    ws: Workspace, turn: TurnView, saving: TurnSaving, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bens = sight(turn)
    corrections.save_transcript(ws, turn.id, "cleo's words", "cleo", None)
    bens = press(saving, bens, act, "north")[saving.editor.seen]
    shown = saving.save_transcript("a place in the north", bens, BEN)
    assert "cleo" in shown[saving.editor.versions] and dialogues.get_turn(ws, turn.id).transcript == "cleo's words"
    monkeypatch.setattr(gr, "Warning", lambda text, title="": None)
    assert saving.save_accept(bens, BEN)[saving.editor.transcript] == "cleo's words", "they are shown before they are accepted"
    assert "cleo" in {change.author for change in corrections.history(ws, turn.id)}


def test_ones_own_words_are_taken_back_and_written_again(ws: Workspace, turn: TurnView, saving: TurnSaving) -> None:
    now = saving.save_transcript("my words", sight(turn), BEN)[saving.editor.seen]
    now = press(saving, now, "confirm", "north")[saving.editor.seen]
    now = saving.save_undo(now, BEN)[saving.editor.seen]
    now = saving.save_accept(now, BEN)[saving.editor.seen]
    assert saving.editor.seen in saving.save_transcript("better words", now, BEN)


@pytest.mark.parametrize("state_moved", [True, False])
def test_what_the_model_answers_does_not_hide_a_colleagues_words(
    ws: Workspace, turn: TurnView, tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch, state_moved: bool
) -> None:
    kept: list[TurnSaving] = []
    monkeypatch.setattr(TurnSaving, "wire", lambda self: kept.append(self))
    found = [fn.fn for fn in app.build(ws).fns.values() if fn.fn and fn.fn.__module__ == correct.__name__]
    handlers = {handler.__name__: handler for handler in found}
    seen = kept[0].editor.seen
    bens = sight(turn)
    corrections.save_transcript(ws, turn.id, "cleo's words", "cleo", None)
    if state_moved:
        tracker.understood = {"restaurant": {"area": "south"}}
    understanding.predict_turn(ws, turn.id)
    refreshed = handlers["refresh"](bens, "a place in the north", Watched(turn.dialogue_id, 1, None))
    assert (kept[0].editor.slots in refreshed) == state_moved, "what is accepted next was seen"
    for shown in (refreshed, handlers["answered"](bens, "a place in the north")):
        assert (shown[seen]["transcript"], shown[seen]["any"]) == (None, None)
        assert shown[seen]["prediction"] == dialogues.get_turn(ws, turn.id).prediction_id
