"""Dialogues and turns: recording them, reading them as people see them, correcting them without ever overwriting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.models import Dialogue, Project, Revision, RevisionKind, RevisionSource, Speaker, Turn, TurnStatus
from db.models import Split as SplitColumn
from db.repositories import dialogues, jobs, revisions
from engine.dialogue import State, Value, accepted, check_state, iterate_slots
from studio.errors import ConflictError, StudioError
from studio.services import ontology
from studio.services.recordings import StoredAudio, recording_row, store
from studio.services.views import (
    DialogueRow,
    DialogueView,
    RevisionView,
    Split,
    Status,
    TurnView,
    dialogue_row,
    dialogue_view,
    revision_view,
)
from studio.workspace import Workspace

ANY_PREDICTION = -1  # in place of a prediction's id: whatever the model said


def list_dialogues(
    ws: Workspace, project_id: int, search: str = "", status: Status | None = None, split: Split | None = None
) -> list[DialogueRow]:
    """Dialogues of a project, newest first. ``search`` looks in names and transcripts.

    ``status`` is the whole dialogue's: ``corrected`` (at least one user turn is), ``predicted`` (none is, but one has a
    prediction), ``new``.
    """
    with ws.read() as session:
        rows = dialogues.counts(
            session, project_id, search, TurnStatus(status) if status else None, SplitColumn(split) if split else None
        )
        return [dialogue_row(row) for row in rows]


def create_dialogue(ws: Workspace, project_id: int, name: str | None = None, split: Split = "train") -> DialogueView:
    """Start an empty dialogue; without a ``name`` it is called after the time.

    Raises:
        StudioError: the project is gone or the name is taken.
    """
    with ws.write() as session:
        if session.get(Project, project_id) is None:
            raise StudioError("This project does not exist any more: choose another one.")
        taken = dialogues.names(session, project_id)
        wanted = (name or "").strip()
        if wanted in taken:
            raise StudioError(f"There is a dialogue called {wanted!r} already: choose another name.")
        dialogue = Dialogue(project_id=project_id, name=wanted or _free_name(taken), split=SplitColumn(split))
        session.add(dialogue)
        session.flush()
        return dialogue_view(ws, dialogue)


def set_split(ws: Workspace, dialogue_id: int, split: Split, author: str) -> DialogueView:
    """Hold a dialogue out for scoring (``test``) or give it back to training, while that cannot spoil a score.

    Raises:
        StudioError: a run was trained on it, or scored on it while it was held out; or no such dialogue.
    """
    with ws.write() as session:
        dialogue = _dialogue(session, dialogue_id)
        if str(dialogue.split) != split:
            if split == "test" and jobs.trained_on(session, dialogue.project_id, dialogue.name):
                raise StudioError("A run was trained on this dialogue: hold out one that no run has seen.")
            if dialogue.split == SplitColumn.TEST and jobs.scored_on(session, dialogue.project_id, dialogue.name):
                raise StudioError("Runs were scored on this dialogue: it has to stay held out.")
            dialogue.split, dialogue.split_by = SplitColumn(split), author
        return dialogue_view(ws, dialogue)


def add_user_turn(ws: Workspace, dialogue_id: int, audio: str | Path, original_name: str | None = None) -> TurnView:
    """Append what the user said. The recording is checked, stored by its content, then the turn is written.

    ``original_name`` is the upload's own name (the file's name by default). Prediction is a step of its own:
    ``understanding.predict_turn``.

    Raises:
        StudioError: no such dialogue, not a readable recording, empty, too long, or the disk is full.
    """
    return _append(ws, dialogue_id, Speaker.USER, store(ws, audio, original_name=original_name))


def add_agent_turn(
    ws: Workspace, dialogue_id: int, text: str | None = None, audio: str | Path | None = None, author: str = "user"
) -> TurnView:
    """Append what the agent said: typed, recorded or both. A recording without text is transcribed by ``predict_turn``.

    Raises:
        StudioError: neither text nor audio, or as ``add_user_turn``.
    """
    words = (text or "").strip()
    if not words and audio is None:
        raise StudioError("The agent said nothing: type the answer or record it.")
    return _append(ws, dialogue_id, Speaker.AGENT, store(ws, audio) if audio is not None else None, words, author)


def get_dialogue(ws: Workspace, dialogue_id: int) -> DialogueView:
    """A dialogue with all its turns.

    Raises:
        StudioError: no such dialogue.
    """
    with ws.read() as session:
        return dialogue_view(ws, _dialogue(session, dialogue_id))


def get_turn(ws: Workspace, turn_id: int) -> TurnView:
    """One turn; ``turn_id`` is its database id (``TurnView.id``).

    Raises:
        StudioError: no such turn.
    """
    with ws.read() as session:
        turn = session.get(Turn, turn_id)
        if turn is None:
            raise StudioError("This turn does not exist any more: open the dialogue again.")
        return _view(ws, session, turn)


def save_transcript(ws: Workspace, turn_id: int, text: str, author: str, expected: int | None) -> TurnView:
    """Correct what was said. ``expected`` is ``TurnView.transcript_head`` as the author saw it. An unchanged text saves
    nothing.

    Raises:
        ConflictError: somebody changed the transcript since.
        StudioError: no such turn.
    """
    with _editing(ws, turn_id) as edit:
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
) -> TurnView:
    """Correct one slot of the state after a user turn; ``None`` takes the slot away. ``expected`` is
    ``TurnView.state_head``, ``prediction`` is ``TurnView.prediction_id``: the other slots stay as the author saw them.

    A value whose canonical form stands there keeps its other forms. A new value is offered from then on.

    Raises:
        ConflictError: somebody changed the state since, or the model answered.
        StudioError: an agent turn, an empty name or value, or no such turn.
    """
    domain, slot = domain.strip(), slot.strip()
    forms = None if value is None else [form.strip() for form in accepted(value)]
    if not (domain and slot) or (forms is not None and not (forms and all(forms))):
        raise StudioError("A slot needs a domain, a name and a value: fill them in, or remove the slot.")
    with _editing(ws, turn_id) as edit:
        view = edit.view
        base = view.state if view.state is not None else view.previous_state
        state = {name: dict(slots) for name, slots in base.items()}
        written: State = {}
        if forms is None:
            state.get(domain, {}).pop(slot, None)
        else:
            new = forms[0] if isinstance(value, str) else forms
            old = state.setdefault(domain, {}).get(slot)
            state[domain][slot] = new if old is None or accepted(old)[0].strip() != new else old
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
    with _editing(ws, turn_id) as edit:
        edit.save_state(state, author, expected, prediction, state)
    return edit.view


def accept_turn(
    ws: Workspace, turn_id: int, author: str, expected: int | None, prediction: int | None = ANY_PREDICTION
) -> TurnView:
    """Say that the model was right: what stands now becomes the correction, so that the turn counts for training.

    ``expected`` is ``TurnView.head``, ``prediction`` is ``TurnView.prediction_id``.

    Raises:
        ConflictError: somebody changed the turn since, or the model answered again.
        StudioError: there is no prediction to accept, or no such turn.
    """
    with _editing(ws, turn_id) as edit:
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


def history(ws: Workspace, turn_id: int) -> list[RevisionView]:
    """Every change of a turn, newest first."""
    with ws.read() as session:
        turn = session.get(Turn, turn_id)
        return [revision_view(revision) for revision in reversed(turn.revisions)] if turn is not None else []


def undo(ws: Workspace, turn_id: int, author: str, expected: int | None) -> TurnView:
    """Take back the newest change that still stands, by appending its inverse; the last undo returns to the model's
    value. An ``accept_turn`` is taken back whole.

    ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: nothing to undo, or no such turn.
    """
    with _editing(ws, turn_id) as edit:
        view = edit.view
        edit.check(view.head, expected, None, None)
        standing = [stack for kind in RevisionKind if (stack := revisions.standing(edit.turn, kind))]
        if not standing:
            raise StudioError("There is nothing to undo in this turn.")
        standing.sort(key=lambda stack: stack[-1].id, reverse=True)
        if not _accepted_at_once(edit.turn, [stack[-1] for stack in standing]):
            standing = standing[:1]
        for stack in standing:
            kind = stack[-1].kind
            model = view.model_transcript if kind == RevisionKind.TRANSCRIPT else view.predicted_state
            before = stack[-2].new if len(stack) > 1 else model
            edit.append(kind, stack[-1].new, before, author, RevisionSource.UNDO)
    return edit.view


@dataclass
class _Edit:
    """A turn under change. ``view`` is the turn as it stands, and after the block the turn as it was saved."""

    ws: Workspace
    session: Session
    turn: Turn
    view: TurnView

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
            ontology.remember(self.session, self.turn.dialogue, written)

    def check(self, head: int | None, expected: int | None, mine: Any, theirs: Any) -> None:
        if head != expected:
            author = next((revision.author for revision in self.turn.revisions if revision.id == head), "Somebody")
            raise ConflictError(mine, theirs, author, self.view)

    def check_prediction(self, seen: int | None, mine: Any, theirs: Any) -> None:
        if seen not in (ANY_PREDICTION, self.view.prediction_id):
            sentence = "{} has answered this turn meanwhile: look again, then save."
            raise ConflictError(mine, theirs, "The model", self.view, sentence)

    def append(self, kind: RevisionKind, old: Any, new: Any, author: str, source: RevisionSource) -> None:
        revisions.append(self.session, self.turn, kind, old, new, author, source)


@contextmanager
def _editing(ws: Workspace, turn_id: int) -> Iterator[_Edit]:
    """One committed transaction on one turn that nobody else can change meanwhile."""
    with ws.write() as session:
        turn = dialogues.lock_turn(session, turn_id)
        if turn is None:
            raise StudioError("This turn does not exist any more: open the dialogue again.")
        edit = _Edit(ws, session, turn, _view(ws, session, turn))
        yield edit
        edit.view = _view(ws, session, turn)


def _plain(state: State) -> list[tuple[str, str, list[str]]]:
    """A state to compare with: outer spaces, empty domains and the order of slots make no difference."""
    return sorted((domain, slot, [form.strip() for form in accepted(value)]) for domain, slot, value in iterate_slots(state))


def _accepted_at_once(turn: Turn, newest: list[Revision]) -> bool:
    """Whether the newest standing revisions are the two halves of one ``accept_turn``."""
    places = [turn.revisions.index(revision) for revision in newest if revision.source == RevisionSource.MODEL]
    return len(places) == 2 and places[0] - places[1] == 1


def _append(
    ws: Workspace,
    dialogue_id: int,
    speaker: Speaker,
    stored: StoredAudio | None,
    text: str = "",
    author: str = "user",
) -> TurnView:
    with ws.write() as session:
        dialogue = _dialogue(session, dialogue_id)
        turn = Turn(
            dialogue_id=dialogue_id,
            turn_id=dialogues.next_turn_id(session, dialogue_id),
            speaker=speaker,
            recording_id=recording_row(session, stored).id if stored else None,
        )
        dialogue.turns.append(turn)
        session.flush()
        if text:
            revisions.append(session, turn, RevisionKind.TRANSCRIPT, None, text, author, RevisionSource.USER)
        return _view(ws, session, turn)


def _view(ws: Workspace, session: Session, turn: Turn) -> TurnView:
    view = dialogue_view(ws, _dialogue(session, turn.dialogue_id))
    return next(candidate for candidate in view.turns if candidate.id == turn.id)


def _dialogue(session: Session, dialogue_id: int) -> Dialogue:
    dialogue = dialogues.load(session, dialogue_id)
    if dialogue is None:
        raise StudioError("This dialogue does not exist any more: choose another one.")
    return dialogue


def _free_name(taken: set[str]) -> str:
    name = f"{datetime.now():%Y-%m-%d %H:%M:%S}"  # local time: it is read by people
    number = 2
    free = name
    while free in taken:
        free = f"{name} ({number})"
        number += 1
    return free
