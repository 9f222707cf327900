"""What the studio tells people when something cannot be done: one sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.dialogue import State
    from studio.services.dialogues import TurnView


class StudioError(Exception):
    """Something a person can put right. The message is one sentence that says what to do, shown as it is."""


class HeldOutError(StudioError):
    """A label that scores are measured on was to be changed without saying that this is meant; nothing was saved."""


class ConflictError(StudioError):
    """Somebody else changed the turn since it was opened, or the model answered it; nothing was saved.

    ``mine`` is the text or state that was refused, ``theirs`` the one that stands now, ``author`` who changed it and
    ``turn`` the turn as it stands now: its heads are what a second attempt must expect.
    """

    def __init__(
        self,
        mine: str | State | None,
        theirs: str | State | None,
        author: str,
        turn: TurnView,
        sentence: str = "{} changed this turn meanwhile; compare both versions and save again.",
    ) -> None:
        super().__init__(sentence.format(author))
        self.mine, self.theirs, self.author, self.turn = mine, theirs, author, turn
