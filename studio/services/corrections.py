"""Correcting a turn without ever overwriting: every change appends a revision, an undo its inverse, a redo the inverse of that.

A slot that somebody wrote or confirmed is marked: it never moves by itself when an earlier turn is corrected
(`studio.services.propagation`). A confirmation alone is a change as well; an undo brings back the marks that stood below. What
changes is followed by the rest of the dialogue (`studio.services.following`). Changing a held-out label that others rely on is a
`HeldOutError` until it is unlocked (`studio.services.labels`). ``layer`` is whose labels are meant: the project's, or those of a
blind annotator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Prediction, Revision, RevisionKind, RevisionSource, SlotMark, Turn, TurnStatus
from db.repositories import follows, revisions
from db.repositories.revisions import LABELS, Step
from engine.dialogue import State, Value, accepted, check_state, iterate_slots
from studio.errors import ConflictError, StudioError
from studio.services import double, labels, ontology, search, verdicts
from studio.services.views import RevisionView, TurnView, locked_turn, revision_view, turn_view
from studio.workspace import Workspace

ANY_PREDICTION = -1  # in place of a prediction's id: whatever the model said
Slots = dict[tuple[str, str], Value | None]  # slots with their values; None: it has none
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
            edit.append(RevisionKind.TRANSCRIPT, view.transcript, view.transcript, author, RevisionSource.MODEL, {})
        if view.speaker == "user" and view.corrected_state is None:
            edit.append(RevisionKind.STATE, view.state, view.state, author, RevisionSource.MODEL, _slots(view.state or {}))
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
        edit.append(RevisionKind.TRANSCRIPT, edit.view.transcript, words, author, RevisionSource.ADJUDICATED, {})
        old = edit.view.state
        decided = _changed(old or {}, state) | _slots(state)
        edit.append(RevisionKind.STATE, old, state, author, RevisionSource.ADJUDICATED, decided)
        ontology.remember(edit.session, edit.turn.dialogue, state, author)
        verdicts.take_over(edit.session, edit.turn)
    return edit.view


def history(ws: Workspace, turn_id: int, layer: str = LABELS) -> list[RevisionView]:
    """Every change of a turn's labels and every confirmation in a layer, newest first."""
    with ws.read() as session:
        turn = session.get(Turn, turn_id)
        found = reversed(turn.revisions) if turn is not None else ()
        return [revision_view(revision) for revision in found if revision.layer == layer]


def undo(ws: Workspace, turn_id: int, author: str, expected: int | None, layer: str = LABELS) -> TurnView:
    """Take back the newest change that still stands, by appending its inverse; the last undo returns to the model's
    value. Slots are marked again as they were before. An ``accept_turn`` is taken back whole.

    ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: nothing to undo, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        edit.check(edit.view.head, expected, None, None)
        for steps in edit.last_done(0, "There is nothing to undo in this turn."):
            edit.take_back(steps, author)
    return edit.view


def redo(ws: Workspace, turn_id: int, author: str, expected: int | None, layer: str = LABELS) -> TurnView:
    """Bring back what the last undo took back, unless something else was written since. ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: nothing to redo, or no such turn.
    """
    with _editing(ws, turn_id, layer) as edit:
        edit.check(edit.view.head, expected, None, None)
        for steps in edit.last_done(1, "There is nothing to redo in this turn."):
            edit.bring_back(steps[-1][0], author)
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
        if wanted is None or wanted.new is None or wanted.kind not in LABEL_KINDS:
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
    layer: str = LABELS,
    shown: Value | None = None,
) -> TurnView:
    """Confirm a slot's value as it stands (its absence too), which an undo takes back. A confirmed value never moves by itself.

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
        edit.confirm({(domain, slot): value}, author)
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


def relabel(ws: Workspace, session: Session, turn: Turn, change: Callable[[State], State], author: str) -> bool:
    """Put another state in place of a labelled one because the ontology names its slots or values differently now; whether
    that changed it. Part of the caller's transaction; undone like any correction.

    Raises:
        HeldOutError: scores are measured on the turn's labels, and the author has not unlocked them.
    """
    edit = _Edit(ws, session, turn, turn_view(ws, session, turn), LABELS)
    old = edit.view.corrected_state
    new = change(old) if old is not None else None
    if old is None or new is None or _plain(new) == _plain(old):
        return False
    edit.append(RevisionKind.STATE, old, new, author, RevisionSource.ONTOLOGY, _changed(old, new))
    session.flush()
    search.index(turn, turn_view(ws, session, turn))
    return True


@dataclass
class _Edit:
    """A turn under change. ``view`` is the turn as it stands, and after the block the turn as it was saved."""

    ws: Workspace
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
        if old is None or _plain(new) != _plain(old):
            decided = _changed(old or {}, new) | _slots(written)
            self.append(RevisionKind.STATE, old, new, author, RevisionSource.USER, decided)
            if self.layer == LABELS:  # a blind annotator's value would be offered to the other one
                ontology.remember(self.session, self.turn.dialogue, written, author)
        else:
            self.confirm(_slots(written), author)  # choosing what stands already

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
        self.changed = True

    def confirm(self, slots: Slots, author: str) -> None:
        """Mark slots as they stand; those that are marked so already stay as they are."""
        state: dict[str, dict[str, Value | None]] = {}
        for (domain, slot), value in slots.items():
            mark = self._marked(domain, slot)
            if mark is None or mark["value"] != value:
                state.setdefault(domain, {})[slot] = value
        if state:
            self.append(RevisionKind.CONFIRMATION, None, state, author, RevisionSource.USER, _slots(state))

    def take_back(self, steps: list[Step], author: str) -> None:
        """Append the inverse of the newest of these steps, and mark its slots as they were before it."""
        done, by = steps[-1]
        self.append(done.kind, done.new, self._value_below(steps), author, RevisionSource.UNDO, {})
        unknown = dict.fromkeys(_decided(done)) if by.marks is None else {}  # of before it was kept what stood below
        for domain, slot, mark in iterate_slots(by.marks or {}):
            self._mark(domain, slot, mark)
        for domain, slot in unknown:
            self._mark(domain, slot, None)

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
        if edit.changed and not deciding:  # a decision tells whoever still annotates blind nothing about the next turn
            follows.ask(session, turn_id, edit.view.layer)


def _plain(state: State) -> list[tuple[str, str, list[str]]]:
    """A state to compare with: outer spaces, empty domains and the order of slots make no difference."""
    return sorted((domain, slot, [form.strip() for form in accepted(value)]) for domain, slot, value in iterate_slots(state))


def _entered(value: Value) -> list[str]:
    """A value's forms as a form field holds them, between bars."""
    return list(dict.fromkeys(part.strip() for form in accepted(value) for part in form.split("|")))


def _slots(state: Mapping[str, Mapping[str, Value | None]]) -> Slots:
    return {(domain, slot): value for domain, slot, value in iterate_slots(state)}


def _decided(done: Revision) -> Slots:
    """The slots that somebody decided on with a change, and the values they have by it."""
    if done.kind == RevisionKind.TRANSCRIPT or done.source in (RevisionSource.IMPORT, RevisionSource.PROPAGATED):
        return {}
    after = _slots(done.new or {})
    if done.marks is not None:
        return {place: after.get(place) for place in _slots(done.marks)}
    return after if done.old == done.new else _changed(done.old or {}, done.new or {})


def _changed(old: State, new: State) -> Slots:
    """The slots whose value is another one now, with the new value; ``None`` for one that went."""
    before, after = _slots(old), _slots(new)
    return {place: after.get(place) for place in before | after if before.get(place) != after.get(place)}


def _accepted_at_once(turn: Turn, newest: list[Revision]) -> bool:
    """Whether the newest revisions of both kinds are the two halves of one ``accept_turn``."""
    places = [turn.revisions.index(revision) for revision in newest if revision.source == RevisionSource.MODEL]
    return len(places) == 2 and abs(places[0] - places[1]) == 1
