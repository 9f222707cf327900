"""Finding turns: the queue of what to correct next, filters, and search in what was said and understood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counter

from db.models import Turn, TurnSlot, TurnStatus
from db.repositories import dialogues as dialogue_rows
from db.repositories import queue
from db.repositories.queue import Entry, Filters
from engine.dialogue import State, accepted, iterate_slots
from studio.services import doubt
from studio.services.views import DialogueRow, TurnView, dialogue_row
from studio.workspace import Workspace

OPEN = (TurnStatus.NEW, TurnStatus.PREDICTED)  # what nobody has corrected yet
TO_CORRECT = Filters(statuses=OPEN, words_only=True, recorded=True, demos=False, returned=True)
COUNTED = 1000  # turns are counted up to here
RANDOM_EVERY = 5  # every fifth turn of the queue is drawn by lot: what the model is sure of can be wrong too


@dataclass(frozen=True)
class QueuePage:
    """A part of the queue, and how many turns match in all (``COUNTED`` stands for more).

    ``drawn`` are the ids of those that came by lot.
    """

    entries: list[Entry]
    total: int
    drawn: frozenset[int]


def doubtful(ws: Workspace, project_id: int, filters: Filters, limit: int = 50, counted: int = COUNTED) -> QueuePage:
    """The beginning of the queue: the most doubtful turns, every fifth place drawn by lot from all that match.

    ``counted`` is how far they are counted, ``limit`` at least.
    """
    with ws.read() as session:
        doubtful_first = queue.most_doubtful(session, project_id, filters, counted)
        if len(doubtful_first) < counted:  # these are all there are
            by_lot = sorted(doubtful_first, key=lambda entry: entry.lottery)
        else:
            by_lot = queue.by_lot(session, project_id, filters, limit)
    total = len(doubtful_first)
    entries: dict[int, Entry] = {}
    drawn: set[int] = set()
    certain, lots = iter(doubtful_first), iter(by_lot)
    for place in counter(1):
        if len(entries) >= min(limit, total):
            break
        source = lots if place % RANDOM_EVERY == 0 else certain
        entry = _next_new(source, entries) or _next_new(lots if source is certain else certain, entries)
        if entry is None:
            break
        entries[entry.turn_id] = entry
        if source is lots:
            drawn.add(entry.turn_id)
    return QueuePage(list(entries.values()), total, frozenset(drawn))


def dialogues(
    ws: Workspace, project_id: int, filters: Filters, limit: int, shown: int | None = None
) -> tuple[list[DialogueRow], bool]:
    """The newest dialogues with a turn that matches (or with a name that holds the text), and whether there are more.

    The dialogue ``shown`` stays first in the list though it matches no longer.
    """
    with ws.read() as session:
        ids = queue.dialogues(session, project_id, filters, limit + 1)
        listed = ids[:limit] if shown is None or shown in ids[:limit] else [shown, *ids[: limit - 1]]
        rows = {row.dialogue.id: dialogue_row(row) for row in dialogue_rows.counts(session, project_id, ids=listed)}
        return [rows[id_] for id_ in listed if id_ in rows], len(ids) > limit


def to_correct_in(ws: Workspace, dialogue_id: int) -> list[int]:
    """The user turns of a dialogue that are to be corrected, recorded or not, as they were spoken."""
    with ws.read() as session:
        return queue.of_dialogue(session, dialogue_id, TO_CORRECT)


def next_turn(ws: Workspace, project_id: int, filters: Filters, met: Sequence[int] = ()) -> int | None:
    """The turn to do next; every fifth is drawn by lot. ``None``: all is done.

    ``met`` are the turns done or passed over in this visit, the latest last: they come again when no others are left, the
    latest not at once.
    """
    enough = 4 * RANDOM_EVERY + len(met)
    page = doubtful(ws, project_id, filters, limit=enough, counted=enough)
    fresh = [entry.turn_id for entry in page.entries if entry.turn_id not in met]
    if fresh:
        by_lot = (len(met) + 1) % RANDOM_EVERY == 0
        return next((id_ for id_ in fresh if (id_ in page.drawn) == by_lot), fresh[0])
    waiting = {entry.turn_id for entry in page.entries}
    return next((id_ for id_ in met[:-1] if id_ in waiting), None)


def index(turn: Turn, view: TurnView) -> None:
    """Bring what is searched up to date with the turn as it stands; belongs into the transaction that changed it."""
    found = doubt.of(view)
    turn.doubt, turn.why = (found.degree, found.why) if found is not None else (None, "")
    index_labels(turn, view.transcript, view.state, view.confidence)


def index_labels(
    turn: Turn, transcript: str | None, state: State | None, confidence: dict[str, dict[str, float]] | None = None
) -> None:
    """As ``index``, for a turn that nobody has asked the model about."""
    kept = {(row.domain, row.slot): row for row in turn.slots}
    forms = {(domain, slot): [form.lower() for form in accepted(value)] for domain, slot, value in iterate_slots(state or {})}
    values = " | ".join(sorted({form for found in forms.values() for form in found}))
    turn.words = "\n".join(filter(None, ((transcript or "").lower(), values)))
    wanted = {place: "\n".join(dict.fromkeys(found)) for place, found in forms.items()}
    for place in kept.keys() - wanted.keys():
        turn.slots.remove(kept[place])
    for (domain, slot), value in wanted.items():
        sure = (confidence or {}).get(domain, {}).get(slot)
        row = kept.get((domain, slot))
        if row is None:
            turn.slots.append(TurnSlot(domain=domain, slot=slot, value=value, confidence=sure))
        else:
            row.value, row.confidence = value, sure


def _next_new(entries: Iterator[Entry], taken: dict[int, Entry]) -> Entry | None:
    return next((entry for entry in entries if entry.turn_id not in taken), None)
