"""Slot-filling triplets from dialogue states (paper 2): instruction with slot descriptions, speech, response.

A user turn asks for the slots it sets or changes, among distractors: slots that have no value in the dialogue so far. Of a
domain that the corpus annotates only annotated slots distract, for the user may well mention what nobody annotated. Everything
random is drawn from the seed and the turn's own ids.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from engine.dialogue import Dialogue, Instruction, Ontology, State, Turn, Value, accepted, filled, iterate_slots, slot_key
from engine.tasks.base import DataError

_WORDINGS = (
    "Fill these slots from what the user says now. Answer with a JSON object of all slots, empty where nothing is said.",
    "Which values does the user give for the slots below? Write all of them as a JSON object, empty where there is no value.",
    "Listen to the user and write the values of the following slots as JSON. Leave a slot's value empty if it is not said.",
)
_LISTED_VALUES = 8  # a categorical slot with more values is described without them


@dataclass(frozen=True)
class TripletSettings:
    """How triplets are made. Ranges hold both ends; ``empty`` is the share of the turns without any new value that get a triplet,
    of distractors alone; ``hold_out`` names domains or domain-slots that are never asked for.
    """

    context: tuple[int, int] = (0, 3)
    distractors: tuple[int, int] = (1, 5)
    empty: float = 0.2
    seed: int = 1
    hold_out: frozenset[str] = frozenset()

    def holds_out(self, domain: str, slot: str) -> bool:
        return domain in self.hold_out or slot_key(domain, slot) in self.hold_out


def with_triplets(dialogues: Sequence[Dialogue], schema: Ontology, settings: TripletSettings) -> list[Dialogue]:
    """The dialogues with slot-filling triplets at user turns that have a transcript and a state.

    Slots held out are taken out of the states too, so that nothing trained on the manifest knows them. Triplets of other tasks
    stay; slot-filling triplets that are there already are replaced.

    Raises:
        DataError: a slot of the states has no description, or a held-out name is no slot's or domain's.
    """
    slots = [(domain, slot) for domain, slots in schema.descriptions.items() for slot in slots]
    known = {name for domain, slot in slots for name in (domain, slot_key(domain, slot))}
    if unknown := sorted(settings.hold_out - known):
        raise DataError(f"cannot hold out {unknown[0]!r}: no such domain or domain-slot; there are {_listed(known)}")
    states = [turn.state for dialogue in dialogues for turn in dialogue.user_turns() if turn.state]
    annotated = {(domain, slot) for state in states for domain, slot, _ in iterate_slots(state)}
    if missing := {slot_key(*slot) for slot in annotated} - known:
        raise DataError(
            f"no description of {_listed(missing)}: give them with --schema FILE, a schema.json or "
            '{"domain": {"slot": "description"}}'
        )
    domains = {domain for domain, _ in annotated}
    pool = [
        (domain, slot)
        for domain, slot in slots
        if ((domain, slot) in annotated or domain not in domains) and not settings.holds_out(domain, slot)
    ]
    return [replace(dialogue, turns=list(_turns(dialogue, schema, pool, settings))) for dialogue in dialogues]


def _turns(dialogue: Dialogue, schema: Ontology, pool: list[tuple[str, str]], settings: TripletSettings) -> Iterator[Turn]:
    before: State = {}
    said = 0
    for turn in dialogue.turns:
        if turn.speaker == "user" and turn.transcript and turn.state is not None:
            state = {
                domain: asked
                for domain, slots in turn.state.items()
                if (asked := {slot: value for slot, value in slots.items() if not settings.holds_out(domain, slot)})
            }
            rng = random.Random(f"{settings.seed} {dialogue.dialogue_id} {turn.turn_id}")
            triplet = _triplet(before, state, schema, pool, settings, rng)
            triplet.context = min(triplet.context, said)
            kept = [other for other in turn.instructions or () if other.task != triplet.task]
            if filled(triplet) or (triplet.response and rng.random() < settings.empty):
                kept.append(triplet)
            yield replace(turn, state=state, instructions=kept or None)
            before = state
        else:
            yield turn
        said += bool(turn.transcript)


def _triplet(
    before: State, state: State, schema: Ontology, pool: list[tuple[str, str]], settings: TripletSettings, rng: random.Random
) -> Instruction:
    asked: dict[tuple[str, str], Value] = {
        (domain, slot): value
        for domain, slot, value in iterate_slots(state)
        if not set(accepted(value)) & set(accepted(before.get(domain, {}).get(slot, [])))
    }
    free = [slot for slot in pool if slot[1] not in state.get(slot[0], {})]
    asked |= dict.fromkeys(rng.sample(free, min(rng.randint(*settings.distractors), len(free))), "")
    order = rng.sample(sorted(asked), len(asked))
    lines = [f"- {slot_key(*slot)}: {_described(schema, *slot)}" for slot in order]
    return Instruction(
        "slot-filling",
        "\n".join([rng.choice(_WORDINGS), *lines]),
        {slot_key(*slot): asked[slot] for slot in order},
        rng.randint(*settings.context),
    )


def _described(schema: Ontology, domain: str, slot: str) -> str:
    text = schema.descriptions[domain][slot]
    values = schema.values.get(domain, {}).get(slot, [])
    closed = schema.types.get(domain, {}).get(slot) in ("categorical", "boolean")
    return f"{text} (one of: {', '.join(values)})" if closed and 0 < len(values) <= _LISTED_VALUES else text


def _listed(names: Iterable[str], most: int = 10) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
