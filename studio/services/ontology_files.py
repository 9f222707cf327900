"""Ontologies from elsewhere: the schema or ontology file of a corpus, or what a project's own labels say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from db.models import RevisionKind, Speaker, Split
from db.repositories import dialogues as rows
from db.repositories import revisions
from engine.data.slots import read_schema
from engine.dialogue import BUILT_FROM, DONTCARE, Dialogue, ManifestError, Ontology, Turn
from engine.json_text import FileError, line_of, parse, read_text
from engine.postprocess.normalise import normalise_slot, normalise_value
from studio.errors import StudioError
from studio.services.exchange import in_parts
from studio.workspace import Workspace

LAYOUTS = "a schema.json of SGD or MultiWOZ 2.2, an ontology.json, or lists of values by domain and slot"
_EMPTY = ("", "none", "not mentioned", DONTCARE)
_PART = 200  # dialogues loaded at a time


def read(path: str | Path, built_from: str | None = None) -> Ontology:
    """Read a file in one of the layouts that corpora publish.

    - ``schema.json`` of SGD and MultiWOZ 2.2: services with their slots, descriptions and possible values;
    - an ``ontology.json`` of this program, with descriptions, types and synonyms;
    - ``{"hotel-semi-pricerange": [...]}`` or ``{"hotel": {"pricerange": [...]}}``, as MultiWOZ and SpokenWOZ have it. Names
      become those of the corpora's readers (``hotel-book stay``: ``stay``); ``dontcare`` and what says nothing is left out.

    Args:
        built_from: the splits the values come from. Without it the file's own word counts; of lists that say nothing it is
            ``all``, and a schema knows no dialogues.

    Raises:
        StudioError: none of these, with the line where that is known; or ``built_from`` contradicts the file.
    """
    path = Path(path)
    try:
        text = read_text(path)
        data = parse(path, text)
        if isinstance(data, dict) and "values" not in data and _lists(data):
            found = _value_lists(path, text, data)
        else:
            found = read_schema(path)
            _check_values(path, found)
    except (FileError, ManifestError) as error:
        raise StudioError(f"{str(error).replace(str(path), path.name)}; give {LAYOUTS}.") from error
    if built_from is not None:
        if built_from not in BUILT_FROM:
            raise StudioError(f"Values cannot be built from {built_from!r}; say {', '.join(BUILT_FROM)}.")
        if isinstance(data, dict) and data.get("built_from", built_from) != built_from:
            raise StudioError(f"{path.name} states that it is built from {found.built_from}; it cannot be called {built_from}.")
        found.built_from = built_from
    return found


def collected(ws: Workspace, project_id: int, splits: Sequence[str] = ("train",)) -> Ontology:
    """Every slot and value that people's labels of a project hold in dialogues of these splits.

    Values of ``dev`` and ``test`` make an oracle of the ontology, which it then says.
    """
    wanted = {Split(split) for split in splits}
    with ws.read() as session:
        ids = [id_ for id_, _, split in rows.matching(session, project_id) if split in wanted]
        found: list[Dialogue] = []
        for part in in_parts(ids, _PART):
            for row in rows.load_some(session, part):
                states = [revisions.corrected(turn, RevisionKind.STATE) for turn in row.turns if turn.speaker == Speaker.USER]
                found.append(Dialogue(row.name, [Turn(number, "user", state=state) for number, state in enumerate(states)]))
            session.expunge_all()
    built_from = "all" if Split.TEST in wanted else "train+dev" if Split.DEV in wanted else "train"
    return Ontology.from_dialogues(found, built_from)


def _lists(data: dict[str, Any]) -> bool:
    """Whether lists of values are what the file holds."""
    held = [inner for value in data.values() for inner in (value.values() if isinstance(value, dict) else [value])]
    return bool(held) and any(isinstance(value, list) for value in held)


def _value_lists(path: Path, text: str, data: dict[str, Any]) -> Ontology:
    values: dict[str, dict[str, list[str]]] = {}
    for name, held in data.items():
        domain, hyphen, rest = name.partition("-")
        slots = {rest.removeprefix("semi-").removeprefix("book-"): held} if hyphen else held
        if not isinstance(slots, dict):
            raise FileError(f"{path}, line {line_of(text, name)}: {name!r} must be named domain-slot, or hold an object of slots")
        for slot, known in slots.items():
            if not isinstance(known, list) or not all(isinstance(value, str) for value in known):
                line = line_of(text, name) if hyphen else line_of(text, name, slot)
                raise FileError(f"{path}, line {line}: {name if hyphen else f'{domain}-{slot}'} must hold a list of texts")
            said = {" ".join(value.split()) for value in known if normalise_value(value, slot) not in _EMPTY}
            mine = values.setdefault(domain.lower(), {}).setdefault(normalise_slot(slot), [])
            mine[:] = sorted({*mine, *said})
    return Ontology(values, "all")


def _check_values(path: Path, found: Ontology) -> None:
    for domain, slots in found.values.items():
        if not isinstance(slots, dict):
            raise FileError(f"{path}: {domain!r} must hold an object of slots")
        for slot, known in slots.items():
            if not isinstance(known, list) or not all(isinstance(value, str) for value in known):
                raise FileError(f"{path}: {domain}-{slot} must hold a list of texts")
