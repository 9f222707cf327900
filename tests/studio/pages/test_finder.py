"""The filters of the Correct page: each leaves out what another turn has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from studio.pages.finder import Finder
from studio.services import corrections, dialogues, understanding, verdicts
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker


def test_speaker_slot_and_error_each_leave_out_other_turns(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    """Two dialogues, in both of which an area was wrong: misheard in one, misunderstood in the other, which has a food too."""
    with gr.Blocks():
        finder = Finder(ws)
    users, agents, of = [], [], []
    tracker.on_words = {"in the south": {"restaurant": {"area": "south"}}}
    for number, understood in enumerate(({"area": "north"}, {"area": "north", "food": "thai"})):
        tracker.understood = {"restaurant": understood}
        of.append(dialogues.create_dialogue(ws, project, f"d{number}").id)
        users.append(dialogues.add_user_turn(ws, of[number], sound(number)).id)
        agents.append(dialogues.add_agent_turn(ws, of[number], "anything else?").id)
        turn = understanding.predict_turn(ws, users[number])
        if number == 0:
            corrections.save_transcript(ws, turn.id, "in the south", "anna", turn.transcript_head)
        corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "anna", turn.state_head)
        verdicts.find(ws, turn.id)
    corrections.save_slot(ws, users[0], "hotel", "area", "south", "anna", dialogues.get_turn(ws, users[0]).state_head)

    def listed(slot: str = "", speaker: str = "user", error: str = "") -> tuple[list[int], list[int]]:
        """The queue, and which of the two dialogues."""
        shown = finder.list_all(project, None, None, "", "all", slot, speaker, error)
        queue, rows = ([id_ for _, id_ in shown[part]["choices"]] for part in (finder.queue, finder.dialogue))
        return sorted(queue), sorted(of.index(id_) for id_ in rows)

    assert listed() == (sorted(users), [0, 1])
    assert listed(speaker="agent") == (sorted(agents), [0, 1])
    assert listed(speaker="both") == (sorted(users + agents), [0, 1])
    assert listed("restaurant") == listed("restaurant-area") == listed()
    assert listed("restaurant-food") == ([users[1]], [1])
    assert listed("hotel") == listed("hotel-area") == ([users[0]], [0]), "not another domain's area"
    assert listed("restaurant", "agent") == ([], [])
    assert listed(error="recognition") == ([users[0]], [0])
    assert listed(error="understanding") == ([users[1]], [1])
    assert listed("hotel", error="understanding") == ([], [])
