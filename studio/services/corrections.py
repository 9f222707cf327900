"""Correcting a turn without ever overwriting: every change appends a revision, an undo its inverse, a redo the inverse of that.

A slot that somebody wrote or confirmed is marked: it never moves by itself when an earlier turn is corrected
(`studio.services.propagation`). A confirmation alone is a change as well; an undo brings back the marks that stood below. What
changes is followed by the rest of the dialogue (`studio.services.following`). Changing a held-out label that others rely on is a
`HeldOutError` until it is unlocked (`studio.services.labels`). ``layer`` is whose labels are meant: the project's, or those of a
blind annotator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Dialogue, RevisionKind, RevisionSource, Turn, TurnStatus
from db.repositories import follows
from db.repositories.revisions import LABELS
from engine.dialogue import State, Value, accepted, check_state
from studio.errors import StudioError
from studio.services import double, ontology, search, verdicts
from studio.services.edits import ANY_PREDICTION, Edit, changed_slots, entered, plain, same_answer, slots_of
from studio.services.views import RevisionView, TurnView, dialogue_view, locked_turn, revision_view, turn_view
from studio.workspace import Workspace


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
    """Say that all is right: what stands now becomes the correction, so that the turn counts for training, and none of its slots
    moves by itself any more.

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
        stands = slots_of(view.state or {})
        if view.speaker == "user" and view.corrected_state is None:
            edit.append(RevisionKind.STATE, view.state, view.state, author, RevisionSource.MODEL, stands)
        else:  # what nobody has decided of a corrected state is accepted with it
            edit.confirm(stands, author, RevisionSource.MODEL)
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
        decided = changed_slots(old or {}, state) | slots_of(state)
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
        if shown is not None and (value is None or entered(value) != entered(shown)):
            edit.refuse_value(domain, slot, shown)
        edit.confirm({(domain, slot): value}, author)
    return edit.view


def check_seen(session: Session, turn: Turn, view: TurnView, head: int | None, prediction: int | None) -> None:
    """Refuse what is decided on a whole turn that is another one by now: ``view`` is how it stands, ``head`` and ``prediction``
    are what the author saw of it. Part of the caller's transaction.

    Raises:
        ConflictError: somebody changed the turn since, or the model answered and its words or state stand.
    """
    edit = Edit(session, turn, view, view.layer)
    edit.check(view.head, head, None, None)
    if None in (view.corrected_transcript, view.corrected_state):
        edit.check_prediction(prediction, None, None)


def saw_answer(ws: Workspace, turn: TurnView, prediction: int | None) -> bool:
    """Whether who saw an earlier answer of the model, by its id, saw what it says of the turn now: the same once more is nothing
    new."""
    with ws.read() as session:
        return same_answer(session, turn, prediction)


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
        if new is not None and old is not None and plain(new) != plain(old):
            edit = Edit(session, turn, view, LABELS)
            edit.append(RevisionKind.STATE, old, new, author, RevisionSource.ONTOLOGY, changed_slots(old, new))
            changed.add(turn.id)
    for turn, view in zip(row.turns, dialogue_view(ws, row).turns, strict=True):
        if turn.id in changed:
            search.index(turn, view)
    return changed


@contextmanager
def _editing(ws: Workspace, turn_id: int, layer: str, deciding: bool = False) -> Iterator[Edit]:
    """One committed transaction on one turn that nobody else can change meanwhile; ``deciding`` on what is annotated blind."""
    with ws.write() as session:
        turn = locked_turn(session, turn_id)
        if turn.status == TurnStatus.FINAL:
            raise StudioError("This turn is final: a reviewer has to reopen it before anything changes.")
        if not deciding:
            double.check_layer(turn, layer)
        edit = Edit(session, turn, turn_view(ws, session, turn, layer), layer)
        yield edit
        session.flush()
        edit.view = turn_view(ws, session, turn, layer)
        if layer == LABELS:
            search.index(turn, edit.view)
        if edit.changed:
            follows.ask(session, turn_id, edit.view.layer)
