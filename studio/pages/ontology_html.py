"""Pieces of HTML of the Ontology page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.dialogue import Ontology, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.pages import shared
from studio.services.entities import Table
from studio.services.ontology import VersionView
from studio.services.ontology_changes import Touched
from studio.services.ontology_edits import Change

LISTED = 200  # values or labels shown at most


def slots_html(known: Ontology, used: Mapping[tuple[str, str], int]) -> str:
    """Every slot with what it holds, its values and how many labels have it."""
    rows = [
        [
            shared.escape(domain),
            f"<b>{shared.escape(slot)}</b>",
            shared.escape(known.types.get(domain, {}).get(slot, "")),
            str(len(values)) if values else "<span class='dst-muted'>open</span>",
            str(used.get((domain, slot), 0)),
            shared.escape(known.descriptions.get(domain, {}).get(slot, "")),
        ]
        for domain, slot, values in iterate_slots(known.values)
    ]
    if not rows:
        return shared.empty("No slot yet", "Add a domain and a slot, or import them from a file or from this project's labels.")
    oracle = " · holds values of the test split: scores made with it are an oracle's" if known.built_from == "all" else ""
    caption = f"{shared.count(len(rows), 'slot')}, values built from {known.built_from}{oracle}"
    return shared.table(("Domain", "Slot", "Type", "Values", "Labels", "Description"), rows, caption)


def values_html(known: Ontology, domain: str, slot: str, used: Mapping[str, int]) -> str:
    """The values of one slot with their synonyms and how many labels hold them; ``used`` is by normal form."""
    values = known.values.get(domain, {}).get(slot, [])
    synonyms = known.synonyms.get(domain, {}).get(slot, {})
    rows = []
    for value in values[:LISTED]:
        number = used.get(normalise_value(value, slot), 0)
        rows.append([f"<b>{shared.escape(value)}</b>", shared.escape(", ".join(synonyms.get(value, ()))), str(number)])
    if not rows:
        return shared.empty("An open slot", "It has no known values: any text is allowed, and nothing is offered.")
    more = f", the first {LISTED} shown" if len(values) > LISTED else ""
    caption = f"{shared.escape(f'{domain}-{slot}')}: {shared.count(len(values), 'value')}{more}"
    return shared.table(("Value", "Synonyms", "Labels"), rows, caption)


def touched_html(change: Change, found: Sequence[Touched]) -> str:
    """The labels a change touches, each leading to its turn."""
    text = shared.escape(change.wish[0].upper() + change.wish[1:])
    if not found:
        return f"<p><b>{text}</b>: no label holds it.</p>" if change.action != "add" else f"<p><b>{text}</b>.</p>"
    rows = [
        [
            f"<a href='correct?turn={item.turn_id}'>{shared.escape(item.dialogue)}, turn {item.number + 1}</a>",
            shared.escape(item.slot),
            shared.value_html(item.value),
            item.split if item.split == "train" else f"<b>{item.split}</b>, held out",
            "final: stays as it is" if item.final else "",
        ]
        for item in found[:LISTED]
    ]
    turns = len({item.turn_id for item in found})
    held_out = len({item.turn_id for item in found if item.split != "train"})
    facts = [shared.count(turns, "labelled turn") + (f", the first {LISTED} shown" if len(found) > LISTED else "")]
    facts += [f"{held_out} of them held out: changing those changes scores"] if held_out else []
    return shared.table(("Turn", "Slot", "Value", "Split", ""), rows, f"<b>{text}</b> touches {', '.join(facts)}")


def news_html(new: Ontology) -> str:
    """What an import would bring."""
    rows = [
        [
            shared.escape(f"{domain}-{slot}"),
            str(len(values)),
            shared.escape(", ".join(values[:8]) + (", …" if len(values) > 8 else "")),
        ]
        for domain, slot, values in iterate_slots(new.values)
    ]
    described = sum(len(slots) for slots in new.descriptions.values())
    synonyms = sum(len(forms) for _, _, values in iterate_slots(new.synonyms) for forms in values.values())
    told = [shared.count(number, noun) for number, noun in ((described, "description"), (synonyms, "synonym")) if number]
    if not rows and not told:
        return shared.empty("Nothing new", "Every slot and value of it is known here already, in this or another spelling.")
    told = [f"values or names of {shared.count(len(rows), 'slot')}", *told] if rows else told
    return shared.table(("Slot", "New values", "Which"), rows, f"New: {', '.join(told)}")


def table_html(table: Table) -> str:
    """The first entities of a table."""
    columns = list(table.columns())
    rows = [[shared.value_html(entity.get(name, "")) for name in columns] for entity in table.entities[:8]]
    caption = f"Entities of {shared.escape(table.domain)}: {len(table.entities)}"
    return shared.table(map(shared.escape, columns), rows, caption)


def tables_html(found: Sequence[Table]) -> str:
    """The entity tables a project has."""
    if not found:
        return shared.empty("No entity table", "With one, hints say when a name and its attributes contradict each other.")
    rows = [
        [
            f"<b>{shared.escape(table.domain)}</b>",
            str(len(table.entities)),
            shared.escape(", ".join(table.columns())),
            shared.escape(table.source),
            shared.escape(table.author),
        ]
        for table in found
    ]
    return shared.table(("Domain", "Entities", "Attributes", "From", "Who"), rows)


def history_html(found: Sequence[VersionView]) -> str:
    """Every version, newest first."""
    rows = [
        [
            f"v{item.version}",
            shared.day_clock(item.created),
            shared.escape(item.author or "–"),
            shared.escape(item.change),
            f"{item.slots} / {item.values}",
        ]
        for item in found[:LISTED]
    ]
    return shared.table(("Version", "Time", "Who", "What", "Slots / values"), rows)
