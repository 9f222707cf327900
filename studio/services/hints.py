"""What looks wrong in a turn, by all that the project knows: its ontology and its entity tables."""

from __future__ import annotations

from collections.abc import Iterator

from rapidfuzz import fuzz, process

from db.models import Dialogue
from engine.dialogue import Ontology, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.services import entities, ontology
from studio.services.lint import NEARLY, Hint, lint
from studio.services.views import TurnView
from studio.workspace import Workspace


def hints(ws: Workspace, project_id: int, turn: TurnView, known: Ontology) -> list[Hint]:
    """Hints on the state that stands after a turn; none where there is no state. ``known`` is the project's ontology."""
    if turn.state is None:
        return []
    found = lint(turn.state, turn.previous_state, turn.transcript or "", known)
    found += _new_values(ws, turn, known)
    return found + list(entities.contradictions(turn.state, known, entities.tables(ws, project_id)))


def _new_values(ws: Workspace, turn: TurnView, known: Ontology) -> Iterator[Hint]:
    """Values that the ontology has only since somebody wrote them in this dialogue: a typing error is offered from then on."""
    with ws.read() as session:
        introduced = ontology.introduced(session, session.get_one(Dialogue, turn.dialogue_id))
    for domain, slot, value in iterate_slots(turn.state or {}):
        carried = turn.previous_state.get(domain, {}).get(slot) == value
        new = {normalise_value(form, slot) for form in introduced.get((domain, slot), ())}
        written = next((form for form in accepted(value) if normalise_value(form, slot) in new), None)
        if carried or written is None:
            continue
        others = {form: normalise_value(form, slot) for form in known.values.get(domain, {}).get(slot, ())}
        others = {form: normal for form, normal in others.items() if normal not in new}
        near = process.extractOne(normalise_value(written, slot), others, scorer=fuzz.ratio, score_cutoff=NEARLY)
        if others:  # else all that the slot has came from this dialogue
            yield Hint(domain, slot, f'"{written}" is new in the ontology' + (f"; closest known: {near[2]}" if near else ""))
