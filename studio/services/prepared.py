"""Prepared dialogues for demos: some of the sample's, played turn by turn into a dialogue, without a network."""

from __future__ import annotations

from dataclasses import dataclass

from engine.dialogue import Dialogue
from studio.errors import StudioError
from studio.services import dialogues, manifests
from studio.services.projects import SAMPLE
from studio.services.views import TurnView
from studio.workspace import Workspace

# Of the sample's training dialogues only: a copy of a held-out one could be corrected and trained on.
TITLES = {
    "woz20-dev-0615": "Italian instead of international, in the north",
    "woz20-dev-0613": "A cheap steakhouse, then asian oriental",
    "woz20-dev-0625": "Portuguese food in any area",
    "woz20-dev-0616": "Korean instead of afghan food",
}


@dataclass(frozen=True)
class Playing:
    """A prepared dialogue being played: its name, the dialogue it is played into, and which turn comes next (from 0)."""

    name: str
    dialogue_id: int
    place: int
    turns: int

    @property
    def over(self) -> bool:
        return self.place >= self.turns


def start(name: str, dialogue_id: int) -> Playing:
    """A prepared dialogue (a name of ``TITLES``) from its first turn on, to be played into a dialogue.

    Raises:
        StudioError: no such prepared dialogue.
    """
    return Playing(name, dialogue_id, 0, len(_script(name).turns))


def play(ws: Workspace, playing: Playing, author: str) -> tuple[TurnView, Playing]:
    """Say the next turn: the user's is a recording for the model to hear, the agent's is text.

    Raises:
        StudioError: all turns were played, or the dialogue is gone.
    """
    if playing.over:
        raise StudioError("The prepared dialogue is over: choose another one, or go on speaking.")
    turn = _script(playing.name).turns[playing.place]
    if turn.speaker == "user":
        assert turn.audio is not None  # the package's own, checked by a test
        said = dialogues.add_user_turn(ws, playing.dialogue_id, turn.audio)
    else:
        said = dialogues.add_agent_turn(ws, playing.dialogue_id, turn.transcript, author=author)
    return said, Playing(playing.name, playing.dialogue_id, playing.place + 1, playing.turns)


def _script(name: str) -> Dialogue:
    found = {dialogue.dialogue_id: dialogue for dialogue in manifests.read(SAMPLE / "manifest.jsonl")}
    if name not in TITLES or name not in found:
        raise StudioError("There is no such prepared dialogue: choose one of the list.")
    return found[name]
