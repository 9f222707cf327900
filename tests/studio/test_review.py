"""Review: a turn goes forward step by step, comes back with a note, and nothing that happened is forgotten."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from db.models import RevisionKind, RevisionSource, Turn
from db.repositories import revisions
from studio.errors import StudioError
from studio.services import corrections, dialogues, people, review, search
from studio.services.views import TurnView
from studio.workspace import Workspace


@pytest.fixture
def turn(ws: Workspace, corrected: Callable[..., int]) -> TurnView:
    return dialogues.get_dialogue(ws, corrected()).turns[0]


def test_a_turn_goes_from_corrected_to_final_and_back(ws: Workspace, project: int, turn: TurnView) -> None:
    assert review.take_step(ws, turn.id, "submitted", "anna").submitted is not None
    assert search.next_turn(ws, project, review.TO_REVIEW) == turn.id
    assert review.take_step(ws, turn.id, "reviewed", "rita").status == "reviewed"
    assert search.next_turn(ws, project, review.TO_REVIEW) is None
    assert review.take_step(ws, turn.id, "final", "rita").status == "final"
    with pytest.raises(StudioError, match="is final"):
        corrections.save_transcript(ws, turn.id, "other words", "anna", turn.transcript_head)
    assert review.take_step(ws, turn.id, "reopened", "rita").status == "corrected"
    assert [event.kind for event in review.events(ws, turn.id)] == ["reopened", "final", "reviewed", "submitted"]


def test_what_is_handed_back_says_why_and_leaves_the_queue(ws: Workspace, project: int, turn: TurnView) -> None:
    review.take_step(ws, turn.id, "submitted", "anna")
    with pytest.raises(StudioError, match="write a note"):
        review.take_step(ws, turn.id, "returned", "rita", " ")
    assert review.take_step(ws, turn.id, "returned", "rita", "listen again").submitted is None
    assert search.next_turn(ws, project, review.TO_REVIEW) is None
    event = review.events(ws, turn.id)[0]
    assert (event.kind, event.text, event.author) == ("returned", "listen again", "rita")


def test_a_reviewed_turn_that_is_handed_back_has_to_be_reviewed_again(ws: Workspace, turn: TurnView) -> None:
    review.take_step(ws, turn.id, "reviewed", "rita")
    assert review.take_step(ws, turn.id, "returned", "rita", "listen again").status == "corrected"


def test_what_is_handed_back_is_to_do_until_it_is_changed(ws: Workspace, project: int, turn: TurnView) -> None:
    assert search.next_turn(ws, project, search.TO_CORRECT) is None
    review.take_step(ws, turn.id, "returned", "rita", "listen again")
    assert search.next_turn(ws, project, search.TO_CORRECT) == turn.id
    assert search.to_correct_in(ws, turn.dialogue_id)[0] == turn.id
    spoken = replace(search.TO_CORRECT, text=(turn.transcript or "").split()[-1])
    assert search.next_turn(ws, project, spoken) == turn.id
    for source in (RevisionSource.PROPAGATED, RevisionSource.ONTOLOGY):  # nobody has looked at it for that
        with ws.write() as session:
            row, moved = session.get_one(Turn, turn.id), {"restaurant": {"area": source}}
            revisions.append(session, row, RevisionKind.STATE, turn.state, moved, "the model", source)
    assert search.next_turn(ws, project, search.TO_CORRECT) == turn.id
    corrections.save_transcript(ws, turn.id, "other words", "anna", turn.transcript_head)
    assert search.next_turn(ws, project, search.TO_CORRECT) is None


def test_a_correction_after_the_review_needs_another_one(ws: Workspace, turn: TurnView) -> None:
    review.take_step(ws, turn.id, "reviewed", "rita")
    assert corrections.save_transcript(ws, turn.id, "other words", "anna", turn.transcript_head).status == "corrected"


@pytest.mark.parametrize("step", ["final", "reopened"])
def test_a_step_from_the_wrong_place_is_refused(ws: Workspace, turn: TurnView, step: review.Step) -> None:
    with pytest.raises(StudioError):
        review.take_step(ws, turn.id, step, "rita")
    assert review.events(ws, turn.id) == []


def test_an_annotator_can_submit_and_note_but_not_review(ws: Workspace, turn: TurnView) -> None:
    people.add_user(ws, "ada", "correct horse", "admin")
    people.add_user(ws, "anna", "battery staple", "annotator")
    review.take_step(ws, turn.id, "note", "anna", "mumbled")
    review.take_step(ws, turn.id, "submitted", "anna")
    with pytest.raises(StudioError, match="takes the role reviewer"):
        review.take_step(ws, turn.id, "reviewed", "anna")
