"""Slots and their known values, as the slot editor offers them. Every change makes a new version; old ones stay."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.models import Ontology as OntologyRow
from db.repositories import projects
from engine.dialogue import DONTCARE, Ontology
from studio.errors import StudioError
from studio.workspace import Workspace


def get_ontology(ws: Workspace, project_id: int) -> Ontology:
    """The newest version of the project's ontology."""
    with ws.read() as session:
        row = newest(session, project_id)
        return Ontology(row.values, row.built_from)


def slots(ws: Workspace, project_id: int) -> dict[str, list[str]]:
    """``{domain: [slot, ...]}`` in the ontology's order."""
    return {domain: list(values) for domain, values in get_ontology(ws, project_id).values.items()}


def choices(ws: Workspace, project_id: int, domain: str, slot: str) -> list[str]:
    """Known values of a slot, then ``dontcare``; only ``dontcare`` for an open or unknown slot. Free text is always
    allowed."""
    known = get_ontology(ws, project_id).values.get(domain, {}).get(slot, [])
    return [value for value in known if value != DONTCARE] + [DONTCARE]


def add_value(ws: Workspace, project_id: int, domain: str, slot: str, value: str) -> None:
    """Add a value (and its domain and slot when new); a value that is already there changes nothing.

    Raises:
        StudioError: a name or the value is empty.
    """
    domain, slot, value = domain.strip(), slot.strip(), value.strip()
    if not (domain and slot and value):
        raise StudioError("A new value needs a domain, a slot and the value: fill in all three.")
    with ws.write() as session:
        row = newest(session, project_id)
        known = row.values.get(domain, {}).get(slot, [])
        if value not in known and value != DONTCARE:
            values = {**row.values, domain: {**row.values.get(domain, {}), slot: [*known, value]}}
            add_version(session, project_id, Ontology(values, row.built_from))


def add_version(session: Session, project_id: int, ontology: Ontology) -> OntologyRow:
    """Make an ontology the project's newest."""
    last = projects.newest_ontology(session, project_id)
    row = OntologyRow(
        project_id=project_id,
        version=last.version + 1 if last else 1,
        built_from=ontology.built_from,
        values=ontology.values,
    )
    session.add(row)
    session.flush()
    return row


def newest(session: Session, project_id: int) -> OntologyRow:
    """The newest version's row.

    Raises:
        StudioError: no such project.
    """
    row = projects.newest_ontology(session, project_id)
    if row is None:
        raise StudioError("This project does not exist any more: choose another one.")
    return row
