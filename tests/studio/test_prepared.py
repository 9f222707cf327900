"""Prepared dialogues play from the package; a demo is in the queue once it was sent there."""

from __future__ import annotations

import pytest

from studio.errors import StudioError
from studio.services import dialogues, manifests, prepared, search
from studio.services.projects import SAMPLE
from studio.workspace import Workspace


@pytest.mark.parametrize("name", prepared.TITLES)
def test_a_prepared_dialogue_plays_turn_by_turn(ws: Workspace, project: int, name: str) -> None:
    script = next(dialogue for dialogue in manifests.read(SAMPLE / "manifest.jsonl") if dialogue.dialogue_id == name)
    assert script.split == "train", "a copy of a held-out dialogue could be trained on"
    playing = prepared.start(name, dialogues.create_dialogue(ws, project, demo=True).id)
    while not playing.over:
        said, playing = prepared.play(ws, playing, "anna")
    turns = dialogues.get_dialogue(ws, said.dialogue_id).turns
    assert [turn.speaker for turn in turns] == [turn.speaker for turn in script.turns]
    assert all(turn.waits_for_model if turn.speaker == "user" else turn.transcript for turn in turns)
    with pytest.raises(StudioError, match="over"):
        prepared.play(ws, playing, "anna")


def test_a_demo_is_in_the_queue_once_it_was_sent(ws: Workspace, project: int) -> None:
    demo = dialogues.create_dialogue(ws, project, demo=True).id
    with pytest.raises(StudioError, match="nothing to annotate"):
        dialogues.send_to_annotation(ws, demo)
    said, _ = prepared.play(ws, prepared.start(next(iter(prepared.TITLES)), demo), "anna")
    assert search.next_turn(ws, project, search.TO_CORRECT) is None
    assert not dialogues.send_to_annotation(ws, demo).demo
    assert search.next_turn(ws, project, search.TO_CORRECT) == said.id
