"""Moving dialogues between train, dev and test, without a score that was measured on what was trained on."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.models import Dialogue, Split
from studio.errors import StudioError
from studio.services import dialogues, people, snapshots, splits, training
from studio.workspace import Workspace


def split(ws: Workspace, dialogue_id: int) -> str:
    return dialogues.get_dialogue(ws, dialogue_id).split


def test_every_move_is_kept_and_cannot_be_rewritten(ws: Workspace, project: int, corrected) -> None:
    first = corrected("d1")
    assert splits.move(ws, first, "dev", "anna")
    assert not splits.move(ws, first, "dev", "anna")
    assert splits.move(ws, first, "test", "bert", "  for  scoring ")
    told = [(move.dialogue, move.old, move.new, move.why, move.author) for move in splits.moves(ws, project)]
    assert told == [("d1", "dev", "test", "for scoring", "bert"), ("d1", "train", "dev", "", "anna")]
    for statement in ("UPDATE split_moves SET why = 'no'", "DELETE FROM split_moves"):
        with pytest.raises((IntegrityError, StudioError), match="append-only"), ws.write() as session:
            session.execute(text(statement))


def test_what_was_trained_on_is_never_held_out(ws: Workspace, project: int, corrected, note_run) -> None:
    first = corrected("d1")
    note_run(["d1"], [])
    with pytest.raises(StudioError, match="hold out one that no run has seen"):
        splits.move(ws, first, "test", "anna")
    assert split(ws, first) == "train"


def test_what_runs_were_scored_on_is_trained_on_only_for_a_reason(ws: Workspace, project: int, corrected, note_run) -> None:
    first = corrected("d1", split="test")
    note_run([], ["d1"])
    with pytest.raises(StudioError, match="says on the Data page why"):
        splits.move(ws, first, "train", "anna")
    assert split(ws, first) == "test"
    assert splits.move(ws, first, "train", "anna", "a new test set replaces it")
    assert splits.moves(ws, project)[0].scored


def test_only_an_admin_frees_what_was_once_held_out(ws: Workspace, project: int, corrected) -> None:
    first = corrected("d1")
    people.add_user(ws, "ada", "long enough", "admin")
    people.add_user(ws, "tom", "long enough", "trainer")
    assert splits.move(ws, first, "test", "tom")
    for wanted in ("dev", "train"):
        with pytest.raises(StudioError, match="only an admin"):
            splits.move(ws, first, wanted, "tom")
    assert splits.move(ws, first, "dev", "ada")
    with pytest.raises(StudioError, match="only an admin"):  # by way of dev it is still what was held out
        splits.move(ws, first, "train", "tom")
    assert splits.move(ws, first, "train", "ada")


def test_what_was_scored_on_is_trained_on_only_once_it_was_moved(ws: Workspace, project: int, corrected, note_run) -> None:
    first = corrected("d1", split="test")
    corrected("d2")
    note_run([], ["d1"])
    with ws.write() as session:  # as an older version, or a hand in the database, left it
        session.get_one(Dialogue, first).split = Split.TRAIN
    assert "Runs were scored on 'd1'" in (snapshots.preview(ws, project).problem or "")
    with pytest.raises(StudioError, match="Runs were scored on 'd1'"):
        training.start_job(ws, project, None, "demo")
    splits.move(ws, first, "test", "anna")
    splits.move(ws, first, "train", "anna", "scored once, no longer needed")
    assert snapshots.preview(ws, project).problem is None
