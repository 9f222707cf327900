"""Changing an ontology on purpose: what a change would touch first, then the change as a new version, never labels unasked.

A rename can be carried into the labels that hold the old name. Each of them gets a revision of source ``ontology``, which is
undone like any correction. They are written in parts, so nobody's save waits for them, and before the new version: a rename
that was ended midway is made again and goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from db.models import RevisionKind, Split, Turn, TurnStatus
from db.repositories import dialogues, projects, revisions
from db.repositories import labels as label_rows
from engine.dialogue import VALUE_TYPES, Ontology, State, Value, accepted
from engine.postprocess.normalise import normalise_value
from studio.errors import StudioError
from studio.services import corrections, labels, ontology, people
from studio.services.exchange import in_parts
from studio.services.ontology_edits import Change, apply, carried_into, news, tidy, values_of, with_slot
from studio.workspace import Workspace

EDITOR = "reviewer"  # whose role it takes
_PART = 500  # turns loaded at a time
_RELABELLED = 25  # labels of a transaction: it takes a quarter of a second, for which others' saves wait


@dataclass(frozen=True)
class Touched:
    """A label that holds what would go: in turn ``number`` (from 0) of a dialogue. ``final`` turns are not changed."""

    turn_id: int
    dialogue_id: int
    dialogue: str
    number: int
    split: str
    final: bool
    slot: str
    value: Value


@dataclass(frozen=True)
class Saved:
    """What a change did: the new version's number, labels that were renamed with it, and those left as they were."""

    version: int
    relabelled: int
    left: int


def preview(ws: Workspace, project_id: int, change: Change) -> list[Touched]:
    """The labels whose domain, slot or value would be removed or renamed, by dialogue and turn. Nothing is written.

    Raises:
        StudioError: the change cannot be made; the sentence says why.
    """
    change = tidy(change)
    with ws.read() as session:
        known = ontology.from_row(ontology.newest(session, project_id))
        apply(known, change)
        return touched(session, project_id, change)


def save(
    ws: Workspace,
    project_id: int,
    change: Change,
    author: str,
    *,
    relabel: bool = False,
    held_out: bool = False,
    although_used: bool = False,
) -> Saved:
    """Make a change the newest version, after a rename was carried into the labels where ``relabel`` asks for that.

    Args:
        relabel: rename in labels too. Final turns stay as they are.
        held_out: among them labels of ``dev`` and ``test``, which changes scores; their dialogues note that they were unlocked.
        although_used: remove what labels still hold; they keep it.

    Raises:
        StudioError: the change cannot be made, the author may not, or labels hold what would be removed.
    """
    people.require(ws, author, EDITOR)
    change = tidy(change)
    held = preview(ws, project_id, change)
    if change.action == "remove" and held and not although_used:
        raise StudioError(
            f"{len(held)} labels hold this {change.kind}: look at them, then confirm that it goes although they keep it."
        )
    relabelled: set[int] = set()
    if change.action == "rename" and relabel:
        meant = [item for item in held if not item.final and (held_out or item.split == Split.TRAIN)]
        relabelled = _relabel(ws, meant, change, author)
    with ws.write() as session:
        new = apply(ontology.from_row(ontology.newest(session, project_id)), change)
        entities = dict(ontology.newest(session, project_id).entities)
        if change.kind == "domain" and change.domain in entities and change.action != "add":
            table = entities.pop(change.domain)
            entities |= {change.new: table} if change.action == "rename" else {}
        done = f"{change}{f', in {len(relabelled)} labels too' if relabelled else ''}"
        row = ontology.add_version(session, project_id, new, author, done, entities)
        left = len({item.turn_id for item in held} - relabelled)
        return Saved(row.version, len(relabelled), left)


def describe(ws: Workspace, project_id: int, domain: str, slot: str, description: str, kind: str, author: str) -> int:
    """Say what a slot holds, in words and as one of `VALUE_TYPES` (or neither); the new version's number.

    Raises:
        StudioError: no such slot or type, or the author may not.
    """
    if kind and kind not in VALUE_TYPES:
        raise StudioError(f"There is no type {kind!r}: choose of {', '.join(VALUE_TYPES)}.")

    def change(known: Ontology) -> Ontology:
        values_of(known, domain, slot)
        descriptions = with_slot(known.descriptions, domain, slot, " ".join(description.split()))
        return replace(known, descriptions=descriptions, types=with_slot(known.types, domain, slot, kind))

    return _edit(ws, project_id, change, f"described {domain}-{slot}", author)


def set_synonyms(ws: Workspace, project_id: int, domain: str, slot: str, value: str, spellings: list[str], author: str) -> int:
    """Say which other spellings stand for a value, in place of those before; the new version's number.

    Raises:
        StudioError: no such value, a spelling stands for another one already, or the author may not.
    """
    forms = list(dict.fromkeys(form for spelling in spellings if (form := " ".join(spelling.split()))))

    def change(known: Ontology) -> Ontology:
        if value not in values_of(known, domain, slot):
            raise StudioError(f"{domain}-{slot} has no value {value!r}: add it first.")
        taken = {normalise_value(form, slot): other for form, other in known.spellings(domain, slot).items() if other != value}
        for form in forms:
            if other := taken.get(normalise_value(form, slot)):
                raise StudioError(f"{form!r} stands for {other!r} already: remove or rename that one first.")
        mine = dict(known.synonyms.get(domain, {}).get(slot, {}))
        mine.pop(value, None)
        mine |= {value: forms} if forms else {}
        return replace(known, synonyms=with_slot(known.synonyms, domain, slot, mine))

    told = f'synonyms of {domain}-{slot} "{value}": {", ".join(forms) or "none"}'
    return _edit(ws, project_id, change, told, author)


def restore(ws: Workspace, project_id: int, version: int, author: str) -> int:
    """Make an older version the newest again, with its entity tables; the new version's number. Labels stay as they are.

    Raises:
        StudioError: no such version, or the author may not.
    """
    people.require(ws, author, EDITOR)
    with ws.write() as session:
        ontology.newest(session, project_id)
        row = projects.ontology_of(session, project_id, version)
        if row is None:
            raise StudioError(f"There is no version {version} of this ontology: choose one from the history.")
        told = f"restored version {version}"
        return ontology.add_version(session, project_id, ontology.from_row(row), author, told, dict(row.entities)).version


def merge(ws: Workspace, project_id: int, found: Ontology, told: str, author: str) -> int | None:
    """Take in what another ontology has and this one lacks; the new version's number, ``None`` if there is nothing new.

    Raises:
        StudioError: the author may not.
    """
    people.require(ws, author, EDITOR)
    with ws.write() as session:
        known = ontology.from_row(ontology.newest(session, project_id))
        new = news(known, found)
        if not (new.values or new.descriptions or new.types or new.synonyms):
            return None
        return ontology.add_version(session, project_id, known.merged(new), author, told).version


def touched(session: Session, project_id: int, change: Change) -> list[Touched]:
    """The labels that hold what a change removes or renames."""
    if change.action == "add":
        return []
    normal = normalise_value(change.value, change.slot)
    found = label_rows.holding(session, project_id, change.domain, change.slot)
    ids = [turn for turn, slot, forms in found if not change.value or normal in {normalise_value(form, slot) for form in forms}]
    held: list[Touched] = []
    for part in in_parts(list(dict.fromkeys(ids)), _PART):
        for turn in label_rows.turns(session, part):
            held += _in_turn(turn, change)
    return held


def _relabel(ws: Workspace, meant: list[Touched], change: Change, author: str) -> set[int]:
    """Carry a rename into these labels as they stand by now; the ids of the turns that it changed."""
    ids = {item.turn_id: item.dialogue_id for item in meant}
    done: set[int] = set()
    for part in in_parts(list(ids), _RELABELLED):
        with ws.write() as session:
            for row in dialogues.load_some(session, list({ids[id_] for id_ in part})):
                turns = [turn for turn in row.turns if turn.id in part and turn.status != TurnStatus.FINAL]
                guarded = next((turn for turn in turns if labels.locked(session, turn, author)), None)
                if guarded is not None:
                    labels.note_unlocked(session, guarded, author)
                    session.flush()
                done |= corrections.relabel(ws, session, row, turns, lambda state: carried_into(state, change), author)
        ws.give_way()
    return done


def _in_turn(turn: Turn, change: Change) -> list[Touched]:
    """What of a turn's standing label a change touches."""
    state: State = revisions.corrected(turn, RevisionKind.STATE) or {}
    normal = normalise_value(change.value, change.slot)
    return [
        Touched(
            turn.id,
            turn.dialogue_id,
            turn.dialogue.name,
            turn.turn_id,
            str(turn.dialogue.split),
            turn.status == TurnStatus.FINAL,
            slot,
            value,
        )
        for slot, value in state.get(change.domain, {}).items()
        if (not change.slot or slot == change.slot)
        and (not change.value or normal in {normalise_value(form, slot) for form in accepted(value)})
        and not (change.action == "rename" and carried_into(state, change) == state)  # it is called that already
    ]


def _edit(ws: Workspace, project_id: int, change: Callable[[Ontology], Ontology], told: str, author: str) -> int:
    people.require(ws, author, EDITOR)
    with ws.write() as session:
        known = ontology.from_row(ontology.newest(session, project_id))
        return ontology.add_version(session, project_id, change(known), author, told).version
