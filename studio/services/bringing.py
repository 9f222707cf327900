"""Checkpoints from elsewhere: what the engine trained on its own, copied into the workspace once."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy.orm import Session

from db.models import Checkpoint
from db.repositories import checkpoints as checkpoint_rows
from engine.base_models import fsync
from studio.errors import StudioError
from studio.services import checkpoints
from studio.services.checkpoints import CheckpointView
from studio.workspace import Workspace, disk_errors

LONGEST = 100  # letters of a name
OF_RUNS = re.compile(r"run-\d+.*", re.IGNORECASE)  # names that jobs give

NOT_IN_FILES = re.compile(r"[/\\\x00-\x1f]")  # reports are named after checkpoints


@dataclass(frozen=True)
class Brought:
    """A checkpoint, and whether it is new here."""

    checkpoint: CheckpointView
    new: bool


def bring(ws: Workspace, folder: str | Path, name: str = "") -> Brought:
    """Copy a checkpoint's folder, or that of the engine's run it lies in, into the workspace; what is here already is found.

    Without ``name`` it keeps its own, or that with a number. What it was trained on is not known here: that it is not scored
    on the same is up to whoever brings it.

    Raises:
        StudioError: no checkpoint there, only a part of one, the name is taken or kept for runs, or the disk is full.
    """
    source = Path(folder).expanduser().absolute()
    if (source / "checkpoint").is_dir():
        source = source / "checkpoint"
    own = _check(source)
    with ws.read() as session:
        _name(session, name.strip(), own)
        known = [(row.id, checkpoints.folder(ws, row)) for row in checkpoint_rows.load_many(session)]
    if (same := _same(source, known)) is not None:
        return Brought(checkpoints.view(ws, same), False)
    partial = ws.path(f"tmp/checkpoint-{uuid4().hex}")
    with disk_errors(ws.home):
        try:
            _copy(source, partial)
            _check(partial)  # somebody may have been at work there
            with ws.write() as session:
                row = Checkpoint(name=_name(session, name.strip(), own), path=f"checkpoints/{partial.name[-12:]}")
                partial.rename(checkpoints.folder(ws, row))
                session.add(row)
                session.flush()
                made = row.id
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Brought(checkpoints.view(ws, made), True)


def _check(folder: Path) -> str:
    """The name that a whole checkpoint has of its own."""
    from engine.checkpoints import CheckpointError, check_folder

    try:
        return check_folder(folder).name
    except CheckpointError as error:
        raise StudioError(f"This is no checkpoint to bring in: {error}.") from error
    except OSError as error:
        raise StudioError(f"{folder} cannot be read ({error.strerror}): make it readable first.") from error


def _name(session: Session, asked: str, own: str) -> str:
    """The name that a new checkpoint gets."""
    taken = checkpoint_rows.names(session)
    if len(asked) > LONGEST or OF_RUNS.fullmatch(asked) or NOT_IN_FILES.search(asked):
        raise StudioError(
            f"Choose a name of {LONGEST} letters at most, without slashes, and not run-1 or the like, as runs have."
        )
    if asked in taken:
        raise StudioError(f"There is, or was, a checkpoint called {asked}: choose another name.")
    own = asked or ("from elsewhere" if OF_RUNS.fullmatch(own) else NOT_IN_FILES.sub("-", own)[:LONGEST])
    numbered = (f"{own}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (own, *numbered) if name not in taken)


def _same(source: Path, known: list[tuple[int, Path]]) -> int | None:
    """The id of the checkpoint that is the same to the last byte. Weights are read only of those whose files are as long."""
    sizes = _sizes(source)
    alike = [(id_, place) for id_, place in known if _sizes(place) == sizes]
    content = _content(source, sizes) if alike else ""
    return next((id_ for id_, place in alike if _content(place, sizes) == content), None)


def _sizes(folder: Path) -> dict[str, int]:
    """The files that make a checkpoint what it is, by their place in its folder, with their bytes."""
    files = [folder / "checkpoint.json", folder / "ontology.json", *folder.rglob("*.safetensors")]
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(files) if file.is_file()}


def _content(folder: Path, names: dict[str, int]) -> str:
    """One hash of those files."""
    total = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _copy(source: Path, target: Path) -> None:
    """Copy the files, without the rights they have there, and have them on the disk."""
    for file in source.rglob("*"):
        if file.is_file():
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            fsync(place)
