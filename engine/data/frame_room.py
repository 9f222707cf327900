"""How much of the disk the frame cache takes: what was not used for longest makes room, never what a run under way has used.

The environment variable ``DST_STUDIO_FRAMES_GB`` is the bound in gigabytes, 20 without it; of a disk that has less to spare, half
of what is free is left. A file's time of change is when it was used last. Each process that uses the cache holds a lock in
``in-use``; the system frees the lock of one that ended, however it did.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from socket import gethostname

from filelock import FileLock, Timeout

from engine.config import RecipeError

LIMIT, LIMIT_GB = "DST_STUDIO_FRAMES_GB", 20.0
IN_USE = "in-use"
FREE_SHARE = 0.5  # of what is free on the disk, which the cache may take beside what it has
PART = 0.05  # of the bound, which is written between two looks at the folder and is free after one
FULL_SECONDS = 60.0  # until it is looked again where there is no room


class Room:
    """The bound on the folder of the cache, for one process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.limit = _limit()
        self._left = 0.0  # bytes to write before the next look
        self._full_since: float | None = None
        self._began = _using(root)

    def take(self, size: int) -> bool:
        """Whether a file of so many bytes may be written; others are removed for it. Where all are in use there is no room."""
        full = self._full_since is not None and time.monotonic() - self._full_since < FULL_SECONDS
        if size > self._left and not full:
            self._left = self._make_room()
            self._full_since = time.monotonic() if size > self._left else None
        if size > self._left:
            return False
        self._left -= size
        return True

    def _make_room(self) -> float:
        """Remove what was not used for longest until a part of the bound is free; the bytes that may be written then."""
        found = sorted(_files(self.root))
        total = float(sum(size for _, size, _ in found))
        limit = min(self.limit, total + FREE_SHARE * shutil.disk_usage(self.root).free)
        in_use_since = min([self._began, *_others(self.root)])
        for used, size, path in found:
            if total <= (1 - PART) * limit or used >= in_use_since:
                break
            with suppress(FileNotFoundError):  # another process was quicker
                path.unlink()
            total -= size
        return max(0.0, min(PART * limit, limit - total))


def used(path: Path) -> None:
    """Note that a file of the cache was used."""
    with suppress(OSError):  # it was removed, or is another user's
        os.utime(path)


def _limit() -> float:
    """The bound in bytes."""
    text = os.environ.get(LIMIT, "") or str(LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not limit >= 0:
        raise RecipeError(
            f"{LIMIT} is {text!r}: give the gigabytes that encoder frames may take on the disk, such as 20, or unset it"
        )
    return 1e9 * limit


def _files(root: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file of the cache was used last, its bytes, and where it is; what a killed process began to write, too."""
    for path in root.glob("*/*/*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            yield status.st_mtime, status.st_size, path


@cache
def _using(root: Path) -> float:
    """Hold a lock as long as this process lives; when it began, by the clock of the disk."""
    folder = root / IN_USE
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{gethostname()}-{os.getpid()}-{time.time_ns()}.lock")
    lock.acquire()
    _held.append(lock)
    return Path(lock.lock_file).stat().st_mtime


_held: list[FileLock] = []


def _others(root: Path) -> Iterator[float]:
    """When each process that uses the cache began to; the locks of those that ended are removed."""
    for path in (root / IN_USE).glob("*.lock"):
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            with suppress(FileNotFoundError):
                yield path.stat().st_mtime
