"""Hearing or understanding: what the model had wrong by itself is told apart, once for each slot, however it was put right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from db.models import Checkpoint, Dialogue, Split
from db.repositories import settings
from studio.services import (
    adjudication,
    corrections,
    dialogues,
    double,
    following,
    ontology_changes,
    propagation,
    review,
    understanding,
    verdicts,
)
from studio.services.ontology_edits import Change
from studio.services.views import TurnView
from studio.workspace import Workspace
from tests.studio.conftest import FakeTracker

HEARD = {"restaurant": {"area": "north", "food": "thai"}}
SAID = {"restaurant": {"area": "south", "food": "thai"}}
AREA, FOOD = ("restaurant", "area"), ("restaurant", "food")
MISHEARD, MISUNDERSTOOD = (1, 0), (0, 1)


@pytest.fixture
def turns(ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker) -> list[TurnView]:
    """Two user turns that were understood alike, with the agent between them; "in the south" would be understood."""
    tracker.understood = HEARD
    tracker.on_words = {"in the south": SAID}
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    dialogues.add_user_turn(ws, dialogue.id, sound(0))
    dialogues.add_agent_turn(ws, dialogue.id, "and?")
    dialogues.add_user_turn(ws, dialogue.id, sound(1))
    return [turn for turn in understanding.predict_dialogue(ws, dialogue.id).turns if turn.speaker == "user"]


class Hands:
    """What somebody does to a turn as the Correct page has it done: each change is followed by what follows from it."""

    def __init__(self, ws: Workspace, turn: TurnView, author: str = "anna") -> None:
        self.ws, self.turn, self.author = ws, turn, author
        self.layer = double.layer_of_turn(ws, turn.id, author)

    def view(self) -> TurnView:
        return dialogues.get_turn(self.ws, self.turn.id, self.layer)

    def done(self) -> None:
        propagation.propagate(self.ws, self.turn.id, self.layer)

    def words(self, text: str) -> None:
        corrections.save_transcript(self.ws, self.turn.id, text, self.author, self.view().transcript_head, self.layer)
        self.done()

    def slot(self, name: str, value: str | None) -> None:
        head = self.view().state_head
        corrections.save_slot(self.ws, self.turn.id, "restaurant", name, value, self.author, head, layer=self.layer)
        self.done()

    def confirm(self, name: str) -> None:
        corrections.mark_slot(self.ws, self.turn.id, "restaurant", name, self.author, layer=self.layer)
        self.done()

    def whole(self, act: Callable[..., TurnView]) -> None:
        """``corrections.accept_turn``, ``undo`` or ``redo``."""
        act(self.ws, self.turn.id, self.author, self.view().head, layer=self.layer)
        self.done()

    def restore(self, revision_id: int) -> None:
        corrections.restore(self.ws, self.turn.id, revision_id, self.author, self.view().head, layer=self.layer)
        self.done()


def test_a_value_that_was_renamed_since_was_not_misunderstood(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    hands = Hands(ws, turns[1])
    hands.confirm("area")
    hands.slot("name", "curry garden")
    ontology_changes.save(ws, project, Change("rename", *AREA, "north", "northern"), "anna", relabel=True)
    assert hands.view().state["restaurant"]["area"] == "northern"
    hands.slot("food", "chinese")
    assert set(verdicts.counts(ws, project)) == {FOOD, ("restaurant", "name")}


@pytest.mark.parametrize(("understood", "kind"), [("south", MISHEARD), ("north", MISUNDERSTOOD)])
def test_right_words_that_are_understood_show_that_they_were_misheard(
    ws: Workspace, project: int, turns: list[TurnView], tracker: FakeTracker, understood: str, kind: tuple[int, int]
) -> None:
    tracker.on_words = {"in the south": {"restaurant": {"area": understood, "food": "thai"}}}
    hands = Hands(ws, turns[1])
    hands.slot("area", "south")
    assert verdicts.counts(ws, project) == {AREA: MISUNDERSTOOD}, "as far as the words go that stand by now"
    hands.words("in the south")
    assert verdicts.counts(ws, project) == {AREA: kind}
    hands.slot("food", "indian")
    assert verdicts.counts(ws, project) == {AREA: kind, FOOD: MISUNDERSTOOD}, "a later correction forgets no verdict"
    asked = len(tracker.asked)
    verdicts.find(ws, turns[1].id)
    assert len(tracker.asked) == asked, "what is known is not asked again"


def test_what_the_right_words_put_right_was_misheard_once_somebody_says_that_it_is_right(
    ws: Workspace, project: int, turns: list[TurnView]
) -> None:
    hands = Hands(ws, turns[0])
    hands.words("in the south")
    assert hands.view().state == SAID and verdicts.counts(ws, project) == {}, "nobody has looked at the state yet"
    hands.confirm("area")
    assert verdicts.counts(ws, project) == {AREA: MISHEARD}
    hands.whole(corrections.accept_turn)
    assert verdicts.counts(ws, project) == {AREA: MISHEARD}, "the later turn only carried it on"
    assert verdicts.of_turn(ws, turns[0].id) == [verdicts.Verdict(*AREA, misheard=True)]


def test_only_errors_of_the_checkpoint_in_use_in_dialogues_to_train_on_are_counted(
    ws: Workspace, project: int, turns: list[TurnView]
) -> None:
    Hands(ws, turns[0]).slot("area", "south")
    assert verdicts.counts(ws, project) == {AREA: MISUNDERSTOOD}
    for split in (Split.DEV, Split.TEST, Split.TRAIN):
        with ws.write() as session:
            session.get_one(Dialogue, turns[0].dialogue_id).split = split
        assert (verdicts.counts(ws, project) == {}) == (split != Split.TRAIN)
    with ws.write() as session:
        newer = Checkpoint(name="newer", path="newer")
        session.add(newer)
        session.flush()
        settings.put(session, settings.CHECKPOINT_IN_USE, newer.id)
    assert verdicts.counts(ws, project) == {} and verdicts.of_turn(ws, turns[0].id), "the turn is still found by its error"


def test_what_a_reviewer_agrees_with_is_settled_too(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    hands = Hands(ws, turns[0])
    hands.words("in the south")
    review.take_step(ws, turns[0].id, "reviewed", "rita")
    hands.done()
    assert verdicts.counts(ws, project) == {AREA: MISHEARD}


def test_an_accepted_state_tells_also_of_the_slots_that_the_right_words_took_away(
    ws: Workspace, project: int, turns: list[TurnView], tracker: FakeTracker
) -> None:
    tracker.on_words = {"thai food": {"restaurant": {"food": "thai"}}}
    hands = Hands(ws, turns[0])
    hands.words("thai food")
    hands.whole(corrections.accept_turn)
    assert verdicts.counts(ws, project) == {AREA: MISHEARD}


def test_what_is_undone_is_not_counted_and_what_is_redone_or_restored_once(
    ws: Workspace, project: int, turns: list[TurnView]
) -> None:
    hands = Hands(ws, turns[0])
    hands.words("in the south")
    hands.whole(corrections.accept_turn)
    for act, counted in ((corrections.undo, {}), (corrections.redo, {AREA: MISHEARD}), (corrections.undo, {})):
        hands.whole(act)
        assert verdicts.counts(ws, project) == counted
    hands.whole(corrections.undo)
    assert hands.view().transcript == "a place in the north" and hands.view().state == HEARD
    hands.slot("area", "south")
    corrected = corrections.history(ws, turns[0].id)[0]
    hands.whole(corrections.undo)
    assert verdicts.counts(ws, project) == {}
    hands.restore(corrected.id)
    assert verdicts.counts(ws, project) == {AREA: MISUNDERSTOOD}, "on the words that stand now"


def test_an_error_is_counted_in_the_turn_it_comes_from(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    first, second = Hands(ws, turns[0]), Hands(ws, turns[1])
    second.slot("area", "south")
    assert verdicts.of_turn(ws, turns[1].id), "nobody has said yet that the first turn is wrong too"
    first.words("in the south")
    first.slot("area", "south")
    assert verdicts.counts(ws, project) == {AREA: MISHEARD}
    assert verdicts.of_turn(ws, turns[1].id) == []
    first.slot("area", "north")
    assert [verdict.slot for verdict in verdicts.of_turn(ws, turns[1].id)] == ["area"], "it is the second turn's after all"


def test_right_on_its_own_words_is_no_error_of_the_turn(
    ws: Workspace, project: int, turns: list[TurnView], tracker: FakeTracker
) -> None:
    hands = Hands(ws, turns[1])
    hands.slot("area", "south")
    tracker.understood = SAID  # what was said before the turn is another thing now
    agent = dialogues.get_dialogue(ws, turns[1].dialogue_id).turns[1]
    Hands(ws, agent).words("in the south?")
    hands.slot("food", "indian")
    assert verdicts.counts(ws, project) == {FOOD: MISUNDERSTOOD}
    hands.words("A place, in the North.")  # is no other one
    assert verdicts.counts(ws, project) == {FOOD: MISUNDERSTOOD}


def test_a_blind_verdict_is_its_annotators_until_a_decision_takes_it_over_once(
    ws: Workspace, project: int, twice: list[TurnView], tracker: FakeTracker
) -> None:
    tracker.on_words = {"in the south": {"restaurant": {"area": "south"}}}
    ben, cleo = (Hands(ws, twice[0], name) for name in ("ben", "cleo"))
    for hands in (ben, cleo):
        hands.words("in the south")
        hands.whole(corrections.accept_turn)
    cleo.slot("food", "thai")
    assert verdicts.counts(ws, project) == {} and verdicts.of_turn(ws, twice[0].id) == []
    assert verdicts.of_turn(ws, twice[0].id, "ben") == [verdicts.Verdict(*AREA, misheard=True)]
    assert len(verdicts.of_turn(ws, twice[0].id, "cleo")) == 2
    asked = len(tracker.asked)
    adjudication.take(ws, twice[0].id, "cleo", "rita")
    assert verdicts.counts(ws, project) == {AREA: MISHEARD, FOOD: MISUNDERSTOOD}
    verdicts.find(ws, twice[0].id)
    assert verdicts.counts(ws, project) == {AREA: MISHEARD, FOOD: MISUNDERSTOOD} and len(tracker.asked) == asked


def test_a_decision_that_nobody_had_gets_a_verdict_of_its_own(
    ws: Workspace, project: int, twice: list[TurnView], tracker: FakeTracker
) -> None:
    tracker.on_words = {"in the south": {"restaurant": {"area": "south"}}}
    Hands(ws, twice[0], "ben").slot("area", "west")
    Hands(ws, twice[0], "cleo").slot("area", "east")
    adjudication.decide(ws, twice[0].id, "in the south", {"restaurant": {"area": "south"}}, "rita")
    assert verdicts.counts(ws, project) == {}, "neither annotator's verdict speaks of it"
    following.catch_up(ws)  # as the studio does
    assert verdicts.counts(ws, project) == {AREA: MISHEARD}
