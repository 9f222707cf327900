"""What somebody is told of their own corrections: what others made of them, and what runs learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from studio.pages.mine_panel import MinePanel, mine_html
from studio.services import corrections, dialogues, review, understanding
from studio.services.feedback import RunOutcome, SlotOutcome
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker


def test_what_a_reviewer_changed_is_told_to_whom_it_belonged(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker, team: None
) -> None:
    with gr.Blocks() as demo:
        chosen = gr.Dropdown()
        with gr.Tabs():
            MinePanel(ws).wire(chosen)
    (show,) = (fn.fn for fn in demo.fns.values())
    assert show is not None

    def told(name: str) -> Any:
        return show(project, SimpleNamespace(username=name))

    turn = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "<d1>").id, sound())
    understanding.predict_turn(ws, turn.id)
    words = corrections.save_transcript(ws, turn.id, "thai in the south", "ben", None)
    slot = corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "ben", None)
    assert "Nothing to tell yet" in told("ben")
    slot = corrections.save_slot(ws, turn.id, "restaurant", "area", "the <west>", "rita", slot.state_head)
    corrections.save_transcript(ws, turn.id, "thai in the west", "rita", words.transcript_head)
    review.take_step(ws, turn.id, "returned", "rita", "listen <again>")
    shown = told("ben")
    place = f"<a href='correct?turn={turn.id}'>&lt;d1&gt; 1</a> "
    assert f"{place}<b>restaurant-area</b> <del>south</del> → <ins>the &lt;west&gt;</ins> <small" in shown
    assert f"{place}<del>thai in the south</del> → <ins>thai in the west</ins> <small" in shown
    assert f"{place}handed back: “listen &lt;again&gt;” <small class='dst-muted'>rita, " in shown
    assert "No training run has used your corrections yet." in shown and shown.count("<li>") == 3
    assert "Nothing to tell yet" in told("cleo")
    corrections.save_slot(ws, turn.id, "restaurant", "area", None, "rita", slot.state_head)
    assert "<del>south</del> → <ins>no value</ins>" in told("ben")
    assert show(None, SimpleNamespace(username="ben")) == gr.skip()


def test_what_a_run_learnt_and_what_came_of_it_is_told_slot_by_slot() -> None:
    area, food = SlotOutcome("restaurant-area", 3, 2, 1), SlotOutcome("restaurant-food", 4, 0, 0)
    run = RunOutcome(7, "run-7", "de<mo>", turns=5, words=1, slots=(area, food), fixed=2, broken=1)
    shown = mine_html([], [run])
    assert "Nobody has changed what you corrected." in shown
    assert (
        "<b><a href='train?job=7'>Run 7</a></b> learnt from 5 turns of yours, with 7 values and 1 transcript you corrected."
        in shown
    )
    assert "It has <b>2 test slots right</b> that de&lt;mo&gt; had wrong, and 1 the other way." in shown
    cells = [cell.partition("</td>")[0].rpartition(">")[2] for cell in shown.split("<td")[1:]]
    assert cells == ["restaurant-area", "3", "2", "1"], "of the food nothing changed"
    problem = mine_html([], [RunOutcome(8, "run-8", None, 1, 0, (), 0, 0, "nothing was <held> out")])
    assert "Run 8</a></b> learnt from 1 turn of yours; nothing was &lt;held&gt; out." in problem and "right" not in problem
