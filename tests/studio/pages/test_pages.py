"""What holds for all pages, and the pieces of HTML they are made of; what people do with them is in tests/browser."""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from db.models import Job, JobStatus
from db.repositories import jobs
from studio import app, backends
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.actions import perform, sight
from studio.pages.gate_panel import verdict_html
from studio.pages.ontology_sources import LABELS
from studio.pages.slot_form import form_html
from studio.pages.talk_html import conversation_html
from studio.pages.turn_html import heard_html, history_html, json_problem
from studio.pages.where_panel import WherePanel
from studio.services import corrections, dialogues, lease, ontology, people, understanding
from studio.services.gates import Finding, Verdict
from studio.services.ontology_edits import Change
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

PAGES = ("talk", "correct", "agreement", "data", "ontology", "train", "models", "team")
UNSEEN = ("state", "browserstate", "timer", "row", "column", "form", "group")


@pytest.fixture
def config(ws: Workspace) -> dict[str, Any]:
    return app.build(ws).config


def test_every_component_has_an_id_of_its_page(config: dict[str, Any]) -> None:
    ids = [item["props"].get("elem_id") for item in config["components"] if item["type"] not in UNSEEN]
    assert all(name and name.split(".")[0] in PAGES for name in ids), ids
    assert len(set(ids)) == len(ids)


def test_every_button_of_the_correct_page_has_a_key_that_is_printed_on_it_and_no_page_has_one_twice(
    ws: Workspace, project: int, config: dict[str, Any], sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    keys: dict[str, list[tuple[str, str]]] = {page: [] for page in PAGES}
    without = set()
    for props in (item["props"] for item in config["components"] if item["props"].get("elem_id")):
        page = props["elem_id"].split(".")[0]
        found = [name.removeprefix("key-") for name in props.get("elem_classes") or [] if name.startswith("key-")]
        keys[page] += [(key, props.get("label") or props["value"]) for key in found]
        if page == "correct" and props["name"] == "button" and not found and props["visible"] is True:
            without.add(props["elem_id"])
    assert without == {"correct.move_yes", "correct.move_no"}, "a move of a dialogue is no work on turns"
    added = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "d1").id, sound())
    turn = replace(understanding.predict_turn(ws, added.id), corrected_transcript="a chinese place in the north")
    form = form_html(turn, ontology.get_ontology(ws, project), {}, {}, {}, 1)
    keys["correct"] += re.findall(r"class='[^']*key-([^ ']+)'[^>]*>(.*?)</button>", form)
    keys["correct"] += [("l", re.findall(r"Add a slot <kbd>.</kbd>", form)[0])]
    for page, printed in keys.items():
        assert len({key for key, _ in printed}) == len(printed), (page, printed)
        for key, text in printed:
            assert re.search(rf"\({key.upper()}\)|, {key} |<kbd>{key.upper()}</kbd>", text), (page, key, text)
    assert {"c", "x", "5", "8"} <= {key for key, _ in keys["correct"]}, "the form's are among them"


def test_no_handler_is_an_endpoint_for_strangers(config: dict[str, Any]) -> None:
    visible = {event["api_name"]: event["api_visibility"] for event in config["dependencies"]}
    assert visible.pop("apply") == "undocumented"  # Gradio's own, of the Agreement page's form: it draws what the session holds
    assert set(visible.values()) == {"private"}


def test_only_the_model_and_saving_make_anybody_wait(ws: Workspace) -> None:
    """A timer's tick that takes a place in a queue lets two open tabs wait for each other.

    Putting a checkpoint in use takes as long as loading it, and had kept recordings and jobs waiting.
    """
    handlers = [fn for fn in app.build(ws).fns.values() if fn.fn and fn.concurrency_limit is not None]
    assert {fn.concurrency_id: fn.concurrency_limit for fn in handlers} == {
        "save": 1,
        "lists": 1,
        "act": 1,
        "model": 1,
        "switch": 1,
        "copy": 1,
    }
    switching = {fn.name for fn in handlers if fn.concurrency_id == "switch"}
    assert switching == {"put_in_use", "put_in_use_all_the_same", "go_back"}


def test_talk_follows_who_has_the_gpu_by_itself(ws: Workspace, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def timer() -> dict[str, Any]:
        config = app.build(ws).config
        (ticks,) = (event for event in config["dependencies"] if event["api_name"] == "follow_gpu")
        (found,) = (item for item in config["components"] if item["id"] == ticks["targets"][0][0])
        return found["props"]

    assert not timer()["active"], "without a GPU nothing is asked for"
    monkeypatch.setattr(lease, "has_gpu", lambda: True)
    assert timer()["active"]
    (follow,) = (fn for fn in app.build(ws).fns.values() if fn.name == "follow_gpu")
    assert follow.fn(None) == gr.skip()
    with ws.write() as session:
        session.add(Job(project_id=project))
    told = follow.fn("")
    assert told["visible"] and "Job 1 has the GPU" in told["value"]
    assert follow.fn(told["value"]) == gr.skip()
    with ws.write() as session:
        jobs.end(session.get_one(Job, 1), JobStatus.STOPPED)
    assert follow.fn(told["value"]) == gr.update(value="", visible=False)


def test_what_the_live_model_does_while_a_job_has_the_gpu_is_chosen_and_kept(ws: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(backends, "gpus", lambda: 1)
    with gr.Blocks():
        panel = WherePanel(ws)
    shown = panel.opened()
    assert shown[panel.meanwhile] == gr.update(value="cpu", visible=True) and "answers on the CPU" in shown[panel.where]
    panel.kept("local", None, None, False, "wait")
    shown = panel.opened()
    assert shown[panel.meanwhile] == gr.update(value="wait", visible=True) and "does not answer" in shown[panel.where]


def test_no_events_of_one_component_start_each_other_again(config: dict[str, Any]) -> None:
    """Of two that run "always_last" upon the same event, each that ends starts the other again: once both had to wait, the
    Correct page asked its server the same thing for as long as it was open.
    """
    states = {item["id"] for item in config["components"] if item["type"] == "state"}  # whose events are started one by one
    waiting = [
        tuple(target)
        for event in config["dependencies"]
        if event["backend_fn"] and event["trigger_mode"] == "always_last"
        for target in event["targets"]
        if target[0] not in states
    ]
    assert waiting and len(set(waiting)) == len(waiting)


def test_what_shows_no_progress_tracks_none(config: dict[str, Any]) -> None:
    """Or each step of each event has the browser copy what any event shows: it took seconds after a key of the Correct page."""
    hidden = [event for event in config["dependencies"] if event["show_progress"] == "hidden" and event["api_name"] != "apply"]
    assert {event["api_name"]: event["show_progress_on"] for event in hidden if event["show_progress_on"] != []} == {}


def test_handlers_say_what_they_read_and_write(ws: Workspace) -> None:
    said = {(fn.fn.__module__, fn.name): fn.fn.__doc__ or "" for fn in app.build(ws).fns.values() if fn.fn and fn.name != "apply"}
    assert [name for name, text in said.items() if not ("Inputs:" in text and "Outputs:" in text)] == []


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


def test_figures_of_a_table_stay_on_one_line_and_none_is_minus_zero() -> None:
    said = Verdict(1, (Finding("Sample", "Word error rate", 50.0, 50.0, -0.0, 0.0, True),))
    shown = verdict_html(said)
    assert shown.count("<td class=dst-number>50.0 %</td>") == 2
    assert "<td>Word error rate on Sample</td>" in shown
    assert "-0.0" not in shown


def test_of_an_agents_text_nothing_was_heard(ws: Workspace, project: int, sound: Callable[..., Path]) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d")
    assert "nothing yet" in heard_html(dialogues.add_user_turn(ws, dialogue.id, sound()), [])
    assert heard_html(dialogues.add_agent_turn(ws, dialogue.id, "which area"), []) == ""
    assert "nothing yet" in heard_html(dialogues.add_agent_turn(ws, dialogue.id, audio=sound()), [])


def test_what_the_agent_says_aloud_is_heard_and_changes_no_state(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    built = app.build(ws)
    talk = {fn.name: fn for fn in built.fns.values() if getattr(fn.fn, "__module__", "") == "studio.pages.talk"}
    part = {block.elem_id: block for block in built.blocks.values() if getattr(block, "elem_id", None)}
    nobody: Any = SimpleNamespace(username=None)

    def say(seed: int, who: str, dialogue_id: int | None, heard: str) -> tuple[int, dict[Any, Any]]:
        saved = talk["said"].fn(str(sound(seed)), who, dialogue_id, project, nobody)
        assert saved[part["talk.speaker"]] == "user", "the user is to speak next"
        opened = saved[part["talk.dialogue"]]["value"]
        tracker.heard = heard
        assert "understood in" in talk["understand"].fn(opened, nobody)
        return opened, talk["look"].fn(opened, project, None)

    opened, _ = say(0, "user", None, "somewhere in the north")
    tracker.understood = {"restaurant": {"area": "south"}}
    same, shown = say(1, "agent", opened, "shall it be the south?")
    user, agent = dialogues.get_dialogue(ws, same).turns
    assert same == opened and [turn.speaker for turn in (user, agent)] == ["user", "agent"]
    assert agent.audio is not None and (agent.transcript, agent.state) == ("shall it be the south?", None)
    assert "shall it be the south?" in shown[part["talk.conversation"]]
    assert "north" in shown[part["talk.state"]] and "south" not in shown[part["talk.state"]]
    say(2, "user", opened, "yes")
    assert [(turn.speaker, turn.text) for turn in tracker.asked[-1].history][-1] == ("agent", "shall it be the south?")


def test_json_problems_name_line_and_column_or_slot() -> None:
    assert json_problem('{"a": {}}') == ""
    assert "Line 2, column 1" in json_problem('{"a":\n}')
    assert "slot a-b must hold text" in json_problem('{"a": {"b": 1}}')


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


# Handlers that wait in line only to show something in its turn.
SHOWS = {"look", "stands", "list_anew", "reopen", "refresh", "answered", "cut_call", "open_dialogue", "open_turn"}
SHOWS |= {"find", "find_typed", "go_back_in_browser", "go_forward", "go_doubtful", "shared.switched", "correct.go_back"}
# The model's own answers are nobody's labels: what a save moves, and a question that anybody may ask.
SHOWS |= {"follow", "try_again", "restore_draft", "ask_model"}
# Whose role it takes to change something; all else an annotator's.
TAKES = {"take_agreed": "reviewer", "explain": "reviewer", "set_share": "reviewer", "unlock": "reviewer", "export": "reviewer"}
TAKES |= dict.fromkeys(("save_change", "save_synonyms", "save_description", "restore_version"), "reviewer")
TAKES |= dict.fromkeys(("_bring", "_keep", "_remove"), "reviewer")
TAKES |= dict.fromkeys(
    (
        "begin",
        "end",
        "go_on",
        "go_on_with_less",
        "keep_the_save",
        "run_again",
        "keep_place",
        "put_in_use",
        "models.go_back",
        "keep_rules",
    ),
    "trainer",
)
TAKES |= dict.fromkeys(("score", "have_answered", "bring_in"), "trainer")
TAKES |= {"agreement.take": "reviewer"}
TAKES |= {"review_panel.take": ""}  # an annotator's step or a reviewer's
TAKES |= dict.fromkeys(("add_user", "change_user", "set_minutes", "put_in_use_all_the_same"), "admin")
TAKES |= dict.fromkeys(("delete_checkpoint", "delete_job"), "admin")


def test_every_change_on_every_page_takes_a_role(
    ws: Workspace, project: int, sound: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who was an admin and may not log in any more has all pages still open: nothing they press changes anything."""
    dialogue = dialogues.create_dialogue(ws, project, "d")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound())
    for name in ("ada", "gone"):
        people.add_user(ws, name, "correct horse", "admin")
    people.change_user(ws, "gone", active=False)
    table = tmp_path / "restaurant_db.json"
    table.write_text('[{"name": "kohinoor"}]')
    now = sight(turn)
    given: dict[str, Any] = {"request": SimpleNamespace(username="gone"), "now": now, "kept": (("transcript", "thai"), now)}
    given |= {"event": SimpleNamespace(_data={"turn": turn.id, "act": "remove", "slot": "restaurant-area"}), "text": "{}"}
    given |= {"project_id": project, "dialogue_id": dialogue.id, "audio": str(sound()), "percent": 10, "why": "", "number": 5}
    given |= {"domain_name": "restaurant", "slot_name": "area", "chosen": "north", "of_kind": "text", "version": 1}
    given |= {"change": Change("add", "hotel"), "what": "add", "to": "domain", "name": "hotel", "file": str(table)}
    given |= {"source": LABELS, "splits": ["train"], "columns": [], "domain": "restaurant", "wanted": [], "split": "test"}
    given |= {"who": "user", "played": None, "progress": None, "asked": (dialogue.id, "test")}
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title="": told.append(text))
    monkeypatch.setattr(type(ws), "write", lambda ws: pytest.fail("something was written"))
    refused: dict[str, str] = {}
    for fn in app.build(ws).fns.values():
        if fn.fn is None or fn.concurrency_limit is None:
            continue
        page = fn.fn.__module__.rpartition(".")[2]
        name = fn.name if fn.name in SHOWS | TAKES.keys() else f"{page}.{fn.name}"
        if name in SHOWS:
            continue
        named = [key for key, one in inspect.signature(fn.fn).parameters.items() if one.kind != one.VAR_POSITIONAL]
        arguments = {key: given.get(key) for key in named}
        said = f"{fn.fn(**arguments)} {told}"
        told.clear()
        if f"takes the role {TAKES.get(name, 'annotator')}" not in said:
            refused[name] = said
    assert refused == {}


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
