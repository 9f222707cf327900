"""What looks wrong in a turn, by all that the project knows: its ontology and its entity tables."""

from __future__ import annotations

from engine.dialogue import Ontology
from studio.services import entities
from studio.services.lint import Hint, lint
from studio.services.views import TurnView
from studio.workspace import Workspace


def hints(ws: Workspace, project_id: int, turn: TurnView, known: Ontology) -> list[Hint]:
    """Hints on the state that stands after a turn; none where there is no state. ``known`` is the project's ontology."""
    if turn.state is None:
        return []
    found = lint(turn.state, turn.previous_state, turn.transcript or "", known)
    return found + list(entities.contradictions(turn.state, known, entities.tables(ws, project_id)))
