"""Dialogues and turns: recording them and reading them as people see them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import Dialogue, RevisionKind, RevisionSource, Speaker, Turn
from db.models import Split as SplitColumn
from db.repositories import dialogues, projects, revisions
from db.repositories.revisions import LABELS
from studio.errors import StudioError
from studio.services import search
from studio.services.recordings import StoredAudio, recording_row, store
from studio.services.views import (
    DialogueRow,
    DialogueView,
    Split,
    TurnView,
    dialogue_row,
    dialogue_view,
    turn_view,
)
from studio.workspace import Workspace


def list_dialogues(ws: Workspace, project_id: int) -> list[DialogueRow]:
    """All dialogues of a project, newest first; of large projects ask `search.dialogues` for some."""
    with ws.read() as session:
        return [dialogue_row(row) for row in dialogues.counts(session, project_id)]


def create_dialogue(
    ws: Workspace, project_id: int, name: str | None = None, split: Split = "train", demo: bool = False
) -> DialogueView:
    """Start an empty dialogue; without a ``name`` it is called after the time. A ``demo`` is not in the queue until it is sent.

    Raises:
        StudioError: the project is gone or the name is taken.
    """
    with ws.write() as session:
        if not projects.exists(session, project_id):
            raise StudioError("This project does not exist any more: choose another one.")
        taken = dialogues.names(session, project_id)
        wanted = (name or "").strip()
        if wanted in taken:
            raise StudioError(f"There is a dialogue called {wanted!r} already: choose another name.")
        dialogue = Dialogue(project_id=project_id, name=wanted or _free_name(taken), split=SplitColumn(split), demo=demo)
        session.add(dialogue)
        session.flush()
        return dialogue_view(ws, dialogue)


def send_to_annotation(ws: Workspace, dialogue_id: int) -> DialogueView:
    """Put a demo's turns into the project's queue; sending it again changes nothing.

    Raises:
        StudioError: no user turn with a recording yet, or no such dialogue.
    """
    with ws.write() as session:
        dialogue = _dialogue(session, dialogue_id)
        if not any(turn.speaker == Speaker.USER and turn.recording_id is not None for turn in dialogue.turns):
            raise StudioError("There is nothing to annotate yet: speak a user's turn first.")
        dialogue.demo = False
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


def get_dialogue(ws: Workspace, dialogue_id: int, layer: str = LABELS) -> DialogueView:
    """A dialogue with all its turns, as the labels of a layer have it.

    Raises:
        StudioError: no such dialogue.
    """
    with ws.read() as session:
        return dialogue_view(ws, _dialogue(session, dialogue_id), layer)


def dialogue_named(ws: Workspace, project_id: int, name: str) -> int:
    """The id of a project's dialogue of that name.

    Raises:
        StudioError: there is none.
    """
    with ws.read() as session:
        found = dialogues.by_name(session, project_id, name)
    if found is None:
        raise StudioError(f"The project has no dialogue called {name!r}: look its name up on Correct.")
    return found.id


def get_turn(ws: Workspace, turn_id: int, layer: str = LABELS) -> TurnView:
    """One turn; ``turn_id`` is its database id (``TurnView.id``).

    Raises:
        StudioError: no such turn.
    """
    with ws.read() as session:
        return turn_view(ws, session, _turn(session, turn_id), layer)


def dialogue_of(ws: Workspace, turn_id: int) -> int:
    """The id of a turn's dialogue.

    Raises:
        StudioError: no such turn.
    """
    with ws.read() as session:
        return _turn(session, turn_id).dialogue_id


def _turn(session: Session, turn_id: int) -> Turn:
    turn = session.get(Turn, turn_id)
    if turn is None:
        raise StudioError("This turn does not exist any more: open the dialogue again.")
    return turn


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
            search.index_labels(turn, text, None)
        return turn_view(ws, session, turn)


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
