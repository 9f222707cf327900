"""Entity tables: what there is in a domain, by name and attributes, as MultiWOZ's ``restaurant_db.json`` has it.

Their columns feed slots' values, and a state that says of a known entity what it is not is told by `contradictions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from db.models import EntityTable
from db.repositories import projects
from engine.dialogue import DONTCARE, Ontology, State, accepted
from engine.json_text import FileError, parse, read_text
from engine.postprocess.normalise import normalise_slot, normalise_value, slot_type
from studio.errors import StudioError
from studio.services import ontology, ontology_changes, ontology_edits, people
from studio.services.lint import Hint
from studio.workspace import Workspace

NAMES = ("name", "trainid")  # the attributes by which an entity is known, in normal form
UNKNOWN = ("", "?", "none")  # how the files say that an attribute is not known
Entity = dict[str, str | list[str]]


@dataclass(frozen=True, eq=False)
class Table:
    """The entities of a domain; an attribute that is not known of one is missing there."""

    domain: str
    entities: tuple[Entity, ...]
    source: str
    author: str = ""
    created: datetime | None = None

    def columns(self) -> dict[str, list[str]]:
        """Every attribute with its values, sorted."""
        found: dict[str, set[str]] = {}
        for entity in self.entities:
            for attribute, value in entity.items():
                found.setdefault(attribute, set()).update(accepted(value))
        return {attribute: sorted(values) for attribute, values in found.items()}


def read(path: str | Path, domain: str = "") -> Table:
    """Read a database file in MultiWOZ's layout: a list of objects, or one object, of attributes by name.

    Whole numbers become text; attributes that hold objects or coordinates (prices, places on a map) are left out. Of one
    that lists texts (the colours of taxis) all are kept.

    Args:
        domain: what the entities are; without it the file's name says it (``restaurant_db.json``).

    Raises:
        StudioError: not such a file, with the line and the reason.
    """
    path = Path(path)
    try:
        data = parse(path, read_text(path))
    except FileError as error:
        raise StudioError(f"{error}.") from error
    rows = data if isinstance(data, list) else [data]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise StudioError(f"{path.name}: must hold a list of objects, an entity each, such as MultiWOZ's restaurant_db.json.")
    domain = domain.strip() or re.sub(r"[_-]?db$", "", path.name.split(".")[0]).lower()
    entities = tuple(entity for row in rows if (entity := _entity(row)))
    if not entities:
        raise StudioError(f"{path.name}: no object in it has an attribute with a text or a number.")
    return Table(domain, entities, path.name)


def feeds(known: Ontology, table: Table) -> dict[str, str]:
    """Which attribute feeds which slot of the domain: those of one name, however it is written (``arriveBy``, ``arriveby``)."""
    slots = {normalise_slot(slot): slot for slot in known.values.get(table.domain, {})}
    return {name: slots[normalise_slot(name)] for name in table.columns() if normalise_slot(name) in slots}


def suggested(known: Ontology, table: Table) -> list[str]:
    """The attributes whose values are worth offering: neither times nor codes, which are said in full."""
    return [name for name, slot in feeds(known, table).items() if slot_type(slot) in ("text", "count")]


def store(ws: Workspace, project_id: int, table: Table, attributes: Sequence[str], author: str) -> int:
    """Keep a table as its domain's, in place of the one before, and offer the values of the attributes named.

    An attribute without a slot of its name becomes a new slot. Returns the ontology's new version.

    Raises:
        StudioError: no such attribute, or the author may not.
    """
    people.require(ws, author, ontology_changes.EDITOR)
    columns = table.columns()
    if unknown := sorted(set(attributes) - columns.keys()):
        raise StudioError(f"{table.source} has no attribute {unknown[0]!r}; choose of {', '.join(columns)}.")
    with ws.write() as session:
        row = ontology.newest(session, project_id)
        known = ontology.from_row(row)
        slots = feeds(known, table)
        found = {slots.get(name, normalise_slot(name)): columns[name] for name in attributes}
        new = ontology_edits.news(known, Ontology({table.domain: found}))
        stored = EntityTable(
            project_id=project_id, domain=table.domain, source=table.source, entities=list(table.entities), author=author
        )
        session.add(stored)
        session.flush()
        told = f"{len(table.entities)} entities of {table.domain} from {table.source}"
        told += f"; {ontology.told(new.values)}" if new.values else ""
        tables = dict(row.entities) | {table.domain: stored.id}
        return ontology.add_version(session, project_id, known.merged(new), author, told, tables).version


def remove(ws: Workspace, project_id: int, domain: str, author: str) -> int:
    """Do without a domain's table from now on; values it fed stay. Returns the ontology's new version.

    Raises:
        StudioError: there is none, or the author may not.
    """
    people.require(ws, author, ontology_changes.EDITOR)
    with ws.write() as session:
        row = ontology.newest(session, project_id)
        if domain not in row.entities:
            raise StudioError(f"There is no entity table of {domain!r}.")
        tables = {name: id_ for name, id_ in row.entities.items() if name != domain}
        told = f"removed the entities of {domain}"
        return ontology.add_version(session, project_id, ontology.from_row(row), author, told, tables).version


def tables(ws: Workspace, project_id: int) -> list[Table]:
    """The entity tables of the newest version, by domain."""
    with ws.read() as session:
        ids = ontology.newest(session, project_id).entities
    return [_table(ws, id_, domain) for domain, id_ in sorted(ids.items())]


def contradictions(state: State, known: Ontology, found: Sequence[Table]) -> Iterator[Hint]:
    """Slots that say of a named entity what it is not. An entity nobody knows, and an attribute not known of it, say nothing."""
    for table in found:
        slots = state.get(table.domain, {})
        by_slot = {normalise_slot(slot): slot for slot in slots}
        for name_slot in filter(None, map(by_slot.get, NAMES)):
            name = accepted(slots[name_slot])[0]
            spelling = ontology.normal_form(known, table.domain, name_slot, name)
            named = _by_name(table).get(spelling, ())
            for attribute in {normalise_slot(key) for entity in named for key in entity} & by_slot.keys() - set(NAMES):
                slot = by_slot[attribute]
                wanted = {ontology.normal_form(known, table.domain, slot, form) for form in accepted(slots[slot])}
                there = [_attribute(entity, attribute) for entity in named]
                forms = {ontology.normal_form(known, table.domain, slot, form) for values in there for form in values}
                if slot_type(slot) != "time" and forms and all(there) and not wanted & {DONTCARE, "", *forms}:
                    said = " or ".join(sorted({form for values in there for form in values}))
                    yield Hint(
                        *(table.domain, slot),
                        f'no {table.domain} called "{name}" has the {slot} "{accepted(slots[slot])[0]}"; it is "{said}" there',
                    )


def _entity(row: Mapping[str, Any]) -> Entity:
    found: Entity = {}
    for name, value in row.items():
        forms = [_text(form) for form in (value if isinstance(value, list) else [value])]
        texts = [text for text in forms if text is not None and text.lower() not in UNKNOWN]
        if texts and None not in forms:
            found[name] = texts[0] if len(texts) == 1 else texts
    return found


def _text(value: Any) -> str | None:
    """An attribute as text; ``None`` where it is no single thing, and for a coordinate."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).strip() if isinstance(value, (str, int)) else None


@lru_cache(maxsize=64)  # a table never changes, and every turn that is opened asks for it
def _table(ws: Workspace, table_id: int, domain: str) -> Table:
    with ws.read() as session:
        (row,) = projects.entity_tables(session, [table_id])
    return Table(domain, tuple(row.entities), row.source, row.author, row.created)


@lru_cache(maxsize=64)
def _by_name(table: Table) -> dict[str, list[Entity]]:
    """The entities of a name in normal form; several may have one."""
    found: dict[str, list[Entity]] = {}
    for entity in table.entities:
        for attribute, value in entity.items():
            if normalise_slot(attribute) in NAMES:
                found.setdefault(normalise_value(accepted(value)[0], attribute), []).append(entity)
    return found


def _attribute(entity: Entity, name: str) -> list[str]:
    """What is known of an attribute, by its name in normal form."""
    return [form for attribute, value in entity.items() if normalise_slot(attribute) == name for form in accepted(value)]
