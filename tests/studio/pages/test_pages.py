"""What holds for all pages, and the pieces of HTML they are made of; what people do with them is in tests/browser."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from studio import app
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.actions import perform, sight
from studio.pages.slot_form import split_name
from studio.pages.talk_html import conversation_html
from studio.pages.turn_html import history_html, json_problem
from studio.services import corrections, dialogues, people
from studio.workspace import Workspace

PAGES = ("talk", "correct", "agreement", "data", "ontology", "train", "models", "team")
UNSEEN = ("state", "browserstate", "timer", "row", "column", "form", "group")


@pytest.fixture
def config(ws: Workspace) -> dict[str, Any]:
    return app.build(ws).config


def test_every_component_has_an_id_of_its_page(config: dict[str, Any]) -> None:
    ids = [item["props"].get("elem_id") for item in config["components"] if item["type"] not in UNSEEN]
    assert all(name and name.split(".")[0] in PAGES for name in ids), ids
    assert len(set(ids)) == len(ids)


def test_no_handler_is_an_endpoint_for_strangers(config: dict[str, Any]) -> None:
    visible = {event["api_name"]: event["api_visibility"] for event in config["dependencies"]}
    assert visible.pop("apply") == "undocumented"  # Gradio's own, of the Agreement page's form: it draws what the session holds
    assert set(visible.values()) == {"private"}


def test_only_the_model_and_saving_make_anybody_wait(ws: Workspace) -> None:
    """A timer's tick that takes a place in a queue lets two open tabs wait for each other."""
    limits = {fn.concurrency_id: fn.concurrency_limit for fn in app.build(ws).fns.values() if fn.fn}
    assert {name: limit for name, limit in limits.items() if limit is not None} == {"save": 1, "act": 1, "model": 1}


def test_handlers_say_what_they_read_and_write(ws: Workspace) -> None:
    documented = [fn.fn.__doc__ or "" for fn in app.build(ws).fns.values() if fn.fn and fn.name != "apply"]
    assert all("Inputs:" in text and "Outputs:" in text for text in documented), documented


def test_what_people_say_is_never_html(ws: Workspace, project: int) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d")
    turn = dialogues.add_agent_turn(ws, dialogue.id, "<script>alert(1)</script>")
    corrections.save_transcript(ws, turn.id, "<img src=x>", "<b>", turn.transcript_head)
    shown = conversation_html(dialogues.get_dialogue(ws, dialogue.id), thinking=False)
    shown += history_html(corrections.history(ws, turn.id), {})
    assert "<script" not in shown and "<img" not in shown and "&lt;b&gt;" in shown


def test_changes_name_each_slot_once() -> None:
    previous = {"hotel": {"area": "north", "stars": "4", "name": "x"}}
    current = {"hotel": {"area": "south", "stars": "4"}, "taxi": {"leaveat": ["8:15", "08:15"]}}
    found = {f"{domain}-{slot}": change for domain, slot, _, change in shared.changes(previous, current)}
    assert found == {"hotel-area": "changed", "hotel-stars": "carried", "taxi-leaveat": "added", "hotel-name": "removed"}


def test_scores_say_whether_more_is_better() -> None:
    before = {"wer": 20.0, "jga": 50.0, "fuzzy": {"jga": 60.0}}
    after = {"wer": 15.0, "jga": 45.0, "fuzzy": {"jga": 60.0}, "profile": "strict", "dialogues": 3}
    shown = shared.scores_html(before, after)
    assert "-5.0 (better)" in shown and "-5.0 (worse)" in shown and shown.count("60.0 %") == 2
    assert "3 held-out dialogues" in shown and "profile strict" in shown
    assert "Not scored yet" in shared.scores_html(before, None)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("restaurant-price range", ("restaurant", "price range")), ("food", ("", "")), ("-food", ("", "")), (None, ("", ""))],
)
def test_a_slot_is_named_with_its_domain(name: str | None, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_json_problems_name_line_and_column() -> None:
    assert json_problem('{"a": {}}') == ""
    assert "Line 2, column 1" in json_problem('{"a":\n}')


def test_each_change_goes_to_its_service(ws: Workspace, project: int, sound: Callable[..., Path]) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound())

    def do(*action: Any) -> dialogues.TurnView:
        now = dialogues.get_turn(ws, turn.id)
        return perform(ws, action, sight(now), "anna")

    assert do("transcript", "thai food").transcript == "thai food"
    assert do("slot", "restaurant", "food", "thai").state == {"restaurant": {"food": "thai"}}
    assert do("state", {"restaurant": {"area": "north"}}).state == {"restaurant": {"area": "north"}}
    assert do("undo").state == {"restaurant": {"food": "thai"}}
    with pytest.raises(StudioError, match="nothing to accept"):
        do("accept")


def test_a_refusal_is_a_message_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: shown.append(text))

    @shared.reported
    def handler() -> None:
        raise StudioError("Choose another <name>.")

    assert handler() == gr.skip() and shown == ["Choose another &lt;name&gt;."]


def test_pages_refuse_who_may_not(ws: Workspace, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    people.add_user(ws, "ada", "correct horse", "admin")
    people.add_user(ws, "anna", "battery staple", "annotator")
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: told.append(text))
    takes = {"begin": "trainer", "end": "trainer", "go_on": "trainer", "put_in_use": "trainer"}
    takes |= {"add_user": "admin", "change_user": "admin", "set_minutes": "admin", "take_agreed": "reviewer"}
    handlers = {fn.name: fn.fn for fn in app.build(ws).fns.values() if fn.name in takes}
    for name, role in takes.items():
        arguments = dict.fromkeys(inspect.signature(handlers[name]).parameters)
        handlers[name](**arguments | {"request": SimpleNamespace(username="anna")})
        assert f"takes the role {role}" in told.pop(), name


def test_the_address_is_read_with_care() -> None:
    request: Any = SimpleNamespace(query_params={"turn": "12", "dialogue": "1;drop"})
    assert shared.query_int(request, "turn") == 12
    assert shared.query_int(request, "dialogue") is None and shared.query_int(request, "job") is None


def test_the_next_free_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.free_port("127.0.0.1", port) > port
