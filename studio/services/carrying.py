"""A correction of imported labels, carried into the later turns that hold the same wrong value.

What the model answered follows a correction by itself (`studio.services.propagation`); what was imported is somebody's label
and stays, so following is offered, and done when somebody asks for it: a revision of source ``propagated`` for each turn.
Only labels move that hold a value which the corrected turn held before, up to the first turn with another one. What somebody
decided on there, reviewed and final turns and labels that are locked stay as they are. A blind layer holds no imported labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.models import RevisionKind, RevisionSource, Speaker, Turn, TurnStatus
from db.repositories import revisions
from db.repositories.revisions import LABELS
from engine.dialogue import Value, with_values
from studio.errors import StudioError
from studio.services import double, labels
from studio.services.edits import slots_of
from studio.services.search import index
from studio.services.views import locked_turn, turn_view
from studio.workspace import Workspace

Place = tuple[str, str]  # domain, slot
_REVIEWED = (TurnStatus.REVIEWED, TurnStatus.FINAL)


@dataclass(frozen=True)
class Offer:
    """What can be carried on: values by slot (``None``: no value), and the numbers of the turns they would go into."""

    values: dict[Place, Value | None]
    turns: tuple[int, ...]


def offer(ws: Workspace, turn_id: int, author: str, layer: str = LABELS) -> Offer | None:
    """What of a corrected turn its later ones lack; ``None`` where they lack nothing, or its labels are none of an import."""
    with ws.read() as session:
        turn = session.get(Turn, turn_id)
        found = list(_behind(session, turn, author)) if turn is not None and layer == LABELS else []
    values = {place: value for _, changes in found for place, value in changes.items()}
    return Offer(values, tuple(later.turn_id for later, _ in found)) if found else None


def carry(ws: Workspace, turn_id: int, author: str, expected: int | None) -> int:
    """Carry a turn's corrections on; into how many turns. All of them move or none; ``expected`` is its ``state_head``.

    Raises:
        StudioError: somebody changed the turn's state since, it is annotated blind now, or no such turn.
    """
    with ws.write() as session:
        turn = locked_turn(session, turn_id)
        head = revisions.head(turn, RevisionKind.STATE)
        if (head.id if head is not None else None) != expected:
            raise StudioError("Somebody changed this turn meanwhile: look again, then carry its values on.")
        found = list(_behind(session, turn, author))
        for later, changes in found:
            double.check_layer(later, LABELS)
            old = revisions.corrected(later, RevisionKind.STATE)
            new = with_values(old, changes)
            revisions.append(session, later, RevisionKind.STATE, old, new, author, RevisionSource.PROPAGATED)
            index(later, turn_view(ws, session, later))
    return len(found)


def _behind(session: Session, turn: Turn, author: str) -> Iterator[tuple[Turn, dict[Place, Value | None]]]:
    """The later turns that hold what a turn held before it was corrected, and what they would hold instead."""
    former = _former(turn)
    if not former:
        return
    now = slots_of(revisions.corrected(turn, RevisionKind.STATE) or {})
    for later in sorted(turn.dialogue.turns, key=lambda other: other.turn_id):
        state = revisions.corrected(later, RevisionKind.STATE)
        if later.turn_id <= turn.turn_id or later.speaker != Speaker.USER or state is None:
            continue
        there = slots_of(state)
        changes: dict[Place, Value | None] = {}
        decided = {(mark.domain, mark.slot) for mark in later.marks if mark.layer == LABELS}
        for place in list(former):
            if there.get(place) in former[place]:
                if place not in decided:
                    changes[place] = now.get(place)
            elif there.get(place) != now.get(place):
                del former[place]  # the user said something else: from here on it is another value's story
        if changes and later.status not in _REVIEWED and not labels.locked(session, later, author):
            yield later, changes


def _former(turn: Turn) -> dict[Place, list[Value | None]]:
    """The values that the slots of an imported turn held before they were corrected; none of a turn that was not imported."""
    standing = revisions.standing(turn, RevisionKind.STATE)
    if not standing or standing[0].source != RevisionSource.IMPORT:
        return {}
    states = [slots_of(revision.new) for revision in standing]
    now = states.pop()
    places = dict.fromkeys(place for state in (*states, now) for place in state)
    found = {place: [state.get(place) for state in states if state.get(place) != now.get(place)] for place in places}
    return {place: values for place, values in found.items() if values}
