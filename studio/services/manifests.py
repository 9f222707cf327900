"""Dialogues of the engine as rows of the database, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.orm import Session

from db import models
from db.models import RevisionKind, RevisionSource, Speaker, Split
from db.repositories import revisions
from engine.dialogue import Dialogue, ManifestError, State, Turn, read_manifest
from studio.errors import StudioError
from studio.services import search
from studio.services.recordings import StoredAudio, place, recording_row, store
from studio.services.views import TurnView, dialogue_view
from studio.workspace import Workspace

Stored = Mapping[tuple[str, int], StoredAudio]  # by dialogue and turn


def read(manifest: str | Path) -> list[Dialogue]:
    """Read a manifest.

    Raises:
        StudioError: it cannot be used.
    """
    try:
        return read_manifest(manifest)
    except ManifestError as error:
        raise StudioError(str(error)) from error


def store_audio(ws: Workspace, dialogues: Sequence[Dialogue]) -> Stored:
    """Put every turn's recording on disk.

    Raises:
        StudioError: a recording cannot be used.
    """
    return {
        (dialogue.dialogue_id, turn.turn_id): store(ws, turn.audio, turn.start, turn.end, turn.channel)
        for dialogue in dialogues
        for turn in dialogue.turns
        if turn.audio is not None
    }


def add_dialogues(session: Session, project_id: int, dialogues: Sequence[Dialogue], stored: Stored, author: str) -> None:
    """Write the rows of dialogues whose recordings are stored.

    Transcripts and states become revisions of source ``import``: such turns count as corrected. All rows go to the database
    together, when the session is flushed.
    """
    for dialogue in dialogues:
        sounds = [stored.get((dialogue.dialogue_id, turn.turn_id)) for turn in dialogue.turns]
        row = models.Dialogue(
            project_id=project_id,
            name=dialogue.dialogue_id,
            split=Split(dialogue.split),
            source=dialogue.source,
            licence=dialogue.licence,
            content=content_hash(dialogue, [sound.sha256 if sound else None for sound in sounds]),
        )
        for turn, sound in zip(dialogue.turns, sounds, strict=True):
            turn_row = models.Turn(
                turn_id=turn.turn_id,
                speaker=Speaker(turn.speaker),
                voice=turn.voice,
                recording=recording_row(session, sound) if sound else None,
            )
            row.turns.append(turn_row)
            labels = ((RevisionKind.TRANSCRIPT, turn.transcript), (RevisionKind.STATE, turn.state))
            for kind, value in labels:
                if value is not None:
                    revisions.begin(turn_row, kind, value, author, RevisionSource.IMPORT)
            search.index_labels(turn_row, turn.transcript, turn.state)
        session.add(row)
    session.flush()


def content_hash(dialogue: Dialogue, sounds: Sequence[str | None]) -> str:
    """What a dialogue is known by, whatever its name and split: its turns' speakers, voices, words, states and sounds.

    Args:
        sounds: of each turn the hash of its sound (`recordings.sound_hash`), ``None`` where it has none.
    """
    turns = [
        [turn.turn_id, turn.speaker, turn.voice, turn.transcript, turn.state, sound]
        for turn, sound in zip(dialogue.turns, sounds, strict=True)
    ]
    return hashlib.sha256(json.dumps(turns, sort_keys=True).encode()).hexdigest()


class Label(NamedTuple):
    """What of a turn goes into a manifest."""

    audio: bool
    transcript: str | None
    state: State | None


def as_it_stands(view: TurnView) -> Label:
    """All of a turn: corrected values where there are any, else the model's."""
    return Label(True, view.transcript, view.state)


def manifest_dialogue(
    ws: Workspace, row: models.Dialogue, folder: Path | None, label: Callable[[TurnView], Label] = as_it_stands
) -> Dialogue:
    """A loaded dialogue as the engine reads it, with what ``label`` says of each turn.

    Recordings go to ``folder/audio``; without a ``folder`` they are named where they lie in the workspace.
    """
    turns = []
    for view, turn in zip(dialogue_view(ws, row).turns, row.turns, strict=True):
        wanted, transcript, state = label(view)
        audio = None
        if wanted and turn.recording is not None:
            audio = str(place(ws, turn.recording, folder / "audio") if folder else ws.path(turn.recording.path))
        turns.append(Turn(view.turn_id, view.speaker, transcript, audio, state=state, voice=turn.voice))
    return Dialogue(row.name, turns, str(row.split), row.source, row.licence)
