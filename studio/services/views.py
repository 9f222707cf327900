"""Dialogues and turns as pages show them, built from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from sqlalchemy.orm import Session

from db.models import Dialogue, Revision, RevisionKind, RevisionSource, Speaker, Turn
from db.repositories import dialogues, predictions, revisions
from db.repositories.dialogues import DialogueCounts
from db.repositories.revisions import LABELS
from engine.dialogue import State
from studio.errors import StudioError
from studio.workspace import Workspace

Status = Literal["new", "predicted", "corrected", "reviewed", "final"]
Split = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class TurnView:
    """One turn as a page shows it.

    A value somebody corrected stands before the model's; ``transcript`` and ``state`` are what stands now. ``state`` is
    ``None`` for an agent turn and for a user turn nobody has understood yet; ``previous_state`` is what stood after the user
    turn before. ``transcript_head``, ``state_head`` and ``confirmation_head`` are the ids of the newest revisions (``None``:
    never changed): hand them back as ``expected`` when saving, and ``prediction_id`` (``None``: the model has not answered)
    as ``prediction``. ``confirmed`` are the slots ``(domain, slot)`` somebody wrote or confirmed as they stand, ``imported``
    says that the state came with an import. ``pinned`` is the prediction's, ``other_state`` the newest answer of another
    checkpoint. ``transcript_confidence``, ``ctc_transcript`` and ``own_state`` are of the answer that wrote the model's
    words, before it was told anything. ``accepted``: somebody said that the state is right as a whole. ``layer`` is whose
    labels these are: the project's (""), or those of a blind annotator, of whose work ``status`` then speaks.
    """

    id: int
    dialogue_id: int
    turn_id: int
    speaker: Literal["user", "agent"]
    status: Status
    audio: Path | None
    original_name: str | None
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
    confirmation_head: int | None
    prediction_id: int | None
    confirmed: frozenset[tuple[str, str]]
    imported: bool
    submitted: datetime | None
    can_undo: bool
    can_redo: bool
    pinned: State
    transcript_confidence: float | None
    ctc_transcript: str | None
    own_state: State | None
    accepted: bool
    other_state: State | None
    layer: str

    @property
    def transcript(self) -> str | None:
        """What was said, as far as known: corrected, else the model's."""
        return self.corrected_transcript if self.corrected_transcript is not None else self.model_transcript

    @property
    def state(self) -> State | None:
        """The dialogue state after this turn: corrected, else predicted."""
        return self.corrected_state if self.corrected_state is not None else self.predicted_state

    @property
    def labelled(self) -> bool:
        """Whether somebody said what is right: such turns are trained and scored on."""
        return self.status in ("corrected", "reviewed", "final")

    @property
    def waits_for_model(self) -> bool:
        """Whether the model has yet to hear it: a user turn to be understood, an agent's to be transcribed."""
        if self.speaker == "user":
            known = self.prediction_id is not None or self.state is not None
        else:
            known = self.transcript is not None
        return self.audio is not None and not known

    @property
    def head(self) -> int | None:
        """The id of the turn's newest revision of any kind: what ``undo`` expects."""
        heads = (self.label_head, self.confirmation_head)
        return max((head for head in heads if head is not None), default=None)

    @property
    def label_head(self) -> int | None:
        """The id of the newest revision of the turn's words or state."""
        return max((head for head in (self.transcript_head, self.state_head) if head is not None), default=None)


@dataclass(frozen=True)
class DialogueRow:
    """A dialogue as lists show it. ``turns`` counts all, ``predicted`` (at least) and ``corrected`` the user's.

    A ``demo`` is not in the queue yet.
    """

    id: int
    name: str
    split: Split
    status: Status
    demo: bool
    turns: int
    user_turns: int
    predicted: int
    corrected: int
    created: datetime


@dataclass(frozen=True)
class DialogueView:
    """A dialogue with its turns in speaking order. A ``demo`` is not in the queue yet."""

    id: int
    project_id: int
    name: str
    split: Split
    demo: bool
    turns: tuple[TurnView, ...]

    @property
    def state(self) -> State:
        """The dialogue state after the last turn that has one."""
        return next((turn.state for turn in reversed(self.turns) if turn.state is not None), {})


@dataclass(frozen=True)
class RevisionView:
    """One entry of a turn's history. ``source`` says where the new value came from."""

    id: int
    kind: Literal["transcript", "state", "confirmation"]
    old: str | State | None
    new: str | State | None
    author: str
    source: Literal["model", "user", "import", "undo", "redo", "propagated", "ontology", "adjudicated"]
    created: datetime

    @property
    def restorable(self) -> bool:
        """Whether words or a state stood after it."""
        return self.kind != "confirmation" and self.new is not None


def dialogue_row(counts: DialogueCounts) -> DialogueRow:
    """A list's row."""
    dialogue = counts.dialogue
    status: Status = "corrected" if counts.corrected else "predicted" if counts.predicted else "new"
    return DialogueRow(
        id=dialogue.id,
        name=dialogue.name,
        split=cast(Split, str(dialogue.split)),
        status=status,
        demo=dialogue.demo,
        turns=counts.turns,
        user_turns=counts.user_turns,
        predicted=counts.predicted,
        corrected=counts.corrected,
        created=dialogue.created,
    )


def dialogue_view(ws: Workspace, dialogue: Dialogue, layer: str = LABELS) -> DialogueView:
    """A loaded dialogue with the labels of a layer; an agent's turns have the project's alone."""
    turns: list[TurnView] = []
    state: State = {}
    for turn in dialogue.turns:
        view = _turn_view(ws, turn, state, layer)
        turns.append(view)
        state = view.state if view.state is not None else state
    split = cast(Split, str(dialogue.split))
    return DialogueView(dialogue.id, dialogue.project_id, dialogue.name, split, dialogue.demo, tuple(turns))


def revision_view(revision: Revision) -> RevisionView:
    """A history's entry."""
    return RevisionView(
        id=revision.id,
        kind=cast(Literal["transcript", "state", "confirmation"], str(revision.kind)),
        old=revision.old,
        new=revision.new,
        author=revision.author,
        source=cast(Literal["model", "user", "import", "undo"], str(revision.source)),
        created=revision.created,
    )


def _turn_view(ws: Workspace, turn: Turn, previous: State, layer: str) -> TurnView:
    layer = layer if turn.speaker == Speaker.USER else LABELS
    prediction = predictions.newest(turn, layer)
    heard, other = predictions.listened(turn, layer), predictions.of_another(turn, layer)
    recording = turn.recording
    transcript_head = revisions.head(turn, RevisionKind.TRANSCRIPT, layer)
    state_head = revisions.head(turn, RevisionKind.STATE, layer)
    transcripts, transcripts_taken_back = revisions.stacks(turn, RevisionKind.TRANSCRIPT, layer)
    states, states_taken_back = revisions.stacks(turn, RevisionKind.STATE, layer)
    confirmation_head = revisions.head(turn, RevisionKind.CONFIRMATION, layer)
    confirmations, confirmations_taken_back = revisions.stacks(turn, RevisionKind.CONFIRMATION, layer)
    return TurnView(
        id=turn.id,
        dialogue_id=turn.dialogue_id,
        turn_id=turn.turn_id,
        speaker=cast(Literal["user", "agent"], str(turn.speaker)),
        status=cast(Status, str(turn.status if layer == LABELS else revisions.status(turn, layer))),
        audio=ws.path(recording.path) if recording else None,
        original_name=recording.original_name if recording else None,
        seconds=recording.seconds if recording else None,
        model_transcript=prediction.transcript if prediction else None,
        corrected_transcript=transcripts[-1].new if transcripts else None,
        previous_state=previous,
        predicted_state=prediction.state if prediction and turn.speaker == Speaker.USER else None,
        corrected_state=states[-1].new if states else None,
        confidence=prediction.confidence if prediction else {},
        raw=prediction.raw if prediction else None,
        valid=prediction.valid if prediction else True,
        checkpoint=prediction.checkpoint.name if prediction else None,
        compute_seconds=prediction.seconds if prediction else None,
        transcript_head=transcript_head.id if transcript_head else None,
        state_head=state_head.id if state_head else None,
        confirmation_head=confirmation_head.id if confirmation_head else None,
        prediction_id=prediction.id if prediction else None,
        confirmed=frozenset((mark.domain, mark.slot) for mark in turn.marks if mark.layer == layer),
        imported=bool(states) and states[-1].source == RevisionSource.IMPORT,
        submitted=turn.submitted if layer == LABELS else None,
        can_undo=bool(states or transcripts or confirmations),
        can_redo=bool(states_taken_back or transcripts_taken_back or confirmations_taken_back),
        pinned=(prediction.pinned if prediction else None) or {},
        transcript_confidence=heard.transcript_confidence if heard else None,
        ctc_transcript=heard.ctc_transcript if heard else None,
        own_state=heard.state if heard and turn.speaker == Speaker.USER else None,
        accepted=any(one.old == one.new or one.source == RevisionSource.ADJUDICATED for one in states),
        other_state=other.state if other and other.valid and turn.speaker == Speaker.USER else None,
        layer=layer,
    )


def turn_view(ws: Workspace, session: Session, turn: Turn, layer: str = LABELS) -> TurnView:
    """A turn in its dialogue: what stood before it belongs to the view."""
    dialogue = dialogues.load(session, turn.dialogue_id)
    assert dialogue is not None  # a turn cannot outlive its dialogue
    before = (_turn_view(ws, one, {}, layer).state for one in reversed(dialogue.turns[: dialogue.turns.index(turn)]))
    return _turn_view(ws, turn, next((state for state in before if state is not None), {}), layer)


def locked_turn(session: Session, turn_id: int) -> Turn:
    """A turn that nobody else can change until the transaction ends.

    Raises:
        StudioError: no such turn.
    """
    row = dialogues.lock_turn(session, turn_id)
    if row is None:
        raise StudioError("This turn does not exist any more: open the dialogue again.")
    return row
