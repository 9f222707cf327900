"""Slots and their known values, as the slot editor offers them. Every change makes a new version; old ones stay.

`studio.services.ontology_changes` changes them on purpose; here they grow by what people write and what is imported.
`studio.services.unused` takes out again what was written and no label holds any more.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.models import Dialogue as DialogueRow
from db.models import Ontology as OntologyRow
from db.models import Split
from db.repositories import labels, projects
from engine.dialogue import DONTCARE, Dialogue, Ontology, State, Value, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.errors import StudioError
from studio.workspace import Workspace

BUILT_FROM = {Split.TRAIN: "train", Split.DEV: "train+dev", Split.TEST: "all"}  # what knows a value of that split


def get_ontology(ws: Workspace, project_id: int) -> Ontology:
    """The newest version of the project's ontology."""
    with ws.read() as session:
        return from_row(newest(session, project_id))


def from_row(row: OntologyRow) -> Ontology:
    """The ontology of a version."""
    return Ontology(row.values, row.built_from, row.descriptions, row.types, row.synonyms)


@dataclass(frozen=True)
class VersionView:
    """A version as the history shows it; versions of older databases have no ``author`` and no ``change``."""

    version: int
    author: str
    change: str
    slots: int
    values: int
    created: datetime


def versions(ws: Workspace, project_id: int) -> list[VersionView]:
    """Every version, newest first."""
    with ws.read() as session:
        return [
            VersionView(
                row.version,
                row.author,
                row.change,
                sum(len(slots) for slots in row.values.values()),
                sum(len(known) for slots in row.values.values() for known in slots.values()),
                row.created,
            )
            for row in projects.ontologies(session, project_id)
        ]


def slots(ws: Workspace, project_id: int) -> dict[str, list[str]]:
    """``{domain: [slot, ...]}`` in the ontology's order."""
    return {domain: list(values) for domain, values in get_ontology(ws, project_id).values.items()}


def choices(ws: Workspace, project_id: int, domain: str, slot: str) -> list[str]:
    """Known values of a slot, then ``dontcare``; only ``dontcare`` for an open or unknown slot. Free text is always
    allowed."""
    known = get_ontology(ws, project_id).values.get(domain, {}).get(slot, [])
    return [value for value in known if value != DONTCARE] + [DONTCARE]


def slot_counts(ws: Workspace, project_id: int) -> dict[tuple[str, str], int]:
    """How many labelled turns have a value in each slot."""
    with ws.read() as session:
        return labels.slot_counts(session, project_id)


def value_counts(ws: Workspace, project_id: int, domain: str, slot: str) -> dict[str, int]:
    """How many labelled turns hold each value of a slot, by the value's normal form."""
    counts: dict[str, int] = {}
    with ws.read() as session:
        for value, number in labels.value_counts(session, project_id, domain, slot).items():
            normal = normalise_value(value, slot)
            counts[normal] = counts.get(normal, 0) + number
    return counts


def remember(session: Session, dialogue: DialogueRow, state: State, author: str) -> None:
    """Have the values of a state that somebody wrote offered from now on, with their domains and slots.

    A value that is a known one in another spelling ("Curry Garden", "curry garden", a synonym) is no new one. What is new is
    offered for as long as a label holds it (`studio.services.unused`).

    The ontology then says that it holds values of the dialogue's split too.
    """
    row = newest(session, dialogue.project_id)
    known = from_row(row)
    new = unknown(known, iterate_slots(state))
    if new:
        merged = known.merged(Ontology(new, BUILT_FROM[dialogue.split]))
        came = places(merged.values) - places(known.values)
        written = copy.deepcopy(row.written)
        for domain, slot, value in came:
            written.setdefault(domain, {}).setdefault(slot, {})[value] = dialogue.name
        add_version(session, dialogue.project_id, merged, author, f"{told(new)}, written in {dialogue.name}", written=written)


def recall(session: Session, dialogue: DialogueRow, state: State, author: str) -> None:
    """As `remember`, of a state that stands again: what went out of the ontology with its last label comes back with it."""
    written = newest(session, dialogue.project_id).written
    back: State = {}
    for domain, slot, value in iterate_slots(state):
        if any(form in written.get(domain, {}).get(slot, {}) for form in accepted(value)):
            back.setdefault(domain, {})[slot] = value
    if back:
        remember(session, dialogue, back, author)


def introduced(session: Session, dialogue: DialogueRow) -> dict[tuple[str, str], set[str]]:
    """The values that came into the ontology because somebody wrote them in a dialogue, by domain and slot."""
    new: dict[tuple[str, str], set[str]] = {}
    for domain, slot, found in iterate_slots(newest(session, dialogue.project_id).written):
        if mine := {value for value, name in found.items() if value and name == dialogue.name}:
            new[domain, slot] = mine
    return new


def places(values: Mapping[str, Mapping[str, Iterable[str]]]) -> set[tuple[str, str, str]]:
    """Domain, slot and value of all that an ontology has; "" stands for the slot itself."""
    return {(domain, slot, value) for domain, slots in values.items() for slot, known in slots.items() for value in ("", *known)}


def unknown(known: Ontology, slots: Iterable[tuple[str, str, Value]]) -> dict[str, dict[str, list[str]]]:
    """Of ``(domain, slot, value)`` what an ontology lacks: values that are no other spelling of a known one, and slots."""
    new: dict[str, dict[str, list[str]]] = {}
    for domain, slot, value in slots:
        values = known.values.get(domain, {}).get(slot)
        normal = {normalise_value(form, slot) for form in known.spellings(domain, slot)} | {DONTCARE, ""}
        forms = []
        for form in accepted(value):
            if (written := normalise_value(form, slot)) not in normal:
                normal.add(written)
                forms.append(form)
        if forms or values is None:
            new.setdefault(domain, {})[slot] = forms
    return new


def normal_form(known: Ontology, domain: str, slot: str, text: str) -> str:
    """The normal form of the value that a text stands for: of a synonym the value's, else the text's own."""
    normal = normalise_value(text, slot)
    synonyms = known.synonyms.get(domain, {}).get(slot, {})
    value = next((value for value, forms in synonyms.items() if normal in {normalise_value(form, slot) for form in forms}), None)
    if value is None or normal in {normalise_value(other, slot) for other in known.values.get(domain, {}).get(slot, ())}:
        return normal
    return normalise_value(value, slot)


def new_in(known: Ontology, dialogues: Sequence[Dialogue]) -> Ontology:
    """What an ontology lacks of dialogues that come in: every slot, but values of the training split only.

    Values of dev and test would make an oracle of it, which scores then have to say.
    """
    slots, values = Ontology.from_dialogues(dialogues), Ontology.from_dialogues(d for d in dialogues if d.split == "train")
    found: list[tuple[str, str, Value]] = []
    for domain in slots.values:
        for slot in slots.values[domain]:
            trained = values.values.get(domain, {}).get(slot, [])
            if trained or slot not in known.values.get(domain, {}):
                found.append((domain, slot, trained))
    return Ontology(unknown(known, found))


def told(values: dict[str, dict[str, list[str]]], most: int = 5) -> str:
    """Slots and values that came, in words."""
    lines = [
        f"{domain}-{slot}: {', '.join(found) or 'a new slot' if len(found) <= most else f'{len(found)} values'}"
        for domain, slot, found in iterate_slots(values)
    ]
    return "added " + "; ".join(lines[:most]) + (f" and {len(lines) - most} slots more" if len(lines) > most else "")


def add_version(
    session: Session,
    project_id: int,
    ontology: Ontology,
    author: str,
    change: str,
    entities: dict[str, Any] | None = None,
    written: dict[str, Any] | None = None,
) -> OntologyRow:
    """Make an ontology the project's newest.

    Args:
        change: what is new, in words.
        entities: the ids of its entity tables by domain; those of the version before if ``None``.
        written: which values came in by labels (`db.models.Ontology`). If ``None``, those of the version before: but for what
            is changed here, which is meant to be there, or not to be, whatever labels hold.
    """
    last = projects.newest_ontology(session, project_id)
    if written is None:
        written = _not_meant(last.written, places(last.values) ^ places(ontology.values)) if last else {}
    row = OntologyRow(
        project_id=project_id,
        version=last.version + 1 if last else 1,
        built_from=ontology.built_from,
        values=ontology.values,
        descriptions=ontology.descriptions,
        types=ontology.types,
        synonyms=ontology.synonyms,
        entities=entities if entities is not None else dict(last.entities) if last else {},
        written=written,
        author=author,
        change=change,
    )
    session.add(row)
    session.flush()
    return row


def _not_meant(written: dict[str, Any], meant: set[tuple[str, str, str]]) -> dict[str, Any]:
    """The values of ``written`` that are not among the ``meant``."""
    return {
        domain: {
            slot: {value: name for value, name in found.items() if (domain, slot, value) not in meant}
            for slot, found in slots.items()
        }
        for domain, slots in written.items()
    }


def newest(session: Session, project_id: int) -> OntologyRow:
    """The newest version's row.

    Raises:
        StudioError: no such project.
    """
    row = projects.newest_ontology(session, project_id)
    if row is None:
        raise StudioError("This project does not exist any more: choose another one.")
    return row
