"""The tracker that answers, and the one that is to answer next: loading takes seconds, which no speaker should wait for."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studio.errors import StudioError
from studio.services import checkpoints, lease
from studio.workspace import Workspace

if TYPE_CHECKING:
    from engine.tracking import Tracker

FOLLOW_SECONDS = 2.0  # how often the studio looks whether another process put a checkpoint in use


class Loaded(NamedTuple):
    """A checkpoint's tracker."""

    checkpoint_id: int
    tracker: Tracker


# What a process keeps between calls. ``_loading`` lets one load at a time; turns are answered meanwhile.
computing = threading.RLock()  # held by whoever asks a tracker: turns side by side on one machine are both slower
_loading = threading.Lock()
_answering: Loaded | None = None
_next: Loaded | None = None
_device = "auto"  # where they are; `studio.services.lease` says where they may be
_following = False  # whether `keep_ready` runs: then the old tracker answers until the new one is there
_failed: int | None = None  # the checkpoint `keep_ready` could not load: whoever asks next is told why


def answering(ws: Workspace) -> Loaded:
    """The tracker of the checkpoint in use; while `keep_ready` still loads that, the one before. Call it while `computing`.

    Raises:
        StudioError: it cannot be loaded, or a job has the GPU and it is to wait for that.
    """
    global _answering, _next
    _move(lease.device_for_live(ws, _leave_gpu))
    wanted = checkpoints.in_use(ws)
    while (current := _answering) is None or current.checkpoint_id != wanted.id:  # which `keep_ready` may take away
        if current is not None and _following and not _is_ready(wanted.id) and wanted.id != _failed:
            break
        _prepare(wanted.id, wanted.path)
        with _loading:
            if _next is not None and _next.checkpoint_id == wanted.id:
                _answering, _next = _next, None
    return current


def prepare(ws: Workspace, checkpoint_id: int, folder: Path) -> None:
    """Load a checkpoint: once it is put in use, the next turn does not wait. Nothing is loaded while the live model is to wait
    for the GPU.

    Raises:
        StudioError: it cannot be loaded.
    """
    with suppress(lease.GpuTakenError):
        _move(lease.device_for_live(ws, _leave_gpu))
        _prepare(checkpoint_id, folder)


def keep_ready(ws: Workspace) -> None:
    """Load the checkpoint in use, and from then on each that another process puts in use; never returns."""
    global _following, _failed
    _following = True
    while True:
        with suppress(StudioError):  # the database is busy: next time
            wanted = checkpoints.in_use(ws)
            _move(lease.device_for_live(ws, _leave_gpu))
            if wanted.id != _failed:
                try:
                    _prepare(wanted.id, wanted.path)
                except StudioError:
                    _failed = wanted.id
        time.sleep(FOLLOW_SECONDS)


def _prepare(checkpoint_id: int, folder: Path) -> None:
    """Load a checkpoint beside the one that answers or, where both do not fit, in its place. If that fails the one in use is
    loaded again, by whoever needs it first.
    """
    global _answering, _next
    with _loading:
        if _is_ready(checkpoint_id):
            return
        try:
            _next = Loaded(checkpoint_id, _load(folder))
            return
        except StudioError as error:
            if not _lacks_memory(error) or (_answering is None and _next is None):
                raise
    with computing, _loading:  # out of the except clause: the error holds on to what it could load
        if not _is_ready(checkpoint_id):
            _answering = _next = None
            _empty()
            _next = Loaded(checkpoint_id, _load(folder))


def _move(device: str) -> None:
    """Let go of trackers that are elsewhere: they are loaded anew on the device."""
    global _device, _answering, _next
    if device == _device:  # without the lock: a turn does not wait for what another thread loads
        return
    with _loading:
        _device, _answering, _next = device, None, None


def _leave_gpu() -> None:
    """Take the trackers off the GPU, once the turn under way is answered."""
    global _answering, _next
    with computing, _loading:
        if _device != "cpu":
            _answering = _next = None
        _empty()  # where `_move` let go of them already, too: the turn that was under way held on to one


def _empty() -> None:
    """Give back the memory of trackers that nobody holds any more."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _lacks_memory(error: StudioError) -> bool:
    from engine.failures import kind_of

    return kind_of(error) in ("gpu memory", "memory")


def _is_ready(checkpoint_id: int) -> bool:
    return any(known is not None and known.checkpoint_id == checkpoint_id for known in (_answering, _next))


def _load(folder: Path) -> Tracker:
    from engine import tracking

    try:
        return tracking.Tracker.load(folder, _device)
    except Exception as error:
        raise StudioError(f"The checkpoint in {folder} cannot be loaded: {error}") from error
