"""One change of an ontology and what it makes of the ontology and of a state: nothing here reads or writes a database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from engine.dialogue import Ontology, State, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.errors import StudioError
from studio.services import ontology

Action = Literal["add", "rename", "remove"]
_Kept = TypeVar("_Kept")


@dataclass(frozen=True)
class Change:
    """What is done to a domain, to a slot of it, or to a value of that; the last that is named is meant.

    ``value`` may hold several values to add, a line each. ``new`` is the name after a rename; a name that is there already
    takes the old one in.
    """

    action: Action
    domain: str
    slot: str = ""
    value: str = ""
    new: str = ""

    @property
    def kind(self) -> str:
        """What is changed."""
        return "value" if self.value else "slot" if self.slot else "domain"

    @property
    def wish(self) -> str:
        """The change in words before it is made; as a text it is what was done."""
        return self._told(self.action)

    def __str__(self) -> str:
        return self._told({"add": "added", "rename": "renamed", "remove": "removed"}[self.action])

    def _told(self, verb: str) -> str:
        name = "-".join(filter(None, (self.domain, self.slot)))
        if self.value:
            name += ": " + ", ".join(f'"{value}"' for value in self.value.splitlines())
        return f"{verb} the {self.kind} {name}" + (f' to "{self.new}"' if self.action == "rename" else "")


def tidy(change: Change) -> Change:
    """The change with new names as people mean them: without outer and double blanks."""
    new = " ".join(change.new.split())
    if change.action != "add":
        return replace(change, new=new)
    lines = "\n".join(filter(None, (" ".join(line.split()) for line in change.value.splitlines())))
    return replace(change, domain=" ".join(change.domain.split()), slot=" ".join(change.slot.split()), value=lines, new=new)


def apply(known: Ontology, change: Change) -> Ontology:
    """The ontology after a change.

    Raises:
        StudioError: a name is missing, what is to be changed is not there, or what is to be added is.
    """
    domain, slot = change.domain, change.slot
    if not domain or (change.value and not slot):
        raise StudioError("Name the domain, and the slot for a value: fill them in.")
    if change.action == "rename" and not change.new:
        raise StudioError("A rename needs the new name: type it.")
    if change.kind == "domain" and "-" in (change.new if change.action == "rename" else domain):
        raise StudioError("A domain's name has no hyphen, which stands between domain and slot: choose another.")
    if change.kind != "domain" and domain not in known.values:
        raise StudioError(f"There is no domain {domain!r}: add it first.")
    if change.kind == "value":
        return _change_value(known, change)
    at = known.values.get(domain, {}) if slot else known.values
    name = slot or domain
    if change.action == "add":
        if name in at:
            raise StudioError(f"There is a {change.kind} {name!r} already.")
        return replace(known, values=with_slot(known.values, domain, slot, []) if slot else known.values | {domain: {}})
    if name not in at:
        raise StudioError(f"There is no {change.kind} {name!r}.")
    if change.action == "rename" and change.new in at:
        raise StudioError(f"There is a {change.kind} {change.new!r} already: move its values there one by one.")
    new = change.new if change.action == "rename" else None

    def moved(tree: dict[str, dict[str, _Kept]]) -> dict[str, dict[str, _Kept]]:
        return tree | {domain: _renamed(tree.get(domain, {}), slot, new)} if slot else _renamed(tree, domain, new)

    parts = (moved(known.descriptions), moved(known.types), moved(known.synonyms))
    return Ontology(moved(known.values), known.built_from, *parts)


def carried_into(state: State, change: Change) -> State:
    """A state with a rename carried out."""
    if change.kind == "domain":
        return _renamed(state, change.domain, change.new)
    slots = state.get(change.domain, {})
    if change.kind == "slot":
        return state | {change.domain: _renamed(slots, change.slot, change.new)}
    normal = normalise_value(change.value, change.slot)
    value = slots.get(change.slot)
    if value is None:
        return state
    forms = [change.new if normalise_value(form, change.slot) == normal else form for form in accepted(value)]
    forms = list(dict.fromkeys(forms))
    return state | {change.domain: slots | {change.slot: forms if len(forms) > 1 else forms[0]}}


def news(known: Ontology, found: Ontology) -> Ontology:
    """What of ``found`` an ontology lacks: domains, slots, values in no spelling known, descriptions, types and synonyms."""
    values = ontology.unknown(known, iterate_slots(found.values))
    for domain in found.values.keys() - known.values.keys():
        values.setdefault(domain, {})
    grown = known.merged(Ontology(values))
    synonyms: dict[str, Any] = {}
    for domain, slot, forms in iterate_slots(found.synonyms):
        known_forms = grown.spellings(domain, slot)
        for value, spellings in forms.items():
            fresh = [form for form in spellings if form not in known_forms]
            if fresh and value in grown.values[domain][slot]:
                synonyms.setdefault(domain, {}).setdefault(slot, {})[value] = fresh
    described, typed = (
        {
            domain: lacking
            for domain, slots in theirs.items()
            if (lacking := {slot: text for slot, text in slots.items() if text and not mine.get(domain, {}).get(slot)})
        }
        for mine, theirs in ((known.descriptions, found.descriptions), (known.types, found.types))
    )
    new_values = any(known_values for slots in values.values() for known_values in slots.values())
    return Ontology(values, found.built_from if new_values else "train", described, typed, synonyms)


def values_of(known: Ontology, domain: str, slot: str) -> list[str]:
    """A slot's known values.

    Raises:
        StudioError: no such slot.
    """
    found = known.values.get(domain, {}).get(slot)
    if found is None:
        raise StudioError(f"There is no slot {slot!r} in {domain!r}: add it first.")
    return found


def with_slot(tree: dict[str, dict[str, Any]], domain: str, slot: str, value: Any) -> dict[str, dict[str, Any]]:
    """A copy in which the slot has this value; an empty text or object is not kept."""
    slots = tree.get(domain, {}) | {slot: value}
    if value in ("", {}):
        del slots[slot]
    return tree | {domain: slots}


def _renamed(tree: dict[str, _Kept], old: str, new: str | None) -> dict[str, _Kept]:
    """A copy in which an entry has another name, in its old place, or is gone."""
    return {
        new if name == old and new is not None else name: held for name, held in tree.items() if name != old or new is not None
    }


def _change_value(known: Ontology, change: Change) -> Ontology:
    domain, slot, value = change.domain, change.slot, change.value
    values = values_of(known, domain, slot)
    if change.action == "add":
        wanted = [line for line in value.splitlines() if line]
        fresh = ontology.unknown(known, [(domain, slot, wanted)]).get(domain, {}).get(slot, [])
        if not fresh:
            raise StudioError(f"{domain}-{slot} has {', '.join(map(repr, wanted))} already, in this or another spelling.")
        return replace(known, values=with_slot(known.values, domain, slot, sorted({*values, *fresh})))
    if value not in values:
        raise StudioError(f"{domain}-{slot} has no value {value!r}.")
    synonyms = dict(known.synonyms.get(domain, {}).get(slot, {}))
    forms = synonyms.pop(value, [])
    kept = {other for other in values if other != value}
    if change.action == "rename":
        kept.add(change.new)
        other_name = normalise_value(value, slot) != normalise_value(change.new, slot)
        # what the model learnt, and labels that keep it, still say the old name
        merged = sorted({*synonyms.get(change.new, ()), *forms, *([value] if other_name else [])} - {change.new})
        synonyms |= {change.new: merged} if merged else {}
    return replace(
        known,
        values=with_slot(known.values, domain, slot, sorted(kept)),
        synonyms=with_slot(known.synonyms, domain, slot, synonyms),
    )
