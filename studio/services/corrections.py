"""Correcting a turn without ever overwriting: every change appends a revision, an undo its inverse, a redo the inverse of that.

A slot that somebody wrote or confirmed is marked: it never moves by itself when an earlier turn is corrected
(`studio.services.propagation`). Changing a held-out label that others rely on is a `HeldOutError` until it is unlocked
(`studio.services.labels`). ``layer`` is whose labels are meant: the project's, or those of a blind annotator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from db.models import Dialogue, Prediction, Revision, RevisionKind, RevisionSource, SlotMark, Turn, TurnStatus
from db.repositories import revisions
from db.repositories.revisions import LABELS
from engine.dialogue import State, Value, accepted, check_state, iterate_slots
from studio.errors import ConflictError, StudioError
from studio.services import double, labels, ontology, search, verdicts
from studio.services.views import RevisionView, TurnView, dialogue_view, locked_turn, revision_view, turn_view
from studio.workspace import Workspace

ANY_PREDICTION = -1  # in place of a prediction's id: whatever the model said
_UNMARKED = object()
_ANSWERED = "{} has answered this turn meanwhile: look again, then save."


def save_transcript(ws: Workspace, turn_id: int, text: str, author: str, expected: int | None, layer: str = LABELS) -> TurnView:
    """Correct what was said. ``expected`` is ``TurnView.transcript_head`` as the author saw it. An unchanged text saves
    nothing.

    Raises:
        ConflictError: somebody changed the transcript since.
        StudioError: no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        edit.save_transcript(" ".join(text.split()), author, expected)
    return edit.view


def save_slot(
    ws: Workspace,
    turn_id: int,
    domain: str,
    slot: str,
    value: Value | None,
    author: str,
    expected: int | None,
    prediction: int | None = ANY_PREDICTION,
    layer: str = LABELS,
) -> TurnView:
    """Correct one slot of the state after a user turn; ``None`` takes the slot away. ``expected`` is
    ``TurnView.state_head``, ``prediction`` is ``TurnView.prediction_id``: the other slots stay as the author saw them.

    A text or a list replaces all forms of the value that stands there. A new value is offered from then on.

    Raises:
        ConflictError: somebody changed the state since, or the model answered.
        StudioError: an agent turn, an empty name or value, or no such turn.
    """
    domain, slot = domain.strip(), slot.strip()
    forms = None if value is None else [form.strip() for form in accepted(value)]
    if not (domain and slot) or (forms is not None and not (forms and all(forms))):
        raise StudioError("A slot needs a domain, a name and a value: fill them in, or remove the slot.")
    with _editing(ws, turn_id, layer) as edit:
        view = edit.view
        base = view.state if view.state is not None else view.previous_state
        state = {name: dict(slots) for name, slots in base.items()}
        written: State = {}
        if forms is None:
            state.get(domain, {}).pop(slot, None)
        else:
            new = forms[0] if len(forms) == 1 else forms
            state.setdefault(domain, {})[slot] = new
            written = {domain: {slot: new}}
        edit.save_state({name: slots for name, slots in state.items() if slots}, author, expected, prediction, written)
    return edit.view


def save_state(
    ws: Workspace,
    turn_id: int,
    state: State,
    author: str,
    expected: int | None,
    prediction: int | None = ANY_PREDICTION,
    layer: str = LABELS,
) -> TurnView:
    """Replace the whole state after a user turn (the raw JSON editor). ``expected`` is ``TurnView.state_head``,
    ``prediction`` is ``TurnView.prediction_id``. New values are offered from then on.

    Raises:
        ConflictError: somebody changed the state since, or the model answered.
        StudioError: not a state, an agent turn, or no such turn.
    """
    try:
        check_state(state)
    except ValueError as error:
        raise StudioError(f"This is no dialogue state: {error}.") from error
    with _editing(ws, turn_id, layer) as edit:
        edit.save_state(state, author, expected, prediction, state)
    return edit.view


def accept_turn(
    ws: Workspace,
    turn_id: int,
    author: str,
    expected: int | None,
    prediction: int | None = ANY_PREDICTION,
    layer: str = LABELS,
) -> TurnView:
    """Say that the model was right: what stands now becomes the correction, so that the turn counts for training.

    ``expected`` is ``TurnView.head``, ``prediction`` is ``TurnView.prediction_id``.

    Raises:
        ConflictError: somebody changed the turn since, or the model answered again.
        StudioError: there is no prediction to accept, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        view = edit.view
        edit.check(view.head, expected, None, None)
        edit.check_prediction(prediction, None, None)
        if view.model_transcript is None:
            raise StudioError("There is nothing to accept yet: let the model answer this turn first.")
        if view.corrected_transcript is None:
            edit.append(RevisionKind.TRANSCRIPT, view.transcript, view.transcript, author, RevisionSource.MODEL)
        if view.speaker == "user" and view.corrected_state is None:
            edit.append(RevisionKind.STATE, view.state, view.state, author, RevisionSource.MODEL)
    return edit.view


def save_decision(ws: Workspace, turn_id: int, transcript: str, state: State, author: str) -> TurnView:
    """Write a reviewer's decision on a turn that was annotated blind: its first labels, words and whole state at once.

    Raises:
        StudioError: not a state, somebody has decided on the turn meanwhile, or no such turn.
    """
    try:
        check_state(state)
    except ValueError as error:
        raise StudioError(f"This is no dialogue state: {error}.") from error
    with _editing(ws, turn_id, LABELS, deciding=True) as edit:
        if edit.view.labelled:
            raise StudioError("Somebody has decided on this turn meanwhile: choose another one.")
        words = " ".join(transcript.split())
        edit.append(RevisionKind.TRANSCRIPT, edit.view.transcript, words, author, RevisionSource.ADJUDICATED)
        edit.append(RevisionKind.STATE, edit.view.state, state, author, RevisionSource.ADJUDICATED)
        ontology.remember(edit.session, edit.turn.dialogue, state, author)
        for domain, slot, value in iterate_slots(state):
            edit.mark(domain, slot, value, author)
        verdicts.take_over(edit.session, edit.turn)
    return edit.view


def history(ws: Workspace, turn_id: int, layer: str = LABELS) -> list[RevisionView]:
    """Every change of a turn's labels in a layer, newest first."""
    with ws.read() as session:
        turn = session.get(Turn, turn_id)
        found = reversed(turn.revisions) if turn is not None else ()
        return [revision_view(revision) for revision in found if revision.layer == layer]


def undo(ws: Workspace, turn_id: int, author: str, expected: int | None, layer: str = LABELS) -> TurnView:
    """Take back the newest change that still stands, by appending its inverse; the last undo returns to the model's
    value. An ``accept_turn`` is taken back whole.

    ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: nothing to undo, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        edit.check(edit.view.head, expected, None, None)
        for stack in edit.last_done(0, "There is nothing to undo in this turn."):
            edit.append(stack[-1].kind, stack[-1].new, edit.value_below(stack), author, RevisionSource.UNDO)
    return edit.view


def redo(ws: Workspace, turn_id: int, author: str, expected: int | None, layer: str = LABELS) -> TurnView:
    """Bring back what the last undo took back, unless something else was written since. ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: nothing to redo, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        edit.check(edit.view.head, expected, None, None)
        for stack in edit.last_done(1, "There is nothing to redo in this turn."):
            old = edit.view.transcript if stack[-1].kind == RevisionKind.TRANSCRIPT else edit.view.state
            edit.append(stack[-1].kind, old, stack[-1].new, author, RevisionSource.REDO)
    return edit.view


def restore(
    ws: Workspace, turn_id: int, revision_id: int | None, author: str, expected: int | None, layer: str = LABELS
) -> TurnView:
    """Bring back what stood after a change of the turn's history, as a change of its own. ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: the turn's history has no such change, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        edit.check(edit.view.head, expected, None, None)
        wanted = next((one for one in edit.turn.revisions if (one.id, one.layer) == (revision_id, layer)), None)
        if wanted is None or wanted.new is None:
            raise StudioError("The turn's history has no such state or text: choose one of the list.")
        if wanted.kind == RevisionKind.TRANSCRIPT:
            edit.save_transcript(wanted.new, author, edit.view.transcript_head)
        else:
            edit.save_state(wanted.new, author, edit.view.state_head, ANY_PREDICTION, {})
    return edit.view


def mark_slot(
    ws: Workspace,
    turn_id: int,
    domain: str,
    slot: str,
    author: str,
    confirmed: bool = True,
    layer: str = LABELS,
    shown: Value | None = None,
) -> TurnView:
    """Confirm a slot's value as it stands (its absence too), or take that back. A confirmed value never moves by itself.

    ``shown`` is the value that the author saw; without, whatever stands is meant.

    Raises:
        ConflictError: another value stands there by now.
        StudioError: an agent turn, a turn without a state, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        if edit.view.state is None:
            raise StudioError("There is no state to confirm yet: let the model answer this turn first.")
        value = edit.view.state.get(domain, {}).get(slot)
        if shown is not None and (value is None or _entered(value) != _entered(shown)):
            edit.refuse_value(domain, slot, shown)
        edit.mark(domain, slot, value if confirmed else _UNMARKED, author)
    return edit.view


def check_seen(ws: Workspace, session: Session, turn: Turn, view: TurnView, head: int | None, prediction: int | None) -> None:
    """Refuse what is decided on a whole turn that is another one by now: ``view`` is how it stands, ``head`` and ``prediction``
    are what the author saw of it. Part of the caller's transaction.

    Raises:
        ConflictError: somebody changed the turn since, or the model answered and its words or state stand.
    """
    edit = _Edit(ws, session, turn, view, view.layer)
    edit.check(view.head, head, None, None)
    if None in (view.corrected_transcript, view.corrected_state):
        edit.check_prediction(prediction, None, None)


def relabel(
    ws: Workspace, session: Session, row: Dialogue, turns: Sequence[Turn], change: Callable[[State], State], author: str
) -> set[int]:
    """Put other states in place of labelled ones because the ontology names their slots or values differently now; the ids of
    the turns that this changed. Part of the caller's transaction; undone like any correction.

    Args:
        row: a loaded dialogue.
        turns: those of its turns that are meant.

    Raises:
        HeldOutError: scores are measured on the turns' labels, and the author has not unlocked them.
    """
    changed: set[int] = set()
    for turn, view in zip(row.turns, dialogue_view(ws, row).turns, strict=True):
        old = view.corrected_state if turn in turns else None
        new = change(old) if old is not None else None
        if new is not None and old is not None and _plain(new) != _plain(old):
            _Edit(ws, session, turn, view, LABELS).append(RevisionKind.STATE, old, new, author, RevisionSource.ONTOLOGY)
            changed.add(turn.id)
    for turn, view in zip(row.turns, dialogue_view(ws, row).turns, strict=True):
        if turn.id in changed:
            search.index(turn, view)
    return changed


@dataclass
class _Edit:
    """A turn under change. ``view`` is the turn as it stands, and after the block the turn as it was saved."""

    ws: Workspace
    session: Session
    turn: Turn
    view: TurnView
    layer: str

    def save_transcript(self, new: str, author: str, expected: int | None) -> None:
        old = self.view.transcript
        self.check(self.view.transcript_head, expected, new, old)
        if new != " ".join((old or "").split()):
            self.append(RevisionKind.TRANSCRIPT, old, new, author, RevisionSource.USER)

    def save_state(self, new: State, author: str, expected: int | None, prediction: int | None, written: State) -> None:
        """``written`` is the part of ``new`` that the author wrote."""
        if self.view.speaker != "user":
            raise StudioError("The dialogue state stands after a user turn: choose one.")
        old = self.view.state
        self.check(self.view.state_head, expected, new, old)
        if self.view.corrected_state is None:
            self.check_prediction(prediction, new, old)
        if old is None or _plain(new) != _plain(old):
            self.append(RevisionKind.STATE, old, new, author, RevisionSource.USER)
            if self.layer == LABELS:  # a blind annotator's value would be offered to the other one
                ontology.remember(self.session, self.turn.dialogue, written, author)
        for domain, slot, value in iterate_slots(written):
            self.mark(domain, slot, value, author)  # choosing what stands already confirms it

    def check(self, head: int | None, expected: int | None, mine: Any, theirs: Any) -> None:
        if head != expected:
            raise ConflictError(mine, theirs, self.author_of(head), self.view)

    def check_prediction(self, seen: int | None, mine: Any, theirs: Any) -> None:
        if seen in (ANY_PREDICTION, self.view.prediction_id):
            return
        answer = self.session.get(Prediction, seen) if seen is not None else None
        # the same answer once more changes nothing of what the author saw
        if answer is None or (answer.transcript, answer.state) != (self.view.model_transcript, self.view.predicted_state):
            raise ConflictError(mine, theirs, "The model", self.view, _ANSWERED)

    def refuse_value(self, domain: str, slot: str, shown: Value) -> NoReturn:
        state = self.view.state or {}
        mine = state | {domain: state.get(domain, {}) | {slot: shown}}
        if self.view.corrected_state is None:
            raise ConflictError(mine, state, "The model", self.view, _ANSWERED)
        raise ConflictError(mine, state, self.author_of(self.view.state_head), self.view)

    def author_of(self, head: int | None) -> str:
        return next((revision.author for revision in self.turn.revisions if revision.id == head), "Somebody")

    def append(self, kind: RevisionKind, old: Any, new: Any, author: str, source: RevisionSource) -> None:
        """Add a revision; what a person decided about a slot is marked. Labels that are locked are refused."""
        if self.layer == LABELS:
            labels.check(self.session, self.turn, author)
        revisions.append(self.session, self.turn, kind, old, new, author, source, self.layer)
        if kind == RevisionKind.STATE:
            # who accepts a state, or takes that back, decides on all of it
            decided = _slots(new or {}) if old == new else _changed(old or {}, new or {})
            for (domain, slot), value in decided.items():
                self.mark(domain, slot, _UNMARKED if source == RevisionSource.UNDO else value, author)

    def mark(self, domain: str, slot: str, value: Any, author: str) -> None:
        """Note that somebody decided on a slot; ``_UNMARKED`` forgets it."""
        place = (self.turn.id, self.layer, domain, slot)
        found = next((mark for mark in self.turn.marks if (mark.turn_id, mark.layer, mark.domain, mark.slot) == place), None)
        if value is _UNMARKED:
            if found is not None:
                self.turn.marks.remove(found)
        elif found is not None:
            found.value, found.author = value, author
        else:
            names = {"turn_id": self.turn.id, "layer": self.layer, "domain": domain, "slot": slot}
            self.turn.marks.append(SlotMark(**names, value=value, author=author))

    def last_done(self, which: int, nothing: str) -> list[list[Revision]]:
        """The stacks (0: standing, 1: taken back) whose top the next undo or redo concerns: one, or both halves of an
        ``accept_turn``."""
        stacks = [stack for kind in RevisionKind if (stack := revisions.stacks(self.turn, kind, self.layer)[which])]
        if not stacks:
            raise StudioError(nothing)
        # what was done last is undone first; what was undone last, the oldest of what waits, is redone first
        stacks.sort(key=lambda stack: stack[-1].id, reverse=which == 0)
        return stacks if _accepted_at_once(self.turn, [stack[-1] for stack in stacks]) else stacks[:1]

    def value_below(self, stack: list[Revision]) -> Any:
        """What stands once the newest of a stack is taken back."""
        if len(stack) > 1:
            return stack[-2].new
        return self.view.model_transcript if stack[-1].kind == RevisionKind.TRANSCRIPT else self.view.predicted_state


@contextmanager
def _editing(ws: Workspace, turn_id: int, layer: str, deciding: bool = False) -> Iterator[_Edit]:
    """One committed transaction on one turn that nobody else can change meanwhile; ``deciding`` on what is annotated blind."""
    with ws.write() as session:
        turn = locked_turn(session, turn_id)
        if turn.status == TurnStatus.FINAL:
            raise StudioError("This turn is final: a reviewer has to reopen it before anything changes.")
        if not deciding:
            double.check_layer(turn, layer)
        edit = _Edit(ws, session, turn, turn_view(ws, session, turn, layer), layer)
        yield edit
        session.flush()
        edit.view = turn_view(ws, session, turn, layer)
        if layer == LABELS:
            search.index(turn, edit.view)


def _plain(state: State) -> list[tuple[str, str, list[str]]]:
    """A state to compare with: outer spaces, empty domains and the order of slots make no difference."""
    return sorted((domain, slot, [form.strip() for form in accepted(value)]) for domain, slot, value in iterate_slots(state))


def _entered(value: Value) -> list[str]:
    """A value's forms as a form field holds them, between bars."""
    return list(dict.fromkeys(part.strip() for form in accepted(value) for part in form.split("|")))


def _slots(state: State) -> dict[tuple[str, str], Value | None]:
    return {(domain, slot): value for domain, slot, value in iterate_slots(state)}


def _changed(old: State, new: State) -> dict[tuple[str, str], Value | None]:
    """The slots whose value is another one now, with the new value; ``None`` for one that went."""
    before, after = _slots(old), _slots(new)
    return {place: after.get(place) for place in before | after if before.get(place) != after.get(place)}


def _accepted_at_once(turn: Turn, newest: list[Revision]) -> bool:
    """Whether the newest revisions of both kinds are the two halves of one ``accept_turn``."""
    places = [turn.revisions.index(revision) for revision in newest if revision.source == RevisionSource.MODEL]
    return len(places) == 2 and abs(places[0] - places[1]) == 1
