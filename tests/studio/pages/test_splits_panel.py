"""Moves between splits on the Data page, and the record of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr

from studio.pages.splits_panel import SplitsPanel
from studio.services import dialogues
from studio.workspace import Workspace

ANNA: Any = SimpleNamespace(username="anna")


def test_a_move_is_carried_out_and_recorded_and_a_refused_one_leaves_the_form(ws: Workspace, project: int, note_run: Any) -> None:
    with gr.Blocks():
        panel = SplitsPanel(ws, gr.Dropdown())
    held = dialogues.create_dialogue(ws, project, "<held>", "test").id
    other = dialogues.create_dialogue(ws, project, "other").id
    note_run([], ["<held>"])
    shown = panel.shown(project)
    assert shown[panel.dialogue]["choices"] == [("other · train", other), ("<held> · test", held)]
    assert "No move yet" in shown[panel.moves]
    refused = panel._move(project, "", None, "dev", "", ANNA)
    assert "Choose the dialogue" in refused[panel.notice] and set(refused) == {panel.notice}
    refused = panel._move(project, "", held, "train", " ", ANNA)
    assert "says on the Data page why" in refused[panel.notice] and set(refused) == {panel.notice}
    moved = panel._move(project, "held", held, "train", "a <new> test set", ANNA)
    assert "moved to train" in moved[panel.notice] and moved[panel.why] == ""
    assert moved[panel.dialogue]["choices"] == [("<held> · train", held)], "what is searched for"
    assert dialogues.get_dialogue(ws, held).split == "train"
    panel._move(project, "", other, "dev", "", ANNA)
    record = panel._move(project, "", other, "dev", "", ANNA)
    assert "It is in dev already." in record[panel.notice]
    newest, first = record[panel.moves].split("<tr")[2:]
    assert "anna" in newest and f"'correct?dialogue={other}'>other</a>" in newest and "train → <b>dev</b></td>" in newest
    assert f"'correct?dialogue={held}'>&lt;held&gt;</a>" in first and "a &lt;new&gt; test set" in first
    assert "test → <b>train</b> <span class='dst-tag'>scored before</span>" in first
