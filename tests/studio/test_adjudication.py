"""Adjudication: what a reviewer takes or writes becomes the project's labels, once; both layers stay as they were."""

from collections.abc import Callable

import pytest

from studio.errors import ConflictError, StudioError
from studio.pages.agreement import own_state
from studio.services import adjudication, corrections, dialogues, double, ontology, snapshots
from studio.services.dialogues import TurnView
from studio.workspace import Workspace


@pytest.fixture
def done(twice: list[TurnView], annotate: Callable[..., TurnView]) -> list[TurnView]:
    """Of two turns the first is in dispute (thai against a value nobody knows), the second agreed."""
    annotate(twice[0], "ben", "food", "thai")
    annotate(twice[0], "cleo", "food", "burmese")
    annotate(twice[1], "ben", "food", "chinese")
    annotate(twice[1], "cleo", "food", "Chinese")
    return twice


def test_disputes_come_first_and_are_shown_slot_by_slot(ws: Workspace, project: int, done: list[TurnView]) -> None:
    waiting = adjudication.waiting(ws, project)
    assert [(item.turn_id, item.agreed) for item in waiting] == [(done[0].id, False), (done[1].id, True)]
    found = adjudication.compare(ws, done[0].id)
    assert [labels.annotator for labels in found.labels] == ["ben", "cleo"]
    assert [(row.slot, row.values, row.agreed) for row in found.slots] == [
        ("food", ("thai", "burmese"), False),
        ("area", ("north", "north"), True),
    ]


def test_what_is_taken_becomes_the_projects_labels_and_is_trained_on(ws: Workspace, project: int, done: list[TurnView]) -> None:
    layers = [dialogues.get_turn(ws, done[0].id, name).state for name in ("ben", "cleo")]
    assert "burmese" not in ontology.choices(ws, project, "restaurant", "food")
    adjudication.take(ws, done[0].id, "cleo", "rita")
    view = dialogues.get_turn(ws, done[0].id)
    assert view.state == {"restaurant": {"area": "north", "food": "burmese"}} and view.transcript == "a place in the north"
    assert view.confirmed == {("restaurant", "area"), ("restaurant", "food")}
    assert {(item.author, item.source) for item in corrections.history(ws, view.id)} == {("rita", "adjudicated")}
    assert [dialogues.get_turn(ws, done[0].id, name).state for name in ("ben", "cleo")] == layers
    assert snapshots.preview(ws, project).turns == 1
    assert "burmese" in ontology.choices(ws, project, "restaurant", "food")


def test_what_an_annotator_changed_is_not_taken_unseen(
    ws: Workspace, done: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    """What ben had by then became the project's label, and the reviewer had never seen it."""
    seen = adjudication.compare(ws, done[0].id).labels[0]
    annotate(done[0], "ben", "food", "lao")
    with pytest.raises(ConflictError, match="ben changed this turn meanwhile"):
        adjudication.take(ws, done[0].id, "ben", "rita", seen.head)
    assert not dialogues.get_turn(ws, done[0].id).labelled
    again = adjudication.compare(ws, done[0].id).labels[0]
    adjudication.take(ws, done[0].id, "ben", "rita", again.head)
    assert dialogues.get_turn(ws, done[0].id).state == again.state == {"restaurant": {"area": "north", "food": "lao"}}


def test_a_reviewer_can_write_what_neither_wrote(ws: Workspace, done: list[TurnView]) -> None:
    adjudication.decide(ws, done[0].id, " a  lao place ", {"restaurant": {"food": "lao"}}, "rita")
    view = dialogues.get_turn(ws, done[0].id)
    assert (view.transcript, view.state) == ("a lao place", {"restaurant": {"food": "lao"}})


def test_all_that_is_agreed_is_taken_at_once(ws: Workspace, project: int, done: list[TurnView]) -> None:
    assert adjudication.take_agreed(ws, project, "rita") == 1
    assert dialogues.get_turn(ws, done[1].id).state == {"restaurant": {"area": "north", "food": "chinese"}}
    assert [item.turn_id for item in adjudication.waiting(ws, project)] == [done[0].id]
    assert adjudication.take_agreed(ws, project, "rita") == 0


def test_what_an_annotator_changes_at_that_moment_is_not_taken_as_agreed(
    ws: Workspace, project: int, done: list[TurnView], annotate: Callable[..., TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = adjudication.waiting(ws, project)
    annotate(dialogues.get_turn(ws, done[1].id, "ben"), "ben", "food", "lao")
    monkeypatch.setattr(adjudication, "waiting", lambda *_: listed)
    assert adjudication.take_agreed(ws, project, "rita") == 0
    assert dialogues.get_turn(ws, done[1].id).corrected_state is None


def test_a_turn_is_decided_once_and_then_open_to_all(ws: Workspace, done: list[TurnView]) -> None:
    adjudication.take(ws, done[0].id, "ben", "rita")
    with pytest.raises(StudioError, match="nothing to decide"):
        adjudication.take(ws, done[0].id, "cleo", "rita")
    assert double.layer_of(ws, done[0].dialogue_id, "cleo") == "cleo", "a turn of the dialogue is undecided"
    late = dialogues.get_turn(ws, done[0].id, "cleo")
    with pytest.raises(StudioError, match="A reviewer has decided"):
        corrections.save_slot(ws, late.id, "restaurant", "food", "thai", "cleo", late.state_head, layer="cleo")
    adjudication.take(ws, done[1].id, "ben", "rita")
    assert double.layer_of(ws, done[0].dialogue_id, "cleo") == "", "now they see what became of it"
    view = dialogues.get_turn(ws, done[0].id)
    assert corrections.save_slot(ws, view.id, "restaurant", "food", "lao", "cleo", view.state_head).state_head is not None


def test_deciding_takes_a_reviewer_and_two_annotators(ws: Workspace, project: int, done: list[TurnView]) -> None:
    for act in (
        lambda: adjudication.take(ws, done[0].id, "ben", "ben"),
        lambda: adjudication.take_agreed(ws, project, "ben"),
        lambda: adjudication.decide(ws, done[0].id, "words", {}, "ben"),
    ):
        with pytest.raises(StudioError, match="takes the role reviewer"):
            act()
    with pytest.raises(StudioError, match="no dialogue state"):
        adjudication.decide(ws, done[0].id, "words", {"restaurant": "thai"}, "rita")  # type: ignore[dict-item]
    assert len(adjudication.waiting(ws, project)) == 2


def test_a_reviewers_own_value_may_have_several_forms_and_keeps_those_an_annotator_wrote(
    ws: Workspace, twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    annotate(twice[0], "ben", "food", ["thai", "siamese"])
    annotate(twice[0], "cleo", "food", "burmese")
    found = adjudication.compare(ws, twice[0].id)
    disputed = [row for row in found.slots if not row.agreed]

    def own(text: str | None) -> object:
        return own_state(found, disputed, [text])["restaurant"].get("food")

    assert own("8 pm | 20:00") == ["8 pm", "20:00"]
    assert own("thai") == ["thai", "siamese"]
    assert own(" lao ") == "lao"
    assert [own(nothing) for nothing in ("no value", "", " | ", None)] == [None] * 4
