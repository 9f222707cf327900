"""Corpus folders in their published layout, read into dialogues.

Every reader is a function ``read(folder, split) -> (dialogues, report)``. Transcripts are in spoken form
(`engine.data.spoken_form`), states are cumulative and in written form. What a reader drops or mends is counted in its
report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.dialogue import Dialogue


class CorpusError(ValueError):
    """A folder that does not hold the corpus. The message says what was expected and what was found."""


@dataclass
class PreparationReport:
    """What one reader read, dropped and mended. Keys of ``dropped`` and ``mended`` are reasons, values are counts."""

    corpus: str
    split: str
    dialogues: int = 0
    user_turns: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)

    def count(self, dialogues: list[Dialogue]) -> None:
        """Count what is left after dropping."""
        self.dialogues = len(dialogues)
        self.user_turns = sum(len(dialogue.user_turns()) for dialogue in dialogues)

    def lines(self) -> list[str]:
        """The report for people, one finding a line."""
        head = f"{self.corpus} {self.split}: {self.dialogues} dialogues, {self.user_turns} user turns"
        found = [("dropped", self.dropped), ("mended", self.mended)]
        return [head, *(f"  {what} {n}: {reason}" for what, counts in found for reason, n in sorted(counts.items()))]


Reader = Callable[[Path, str], tuple[list[Dialogue], PreparationReport]]


def require(folder: Path, *names: str) -> Path:
    """The first of ``names`` that exists in ``folder``.

    Raises:
        CorpusError: there is no such folder, or none of the names is in it.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; expected one with {' or '.join(names)}")
    for name in names:
        if (folder / name).exists():
            return folder / name
    found = sorted(path.name for path in folder.iterdir())
    listing = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") if found else "nothing"
    raise CorpusError(f"{folder}: expected {' or '.join(names)}, found {listing}")


def readers() -> dict[str, Reader]:
    """Every corpus this package reads, by name."""
    from engine.data.readers import multiwoz, recordings, sgd, woz20

    return {"woz20": woz20.read, "multiwoz": multiwoz.read, "sgd": sgd.read, "recordings": recordings.read}
