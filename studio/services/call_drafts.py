"""Calls that somebody cuts into turns: the table as they left it is kept for them until they store or discard it.

A cut is known by who made it and the recording's content. An upload is kept beside it, for nobody knows how long uploads
stay; a recording of this machine is read where it lies.

    calls/<a name of its own>/<the recording>    an upload, until it is stored or discarded
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from db.models import CallDraft
from db.models.base import utc_now
from studio.errors import StudioError
from studio.services import calls
from studio.workspace import Workspace, disk_errors

FOLDER = "calls"


@dataclass(frozen=True)
class CallView:
    """A call being cut: its recording, the table (`calls`), and what the dialogue is to be called and held for."""

    sha256: str
    path: Path
    rows: list[list[Any]]
    name: str
    split: str
    updated: datetime
    copied: bool  # the workspace holds a copy of the recording, an upload


def recording_hash(path: str | Path) -> str:
    """What a recording is known by: the sha256 of its file.

    Raises:
        StudioError: there is no such file, or it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise StudioError(f"There is no file {path}: check the path; it is one on the machine the studio runs on.")
    with disk_errors(path.parent), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(ws: Workspace, author: str, path: str | Path, rows: Sequence[Sequence[Any]], uploaded: bool) -> CallView:
    """Keep a cut for somebody, in place of one they had of the same recording.

    Raises:
        StudioError: the recording cannot be read, or the disk is full.
    """
    path = Path(path).absolute()
    sha256 = recording_hash(path)
    with ws.write() as session:
        draft = session.get(CallDraft, (author, sha256))
        if draft is None:
            name = re.sub(r"\W+", "-", path.stem).strip("-")
            place = _copied(ws, path) if uploaded else str(path)
            draft = CallDraft(author=author, sha256=sha256, path=place, name=name, split="train", rows=[])
            session.add(draft)
        elif not ws.path(draft.path).exists():
            draft.path = _copied(ws, path) if uploaded else str(path)
        _fill(draft, rows)
        session.flush()
        return _view(ws, draft)


def keep(ws: Workspace, author: str, sha256: str, rows: Sequence[Sequence[Any]], name: str, split: str) -> None:
    """Keep the table as it is now; nothing where the cut was stored or discarded meanwhile."""
    with ws.write() as session:
        draft = session.get(CallDraft, (author, sha256))
        if draft is not None:
            _fill(draft, rows)
            draft.name, draft.split = name, split


def kept(ws: Workspace, author: str, sha256: str | None = None) -> CallView | None:
    """Somebody's cut of a recording, or the one they changed last; ``None`` where there is none."""
    return next((found for found in all_kept(ws, author) if sha256 in (None, found.sha256)), None)


def all_kept(ws: Workspace, author: str) -> list[CallView]:
    """All that somebody has cut and neither stored nor discarded, the one they changed last first."""
    with ws.read() as session:
        mine = select(CallDraft).where(CallDraft.author == author).order_by(CallDraft.updated.desc())
        return [_view(ws, draft) for draft in session.scalars(mine)]


def require(ws: Workspace, author: str, sha256: str | None) -> CallView:
    """As ``kept``, with its recording there to be read.

    Raises:
        StudioError: there is no such cut any more, or its recording is gone.
    """
    found = kept(ws, author, sha256) if sha256 else None
    if found is None:
        raise StudioError("There is nothing cut here any more: choose a recording and press Cut.")
    if not found.path.is_file():
        raise StudioError(f"The recording {found.path} is not there any more: put it back, or give it again and press Cut.")
    return found


def store(ws: Workspace, project_id: int, author: str, sha256: str | None) -> None:
    """Store a cut as a dialogue (`calls.store`); then it is kept no longer.

    Raises:
        StudioError: as ``calls.store``, or the recording has changed since it was cut.
    """
    found = require(ws, author, sha256)
    if recording_hash(found.path) != found.sha256:
        raise StudioError(f"{found.path.name} has changed since it was cut: cut it anew.")
    calls.store(ws, project_id, found.path, found.rows, found.name, found.split, author)
    discard(ws, author, found.sha256)


def export_csv(ws: Workspace, author: str, sha256: str | None) -> Path:
    """A cut as it is kept, as a CSV file that browsers may download and ``calls.read_table`` reads; named after the recording.

    Raises:
        StudioError: as ``require``, or the file cannot be written.
    """
    found = require(ws, author, sha256)
    target = ws.download(f"{found.path.stem}.csv")
    calls.write_table(target, found.rows)
    return target


def discard(ws: Workspace, author: str, sha256: str) -> None:
    """Keep a cut no longer, nor the copy of its recording."""
    with ws.write() as session:
        draft = session.get(CallDraft, (author, sha256))
        if draft is None:
            return
        copy = None if Path(draft.path).is_absolute() else ws.path(draft.path).parent
        session.delete(draft)
    if copy is not None:
        shutil.rmtree(copy, ignore_errors=True)


def _fill(draft: CallDraft, rows: Sequence[Sequence[Any]]) -> None:
    draft.rows = [[None if cell != cell else cell for cell in row] for row in rows]  # an empty cell may be NaN
    draft.updated = utc_now()


def _view(ws: Workspace, draft: CallDraft) -> CallView:
    rows = [list(row) for row in draft.rows]
    copied = not Path(draft.path).is_absolute()
    return CallView(draft.sha256, ws.path(draft.path), rows, draft.name, draft.split, draft.updated, copied)


def _copied(ws: Workspace, path: Path) -> str:
    """Where an upload is kept: as a second name of the same file where the disk allows it."""
    target = ws.path(FOLDER) / uuid4().hex / path.name
    with disk_errors(ws.home):
        target.parent.mkdir(parents=True)
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without links
            shutil.copyfile(path, target)
    return target.relative_to(ws.home).as_posix()
