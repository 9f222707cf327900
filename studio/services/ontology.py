"""Slots and their known values, as the slot editor offers them. Every change makes a new version; old ones stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from db.models import Dialogue as DialogueRow
from db.models import Ontology as OntologyRow
from db.models import Split
from db.repositories import projects
from engine.dialogue import DONTCARE, Dialogue, Ontology, State, Value, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.errors import StudioError
from studio.workspace import Workspace

BUILT_FROM = {Split.TRAIN: "train", Split.DEV: "train+dev", Split.TEST: "all"}  # what knows a value of that split


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


def remember(session: Session, dialogue: DialogueRow, state: State) -> None:
    """Have the values of a state that somebody wrote offered from now on, with their domains and slots.

    A value that is a known one in another spelling ("Curry Garden", "curry garden") is no new one.

    The ontology then says that it holds values of the dialogue's split too.
    """
    row = newest(session, dialogue.project_id)
    known = Ontology(row.values, row.built_from)
    new = unknown(known, iterate_slots(state))
    if new:
        add_version(session, dialogue.project_id, known.merged(Ontology(new, BUILT_FROM[dialogue.split])))


def unknown(known: Ontology, slots: Iterable[tuple[str, str, Value]]) -> dict[str, dict[str, list[str]]]:
    """Of ``(domain, slot, value)`` what an ontology lacks: values that are no other spelling of a known one, and slots."""
    new: dict[str, dict[str, list[str]]] = {}
    for domain, slot, value in slots:
        values = known.values.get(domain, {}).get(slot)
        normal = {normalise_value(entry, slot) for entry in values or ()} | {DONTCARE, ""}
        forms = [form for form in accepted(value) if normalise_value(form, slot) not in normal]
        if forms or values is None:
            new.setdefault(domain, {})[slot] = forms
    return new


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
