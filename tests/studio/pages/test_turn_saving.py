"""What the Correct page does with what is typed, however often it is refused or sent."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from db.models import Draft
from studio import app
from studio.errors import StudioError
from studio.pages.actions import sight
from studio.pages.shared import escape
from studio.pages.turn_saving import TurnSaving
from studio.services import corrections, dialogues, drafts, splits, understanding
from studio.services.views import TurnView
from studio.workspace import BUSY, Workspace, attach
from tests.studio.conftest import FakeTracker

ANNA: Any = SimpleNamespace(username="anna", session_hash="tab")


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> TurnView:
    monkeypatch.setattr(LocalContext, "request", ContextVar("request"))
    LocalContext.request.set(ANNA)
    for name in ("Warning", "Info"):
        monkeypatch.setattr(gr, name, lambda *args, **kwargs: None)
    monkeypatch.setattr("studio.services.people.require", lambda *args: None)
    dialogue = dialogues.create_dialogue(ws, project, "d")
    return dialogues.add_user_turn(ws, dialogue.id, sound())


def saving(ws: Workspace) -> TurnSaving:
    """The handlers of the Correct page, whole as it is built."""
    return handlers(ws)["keep_draft"].__self__


def handlers(ws: Workspace) -> dict[str, Any]:
    built = app.build(ws).fns.values()
    modules = (".correct", ".turn_saving", ".split_bar")
    return {fn.name: fn.fn for fn in built if getattr(fn.fn, "__module__", "").endswith(modules)}


def watched(shown: dict[Any, Any]) -> Any:
    """What the page remembers of what followed."""
    return next(value for value in shown.values() if hasattr(value, "dialogue_id"))


def typed(turn: TurnView, act: str = "set", slot: str = "restaurant-food", value: str = "thai", **more: Any) -> Any:
    """What the form's script sends of what is done to a slot; of a slot that has a row, its ``domain`` too."""
    return SimpleNamespace(_data={"turn": turn.id, "act": act, "slot": slot, "value": value} | more)


def kept(ws: Workspace, turn: TurnView) -> dict[str, str]:
    return {field: draft.text for field, draft in drafts.kept(ws, turn.id, "anna").items()}


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


def test_a_domain_with_a_hyphen_keeps_its_slots(ws: Workspace, turn: TurnView) -> None:
    """Imports bring such names; the value went to a domain that ended at the first hyphen, and the slot stayed as it was."""
    page = saving(ws)

    def state() -> Any:
        return dialogues.get_turn(ws, turn.id).state

    def send(act: str, slot: str, value: str = "", **more: Any) -> dict[Any, Any]:
        return page.slot_event(typed(turn, act, slot, value, **more), now(ws, turn), ANNA)

    corrections.save_state(ws, turn.id, {"car-rental": {"type": "van"}}, "import", None)
    shown = send("set", "car-rental-type", "bus", domain="car-rental")
    assert state() == {"car-rental": {"type": "bus"}}
    row = shown[page.editor.slots]["value"]
    assert "data-act='remove' data-slot='car-rental-type' data-domain='car-rental'" in row
    send("set", "car-rental-colour", "red")  # typed as a new slot
    send("draft", "car-rental-days", "tw")
    send("draft", "car-rental-colour", "blue", domain="car-rental")
    shown = send("set", "car-rental-type", "van")
    assert state() == {"car-rental": {"type": "van", "colour": "red"}}
    drawn = shown[page.editor.slots]["value"]
    assert "name='car-rental-colour' value='red' data-domain='car-rental' data-draft='blue'" in drawn
    send("set", "car-rental-type", "tram", domain="car")
    assert state()["car"] == {"rental-type": "tram"} and state()["car-rental"]["type"] == "van", "two slots of one name"
    send("remove", "car-rental-type", domain="car-rental")
    assert state() == {"car": {"rental-type": "tram"}, "car-rental": {"colour": "red"}}


def test_a_change_that_comes_when_the_turn_was_left_overwrites_nothing_unseen(
    ws: Workspace, turn: TurnView, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: told.append(text))
    page, other = saving(ws), {"turn": None}

    def state() -> Any:
        return dialogues.get_turn(ws, turn.id).state

    drawn = page.editor.opened(turn.id)[page.editor.slots]["value"]
    assert f"data-turn='{turn.id}' data-state=''" in drawn
    page.slot_event(typed(turn, state=None), other, ANNA)
    page.slot_event(typed(turn, slot="restaurant-area", value="north", state=None), other, ANNA)
    both = {"restaurant": {"food": "thai", "area": "north"}}
    assert (state(), told) == (both, []), "two changes of one's own from one form"
    seen = now(ws, turn)["state"]
    assert f"data-state='{seen}'" in page.editor.opened(turn.id)[page.editor.slots]["value"]
    corrections.save_slot(ws, turn.id, "restaurant", "food", "chinese", "ben", seen)
    page.slot_event(typed(turn, value="lao", state=seen), other, ANNA)
    page.slot_event(typed(turn, "remove", state=seen), other, ANNA)
    assert state() == {"restaurant": {"food": "chinese", "area": "north"}}
    assert (
        kept(ws, turn) == {"slot restaurant-food": "lao"}
        and "data-draft='lao'" in page.editor.opened(turn.id)[page.editor.slots]["value"]
    )
    assert len(told) == 2 and "ben had changed turn 1" in told[0] and "kept there as a draft" in told[0] and "kept" not in told[1]
    page.slot_event(typed(turn, value="lao", state=now(ws, turn)["state"]), other, ANNA)
    assert state()["restaurant"]["food"] == "lao" and kept(ws, turn) == {}, "once seen, it is replaced"


def test_what_a_busy_database_refuses_stays_in_its_field_and_is_saved_the_next_time(
    ws: Workspace, turn: TurnView, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: told.append(text))
    page = saving(attach(ws.home, patience=0.1))
    with ws.write() as session:
        session.get(Draft, (turn.id, "anna", ""))  # from here on nobody else writes
        shown = page.slot_event(typed(turn), now(ws, turn), ANNA)
        page.keep_draft("a thai place", now(ws, turn), ANNA)
    assert (told, kept(ws, turn)) == ([escape(BUSY)], {})
    assert "data-draft='thai'" in shown[page.editor.slots]["value"]
    page.slot_event(typed(turn), now(ws, turn), ANNA)
    assert dialogues.get_turn(ws, turn.id).state == {"restaurant": {"food": "thai"}}


def test_a_text_that_is_saved_is_no_draft_even_if_it_is_told_later(ws: Workspace, turn: TurnView) -> None:
    """Or it would come back over what somebody else made of it, or after an undo."""
    page = saving(ws)
    page.keep_draft("thai fo", now(ws, turn), ANNA)
    assert kept(ws, turn) == {"transcript": "thai fo"}
    page.save_transcript("thai food ", now(ws, turn), ANNA)
    page.keep_draft("thai food ", now(ws, turn), ANNA)
    assert kept(ws, turn) == {}


def test_each_save_is_followed_whatever_is_open_by_then(
    ws: Workspace, turn: TurnView, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    tracker.understood = {"restaurant": {"area": "north", "food": "thai"}}
    last, other = (dialogues.add_user_turn(ws, turn.dialogue_id, sound(number)) for number in (1, 2))
    understanding.predict_dialogue(ws, turn.dialogue_id)
    page = handlers(ws)
    correct = page["keep_draft"].__self__
    editor = correct.editor
    watching = watched(page["follow"](now(ws, turn), None, ANNA))
    first = correct.slot_event(typed(turn, slot="restaurant-area", value="south"), now(ws, turn), ANNA)
    opened = now(ws, last)
    left = correct.slot_event(typed(turn, value="chinese"), opened, ANNA)  # it was on its way when the page turned
    assert first[editor.notice] != left[editor.notice], "Gradio says nothing of the same text"
    assert "later turns wait" in first[editor.title]
    followed = page["follow"](opened, watching, ANNA)
    moved = {"restaurant": {"area": "south", "food": "chinese"}}
    assert [dialogues.get_turn(ws, id_).state for id_ in (turn.id, last.id, other.id)] == [moved] * 3
    assert "correction of turn 1<" in followed[editor.moved]
    what = watched(followed)
    shown = page["refresh"](opened, "a place", what)
    assert "value='south'" in shown[editor.slots]["value"] and shown[editor.seen] == now(ws, last)
    assert "later turns wait" not in shown[editor.title]
    assert page["claim"](opened, what, ANNA)[editor.moved] == gr.skip() == page["follow"](opened, what, ANNA), "it stays on view"
    assert page["claim"]({"turn": None}, what, ANNA)[editor.moved] == ""
    another = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, 1, "another").id, sound(3))
    assert page["follow"](now(ws, another), what, ANNA)[editor.moved] == "", "nothing of it in another dialogue, however late"
    assert not {editor.conflict, editor.refused, editor.versions} & page["answered"](opened, "").keys(), "which one has to decide"


def test_what_the_model_failed_to_follow_says_so_and_is_tried_again(
    ws: Workspace, turn: TurnView, sound: Callable[..., Path], tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker.understood = {"restaurant": {"area": "north"}}
    last = dialogues.add_user_turn(ws, turn.dialogue_id, sound(1))
    understanding.predict_dialogue(ws, turn.dialogue_id)
    page = handlers(ws)
    correct = page["keep_draft"].__self__
    editor = correct.editor
    watching = watched(page["follow"](now(ws, turn), None, ANNA))
    correct.slot_event(typed(turn, slot="restaurant-area", value="south"), now(ws, turn), ANNA)

    def fail(*args: Any) -> None:
        raise StudioError("The model cannot be loaded.")

    with monkeypatch.context() as patch:
        patch.setattr(FakeTracker, "turns", fail)
        watching = watched(page["follow"](now(ws, turn), watching, ANNA))
        shown = page["refresh"](now(ws, turn), "a place", watching)
    assert shown[editor.unfollowed]["visible"] and "The model cannot be loaded." in shown[editor.unfollowed_why]
    assert "the change of turn 1 is not decoded again yet" in shown[editor.unfollowed_why]
    assert page["follow"](now(ws, last), watching, ANNA) == gr.skip(), "not with every turn that is opened"
    tried = page["try_again"](now(ws, last), watching, ANNA)
    assert dialogues.get_turn(ws, last.id).state == {"restaurant": {"area": "south"}}
    assert not page["refresh"](now(ws, last), "a place", watched(tried))[editor.unfollowed]["visible"]


def test_a_dialogue_that_is_opened_follows_what_another_studio_left(
    ws: Workspace, turn: TurnView, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    last = dialogues.add_user_turn(ws, turn.dialogue_id, sound(1))
    understanding.predict_dialogue(ws, turn.dialogue_id)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "anna", None)
    page = handlers(ws)
    shown = page["follow"](now(ws, last), None, ANNA)
    assert "south" in shown[page["keep_draft"].__self__.editor.moved]
    assert dialogues.get_turn(ws, last.id).state == {"restaurant": {"area": "south"}}


def test_what_is_done_while_the_next_turn_is_on_its_way_is_of_the_turn_on_view(
    ws: Workspace, turn: TurnView, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    later = dialogues.add_user_turn(ws, turn.dialogue_id, sound(1))
    understanding.predict_dialogue(ws, turn.dialogue_id)
    page = handlers(ws)
    correct = page["keep_draft"].__self__
    on_view, there = correct.editor.opened(turn.id)[correct.editor.on_view], now(ws, later)
    words = dialogues.get_turn(ws, turn.id).transcript or ""
    for key in (correct.save_accept, correct.save_undo, correct.save_redo):
        assert key(there, ANNA, on_view) == gr.skip()
    assert page["accept_and_go"](ANNA, on_view, [], None, there, "", "to do", "", "user", "") == gr.skip()
    assert correct.save_restored(1, there, ANNA, on_view) == gr.skip()
    correct.save_transcript(f"{words} ", there, ANNA, on_view)
    assert kept(ws, turn) == {}, "what stands is no draft"
    correct.keep_draft("a thai place", there, ANNA, on_view)
    assert kept(ws, turn) == {"transcript": "a thai place"}
    correct.save_transcript("a thai place!", there, ANNA, on_view)
    correct.keep_raw('{"restaurant": {', there, ANNA, on_view)
    correct.editor.review.keep_note("why?", there, ANNA, on_view)
    assert kept(ws, turn) == {"transcript": "a thai place!", "raw": '{"restaurant": {', "note": "why?"}
    correct.save_raw("{}", there, ANNA, on_view)
    assert kept(ws, turn)["raw"] == "{}"
    assert kept(ws, later) == {} and now(ws, later) == there and dialogues.get_turn(ws, later.id).status == "predicted"
    assert (
        "saved"
        in correct.save_accept(there, ANNA, correct.editor.opened(later.id)[correct.editor.on_view])[correct.editor.notice]
    )


def test_an_answer_that_is_not_drawn_yet_is_not_accepted(ws: Workspace, turn: TurnView, tracker: FakeTracker) -> None:
    page = saving(ws)
    understanding.predict_dialogue(ws, turn.dialogue_id)
    on_view = page.editor.opened(turn.id)[page.editor.on_view]
    tracker.understood = {"restaurant": {"area": "west"}}
    understanding.predict_turn(ws, turn.id)
    page.save_accept(now(ws, turn), ANNA, on_view)  # as the server has seen the newer answer
    assert dialogues.get_turn(ws, turn.id).status == "predicted"


def test_a_note_that_was_taken_is_no_draft_even_if_it_is_told_later(ws: Workspace, turn: TurnView) -> None:
    panel = saving(ws).editor.review
    panel.keep_note("is it east?", now(ws, turn), ANNA)
    assert kept(ws, turn) == {"note": "is it east?"}
    built = app.build(ws).fns.values()
    *_, take_note = [fn.fn for fn in built if fn.name == "take" and fn.fn.__module__.endswith("review_panel")]
    take_note("is it east?", now(ws, turn), ANNA)
    panel.keep_note("is it east? ", now(ws, turn), ANNA)
    assert kept(ws, turn) == {}


def test_words_typed_on_others_than_stand_by_now_are_shown_beside_them(ws: Workspace, turn: TurnView) -> None:
    page = saving(ws)
    editor = page.editor
    page.keep_draft("thai fo", now(ws, turn), ANNA)
    corrections.save_transcript(ws, turn.id, "chinese", "ben", None)
    page.keep_draft("thai food", now(ws, turn), ANNA)  # somebody who types on has not seen it for that
    opened = now(ws, turn)
    shown = page.restore_draft(opened, "chinese", ANNA)
    assert shown[editor.transcript] == "thai food"
    assert "thai food" in shown[editor.versions] and "ben" in shown[editor.versions] and "chinese" in shown[editor.versions]
    left = page.save_transcript("thai food", shown[editor.seen], ANNA)
    assert left[editor.versions] and dialogues.get_turn(ws, turn.id).transcript == "chinese", "leaving the field saves nothing"
    page.save_refused(shown[editor.refused], shown[editor.seen], ANNA)
    assert (dialogues.get_turn(ws, turn.id).transcript, kept(ws, turn)) == ("thai food", {})
    page.keep_draft("thai foo", now(ws, turn), ANNA)
    assert editor.versions not in page.restore_draft(now(ws, turn), "thai food", ANNA), "nothing else stands by now"


def test_a_raw_state_that_is_typed_is_a_draft_until_it_is_saved(ws: Workspace, turn: TurnView, tracker: FakeTracker) -> None:
    page = saving(ws)
    editor = page.editor
    understanding.predict_dialogue(ws, turn.dialogue_id)
    half, whole = '{"restaurant": {"area": "so', '{"restaurant": {"area": "south"}}'
    assert "draft" in page.keep_raw(half, now(ws, turn), ANNA)
    opened = editor.opened(turn.id)
    assert (opened[editor.raw], opened[editor.raw_panel]["open"]) == (half, True)
    assert "Line 1" in page.save_raw(half, now(ws, turn), ANNA)[editor.raw_problem] and kept(ws, turn) == {"raw": half}
    assert page.keep_raw(half, now(ws, turn), ANNA) == gr.skip(), "which a pause that comes behind leaves on view"
    corrections.save_slot(ws, turn.id, "restaurant", "food", "chinese", "ben", None)
    assert "was changed" in page.keep_raw(whole, now(ws, turn), ANNA)
    shown = page.slot_event(typed(turn, "confirm", "restaurant-food", "chinese"), now(ws, turn), ANNA)
    assert editor.raw not in shown and "was changed" in shown[editor.raw_problem], "what is typed stays in its field"
    shown = page.save_raw(whole, now(ws, turn), ANNA)
    assert "chinese" in shown[editor.versions] and kept(ws, turn) == {"raw": whole}
    saved = page.save_refused(shown[editor.refused], now(ws, turn), ANNA)
    assert dialogues.get_turn(ws, turn.id).state == {"restaurant": {"area": "south"}}
    assert (saved[editor.raw], kept(ws, turn), saved[editor.raw_problem]) == (saved[editor.raw_standing], {}, "")
    tracker.understood = {"restaurant": {"area": "west"}}
    while dialogues.get_turn(ws, turn.id).can_undo:
        corrections.undo(ws, turn.id, "anna", now(ws, turn)["any"])
    page.keep_raw("{}", now(ws, turn), ANNA)
    understanding.predict_turn(ws, turn.id)
    shown = page.save_raw("{}", now(ws, turn), ANNA)
    assert "west" in shown[editor.versions], "nor is a newer answer overwritten"
    assert editor.raw in page.reopen(shown[editor.refused], now(ws, turn), ANNA) and kept(ws, turn) == {}
    saved = editor.opened(turn.id)
    page.keep_raw("{}", now(ws, turn), ANNA)
    page.keep_raw(saved[editor.raw_standing], now(ws, turn), ANNA)
    assert kept(ws, turn) == {}, "given up"
    page.save_raw(whole, now(ws, turn), ANNA)
    page.keep_raw(whole, now(ws, turn), ANNA)
    assert kept(ws, turn) == {}, "saved, however it is spaced"


def test_a_slot_typed_on_another_value_than_stands_by_now_is_shown_beside_it(
    ws: Workspace, turn: TurnView, tracker: FakeTracker
) -> None:
    page = saving(ws)
    editor = page.editor
    page.slot_event(typed(turn, "draft", value="tha"), now(ws, turn), ANNA)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "ben", None)
    shown = editor.opened(turn.id)[editor.slots]["value"]
    assert "data-draft='tha'" in shown and "since you began" not in shown, "another slot was changed"
    corrections.save_slot(ws, turn.id, "restaurant", "food", "chinese", "ben", now(ws, turn)["state"])
    page.slot_event(typed(turn, "draft", value="thai f"), now(ws, turn), ANNA)  # who types on has not seen it for that
    assert "since you began to type: <del>no value</del> <ins>chinese</ins>" in editor.opened(turn.id)[editor.slots]["value"]
    shown = page.slot_event(typed(turn, "enter", value="thai food"), now(ws, turn), ANNA)
    assert all(word in shown[editor.versions] for word in ("thai food", "chinese", "ben"))
    assert "data-draft='thai food'" in shown[editor.slots]["value"] and kept(ws, turn) == {"slot restaurant-food": "thai food"}
    assert dialogues.get_turn(ws, turn.id).state["restaurant"]["food"] == "chinese"
    page.save_refused(shown[editor.refused], now(ws, turn), ANNA)
    assert (dialogues.get_turn(ws, turn.id).state["restaurant"]["food"], kept(ws, turn)) == ("thai food", {})
    page.slot_event(typed(turn, "draft", value="th"), now(ws, turn), ANNA)
    page.slot_event(typed(turn, "enter", value="thai"), now(ws, turn), ANNA)
    assert dialogues.get_turn(ws, turn.id).state["restaurant"]["food"] == "thai", "nothing else stood by then"
    page.slot_event(typed(turn, "draft", value="ind"), now(ws, turn), ANNA)
    corrections.save_slot(ws, turn.id, "restaurant", "food", "chinese", "ben", now(ws, turn)["state"])
    page.slot_event(typed(turn, "enter", value="indian"), {"turn": None}, ANNA)
    assert kept(ws, turn) == {"slot restaurant-food": "indian"}, "nor in a turn that was left"
    page.slot_event(typed(turn, "set", value="italian"), now(ws, turn), ANNA)
    assert (dialogues.get_turn(ws, turn.id).state["restaurant"]["food"], kept(ws, turn)) == ("italian", {}), "chosen by a key"


def test_a_slot_typed_on_an_answer_is_shown_beside_a_newer_one(ws: Workspace, turn: TurnView, tracker: FakeTracker) -> None:
    page = saving(ws)
    for area, told in (("north", False), ("north", False), ("south", True)):
        tracker.understood = {"restaurant": {"area": area}}
        understanding.predict_turn(ws, turn.id)
        page.slot_event(typed(turn, "draft", "restaurant-area", "wes"), now(ws, turn), ANNA)
        assert ("<del>north</del> <ins>south</ins>" in page.editor.opened(turn.id)[page.editor.slots]["value"]) == told
    shown = page.slot_event(typed(turn, "enter", "restaurant-area", "west"), now(ws, turn), ANNA)
    assert "The model" in shown[page.editor.versions]


def test_what_is_accepted_twice_says_that_nothing_changed(ws: Workspace, turn: TurnView, tracker: FakeTracker) -> None:
    understanding.predict_turn(ws, turn.id)
    page = handlers(ws)
    correct = page["keep_draft"].__self__
    notice = correct.editor.notice
    assert "saved" in correct.save_accept(now(ws, turn), ANNA)[notice]
    assert "nothing changed" in correct.save_accept(now(ws, turn), ANNA)[notice]
    confirm = typed(turn, "confirm", "restaurant-area", "north")
    assert "nothing changed" in correct.slot_event(confirm, now(ws, turn), ANNA)[notice]
    assert "nothing changed" in page["accept_and_go"](ANNA, "", [], None, now(ws, turn), "", "to do", "", "user", "")[notice]


def test_holding_out_asks_first_and_only_an_admin_has_it_trained_on(
    ws: Workspace, turn: TurnView, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: told.append(text))
    page = handlers(ws)

    def split() -> str:
        return dialogues.get_dialogue(ws, turn.dialogue_id).split

    def asked(shown: dict[Any, Any]) -> Any:
        return next((value for value in shown.values() if isinstance(value, tuple)), None)

    shown = page["ask"](True, now(ws, turn), ANNA)
    assert split() == "train" and asked(shown) == (turn.dialogue_id, "test")
    assert any("Hold <b>d</b> out?" in str(value) for value in shown.values())
    assert page["leave_asked"](asked(shown), now(ws, turn)) == gr.skip()
    assert page["leave_asked"](asked(shown), {"turn": None}) != gr.skip(), "another one is open"
    page["move"](asked(shown), ANNA)
    assert split() == "test"
    monkeypatch.setattr("studio.services.people.may", lambda ws, author, role: author == "ada")
    shown = page["ask"](False, now(ws, turn), ANNA)
    assert asked(shown) is None and "only an admin" in told[-1]
    ada: Any = SimpleNamespace(username="ada", session_hash="tab")
    shown = page["ask"](False, now(ws, turn), ada)
    assert split() == "test" and asked(shown) == (turn.dialogue_id, "train")
    page["move"](asked(shown), ANNA)
    assert split() == "test", "who says it the second time has to be one, too"
    page["move"](asked(shown), ada)
    assert split() == "train"


def test_several_forms_are_typed_into_one_field(ws: Workspace, turn: TurnView) -> None:
    page = saving(ws)

    def enter(value: str) -> Any:
        """What stands then; the form shows the same again."""
        shown = page.slot_event(typed(turn, "enter", "restaurant-food", value), now(ws, turn), ANNA)
        found = (dialogues.get_turn(ws, turn.id).state or {})["restaurant"]["food"]
        standing = " | ".join(found) if isinstance(found, list) else found
        assert f"name='restaurant-food' value='{standing}'" in shown[page.editor.slots]["value"]
        return found

    assert enter(" siamese|thai | siamese |") == ["siamese", "thai"], "each once, the first is the canonical one"
    assert enter("thai | siamese") == ["thai", "siamese"]
    assert enter("thai | ") == "thai"


def test_what_looks_wrong_is_said_until_it_is_put_right(ws: Workspace, turn: TurnView) -> None:
    page = saving(ws)

    def hinted(value: str) -> str:
        event = typed(turn, "enter", "restaurant-area", value)
        found = page.slot_event(event, now(ws, turn), ANNA)[page.editor.hints]
        assert page.editor.opened(turn.id)[page.editor.hints] == found, "when the turn is opened again, too"
        return found

    assert hinted("northh") == (
        "<ul class='dst-hints' aria-label='Hints'><li><b>restaurant area</b>: "
        "&quot;northh&quot; is new in the ontology; closest known: north</li></ul>"
    )
    assert hinted("north") == ""
    corrections.save_state(ws, turn.id, {"<b>": {"x": "none"}}, "anna", now(ws, turn)["state"])
    assert "<li><b>&lt;b&gt; x</b>: " in page.editor.opened(turn.id)[page.editor.hints]
