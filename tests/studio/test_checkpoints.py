"""Which checkpoint answers, and how it compares."""

from pathlib import Path

import pytest

from db.models import Checkpoint, Evaluation
from studio.services import checkpoints
from studio.workspace import Workspace


@pytest.fixture
def trained(ws: Workspace) -> Path:
    """A second checkpoint with its files, scored on two sets of dialogues; its parent was scored on the first."""
    with ws.write() as session:
        session.add(Checkpoint(name="run-1", path="runs/1/train/checkpoint", parent_id=1))
        session.flush()
        session.add(Evaluation(checkpoint_id=1, manifest_sha256="a", scores={"jga": 40.0}))
        session.add(Evaluation(checkpoint_id=2, manifest_sha256="b", scores={"jga": 90.0}))
        session.flush()
        session.add(Evaluation(checkpoint_id=2, manifest_sha256="a", scores={"jga": 50.0}))
    folder = ws.path("runs/1/train/checkpoint")
    folder.mkdir(parents=True)
    for name in checkpoints.REQUIRED:
        (folder / name).write_text("{}")
    return folder


def test_scores_are_compared_on_the_very_same_dialogues(ws: Workspace, trained: Path) -> None:
    newest, demo = checkpoints.list_checkpoints(ws)
    assert (newest.scores, newest.parent_scores) == ({"jga": 50.0}, {"jga": 40.0})
    assert (demo.scores, demo.parent_scores, demo.parent) == ({"jga": 40.0}, None, None)


def test_a_comparison_stays_when_the_checkpoint_is_scored_once_more_as_the_base_of_another(ws: Workspace, trained: Path) -> None:
    with ws.write() as session:
        session.add(Evaluation(checkpoint_id=2, manifest_sha256="c", scores={"jga": 70.0}))
    newest, _ = checkpoints.list_checkpoints(ws)
    assert (newest.scores, newest.parent_scores) == ({"jga": 50.0}, {"jga": 40.0})


def test_a_model_card_is_read_where_there_is_one(ws: Workspace, trained: Path) -> None:
    assert checkpoints.model_card(ws, 2) == ""
    (trained / "MODEL_CARD.md").write_text("# Run 1")
    assert checkpoints.model_card(ws, 2) == "# Run 1"
