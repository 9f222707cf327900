"""Which labels a score was measured on, and the guard before them."""

from datetime import timedelta

import pytest

from db.models import Dialogue, LabelVersion, Turn
from studio.errors import HeldOutError, StudioError
from studio.services import corrections, dialogues, labels, people, review
from studio.workspace import Workspace


def version(ws: Workspace, project: int, *dialogue_ids: int) -> LabelVersion:
    with ws.write() as session:
        stood = labels.standing([session.get_one(Dialogue, id_) for id_ in dialogue_ids])
        return labels.version(session, project, stood)


def is_locked(ws: Workspace, turn_id: int, author: str) -> bool:
    with ws.read() as session:
        return labels.locked(session, session.get_one(Turn, turn_id), author)


def area(ws: Workspace, turn_id: int, value: str, author: str = "anna") -> None:
    head = dialogues.get_turn(ws, turn_id).state_head
    corrections.save_slot(ws, turn_id, "restaurant", "area", value, author, head)


def test_the_same_labels_are_the_same_version_and_changed_ones_another(ws: Workspace, project: int, corrected) -> None:
    first, second = corrected("d1", split="test"), corrected("d2", split="test")
    turn = dialogues.get_dialogue(ws, first).turns[0].id
    one = version(ws, project, first, second)
    assert (one.number, one.turns) == (1, 2)
    area(ws, turn, "south")
    two = version(ws, project, first, second)
    assert two.number == 2 and two.sha256 != one.sha256
    corrections.undo(ws, turn, "anna", dialogues.get_turn(ws, turn).head)
    assert version(ws, project, second, first).id == one.id
    assert version(ws, project, first).number == 3, "fewer dialogues are other labels"


def test_scores_on_other_labels_are_warned_of(ws: Workspace, project: int, corrected) -> None:
    first = corrected("d1", split="test")
    one, other = ({"jga": 50.0, "labels": version(ws, project, *ids).title} for ids in ([first], [first, corrected("d2")]))
    assert one["labels"].startswith("v1 of 20") and other["labels"].startswith("v2 of 20")
    assert labels.difference([one, one, None]) is None
    assert f"different labels, {one['labels']} and {other['labels']}." in (labels.difference([one, other]) or "")
    assert labels.difference([one, {"jga": 1.0}]) is None, "measured before versions were kept"


def test_a_held_out_label_somebody_else_wrote_or_runs_were_scored_on_is_unlocked_first(
    ws: Workspace, corrected, note_run
) -> None:
    first = corrected("d1", turns=2, split="test")
    one, other = (turn.id for turn in dialogues.get_dialogue(ws, first).turns)
    area(ws, one, "south")  # whoever labels it first goes on
    with pytest.raises(HeldOutError, match="changing its labels changes scores"):
        area(ws, one, "north", "bert")
    note_run([], ["d1"])
    assert is_locked(ws, one, "anna")
    for change in (
        lambda: area(ws, one, "north"),
        lambda: corrections.save_transcript(ws, one, "other words", "anna", dialogues.get_turn(ws, one).transcript_head),
        lambda: corrections.undo(ws, one, "anna", dialogues.get_turn(ws, one).head),
    ):
        with pytest.raises(HeldOutError):
            change()
    assert dialogues.get_turn(ws, one).state == {"restaurant": {"area": "south"}}
    labels.unlock(ws, one, "anna")
    area(ws, one, "north")
    area(ws, other, "south")  # the whole dialogue is unlocked, for her
    with pytest.raises(HeldOutError):
        area(ws, one, "south", "bert")
    assert [(event.kind, event.author) for event in review.events(ws, one)] == [("unlocked", "anna")]


def test_labels_of_training_dialogues_are_never_locked(ws: Workspace, project: int, corrected) -> None:
    turn = dialogues.get_dialogue(ws, corrected("d1")).turns[0].id
    area(ws, turn, "south", "bert")


def test_where_there_are_users_a_reviewer_unlocks_and_not_for_ever(
    ws: Workspace, project: int, corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = dialogues.get_dialogue(ws, corrected("d1", split="dev")).turns[0].id
    people.add_user(ws, "ada", "long enough", "admin")
    people.add_user(ws, "bert", "long enough", "annotator")
    with pytest.raises(StudioError, match="takes the role reviewer"):
        labels.unlock(ws, turn, "bert")
    labels.unlock(ws, turn, "ada")
    area(ws, turn, "south", "ada")
    monkeypatch.setattr(labels, "UNLOCKED_FOR", timedelta(0))
    with pytest.raises(HeldOutError):
        area(ws, turn, "north", "ada")
