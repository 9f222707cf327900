"""Signs of a run for whoever watches it from outside: what it does, and how long that usually takes from one to the next."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

LATELY = 20  # so many of a kind tell what is usual

Doing = Literal["starting", "training", "evaluating", "answering", "saving"]


class Pulse:
    """Gives a sign after each step, batch of an evaluation, answered turn and save. Whoever hears none for much longer than is
    usual may take it that the run hangs.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        """``write`` gets the signs: ``doing``, and of that ``usual_seconds`` and ``slowest_seconds``, ``None`` at first."""
        self._write = write
        self._doing: Doing = "starting"
        self._took: dict[str, deque[float]] = {}
        self._since = time.monotonic()
        self._tell()

    def beat(self, doing: Doing | None = None) -> None:
        """Something is done; what comes next is ``doing``, or another of the same."""
        now = time.monotonic()
        self._took.setdefault(self._doing, deque(maxlen=LATELY)).append(now - self._since)
        self._doing, self._since = doing or self._doing, now
        self._tell()

    def begin_stage(self) -> None:
        """Another stage takes other times."""
        self._took.clear()
        self._doing, self._since = "training", time.monotonic()
        self._tell()

    def _tell(self) -> None:
        took = self._took.get(self._doing)
        usual, slowest = (statistics.median(took), max(took)) if took else (None, None)
        self._write({"doing": self._doing, "usual_seconds": usual, "slowest_seconds": slowest})
