"""Recording and correcting: nothing is overwritten, nothing is stored twice, nobody's change is lost."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from sqlalchemy import select

from db.models import SlotMark
from engine.dialogue import DONTCARE, State
from studio.errors import ConflictError, StudioError
from studio.services import corrections, dialogues, ontology, splits, understanding
from studio.services.dialogues import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

Sound = Callable[..., Path]


@pytest.fixture
def turn(ws: Workspace, project: int, sound: Sound) -> TurnView:
    return dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "d1").id, sound())


@pytest.fixture
def predicted(ws: Workspace, turn: TurnView, tracker: FakeTracker) -> TurnView:
    return understanding.predict_turn(ws, turn.id)


def recordings(ws: Workspace) -> list[Path]:
    return [path for path in (ws.home / "recordings").rglob("*") if path.is_file()]


def test_a_turn_keeps_the_sound_it_was_given(ws: Workspace, turn: TurnView, sound: Sound) -> None:
    assert turn.audio is not None
    stored, rate = soundfile.read(turn.audio, dtype="int16")
    original, original_rate = soundfile.read(sound(), dtype="int16")
    assert rate == original_rate
    assert (stored == original).all()
    assert (turn.speaker, turn.turn_id, turn.status, turn.original_name) == ("user", 0, "new", "sound-0.wav")


def test_the_same_sound_is_stored_once_whatever_file_it_comes_in(ws: Workspace, turn: TurnView, sound: Sound) -> None:
    samples, rate = soundfile.read(sound(), dtype="int16")
    soundfile.write(ws.home / "again.flac", samples, rate)
    again = dialogues.add_user_turn(ws, turn.dialogue_id, ws.home / "again.flac")
    assert again.audio == turn.audio
    assert recordings(ws) == [turn.audio]


def test_a_sound_at_another_rate_is_another_sound(ws: Workspace, turn: TurnView, sound: Sound) -> None:
    samples, _ = soundfile.read(sound(), dtype="int16")
    soundfile.write(ws.home / "faster.wav", samples, 8_000)
    assert dialogues.add_user_turn(ws, turn.dialogue_id, ws.home / "faster.wav").audio != turn.audio


@pytest.mark.parametrize("content", [b"", b"no sound at all"])
def test_what_is_no_recording_is_refused_in_a_sentence_and_leaves_nothing(
    ws: Workspace, project: int, tmp_path: Path, content: bytes
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    (tmp_path / "broken.wav").write_bytes(content)
    with pytest.raises(StudioError, match=r"broken\.wav"):
        dialogues.add_user_turn(ws, dialogue.id, tmp_path / "broken.wav")
    assert dialogues.get_dialogue(ws, dialogue.id).turns == ()
    assert recordings(ws) == []


def test_the_agent_can_be_typed_or_recorded_but_not_silent(ws: Workspace, turn: TurnView, sound: Sound) -> None:
    typed = dialogues.add_agent_turn(ws, turn.dialogue_id, text="  any area? ")
    recorded = dialogues.add_agent_turn(ws, turn.dialogue_id, audio=sound(1))
    assert (typed.turn_id, typed.transcript, typed.state) == (1, "any area?", None)
    assert (recorded.turn_id, recorded.transcript) == (2, None)
    with pytest.raises(StudioError, match="type the answer or record it"):
        dialogues.add_agent_turn(ws, turn.dialogue_id, text=" ")


def test_correcting_a_slot_starts_from_what_stands_and_keeps_the_rest(ws: Workspace, turn: TurnView, tracker) -> None:
    predicted = understanding.predict_turn(ws, turn.id)
    corrected = corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "anna", predicted.state_head)
    assert corrected.state == {"restaurant": {"area": "north", "food": "thai"}}
    assert corrected.predicted_state == {"restaurant": {"area": "north"}}
    assert (predicted.status, corrected.status) == ("predicted", "corrected")


def test_correcting_before_any_prediction_starts_from_the_turn_before(ws: Workspace, turn: TurnView, sound) -> None:
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    later = dialogues.add_user_turn(ws, turn.dialogue_id, sound(1))
    assert later.state is None
    later = corrections.save_slot(ws, later.id, "restaurant", "food", ["thai", "thai food"], "anna", None)
    assert later.state == {"restaurant": {"area": "north", "food": ["thai", "thai food"]}}


def test_taking_the_last_slot_away_leaves_no_empty_domain(ws: Workspace, turn: TurnView) -> None:
    head = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None).state_head
    assert corrections.save_slot(ws, turn.id, "restaurant", "area", None, "anna", head).state == {}


def test_an_unchanged_value_makes_no_revision(ws: Workspace, turn: TurnView) -> None:
    saved = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "area", " north ", "anna", saved.state_head)
    corrections.save_state(ws, turn.id, {"restaurant": {"area": "north"}}, "anna", saved.state_head)
    assert len(corrections.history(ws, turn.id)) == 1


def test_a_field_left_without_typing_changes_nothing(ws: Workspace, turn: TurnView, tracker) -> None:
    assert corrections.save_transcript(ws, turn.id, " ", "anna", None).status == "new"
    tracker.heard, tracker.understood = " two  spaces ", {"restaurant": {"food": ["thai", "thai food"]}}
    understanding.predict_turn(ws, turn.id)
    corrections.save_transcript(ws, turn.id, "two spaces", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "food", ["thai", "thai food"], "anna", None)
    assert [change.kind for change in corrections.history(ws, turn.id)] == ["confirmation"], "chosen, and right as it stands"
    other = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    assert other.state == {"restaurant": {"food": ["thai", "thai food"], "area": "north"}}


def test_what_builds_on_a_prediction_nobody_saw_is_refused(ws: Workspace, turn: TurnView, tracker) -> None:
    seen = understanding.predict_turn(ws, turn.id).prediction_id
    tracker.understood = {"hotel": {"stars": "3"}}
    understanding.predict_turn(ws, turn.id)
    for save in (
        lambda prediction: corrections.accept_turn(ws, turn.id, "anna", None, prediction=prediction),
        lambda prediction: corrections.save_slot(ws, turn.id, "hotel", "stars", "4", "anna", None, prediction=prediction),
        lambda prediction: corrections.save_state(ws, turn.id, {}, "anna", None, prediction=prediction),
    ):
        for outdated in (None, seen):
            with pytest.raises(ConflictError, match="The model has answered this turn meanwhile: look again") as refused:
                save(outdated)
    assert corrections.history(ws, turn.id) == []
    accepted = corrections.accept_turn(ws, turn.id, "anna", None, prediction=refused.value.turn.prediction_id)
    corrections.save_slot(ws, turn.id, "hotel", "stars", "4", "anna", accepted.state_head, prediction=seen)  # on the accepted


def test_what_stood_once_comes_back_as_a_change_of_its_own(ws: Workspace, turn: TurnView) -> None:
    def head() -> int | None:
        return dialogues.get_turn(ws, turn.id).head

    first = corrections.save_transcript(ws, turn.id, "a place in the north", "anna", None)
    north = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    corrections.save_transcript(ws, turn.id, "something else", "bert", first.transcript_head)
    corrections.save_slot(ws, turn.id, "restaurant", "area", None, "bert", north.state_head)
    for kept in (north.state_head, first.transcript_head):
        with pytest.raises(ConflictError):
            corrections.restore(ws, turn.id, kept, "cleo", first.head)
        back = corrections.restore(ws, turn.id, kept, "cleo", head())
    assert (back.transcript, back.state) == ("a place in the north", {"restaurant": {"area": "north"}})
    newest = corrections.history(ws, turn.id)[0]
    assert (newest.author, newest.source, newest.old) == ("cleo", "user", "something else")
    assert corrections.undo(ws, turn.id, "cleo", head()).transcript == "something else"
    with pytest.raises(StudioError, match="no such state or text: choose one of the list"):
        corrections.restore(ws, turn.id, 999, "cleo", head())


def test_the_same_answer_once_more_stands_in_nobodys_way(ws: Workspace, turn: TurnView, tracker) -> None:
    seen = understanding.predict_turn(ws, turn.id).prediction_id
    understanding.predict_turn(ws, turn.id)
    assert corrections.accept_turn(ws, turn.id, "anna", None, prediction=seen).status == "corrected"


def test_a_value_once_typed_is_offered_from_then_on(ws: Workspace, project: int, turn: TurnView, tracker) -> None:
    tracker.understood = {"restaurant": {"food": "misheard"}}
    understanding.predict_turn(ws, turn.id)
    saved = corrections.save_slot(ws, turn.id, "hotel", "stars", "4", "anna", None)
    saved = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", saved.state_head)
    assert ontology.choices(ws, project, "hotel", "stars") == ["4", DONTCARE]
    assert ontology.choices(ws, project, "restaurant", "food") == ["chinese", "thai", DONTCARE]
    assert ontology.get_ontology(ws, project).built_from == "train"
    splits.move(ws, turn.dialogue_id, "test", "anna")
    corrections.save_state(ws, turn.id, {"restaurant": {"area": ["west", "the west"]}}, "anna", saved.state_head)
    assert ontology.choices(ws, project, "restaurant", "area") == ["north", "south", "the west", "west", DONTCARE]
    assert ontology.get_ontology(ws, project).built_from == "all"


@pytest.mark.parametrize("value", ["", " ", [], ["north", ""]])
def test_an_empty_value_is_not_the_same_as_no_value(ws: Workspace, turn: TurnView, value: str | list[str]) -> None:
    with pytest.raises(StudioError, match="fill them in, or remove the slot"):
        corrections.save_slot(ws, turn.id, "restaurant", "area", value, "anna", None)


@pytest.mark.parametrize("state", [[], {"restaurant": "north"}, {"restaurant": {"area": 3}}])
def test_what_is_no_state_is_refused(ws: Workspace, turn: TurnView, state: State) -> None:
    with pytest.raises(StudioError, match="no dialogue state"):
        corrections.save_state(ws, turn.id, state, "anna", None)


def test_an_agent_turn_has_no_state(ws: Workspace, turn: TurnView) -> None:
    agent = dialogues.add_agent_turn(ws, turn.dialogue_id, text="any area?")
    with pytest.raises(StudioError, match="after a user turn"):
        corrections.save_slot(ws, agent.id, "restaurant", "area", "north", "anna", None)


def test_the_second_of_two_people_is_told_and_sees_both_versions(ws: Workspace, turn: TurnView) -> None:
    first = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    with pytest.raises(ConflictError, match="anna changed this turn") as refused:
        corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "ben", None)
    assert refused.value.mine == {"restaurant": {"area": "south"}}
    assert refused.value.theirs == {"restaurant": {"area": "north"}}
    assert refused.value.turn == first
    assert dialogues.get_turn(ws, turn.id) == first
    again = corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "ben", refused.value.turn.state_head)
    assert again.state == {"restaurant": {"area": "south"}}


def test_transcript_and_state_are_two_chains_that_do_not_disturb_each_other(ws: Workspace, turn: TurnView) -> None:
    corrections.save_transcript(ws, turn.id, "in the north", "anna", None)
    saved = corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "ben", None)
    assert (saved.transcript, saved.state) == ("in the north", {"restaurant": {"area": "north"}})


def test_of_many_who_save_at_once_one_succeeds_and_nothing_is_lost(ws: Workspace, turn: TurnView) -> None:
    refused: list[ConflictError] = []

    def save(name: str) -> None:
        try:
            corrections.save_transcript(ws, turn.id, f"said {name}", name, None)
        except ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=save, args=(f"person {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = corrections.history(ws, turn.id)
    assert (len(history), len(refused)) == (1, 7)
    assert dialogues.get_turn(ws, turn.id).transcript == history[0].new


def test_undo_goes_back_change_by_change_to_the_model(ws: Workspace, turn: TurnView, tracker) -> None:
    head = understanding.predict_turn(ws, turn.id)
    saved = corrections.save_transcript(ws, turn.id, "a place in the south", "anna", head.transcript_head)
    saved = corrections.save_slot(ws, turn.id, "restaurant", "area", "south", "anna", saved.state_head)
    once = corrections.undo(ws, turn.id, "anna", saved.head)
    assert (once.state, once.transcript) == ({"restaurant": {"area": "north"}}, "a place in the south")
    twice = corrections.undo(ws, turn.id, "anna", once.head)
    assert (twice.transcript, twice.status) == ("a place in the north", "predicted")
    with pytest.raises(StudioError, match="nothing to undo"):
        corrections.undo(ws, turn.id, "anna", twice.head)
    sources = [(revision.source, revision.old, revision.new) for revision in corrections.history(ws, turn.id)]
    assert sources[0] == ("undo", "a place in the south", "a place in the north")
    assert len(sources) == 4


def test_an_undo_never_takes_back_what_somebody_else_just_did(ws: Workspace, turn: TurnView) -> None:
    mine = corrections.save_transcript(ws, turn.id, "hello", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "ben", None)
    with pytest.raises(ConflictError, match="ben changed this turn"):
        corrections.undo(ws, turn.id, "anna", mine.head)


def test_accepting_makes_the_models_answer_a_correction(ws: Workspace, turn: TurnView, tracker) -> None:
    with pytest.raises(StudioError, match="nothing to accept"):
        corrections.accept_turn(ws, turn.id, "anna", None)
    understanding.predict_turn(ws, turn.id)
    accepted = corrections.accept_turn(ws, turn.id, "anna", None)
    assert (accepted.status, accepted.corrected_transcript) == ("corrected", "a place in the north")
    assert accepted.corrected_state == accepted.predicted_state
    assert corrections.accept_turn(ws, turn.id, "anna", accepted.head) == accepted


def test_an_acceptance_is_taken_back_whole(ws: Workspace, turn: TurnView, tracker) -> None:
    understanding.predict_turn(ws, turn.id)
    accepted = corrections.accept_turn(ws, turn.id, "anna", None)
    changed = corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "anna", accepted.state_head)
    once = corrections.undo(ws, turn.id, "anna", changed.head)
    assert (once.corrected_transcript, once.corrected_state) == (accepted.corrected_transcript, accepted.corrected_state)
    twice = corrections.undo(ws, turn.id, "anna", once.head)
    assert (twice.corrected_transcript, twice.corrected_state, twice.status) == (None, None, "predicted")


def test_the_list_knows_how_far_each_dialogue_is(ws: Workspace, turn: TurnView, tracker) -> None:
    def only() -> dialogues.DialogueRow:
        (row,) = dialogues.list_dialogues(ws, 1)
        return row

    dialogues.add_agent_turn(ws, turn.dialogue_id, text="typed, not corrected")
    assert only().status == "new"
    understanding.predict_turn(ws, turn.id)
    assert only().status == "predicted"
    corrections.save_transcript(ws, turn.id, "corrected", "anna", None)
    row = only()
    assert (row.status, row.turns, row.user_turns, row.predicted, row.corrected) == ("corrected", 2, 1, 1, 1)


def test_two_dialogues_never_share_a_name(ws: Workspace, project: int) -> None:
    names = [dialogues.create_dialogue(ws, project).name for _ in range(3)]
    assert len(set(names)) == 3
    with pytest.raises(StudioError, match="choose another name"):
        dialogues.create_dialogue(ws, project, names[0])


def test_what_is_gone_is_said_in_a_sentence(ws: Workspace, project: int) -> None:
    for ask in (
        lambda: dialogues.get_dialogue(ws, 99),
        lambda: dialogues.get_turn(ws, 99),
        lambda: corrections.save_transcript(ws, 99, "text", "anna", None),
        lambda: dialogues.create_dialogue(ws, 99),
    ):
        with pytest.raises(StudioError, match="does not exist any more"):
            ask()


def test_one_form_that_is_entered_replaces_several(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.save_slot(ws, predicted.id, "taxi", "leave at", ["8 pm", "20:00"], "anna", predicted.state_head)
    view = corrections.save_slot(ws, predicted.id, "taxi", "leave at", "8 pm", "anna", view.state_head)
    assert view.state is not None and view.state["taxi"]["leave at"] == "8 pm"


def test_redo_brings_back_what_undo_took_even_after_a_reload(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.save_slot(ws, predicted.id, "restaurant", "area", "south", "anna", predicted.state_head)
    view = corrections.save_slot(ws, predicted.id, "restaurant", "area", "west", "anna", view.state_head)
    for _ in range(2):
        view = corrections.undo(ws, predicted.id, "anna", view.head)
    assert (view.can_undo, view.can_redo) == (False, True)
    for expected in ("south", "west"):
        view = corrections.redo(ws, predicted.id, "anna", dialogues.get_turn(ws, predicted.id).head)
        assert view.state is not None
        assert view.state["restaurant"]["area"] == expected
    with pytest.raises(StudioError, match="nothing to redo"):
        corrections.redo(ws, predicted.id, "anna", view.head)


def test_an_accepted_turn_is_taken_back_and_brought_back_whole(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.accept_turn(ws, predicted.id, "anna", predicted.head)
    view = corrections.undo(ws, predicted.id, "anna", view.head)
    assert (view.status, view.confirmed) == ("predicted", frozenset())
    view = corrections.redo(ws, predicted.id, "anna", view.head)
    assert view.status == "corrected"
    assert view.corrected_transcript is not None
    assert view.corrected_state is not None
    assert view.confirmed == {("restaurant", "area")}


def test_what_somebody_wrote_or_confirmed_is_marked_until_it_is_taken_back(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.mark_slot(ws, predicted.id, "restaurant", "area", "anna")
    assert (view.confirmed, view.status) == ({("restaurant", "area")}, "predicted")
    assert corrections.undo(ws, predicted.id, "anna", view.head).confirmed == frozenset()
    view = corrections.save_slot(ws, predicted.id, "restaurant", "food", "thai", "anna", None)
    assert view.confirmed == {("restaurant", "food")}
    assert corrections.undo(ws, predicted.id, "anna", view.head).confirmed == frozenset()


def test_a_confirmation_is_taken_back_and_brought_back_like_any_change(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.mark_slot(ws, predicted.id, "restaurant", "area", "anna")
    again = corrections.mark_slot(ws, predicted.id, "restaurant", "area", "anna")
    assert again == view, "what is confirmed already changes nothing"
    assert (view.can_undo, view.status, view.corrected_state) == (True, "predicted", None)
    view = corrections.undo(ws, predicted.id, "anna", view.head)
    assert (view.confirmed, view.can_undo, view.can_redo) == (frozenset(), False, True)
    view = corrections.redo(ws, predicted.id, "anna", view.head)
    assert view.confirmed == {("restaurant", "area")}
    kinds = [(change.kind, change.source, change.new) for change in reversed(corrections.history(ws, predicted.id))]
    north = {"restaurant": {"area": "north"}}
    assert kinds == [("confirmation", "user", north), ("confirmation", "undo", None), ("confirmation", "redo", north)]
    with pytest.raises(StudioError, match="no such state or text"):
        corrections.restore(ws, predicted.id, corrections.history(ws, predicted.id)[0].id, "anna", view.head)


def test_undo_marks_slots_as_they_were_marked_before(ws: Workspace, predicted: TurnView) -> None:
    confirmed = corrections.mark_slot(ws, predicted.id, "restaurant", "area", "anna")
    changed = corrections.save_slot(ws, predicted.id, "restaurant", "area", "south", "ben", confirmed.state_head)
    back = corrections.undo(ws, predicted.id, "ben", changed.head)
    assert (back.state, back.confirmed) == (predicted.state, {("restaurant", "area")}), "anna's confirmation stands again"
    with ws.read() as session:
        (mark,) = session.scalars(select(SlotMark)).all()
    assert (mark.value, mark.author) == ("north", "anna")
    assert corrections.undo(ws, predicted.id, "ben", back.head).confirmed == frozenset()


def test_what_was_done_last_is_undone_first_however_it_came_to_stand(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.save_slot(ws, predicted.id, "restaurant", "area", "south", "anna", predicted.state_head)
    view = corrections.undo(ws, predicted.id, "anna", view.head)
    view = corrections.mark_slot(ws, predicted.id, "restaurant", "area", "anna")
    view = corrections.redo(ws, predicted.id, "anna", view.head)
    assert view.state == {"restaurant": {"area": "south"}}
    view = corrections.undo(ws, predicted.id, "anna", view.head)
    assert (view.state, view.confirmed) == ({"restaurant": {"area": "north"}}, {("restaurant", "area")}), "the redo, not the mark"


def test_who_saw_no_confirmation_does_not_undo_it(ws: Workspace, predicted: TurnView) -> None:
    view = corrections.save_slot(ws, predicted.id, "restaurant", "area", "south", "anna", predicted.state_head)
    corrections.mark_slot(ws, predicted.id, "restaurant", "food", "ben")
    with pytest.raises(ConflictError, match="ben changed this turn"):
        corrections.undo(ws, predicted.id, "anna", view.head)
