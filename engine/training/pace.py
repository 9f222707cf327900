"""How fast a run goes, and how long the rest of it will take."""

from __future__ import annotations

FORGET = 0.05  # weight of the newest step, once there are as many that a mean of all would follow too slowly


class Pace:
    """Seconds that a step takes, with what is done beside the steps now and then spread over those between."""

    def __init__(self) -> None:
        self._step = 0.0
        self._steps = 0
        self._aside: dict[str, float] = {}

    def step(self, seconds: float) -> None:
        """Note a step. The mean at first, then mostly the newest; the very first, which warms up too, counts only while alone."""
        self._steps += 1
        self._step += max(FORGET, 1 / max(1, self._steps - 1)) * (seconds - self._step)

    def aside(self, what: str, seconds: float, every: int) -> None:
        """Note what is done each ``every`` steps, by the last time it was."""
        self._aside[what] = seconds / every

    def begin_stage(self) -> None:
        """Another stage does other things beside its steps."""
        self._aside = {}

    @property
    def step_seconds(self) -> float:
        """Seconds of a step alone, 0 before the first."""
        return self._step

    def left(self, steps: int) -> float:
        """Seconds that so many steps will take."""
        return steps * (self._step + sum(self._aside.values()))
