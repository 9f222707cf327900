"""One turn under change: what a correction (`studio.services.corrections`) does to its revisions and the marks of its slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Prediction, Revision, RevisionKind, RevisionSource, SlotMark, Turn
from db.repositories import revisions
from db.repositories.revisions import LABELS, Step
from engine.dialogue import State, Value, accepted, iterate_slots
from studio.errors import ConflictError, StudioError
from studio.services import labels, ontology
from studio.services.views import TurnView

ANY_PREDICTION = -1  # in place of a prediction's id: whatever the model said
Slots = dict[tuple[str, str], Value | None]  # slots with their values; None: it has none
_ANSWERED = "{} has answered this turn meanwhile: look again, then save."


@dataclass
class Edit:
    """A turn under change. ``view`` is the turn as it stands, and after the block the turn as it was saved."""

    session: Session
    turn: Turn
    view: TurnView
    layer: str
    changed: bool = False  # whether the rest of the dialogue has something to follow

    def save_transcript(self, new: str, author: str, expected: int | None) -> None:
        old = self.view.transcript
        self.check(self.view.transcript_head, expected, new, old)
        if new != " ".join((old or "").split()):
            self.append(RevisionKind.TRANSCRIPT, old, new, author, RevisionSource.USER, {})

    def save_state(self, new: State, author: str, expected: int | None, prediction: int | None, written: State) -> None:
        """``written`` is the part of ``new`` that the author wrote."""
        if self.view.speaker != "user":
            raise StudioError("The dialogue state stands after a user turn: choose one.")
        old = self.view.state
        self.check(self.view.state_head, expected, new, old)
        if self.view.corrected_state is None:
            self.check_prediction(prediction, new, old)
        if old is None or plain(new) != plain(old):
            decided = changed_slots(old or {}, new) | slots_of(written)
            self.append(RevisionKind.STATE, old, new, author, RevisionSource.USER, decided)
            if self.layer == LABELS:  # a blind annotator's value would be offered to the other one
                ontology.remember(self.session, self.turn.dialogue, written, author)
        else:
            self.confirm(slots_of(written), author)  # choosing what stands already

    def check(self, head: int | None, expected: int | None, mine: Any, theirs: Any) -> None:
        if head != expected:
            raise ConflictError(mine, theirs, self.author_of(head), self.view)

    def check_prediction(self, seen: int | None, mine: Any, theirs: Any) -> None:
        if seen != ANY_PREDICTION and not same_answer(self.session, self.view, seen):
            raise ConflictError(mine, theirs, "The model", self.view, _ANSWERED)

    def refuse_value(self, domain: str, slot: str, shown: Value) -> NoReturn:
        state = self.view.state or {}
        mine = state | {domain: state.get(domain, {}) | {slot: shown}}
        if self.view.corrected_state is None:
            raise ConflictError(mine, state, "The model", self.view, _ANSWERED)
        raise ConflictError(mine, state, self.author_of(self.view.state_head), self.view)

    def author_of(self, head: int | None) -> str:
        return next((revision.author for revision in self.turn.revisions if revision.id == head), "Somebody")

    def append(self, kind: RevisionKind, old: Any, new: Any, author: str, source: RevisionSource, decided: Slots) -> None:
        """Add a revision; what a person ``decided`` with it about slots is marked. Labels that are locked are refused."""
        if self.layer == LABELS and kind in LABEL_KINDS:
            labels.check(self.session, self.turn, author)
        before: dict[str, dict[str, Any]] = {}
        for domain, slot in decided:
            before.setdefault(domain, {})[slot] = self._marked(domain, slot)
        revisions.append(self.session, self.turn, kind, old, new, author, source, self.layer, before)
        for (domain, slot), value in decided.items():
            self._mark(domain, slot, {"value": value, "author": author})
        if kind == RevisionKind.STATE and self.layer == LABELS:
            ontology.recall(self.session, self.turn.dialogue, new or {}, author)
        self.changed = True

    def confirm(self, slots: Slots, author: str, source: RevisionSource = RevisionSource.USER) -> None:
        """Mark slots as they stand; those that are marked so already stay as they are."""
        state: dict[str, dict[str, Value | None]] = {}
        for (domain, slot), value in slots.items():
            mark = self._marked(domain, slot)
            if mark is None or mark["value"] != value:
                state.setdefault(domain, {})[slot] = value
        if state:
            self.append(RevisionKind.CONFIRMATION, None, state, author, source, slots_of(state))

    def take_back(self, steps: list[Step], author: str) -> None:
        """Append the inverse of the newest of these steps, and mark its slots as they were before it."""
        done, by = steps[-1]
        self.append(done.kind, done.new, self._value_below(steps), author, RevisionSource.UNDO, {})
        for domain, slot in _decided(done):
            below = by.marks.get(domain, {}).get(slot) if by.marks is not None else None  # `None`: of before it was kept
            self._mark(domain, slot, below)

    def bring_back(self, done: Revision, author: str) -> None:
        """Append once more what was taken back, and mark the slots that were decided with it."""
        old = {RevisionKind.TRANSCRIPT: self.view.transcript, RevisionKind.STATE: self.view.state}.get(done.kind)
        self.append(done.kind, old, done.new, author, RevisionSource.REDO, _decided(done))

    def last_done(self, which: int, nothing: str) -> list[list[Step]]:
        """The chains (0: standing, 1: taken back) whose newest step the next undo or redo concerns: one, or both halves of an
        ``accept_turn``."""
        chains = [steps for kind in RevisionKind if (steps := revisions.steps(self.turn, kind, self.layer)[which])]
        if not chains:
            raise StudioError(nothing)
        chains.sort(key=lambda steps: steps[-1][1].id, reverse=True)
        newest = chains[:2]
        return newest if _accepted_at_once(self.turn, [steps[-1][0] for steps in newest]) else newest[:1]

    def _value_below(self, steps: list[Step]) -> Any:
        """What stands once the newest of these steps is taken back."""
        kind = steps[-1][0].kind
        if kind == RevisionKind.CONFIRMATION:
            return None
        if len(steps) > 1:
            return steps[-2][0].new
        return self.view.model_transcript if kind == RevisionKind.TRANSCRIPT else self.view.predicted_state

    def _marked(self, domain: str, slot: str) -> dict[str, Any] | None:
        found = self._found(domain, slot)
        return {"value": found.value, "author": found.author} if found is not None else None

    def _mark(self, domain: str, slot: str, mark: dict[str, Any] | None) -> None:
        """Note who decided on a slot's value; ``None`` forgets it."""
        found = self._found(domain, slot)
        if mark is None:
            if found is not None:
                self.turn.marks.remove(found)
        elif found is not None:
            found.value, found.author = mark["value"], mark["author"]
        else:
            names = {"turn_id": self.turn.id, "layer": self.layer, "domain": domain, "slot": slot}
            self.turn.marks.append(SlotMark(**names, **mark))

    def _found(self, domain: str, slot: str) -> SlotMark | None:
        place = (self.layer, domain, slot)
        return next((mark for mark in self.turn.marks if (mark.layer, mark.domain, mark.slot) == place), None)


def same_answer(session: Session, view: TurnView, seen: int | None) -> bool:
    """Whether the answer that was ``seen``, or the same once more, is what the model says of the turn now."""
    if seen == view.prediction_id:
        return True
    answer = session.get(Prediction, seen) if seen is not None else None
    return answer is not None and (answer.transcript, answer.state) == (view.model_transcript, view.predicted_state)


def plain(state: State) -> list[tuple[str, str, list[str]]]:
    """A state to compare with: outer spaces, empty domains and the order of slots make no difference."""
    return sorted((domain, slot, [form.strip() for form in accepted(value)]) for domain, slot, value in iterate_slots(state))


def entered(value: Value) -> list[str]:
    """A value's forms as a form field holds them, between bars."""
    return list(dict.fromkeys(part.strip() for form in accepted(value) for part in form.split("|")))


def slots_of(state: Mapping[str, Mapping[str, Value | None]]) -> Slots:
    return {(domain, slot): value for domain, slot, value in iterate_slots(state)}


def _decided(done: Revision) -> Slots:
    """The slots that somebody decided on with a change, and the values they have by it."""
    if done.kind == RevisionKind.TRANSCRIPT or done.source in (RevisionSource.IMPORT, RevisionSource.PROPAGATED):
        return {}
    after = slots_of(done.new or {})
    if done.marks is not None:
        return {place: after.get(place) for place in slots_of(done.marks)}
    return after if done.old == done.new else changed_slots(done.old or {}, done.new or {})


def changed_slots(old: State, new: State) -> Slots:
    """The slots whose value is another one now, with the new value; ``None`` for one that went."""
    before, after = slots_of(old), slots_of(new)
    return {place: after.get(place) for place in before | after if before.get(place) != after.get(place)}


def _accepted_at_once(turn: Turn, newest: list[Revision]) -> bool:
    """Whether these are the two halves of one ``accept_turn``."""
    places = [turn.revisions.index(revision) for revision in newest if revision.source == RevisionSource.MODEL]
    return len(places) == 2 and abs(places[0] - places[1]) == 1
