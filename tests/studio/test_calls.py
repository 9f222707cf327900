"""A call becomes a dialogue whose turns are what somebody left in the table."""

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.errors import StudioError
from studio.services import calls, dialogues
from studio.workspace import Workspace


def test_turns_of_the_table_are_cut_out_of_the_call_in_order(ws: Workspace, project: int, sound: Callable[..., Path]) -> None:
    call = sound(seconds=6, channels=2, name="call.wav")
    table = [["agent", "3", "5.5", "1"], ["user", 1.0, 2.0, float("nan")], ["", None, float("nan"), ""]]
    calls.store(ws, project, call, table, " my call ", "test", "anna")
    (row,) = dialogues.list_dialogues(ws, project)
    view = dialogues.get_dialogue(ws, row.id)
    assert (view.name, view.split) == ("my call", "test")
    assert [(turn.speaker, turn.seconds, turn.status) for turn in view.turns] == [("user", 1.0, "new"), ("agent", 2.5, "new")]
    with pytest.raises(StudioError, match="already, as 'my call'"):
        calls.store(ws, project, call, table, "another name", "train", "anna")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (["waiter", 0, 1, 0], "Row 1 has the speaker 'waiter': write user or agent"),
        (["user", 2, 1, 0], r"Row 1 ends \(1.0 s\) before it starts"),
        (["user", "x", 1, 0], "Row 1 has a time or channel that is no number"),
        (["user", 0, 1, 7], "call, turn 0: call.wav: no channel 7"),
        (["", "", "", ""], "no turn to store"),
    ],
)
def test_a_row_that_makes_no_turn_is_named_and_nothing_is_stored(
    ws: Workspace, project: int, sound: Callable[..., Path], row: list, complaint: str
) -> None:
    with pytest.raises(StudioError, match=complaint):
        calls.store(ws, project, sound(seconds=3, name="call.wav"), [row], "call", "train", "anna")
    assert dialogues.list_dialogues(ws, project) == []


def test_a_file_that_is_no_recording_is_refused_by_its_name(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_text("no sound")
    with pytest.raises(StudioError, match="^call.wav"):
        calls.cut(tmp_path / "call.wav")
