"""The tracker that answers, and the one that is to answer next: loading takes seconds, which no speaker should wait for."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studio.errors import StudioError
from studio.services import checkpoints
from studio.workspace import Workspace

if TYPE_CHECKING:
    from engine.tracking import Tracker

FOLLOW_SECONDS = 2.0  # how often the studio looks whether another process put a checkpoint in use


class Loaded(NamedTuple):
    """A checkpoint's tracker."""

    checkpoint_id: int
    tracker: Tracker


# What a process keeps between calls. ``_loading`` lets one load at a time; turns are answered meanwhile.
_loading = threading.Lock()
_answering: Loaded | None = None
_next: Loaded | None = None
_following = False  # whether `keep_ready` runs: then the old tracker answers until the new one is there
_failed: int | None = None  # the checkpoint `keep_ready` could not load: whoever asks next is told why


def answering(ws: Workspace) -> Loaded:
    """The tracker of the checkpoint in use; while `keep_ready` still loads that, the one before. One caller at a time.

    Raises:
        StudioError: it cannot be loaded.
    """
    global _answering, _next
    wanted = checkpoints.in_use(ws)
    while _answering is None or _answering.checkpoint_id != wanted.id:
        if _answering is not None and _following and not _is_ready(wanted.id) and wanted.id != _failed:
            break
        prepare(wanted.id, wanted.path)
        with _loading:
            if _next is not None and _next.checkpoint_id == wanted.id:
                _answering, _next = _next, None
    return _answering


def prepare(checkpoint_id: int, folder: Path) -> None:
    """Load a checkpoint beside the one that answers: once it is put in use, the next turn does not wait.

    Raises:
        StudioError: it cannot be loaded.
    """
    global _next
    with _loading:
        if not _is_ready(checkpoint_id):
            _next = Loaded(checkpoint_id, _load(folder))


def keep_ready(ws: Workspace) -> None:
    """Load the checkpoint in use, and from then on each that another process puts in use; never returns."""
    global _following, _failed
    _following = True
    while True:
        with suppress(StudioError):  # the database is busy: next time
            wanted = checkpoints.in_use(ws)
            if wanted.id != _failed:
                try:
                    prepare(wanted.id, wanted.path)
                except StudioError:
                    _failed = wanted.id
        time.sleep(FOLLOW_SECONDS)


def _is_ready(checkpoint_id: int) -> bool:
    return any(known is not None and known.checkpoint_id == checkpoint_id for known in (_answering, _next))


def _load(folder: Path) -> Tracker:
    from engine import tracking

    try:
        return tracking.Tracker.load(folder)
    except Exception as error:
        raise StudioError(f"The checkpoint in {folder} cannot be loaded: {error}") from error
