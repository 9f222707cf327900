"""Whole dialogues in and out, in the engine's manifest format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.orm import Session

from db import models
from db.models import RevisionKind, RevisionSource, Speaker, Split
from db.repositories import dialogues as rows
from db.repositories import revisions
from engine.dialogue import Dialogue, ManifestError, State, Turn, read_manifest, write_manifest
from studio.errors import StudioError
from studio.services import search
from studio.services.recordings import StoredAudio, place, recording_row, store
from studio.services.views import TurnView, dialogue_view
from studio.workspace import Workspace, disk_errors

Stored = Mapping[tuple[str, int], StoredAudio]  # by dialogue and turn


def import_manifest(ws: Workspace, project_id: int, manifest: str | Path, author: str = "import") -> int:
    """Bring a manifest's dialogues into a project, all or none; the number of dialogues comes back.

    Audio is cut to each turn and stored by content. Transcripts and states of the manifest become revisions of source
    ``import``: such turns count as corrected.

    Raises:
        StudioError: the manifest or a recording cannot be used, or a dialogue of that name is there already.
    """
    dialogues = read(manifest)
    stored = store_audio(ws, dialogues)
    with ws.write() as session:
        taken = rows.names(session, project_id) & {dialogue.dialogue_id for dialogue in dialogues}
        if taken:
            raise StudioError(
                f"{len(taken)} of these dialogues are in the project already, for instance {min(taken)!r}: "
                "take them out of the manifest, or import into another project."
            )
        add_dialogues(session, project_id, dialogues, stored, author)
    return len(dialogues)


def export_manifest(ws: Workspace, project_id: int, folder: str | Path) -> Path:
    """Write ``folder/manifest.jsonl`` and ``folder/audio/``: corrected values where there are any, else the model's.

    Raises:
        StudioError: nothing to export, or the folder cannot be written.
    """
    folder = Path(folder)
    with ws.read() as session, disk_errors(folder):
        loaded = rows.load_many(session, project_id)
        if not loaded:
            raise StudioError("There is no dialogue to export: record or import one first.")
        dialogues = [manifest_dialogue(ws, dialogue, folder) for dialogue in loaded]
        write_manifest(folder / "manifest.jsonl", dialogues)
    return folder / "manifest.jsonl"


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
    """Write the rows of a manifest's dialogues."""
    for dialogue in dialogues:
        row = models.Dialogue(
            project_id=project_id,
            name=dialogue.dialogue_id,
            split=Split(dialogue.split),
            source=dialogue.source,
            licence=dialogue.licence,
        )
        session.add(row)
        for turn in dialogue.turns:
            audio = stored.get((dialogue.dialogue_id, turn.turn_id))
            turn_row = models.Turn(
                turn_id=turn.turn_id,
                speaker=Speaker(turn.speaker),
                voice=turn.voice,
                recording=recording_row(session, audio) if audio else None,
            )
            row.turns.append(turn_row)
            session.flush()
            labels = ((RevisionKind.TRANSCRIPT, turn.transcript), (RevisionKind.STATE, turn.state))
            for kind, value in labels:
                if value is not None:
                    revisions.append(session, turn_row, kind, None, value, author, RevisionSource.IMPORT)
            search.index_labels(turn_row, turn.transcript, turn.state)


class Label(NamedTuple):
    """What of a turn goes into a manifest."""

    audio: bool
    transcript: str | None
    state: State | None


def as_it_stands(view: TurnView) -> Label:
    """All of a turn: corrected values where there are any, else the model's."""
    return Label(True, view.transcript, view.state)


def manifest_dialogue(
    ws: Workspace, row: models.Dialogue, folder: Path, label: Callable[[TurnView], Label] = as_it_stands
) -> Dialogue:
    """A loaded dialogue as the engine reads it, with what ``label`` says of each turn; recordings go to ``folder/audio``."""
    turns = []
    for view, turn in zip(dialogue_view(ws, row).turns, row.turns, strict=True):
        wanted, transcript, state = label(view)
        audio = str(place(ws, turn.recording, folder / "audio")) if wanted and turn.recording is not None else None
        turns.append(Turn(view.turn_id, view.speaker, transcript, audio, state=state, voice=turn.voice))
    return Dialogue(row.name, turns, str(row.split), row.source, row.licence)
