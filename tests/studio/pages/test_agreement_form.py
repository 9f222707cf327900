"""The form in which a reviewer decides on a turn in words and values of their own."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from studio.pages import agreement
from studio.services import adjudication, corrections, dialogues
from studio.services.views import TurnView
from studio.workspace import Workspace


def test_what_a_reviewer_writes_is_decided_and_what_is_agreed_comes_with_it(
    ws: Workspace, project: int, twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    turn = twice[0]
    annotate(turn, "ben", "food", "thai")
    annotate(turn, "cleo", "food", "burmese")
    annotate(turn, "ben", "name", "kohinoor")
    theirs = dialogues.get_turn(ws, turn.id, "cleo")
    corrections.save_transcript(ws, turn.id, "a burmese place", "cleo", theirs.transcript_head, layer="cleo")
    found = adjudication.compare(ws, turn.id)
    with gr.Blocks() as demo:
        agreement.page(ws, demo)
        (form,) = demo.renderables
        form.fn((turn.id, {labels.annotator: labels.head for labels in found.labels}))
    fields = {name: block for block in demo.blocks.values() if (name := block.elem_id or "").startswith("agreement.own.")}
    assert {name: field.value for name, field in fields.items()} == {  # type: ignore[attr-defined]
        "agreement.own.words": "a place in the north",
        "agreement.own.restaurant-food": "thai",
        "agreement.own.restaurant-name": "kohinoor",
    }, "the first one's; the area is agreed"
    food, name = (fields[f"agreement.own.restaurant-{slot}"] for slot in ("food", "name"))
    assert [value for value, _ in food.choices] == ["thai", "burmese"]  # type: ignore[attr-defined]
    assert [value for value, _ in name.choices] == ["kohinoor", "no value"]  # type: ignore[attr-defined]
    (save,) = (fn for fn in demo.fns.values() if fn.name == "click" and fields["agreement.own.words"] in fn.inputs)
    values = {food: " lao ", name: "no value"}
    rita: Any = SimpleNamespace(username="rita")
    shown = save.fn(rita, project, " a  lao place ", *(values[field] for field in save.inputs[2:]))
    view = dialogues.get_turn(ws, turn.id)
    assert (view.transcript, view.state) == ("a lao place", {"restaurant": {"area": "north", "food": "lao"}})
    assert {(item.author, item.source) for item in corrections.history(ws, turn.id)} == {("rita", "adjudicated")}
    assert turn.id in shown.values(), "it is asked why the model was wrong"
    (left,) = (block for block in demo.blocks.values() if block.elem_id == "agreement.turn")
    assert turn.id not in [id_ for _, id_ in shown[left]["choices"]]
