"""Instruction triplets from labelled dialogues (paper 2): an instruction, a user turn's speech, a response.

- ``slot-filling``: the slots that the turn sets or changes are asked for among distractors, slots that have no value in the
  dialogue so far. Of a domain that the corpus annotates only annotated slots distract, for the user may well mention what
  nobody annotated.
- ``sit``: a question about the turn that its labels answer: the value of a slot, whether a slot is mentioned, the words.
- ``sqit``: the turn is the query; the agent's next turn is the response.

Everything random is drawn from the seed and the turn's own ids.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from engine.dialogue import (
    DONTCARE,
    Dialogue,
    Instruction,
    Ontology,
    State,
    Turn,
    Value,
    accepted,
    filled,
    iterate_slots,
    slot_key,
)
from engine.tasks.base import DataError

_WORDINGS = (
    "Fill these slots from what the user says now. Answer with a JSON object of all slots, empty where nothing is said.",
    "Which values does the user give for the slots below? Write all of them as a JSON object, empty where there is no value.",
    "Listen to the user and write the values of the following slots as JSON. Leave a slot's value empty if it is not said.",
)
_REPLIES = ("", "Reply to the user.", "Answer what the user asks or wants.")
_LISTED_VALUES = 8  # a categorical slot with more values is described without them
_Slot = tuple[str, str]


@dataclass(frozen=True)
class TripletSettings:
    """How triplets are made. Ranges hold both ends.

    ``empty`` is the share of the turns without any new value that get a slot-filling triplet, of distractors alone;
    ``hold_out`` names domains or domain-slots that are never asked for.
    """

    context: tuple[int, int] = (0, 3)
    distractors: tuple[int, int] = (1, 5)
    empty: float = 0.2
    seed: int = 1
    hold_out: frozenset[str] = frozenset()

    def holds_out(self, domain: str, slot: str) -> bool:
        return domain in self.hold_out or slot_key(domain, slot) in self.hold_out


@dataclass(frozen=True)
class _Situation:
    """A user turn as its triplets are made: the slots it sets or changes, slots it says nothing of, what the agent says next."""

    words: str
    new: dict[_Slot, Value]
    absent: list[_Slot]
    reply: str
    schema: Ontology
    settings: TripletSettings
    rng: random.Random

    def triplet(self, task: str, instruction: str, response: str | dict[str, Value]) -> Instruction:
        return Instruction(task, instruction, response, self.rng.randint(*self.settings.context))

    def described(self, slot: _Slot) -> str:
        domain, name = slot
        values = self.schema.values.get(domain, {}).get(name, [])
        closed = self.schema.types.get(domain, {}).get(name) in ("categorical", "boolean")
        listed = f" (one of: {', '.join(values)})" if closed and 0 < len(values) <= _LISTED_VALUES else ""
        return self.schema.descriptions[domain][name] + listed


def with_triplets(
    dialogues: Sequence[Dialogue], schema: Ontology, settings: TripletSettings, tasks: Sequence[str] = ("slot-filling",)
) -> list[Dialogue]:
    """The dialogues with triplets of each task at user turns that have a transcript and a state.

    Slots held out are taken out of the states too, so that nothing trained on the manifest knows them. Triplets of other tasks
    stay; those of the same tasks are replaced.

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
    return [replace(dialogue, turns=list(_turns(dialogue, schema, pool, settings, tasks))) for dialogue in dialogues]


def _turns(
    dialogue: Dialogue, schema: Ontology, pool: list[_Slot], settings: TripletSettings, tasks: Sequence[str]
) -> Iterator[Turn]:
    before: State = {}
    said = 0
    for place, turn in enumerate(dialogue.turns):
        if turn.speaker == "user" and turn.transcript and turn.state is not None:
            state = {
                domain: asked
                for domain, slots in turn.state.items()
                if (asked := {slot: value for slot, value in slots.items() if not settings.holds_out(domain, slot)})
            }
            absent = [slot for slot in pool if slot[1] not in state.get(slot[0], {})]
            following = dialogue.turns[place + 1 : place + 2]
            reply = "".join(after.transcript or "" for after in following if after.speaker == "agent")
            made = [other for other in turn.instructions or () if other.task not in tasks]
            for task in tasks:
                rng = random.Random(f"{settings.seed} {task} {dialogue.dialogue_id} {turn.turn_id}")
                situation = _Situation(turn.transcript, _new(before, state), absent, reply, schema, settings, rng)
                if triplet := _MAKERS[task](situation):
                    made.append(replace(triplet, context=min(triplet.context, said)))
            yield replace(turn, state=state, instructions=made or None)
            before = state
        else:
            yield turn
        said += bool(turn.transcript)


def _new(before: State, state: State) -> dict[_Slot, Value]:
    """The slots of ``state`` whose value is not that of before."""
    return {
        (domain, slot): value
        for domain, slot, value in iterate_slots(state)
        if not set(accepted(value)) & set(accepted(before.get(domain, {}).get(slot, [])))
    }


def _slot_filling(turn: _Situation) -> Instruction | None:
    rng = turn.rng
    count = min(rng.randint(*turn.settings.distractors), len(turn.absent))
    asked: dict[_Slot, Value] = turn.new | dict.fromkeys(rng.sample(turn.absent, count), "")
    order = rng.sample(sorted(asked), len(asked))
    lines = [f"- {slot_key(*slot)}: {turn.described(slot)}" for slot in order]
    response = {slot_key(*slot): asked[slot] for slot in order}
    triplet = turn.triplet("slot-filling", "\n".join([rng.choice(_WORDINGS), *lines]), response)
    return triplet if filled(triplet) or (response and rng.random() < turn.settings.empty) else None


def _question(turn: _Situation) -> Instruction:
    rng = turn.rng
    given = [slot for slot, value in sorted(turn.new.items()) if DONTCARE not in accepted(value)]
    questions = [("Write down what the user says.", turn.words)]
    if given:
        slot = rng.choice(given)
        questions.append((f"Answer in a few words from what the user says: {turn.described(slot)}.", accepted(turn.new[slot])[0]))
        questions.append((_mentioned(turn, rng.choice(given)), "Yes."))
    if turn.absent:
        questions.append((_mentioned(turn, rng.choice(turn.absent)), "No."))
    return turn.triplet("sit", *rng.choice(questions))


def _mentioned(turn: _Situation, slot: _Slot) -> str:
    return f"Does the user say this now? Answer yes or no: {turn.described(slot)}."


def _reply(turn: _Situation) -> Instruction | None:
    return turn.triplet("sqit", turn.rng.choice(_REPLIES), turn.reply) if turn.reply else None


_MAKERS: dict[str, Callable[[_Situation], Instruction | None]] = {
    "slot-filling": _slot_filling,
    "sit": _question,
    "sqit": _reply,
}


def _listed(names: Iterable[str], most: int = 10) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
