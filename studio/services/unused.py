"""Values that came into the ontology because somebody wrote them into a label go out again with the last label that holds them.

A typing error that was taken back, or written over, is then not offered any more. It is looked for once the rest of the dialogue
has followed the change (`studio.services.following`), so no save waits, and what later turns had of it is gone too. A label that
holds it again, by a redo too, brings it back (`ontology.recall`). Held-out labels count like all others. What somebody put into
the ontology on purpose stays whatever labels hold, and so does a value that was given synonyms.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session

from db.models import Ontology as OntologyRow
from db.models import RevisionKind, Turn
from db.repositories import labels, revisions
from db.repositories.revisions import LABELS
from engine.dialogue import State, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.services import ontology
from studio.workspace import Workspace

Written = tuple[str, str, str]  # domain, slot, value


def forget(ws: Workspace, turn_id: int) -> None:
    """Take out of the ontology what a turn held once, and no label holds now. Nothing is written where there is nothing such."""
    with ws.read() as session:
        turn = session.get_one(Turn, turn_id)
        seen = labels.newest_change(session)
        gone = [written for written in _once_held(session, turn) if not _used(session, turn, *written)]
    if not gone:
        return
    with ws.write() as session:
        turn = session.get_one(Turn, turn_id)
        row = ontology.newest(session, turn.dialogue.project_id)
        since = [_standing(other) for other in labels.turns(session, labels.changed_since(session, turn.project_id, seen))]
        again = {_normal(*form) for state in since for form in _forms(state)}  # written while this was looked for
        gone = [written for written in gone if _normal(*written) not in again and _by_labels_alone(row, *written)]
        if gone:
            _take_out(session, turn, row, gone)


def _take_out(session: Session, turn: Turn, row: OntologyRow, gone: list[Written]) -> None:
    """A new version without these values, and without a slot that came with them and has nothing left."""
    known = ontology.from_row(row)
    values = {domain: {slot: list(found) for slot, found in slots.items()} for domain, slots in row.values.items()}
    for domain, slot, value in gone:
        values[domain][slot].remove(value)
        described = any(slot in told.get(domain, {}) for told in (known.descriptions, known.types))
        came = "" in row.written[domain][slot] and not described
        if came and not values[domain][slot] and not labels.holding(session, turn.project_id, domain, slot):
            del values[domain][slot]
        if not values[domain]:
            del values[domain]
    told = f"removed {'; '.join(f'{domain}-{slot}: {value}' for domain, slot, value in gone)}: no label holds it any more"
    author = next(change.author for change in reversed(turn.revisions) if change.layer == LABELS)
    ontology.add_version(session, turn.project_id, replace(known, values=values), author, told, written=row.written)


def _once_held(session: Session, turn: Turn) -> list[Written]:
    """What came in by labels alone, of what a turn held once and holds no more, in whatever spelling."""
    changes = [change for change in turn.revisions if change.kind == RevisionKind.STATE and change.layer == LABELS]
    once = {_normal(*form) for change in changes for state in (change.old, change.new) for form in _forms(state or {})}
    left = once - {_normal(*form) for form in _forms(_standing(turn))}
    row = ontology.newest(session, turn.project_id) if left else None
    came = [(domain, slot, value) for domain, slot, found in iterate_slots(row.written) for value in found] if row else []
    return [written for written in came if row is not None and _normal(*written) in left and _by_labels_alone(row, *written)]


def _by_labels_alone(row: OntologyRow, domain: str, slot: str, value: str) -> bool:
    return (
        value in row.written.get(domain, {}).get(slot, {})
        and value in row.values.get(domain, {}).get(slot, ())
        and value not in row.synonyms.get(domain, {}).get(slot, {})
    )


def _used(session: Session, turn: Turn, domain: str, slot: str, value: str) -> bool:
    """Whether a label holds the value, in whatever spelling, or as another form of one."""
    normal = normalise_value(value, slot)
    return any(normalise_value(other, slot) == normal for other in labels.value_counts(session, turn.project_id, domain, slot))


def _standing(turn: Turn) -> State:
    state: State | None = revisions.corrected(turn, RevisionKind.STATE)
    return state or {}


def _forms(state: State) -> list[Written]:
    return [(domain, slot, form) for domain, slot, value in iterate_slots(state) for form in accepted(value)]


def _normal(domain: str, slot: str, value: str) -> Written:
    return domain, slot, normalise_value(value, slot)
