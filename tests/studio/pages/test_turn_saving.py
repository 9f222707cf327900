"""What the Correct page does with what is typed, however often it is refused or sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from studio import app
from studio.pages.actions import sight
from studio.pages.turn_saving import TurnSaving
from studio.services import corrections, dialogues, drafts, splits
from studio.services.views import TurnView
from studio.workspace import Workspace

ANNA: Any = SimpleNamespace(username="anna", session_hash="tab")


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> TurnView:
    monkeypatch.setattr("studio.pages.shared.reader", lambda: "anna")
    for name in ("Warning", "Info"):
        monkeypatch.setattr(gr, name, lambda *args, **kwargs: None)
    monkeypatch.setattr("studio.services.people.require", lambda *args: None)
    dialogue = dialogues.create_dialogue(ws, project, "d")
    return dialogues.add_user_turn(ws, dialogue.id, sound())


def saving(ws: Workspace) -> TurnSaving:
    """The handlers of the Correct page, whole as it is built."""
    return next(fn.fn.__self__ for fn in app.build(ws).fns.values() if fn.name == "keep_draft")


def typed(turn: TurnView, act: str = "set", slot: str = "restaurant-food", value: str = "thai") -> Any:
    return SimpleNamespace(_data={"turn": turn.id, "act": act, "slot": slot, "value": value})


def kept(ws: Workspace, turn: TurnView) -> dict[str, str]:
    return drafts.kept(ws, turn.id, "anna")


def now(ws: Workspace, turn: TurnView) -> dict[str, Any]:
    return sight(dialogues.get_turn(ws, turn.id))


def test_a_slot_that_is_refused_stays_in_its_field_as_a_draft(ws: Workspace, turn: TurnView) -> None:
    page = saving(ws)
    old = now(ws, turn)
    corrections.save_slot(ws, turn.id, "restaurant", "food", "chinese", "ben", old["state"])
    shown = page.slot_event(typed(turn), old, ANNA)
    assert kept(ws, turn) == {"slot restaurant-food": "thai"}, "a conflict"
    assert shown[page.editor.versions] and "data-draft='thai'" in shown[page.editor.slots]["value"]
    page.reopen(shown[page.editor.refused], old, ANNA)
    assert kept(ws, turn) == {}, "theirs was chosen"
    splits.move(ws, turn.dialogue_id, "test", "ben")
    page.slot_event(typed(turn, "draft"), now(ws, turn), ANNA)
    shown = page.slot_event(typed(turn, value="thai | thai food"), now(ws, turn), ANNA)
    assert kept(ws, turn) == {"slot restaurant-food": "thai | thai food"}, "a held-out label somebody else wrote"
    assert "data-draft='thai | thai food'" in shown[page.editor.slots]["value"]
    page.slot_event(typed(turn), {"turn": None}, ANNA)
    assert kept(ws, turn) == {"slot restaurant-food": "thai"}, "refused in a turn that was left"
    splits.move(ws, turn.dialogue_id, "train", "ben")
    shown = page.slot_event(typed(turn), now(ws, turn), ANNA)
    assert kept(ws, turn) == {} and "data-draft" not in shown[page.editor.slots]["value"]


def test_a_text_that_is_saved_is_no_draft_even_if_it_is_told_later(ws: Workspace, turn: TurnView) -> None:
    """Or it would come back over what somebody else made of it, or after an undo."""
    page = saving(ws)
    page.keep_draft("thai fo", now(ws, turn), ANNA)
    assert kept(ws, turn) == {"transcript": "thai fo"}
    page.save_transcript("thai food ", now(ws, turn), ANNA)
    page.keep_draft("thai food ", now(ws, turn), ANNA)
    assert kept(ws, turn) == {}
