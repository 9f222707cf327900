"""A call becomes a dialogue whose turns are what somebody left in the table, and the table is theirs until then."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from studio import cli
from studio.errors import StudioError
from studio.services import call_drafts, calls, dialogues
from studio.workspace import DOWNLOADS, Workspace, open_workspace

NAN = float("nan")


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A call of 8 s: the user speaks from 1 to 2 s on the left, the agent from 4 to 6 s on the right."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.001, (8_000 * 8, 2))
    samples[8_000:16_000, 0] += rng.normal(0, 0.1, 8_000)
    samples[32_000:48_000, 1] += rng.normal(0, 0.1, 16_000)
    soundfile.write(tmp_path / "my call.wav", samples, 8_000, subtype="PCM_16")
    return tmp_path / "my call.wav"


def test_turns_of_the_table_are_cut_out_of_the_call_in_order(ws: Workspace, project: int, sound: Callable[..., Path]) -> None:
    recording = sound(seconds=6, channels=2, name="call.wav")
    table = [["agent", "3", "5.5", "1"], ["user", 1.0, 2.0, NAN], ["", None, NAN, ""]]
    calls.store(ws, project, recording, table, " my call ", "test", "anna")
    (row,) = dialogues.list_dialogues(ws, project)
    view = dialogues.get_dialogue(ws, row.id)
    assert (view.name, view.split) == ("my call", "test")
    assert [(turn.speaker, turn.seconds, turn.status) for turn in view.turns] == [("user", 1.0, "new"), ("agent", 2.5, "new")]
    with pytest.raises(StudioError, match="already, as 'my call'"):
        calls.store(ws, project, recording, table, "another name", "train", "anna")


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([["waiter", 0, 1, 0]], "Row 1 has the speaker 'waiter': write user or agent"),
        ([["user", 2, 1, 0]], r"Row 1 ends \(1 s\) before it starts"),
        ([["user", -0.5, 1, 0]], r"Row 1 starts \(-0.5 s\) before the recording"),
        ([["user", "x", 1, 0]], "Row 1 has a time or channel that is no number"),
        ([["user", 0, "inf", 0]], "Row 1 has a time or channel that is no number"),
        ([["user", 0, 1, 0.5]], "Row 1 has a time or channel that is no number"),
        ([["user", 0, 1, 0], ["user", 2, 3.5, 0]], r"Row 2 ends at 3.5 s, beyond the recording's 3.00 s"),
        ([["user", 0, 1, 7]], "Row 1 is of channel 7, and the recording has channels 0 to 1"),
        ([["user", 2, 3, 0], ["agent", 1, 2, 0], ["user", 0, 1.5, 0]], "Rows 2 and 3 overlap from 1 to 1.5 s on one channel"),
        ([["user", 0, 2, None], ["agent", 1, 3, 1]], "Rows 1 and 2 overlap"),
        ([["", "", "", ""]], "no turn to store"),
    ],
)
def test_a_row_that_makes_no_turn_is_named_and_nothing_is_stored(
    ws: Workspace, project: int, sound: Callable[..., Path], rows: list, complaint: str
) -> None:
    with pytest.raises(StudioError, match=complaint):
        calls.store(ws, project, sound(seconds=3, channels=2, name="call.wav"), rows, "call", "train", "anna")
    assert dialogues.list_dialogues(ws, project) == []


def test_speakers_of_two_channels_may_talk_at_once_and_a_turn_has_its_limit(sound: Callable[..., Path]) -> None:
    recording = sound(seconds=130, rate=800, channels=2)
    assert len(calls.check(recording, [["user", 0, 2, 0], ["agent", 1, 3, 1], ["user", 2, 3, 0]])) == 3
    with pytest.raises(StudioError, match="Row 1 is 125 s long; a turn has 120 s at most: split it"):
        calls.check(recording, [["user", 0, 125, 0]])


def test_a_file_that_is_no_recording_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_text("no sound")
    with pytest.raises(StudioError, match="^call.wav"):
        calls.cut(tmp_path / "call.wav")


def test_a_row_is_heard_split_where_it_is_quiet_merged_and_deleted(call: Path) -> None:
    table = calls.cut(call)
    assert [row[0] for row in table] == ["user", "agent"]
    rate, samples = calls.piece(call, table, 1)
    assert (rate, len(samples), samples.dtype) == (8_000, round((table[0][2] - table[0][1]) * 8_000), np.int16)
    assert np.abs(samples).max() > 10 * np.abs(calls.piece(call, [["agent", *table[0][1:3], 1]], 1)[1]).max()  # of its channel
    both = [["user", 1, 2, 0], ["user", 0.2, 0.8, 1], ["user", 3, 7.5, 1]]
    first, second, third, fourth = calls.split_row(call, [["user", 0, 3.9, 0], *both[1:]], 1)
    assert (first[:2], second[0], second[2:]) == (["user", 0], "user", [3.9, 0])
    assert first[2] == second[1]
    assert not 1 < first[2] < 2  # not where somebody speaks
    assert [third, fourth] == both[1:]
    assert calls.merge_rows(both, 2) == [both[0], ["user", 0.2, 7.5, 1]]
    assert calls.delete_row(both, 2) == [both[0], both[2]]
    for change, complaint in (
        (lambda: calls.merge_rows(both, 1), "no row after row 1 on its channel"),
        (lambda: calls.delete_row(both, 4), "no row 4: choose one from 1 to 3"),
        (lambda: calls.split_row(call, [["user", 1, 1.1, 0]], 1), "Row 1: my call.wav: 0.10 s are too short"),
        (lambda: calls.piece(call, [["user", 9, 10, 0]], 1), "Row 1 ends at 10 s, beyond the recording's 8.00 s"),
    ):
        with pytest.raises(StudioError, match=complaint):
            change()


@pytest.mark.parametrize("name", ["turns.csv", "turns.tsv"])
def test_a_table_is_written_and_read_again_from_spreadsheets_too(tmp_path: Path, name: str) -> None:
    table = [["user", 1.0, 2.5, 0], ["agent", 3.0, 4.0, None]]
    calls.write_table(tmp_path / name, table)
    assert calls.read_table(tmp_path / name) == [["user", "1.0", "2.5", "0"], ["agent", "3.0", "4.0", ""]]
    (tmp_path / "excel.csv").write_text("\ufeffchannel;speaker;start;end\n1;agent;0;1\n", encoding="utf-8")
    assert calls.read_table(tmp_path / "excel.csv") == [["agent", "0", "1", "1"]]
    (tmp_path / "bad.csv").write_text("speaker,begin\n")
    with pytest.raises(StudioError, match=r"bad.csv has no column 'start': its first line names speaker, start, end, channel"):
        calls.read_table(tmp_path / "bad.csv")


def test_what_somebody_left_of_a_cut_is_there_for_them_alone_until_it_is_stored(ws: Workspace, project: int, call: Path) -> None:
    begun = call_drafts.begin(ws, "anna", call, calls.cut(call), uploaded=True)
    call.unlink()  # nobody knows how long uploads stay
    assert (begun.name, begun.path.name, begun.path.is_relative_to(ws.path("calls"))) == ("my-call", "my call.wav", True)
    rows = [["user", 1, 2, 0], ["agnt", NAN, None, 1]]  # as bad as it may be meanwhile
    call_drafts.keep(ws, "anna", begun.sha256, rows, "renamed", "test")
    left = call_drafts.kept(ws, "anna")
    assert left is not None
    assert (left.rows, left.name, left.split) == ([["user", 1, 2, 0], ["agnt", None, None, 1]], "renamed", "test")
    assert call_drafts.kept(ws, "ben") is None
    with pytest.raises(StudioError, match="Row 2"):
        call_drafts.store(ws, project, "anna", begun.sha256)
    assert call_drafts.kept(ws, "anna") == left
    call_drafts.keep(ws, "anna", begun.sha256, [["user", 1, 2, 0]], "renamed", "test")
    call_drafts.store(ws, project, "anna", begun.sha256)
    assert [(row.name, row.split) for row in dialogues.list_dialogues(ws, project)] == [("renamed", "test")]
    assert call_drafts.kept(ws, "anna") is None
    assert list(ws.path("calls").iterdir()) == []
    with pytest.raises(StudioError, match="nothing cut here any more"):
        call_drafts.store(ws, project, "anna", begun.sha256)


def test_a_recording_of_this_machine_is_read_where_it_lies_and_missed_when_it_is_gone(
    ws: Workspace, project: int, call: Path
) -> None:
    begun = call_drafts.begin(ws, "anna", call, [["user", 1, 2, 0]], uploaded=False)
    assert begun.path == call
    soundfile.write(call, np.zeros((8_000 * 8, 2)), 8_000)
    with pytest.raises(StudioError, match="my call.wav has changed since it was cut"):
        call_drafts.store(ws, project, "anna", begun.sha256)
    call.unlink()
    with pytest.raises(StudioError, match="is not there any more: put it back"):
        call_drafts.store(ws, project, "anna", begun.sha256)
    call_drafts.discard(ws, "anna", begun.sha256)
    assert call_drafts.kept(ws, "anna") is None
    with pytest.raises(StudioError, match="There is no file"):
        call_drafts.begin(ws, "anna", call, [], uploaded=False)


def test_a_cut_made_anew_stands_in_the_place_of_the_one_before(ws: Workspace, call: Path) -> None:
    first = call_drafts.begin(ws, "anna", call, [["user", 1, 2, 0]], uploaded=True)
    call_drafts.keep(ws, "anna", first.sha256, [], "renamed", "dev")
    again = call_drafts.begin(ws, "anna", call, [["user", 1, 3, 0]], uploaded=True)
    assert (again.path, again.rows, again.name) == (first.path, [["user", 1, 3, 0]], "renamed")
    assert len(list(ws.path("calls").iterdir())) == 1


def test_every_cut_that_was_left_is_listed_and_its_upload_lies_there_until_it_is_discarded(ws: Workspace, call: Path) -> None:
    first = call_drafts.begin(ws, "anna", call, [["user", 1, 2, 0]], uploaded=True)
    other = call.with_name("other.wav")
    soundfile.write(other, np.zeros((8_000 * 8, 2)), 8_000)
    second = call_drafts.begin(ws, "anna", other, [["user", 1, 3, 0]], uploaded=False)
    call_drafts.begin(ws, "ben", other, [], uploaded=True)
    found = [(one.path.name, one.copied) for one in call_drafts.all_kept(ws, "anna")]
    assert found == [("other.wav", False), ("my call.wav", True)]
    call_drafts.keep(ws, "anna", first.sha256, [["agent", 1, 2, 0]], "renamed", "dev")
    assert [one.name for one in call_drafts.all_kept(ws, "anna")] == ["renamed", "other"]
    call_drafts.discard(ws, "anna", first.sha256)
    assert [one.sha256 for one in call_drafts.all_kept(ws, "anna")] == [second.sha256]
    assert not first.path.parent.exists()
    assert other.is_file()  # it is not the studio's to remove
    assert len(list(ws.path("calls").iterdir())) == 1  # ben's


def test_a_cut_goes_out_as_csv_as_it_stands_and_is_read_again(ws: Workspace, call: Path) -> None:
    rows = [["user", 1, 2.5, 0], ["agnt", NAN, None, None]]  # as bad as it may be meanwhile
    begun = call_drafts.begin(ws, "anna", call, rows, uploaded=True)
    written = call_drafts.export_csv(ws, "anna", begun.sha256)
    assert (written.name, written.is_relative_to(ws.path(DOWNLOADS))) == ("my call.csv", True)
    assert written.read_text() == "speaker,start,end,channel\nuser,1,2.5,0\nagnt,,,\n"
    assert calls.read_table(written)[0] == ["user", "1", "2.5", "0"]
    with pytest.raises(StudioError, match="nothing cut here any more"):
        call_drafts.export_csv(ws, "ben", begun.sha256)


def test_the_command_line_prints_writes_takes_back_and_stores_the_turns(tmp_path: Path, call: Path) -> None:
    home = ("--home", str(tmp_path / "home"))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["call", str(call), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    lines = run("--dry-run").splitlines()
    assert (lines[0].split("\t"), [line.split("\t")[0] for line in lines[1:]]) == (list(calls.COLUMNS), ["user", "agent"])
    assert [turn["channel"] for turn in json.loads(run("--dry-run", "--json", "--user", "right"))["turns"]] == [0, 1]
    assert "2 turns written" in run("--write", str(tmp_path / "turns.csv"))
    assert not (tmp_path / "home").exists()
    table = (tmp_path / "turns.csv").read_text().splitlines()
    (tmp_path / "turns.csv").write_text("\n".join([table[0], table[2], "user,1.1,1.9,0"]))
    stored = run("--table", str(tmp_path / "turns.csv"), "--project", "Mine", "--name", "c", "--split", "dev", *home)
    assert "2 turns stored as dialogue c" in stored
    ws = open_workspace(tmp_path / "home")
    (row,) = dialogues.list_dialogues(ws, 1)
    view = dialogues.get_dialogue(ws, row.id)
    assert (view.name, view.split, [turn.speaker for turn in view.turns]) == ("c", "dev", ["user", "agent"])
    (tmp_path / "turns.csv").write_text("speaker,start,end,channel\nuser,2,1,0\n")
    refused = CliRunner().invoke(cli.app, ["call", str(call), "--table", str(tmp_path / "turns.csv"), *home])
    assert (refused.exit_code, "Row 1 ends (1 s) before it starts" in refused.stderr) == (2, True)
