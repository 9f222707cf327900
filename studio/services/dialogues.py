"""Dialogues and turns: recording them, reading them as people see them, correcting them without ever overwriting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from engine.dialogue import State, Value
from studio.workspace import Workspace

Status = Literal["new", "predicted", "corrected"]
Split = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class TurnView:
    """One turn as a page shows it.

    A value somebody corrected stands before the model's; ``transcript`` and ``state`` are what stands now. ``state`` is
    ``None`` for an agent turn and for a user turn nobody has understood yet; ``previous_state`` is what stood after the user
    turn before. ``transcript_head`` and ``state_head`` are the ids of the newest revisions (``None``: never changed): hand
    them back as ``expected`` when saving.
    """

    id: int
    dialogue_id: int
    turn_id: int
    speaker: Literal["user", "agent"]
    status: Status
    audio: Path | None
    start: float | None
    end: float | None
    seconds: float | None
    model_transcript: str | None
    corrected_transcript: str | None
    previous_state: State
    predicted_state: State | None
    corrected_state: State | None
    confidence: dict[str, dict[str, float]]
    raw: str | None
    valid: bool
    checkpoint: str | None
    compute_seconds: float | None
    transcript_head: int | None
    state_head: int | None

    @property
    def transcript(self) -> str | None:
        """What was said, as far as known: corrected, else the model's."""
        return self.corrected_transcript if self.corrected_transcript is not None else self.model_transcript

    @property
    def state(self) -> State | None:
        """The dialogue state after this turn: corrected, else predicted."""
        return self.corrected_state if self.corrected_state is not None else self.predicted_state

    @property
    def head(self) -> int | None:
        """The id of the turn's newest revision of either kind: what ``undo`` expects."""
        return max((head for head in (self.transcript_head, self.state_head) if head is not None), default=None)


@dataclass(frozen=True)
class DialogueRow:
    """A dialogue as lists show it: ``turns``, ``user_turns``, ``predicted`` and ``corrected`` are counts of turns."""

    id: int
    name: str
    split: Split
    status: Status
    turns: int
    user_turns: int
    predicted: int
    corrected: int
    created: datetime


@dataclass(frozen=True)
class DialogueView:
    """A dialogue with its turns in speaking order."""

    id: int
    project_id: int
    name: str
    split: Split
    turns: tuple[TurnView, ...]

    @property
    def state(self) -> State:
        """The dialogue state after the last turn that has one."""
        return next((turn.state for turn in reversed(self.turns) if turn.state is not None), {})


@dataclass(frozen=True)
class RevisionView:
    """One entry of a turn's history. ``source`` says where the new value came from."""

    id: int
    kind: Literal["transcript", "state"]
    old: str | State | None
    new: str | State | None
    author: str
    source: Literal["model", "user", "import", "undo"]
    created: datetime


def list_dialogues(
    ws: Workspace, project_id: int, search: str = "", status: Status | None = None, split: Split | None = None
) -> list[DialogueRow]:
    """Dialogues of a project, newest first. ``search`` looks in names and transcripts; ``status`` asks for the whole dialogue:
    ``corrected`` (at least one turn is), ``predicted`` (none is, at least one has a prediction), ``new``."""
    raise NotImplementedError


def create_dialogue(ws: Workspace, project_id: int, name: str | None = None, split: Split = "train") -> DialogueView:
    """Start an empty dialogue; without a ``name`` it is called after the time.

    Raises:
        StudioError: the project is gone or the name is taken.
    """
    raise NotImplementedError


def add_user_turn(ws: Workspace, dialogue_id: int, audio: str | Path, original_name: str | None = None) -> TurnView:
    """Append what the user said. The recording is checked, stored by its content, then the turn is written.

    ``original_name`` is the upload's own name (the file's name by default). Prediction is a step of its own:
    ``understanding.predict_turn``.

    Raises:
        StudioError: no such dialogue, not a readable recording, empty, too long, or the disk is full.
    """
    raise NotImplementedError


def add_agent_turn(
    ws: Workspace, dialogue_id: int, text: str | None = None, audio: str | Path | None = None, author: str = "user"
) -> TurnView:
    """Append what the agent said: typed, recorded or both. A recording without text is transcribed by ``predict_turn``.

    Raises:
        StudioError: neither text nor audio, or as ``add_user_turn``.
    """
    raise NotImplementedError


def get_dialogue(ws: Workspace, dialogue_id: int) -> DialogueView:
    """A dialogue with all its turns.

    Raises:
        StudioError: no such dialogue.
    """
    raise NotImplementedError


def get_turn(ws: Workspace, turn_id: int) -> TurnView:
    """One turn; ``turn_id`` is its database id (``TurnView.id``).

    Raises:
        StudioError: no such turn.
    """
    raise NotImplementedError


def save_transcript(ws: Workspace, turn_id: int, text: str, author: str, expected: int | None) -> TurnView:
    """Correct what was said. ``expected`` is ``TurnView.transcript_head`` as the author saw it. An unchanged text saves nothing.

    Raises:
        ConflictError: somebody changed the transcript since.
        StudioError: no such turn.
    """
    raise NotImplementedError


def save_slot(
    ws: Workspace, turn_id: int, domain: str, slot: str, value: Value | None, author: str, expected: int | None
) -> TurnView:
    """Correct one slot of the state after a user turn; ``None`` takes the slot away. ``expected`` is ``TurnView.state_head``.

    Raises:
        ConflictError: somebody changed the state since.
        StudioError: an agent turn, an empty name or value, or no such turn.
    """
    raise NotImplementedError


def save_state(ws: Workspace, turn_id: int, state: State, author: str, expected: int | None) -> TurnView:
    """Replace the whole state after a user turn (the raw JSON editor). ``expected`` is ``TurnView.state_head``.

    Raises:
        ConflictError: somebody changed the state since.
        StudioError: not a state, an agent turn, or no such turn.
    """
    raise NotImplementedError


def accept_turn(ws: Workspace, turn_id: int, author: str, expected: int | None) -> TurnView:
    """Say that the model was right: what stands now becomes the correction, so that the turn counts for training.

    ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: there is no prediction to accept, or no such turn.
    """
    raise NotImplementedError


def history(ws: Workspace, turn_id: int) -> list[RevisionView]:
    """Every change of a turn, newest first."""
    raise NotImplementedError


def undo(ws: Workspace, turn_id: int, author: str, expected: int | None) -> TurnView:
    """Take back the newest change that still stands, by appending its inverse; the last undo returns to the model's value.

    ``expected`` is ``TurnView.head``.

    Raises:
        ConflictError: somebody changed the turn since.
        StudioError: nothing to undo, or no such turn.
    """
    raise NotImplementedError
