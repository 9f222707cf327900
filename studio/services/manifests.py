"""Whole dialogues in and out, in the engine's manifest format."""

from __future__ import annotations

from pathlib import Path

from studio.workspace import Workspace


def import_manifest(ws: Workspace, project_id: int, manifest: str | Path, author: str = "import") -> int:
    """Bring a manifest's dialogues into a project, all or none; the number of dialogues comes back.

    Audio is cut to each turn and stored by content. Transcripts and states of the manifest become revisions of source
    ``import``: such turns count as corrected.

    Raises:
        StudioError: the manifest or a recording cannot be used, or a dialogue of that name is there already.
    """
    raise NotImplementedError


def export_manifest(ws: Workspace, project_id: int, folder: str | Path) -> Path:
    """Write ``folder/manifest.jsonl`` and ``folder/audio/``: corrected values where there are any, else the model's.

    Raises:
        StudioError: nothing to export, or the folder cannot be written.
    """
    raise NotImplementedError
