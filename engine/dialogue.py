"""The vocabulary everybody shares: dialogue, turn, dialogue state, ontology, and the manifest that carries them.

A manifest is a JSON Lines file, one dialogue a line, UTF-8:

    {"dialogue_id": "MUL0001", "split": "train", "source": "spokenwoz", "licence": "CC BY-NC 4.0",
     "turns": [{"turn_id": 0, "speaker": "user", "audio": "audio/MUL0001.wav", "start": 0.0, "end": 3.2,
                "transcript": "i need a cheap hotel", "state": {"hotel": {"pricerange": "cheap"}}},
               {"turn_id": 1, "speaker": "agent", "transcript": "any area?"}]}

Times are seconds. Audio paths are relative to the manifest's folder. ``state`` is cumulative and stands after a user turn;
a turn without ``state`` has no state label (an ASR-only utterance), while ``{}`` says that nothing is known yet. A value may
be a list of accepted surface forms, the canonical one first. An empty ``transcript`` says that nobody speaks. Optional keys of
a turn: ``voice`` names the speaker or synthetic voice; ``heard`` is a recogniser's own transcript; ``translation`` holds the
transcript in other languages; ``instructions`` are instruction triplets about the turn's speech (`Instruction`). Other keys
are refused, lest a misspelt one is passed over:

    "translation": {"de": "ich brauche ein günstiges hotel"},
    "instructions": [{"task": "slot-filling", "instruction": "Fill the slots ...", "context": 2,
                      "response": {"hotel-pricerange": "cheap", "hotel-area": ""}},
                     {"task": "sit", "instruction": "Does the caller sound sure?", "response": "Yes."}]
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from engine.json_text import FileError, nearest, parse, read_text

T = TypeVar("T")
Value = str | list[str]
State = dict[str, dict[str, Value]]
SPEAKERS = ("user", "agent")
SPLITS = ("train", "dev", "test")
DONTCARE = "dontcare"
INSTRUCTION_TASKS = ("slot-filling", "sit", "sqit")  # the tasks whose triplets a manifest carries
VALUE_TYPES = ("categorical", "boolean", "text")
BUILT_FROM = ("train", "train+dev", "all")  # splits an ontology's values may come from, the most honest first


class ManifestError(ValueError):
    """A manifest that cannot be used. The message names the file, the line, the reason and what to do."""


@dataclass
class Instruction:
    """A triplet of instruction, speech and response (paper 2); the speech is the turn's.

    ``response`` is text, or for slot filling an object ``{domain-slot: value}`` of every slot that is asked for, the empty
    text standing for a slot the turn gives no value for. ``context`` is how many turns before this one the model reads.
    """

    task: str
    instruction: str
    response: str | dict[str, Value]
    context: int = 0


@dataclass
class Turn:
    """One turn. ``audio`` is a path (absolute once read); ``start``/``end`` are seconds, ``None`` meaning the file's ends."""

    turn_id: int
    speaker: str
    transcript: str | None = None
    audio: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    state: State | None = None
    voice: str | None = None
    heard: str | None = None
    translation: dict[str, str] | None = None
    instructions: list[Instruction] | None = None


@dataclass
class Dialogue:
    """One dialogue; turns are in speaking order and ``turn_id`` rises."""

    dialogue_id: str
    turns: list[Turn] = field(default_factory=list)
    split: str = "train"
    source: str = ""
    licence: str = ""

    def user_turns(self) -> list[Turn]:
        """The turns the tracker answers, in order."""
        return [turn for turn in self.turns if turn.speaker == "user"]


@dataclass
class Ontology:
    """Slots and their known values: ``{domain: {slot: [value, ...]}}``; an empty list marks an open slot.

    ``built_from`` states which splits the values come from: ``train``, ``train+dev`` or ``all``. ``all`` is an oracle: scores
    made with it must say so. ``descriptions`` (optional) say in words what a slot holds, ``types`` (optional) are of
    `VALUE_TYPES`; both by domain and slot. ``synonyms`` (optional) are other spellings that stand for a known value:
    ``{domain: {slot: {value: [spelling, ...]}}}``.
    """

    values: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    built_from: str = "train"
    descriptions: dict[str, dict[str, str]] = field(default_factory=dict)
    types: dict[str, dict[str, str]] = field(default_factory=dict)
    synonyms: dict[str, dict[str, dict[str, list[str]]]] = field(default_factory=dict)

    @classmethod
    def from_dialogues(cls, dialogues: Iterable[Dialogue], built_from: str = "train") -> Ontology:
        """Collect every slot and every accepted value that occurs in the dialogues' states and slot-filling responses, sorted.

        A slot that is asked for but never has a value is left out: nothing was learned about it.
        """
        found: dict[str, dict[str, set[str]]] = {}
        for dialogue in dialogues:
            for turn in dialogue.turns:
                for state in (turn.state or {}, *map(filled, turn.instructions or ())):
                    for domain, slot, value in iterate_slots(state):
                        found.setdefault(domain, {}).setdefault(slot, set()).update(accepted(value))
        values = {
            domain: {slot: sorted(forms - {DONTCARE}) for slot, forms in sorted(slots.items())}
            for domain, slots in sorted(found.items())
        }
        return cls(values, built_from)

    def merged(self, other: Ontology) -> Ontology:
        """Both ontologies' slots and values; an oracle part makes the whole an oracle."""
        values = {domain: {slot: list(known) for slot, known in slots.items()} for domain, slots in self.values.items()}
        for domain, slots in other.values.items():
            for slot, known in slots.items():
                mine = values.setdefault(domain, {}).setdefault(slot, [])
                values[domain][slot] = sorted({*mine, *known})
        descriptions, types = (
            {domain: first.get(domain, {}) | second.get(domain, {}) for domain in first | second}
            for first, second in ((self.descriptions, other.descriptions), (self.types, other.types))
        )
        synonyms = {
            domain: {slot: {value: list(forms) for value, forms in found.items()} for slot, found in slots.items()}
            for domain, slots in self.synonyms.items()
        }
        for domain, slot, found in iterate_slots(other.synonyms):
            known_ = synonyms.setdefault(domain, {}).setdefault(slot, {})
            for value, forms in found.items():
                known_[value] = sorted({*known_.get(value, ()), *forms})
        return Ontology(values, max(self.built_from, other.built_from, key=BUILT_FROM.index), descriptions, types, synonyms)

    def spellings(self, domain: str, slot: str) -> dict[str, str]:
        """Every way of writing a slot's known values, with the value it stands for; the values come first."""
        values = {value: value for value in self.values.get(domain, {}).get(slot, ())}
        for value, forms in self.synonyms.get(domain, {}).get(slot, {}).items():
            values |= {form: value for form in forms if form not in values}
        return values

    def origin(self) -> dict[str, Any]:
        """What figures made with it have to say: which splits it knows, and whether that makes it an oracle."""
        return {"ontology": self.built_from, "oracle": self.built_from == "all"}

    def to_json(self) -> dict[str, Any]:
        optional = {"descriptions": self.descriptions, "types": self.types, "synonyms": self.synonyms}
        return {"built_from": self.built_from, "values": self.values} | {key: value for key, value in optional.items() if value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Ontology:
        """The ontology that `to_json` wrote, or a person. One that does not say what it was built from counts as an oracle.

        Raises:
            KeyError: there are no ``values``.
            ValueError: ``built_from`` is none of `BUILT_FROM`, a description no text, a type none of `VALUE_TYPES`, or
                synonyms are no lists of texts by value.
        """
        built_from = data.get("built_from", "all")
        if built_from not in BUILT_FROM:
            raise ValueError(f"built_from must be one of {', '.join(BUILT_FROM)}, not {built_from!r}")
        descriptions, types, synonyms = data.get("descriptions", {}), data.get("types", {}), data.get("synonyms", {})
        for domain, slot, text in iterate_slots(descriptions):
            if not isinstance(text, str):
                raise ValueError(f"the description of {domain}-{slot} must be text, not {text!r}")
        for domain, slot, kind in iterate_slots(types):
            if kind not in VALUE_TYPES:
                raise ValueError(f"the type of {domain}-{slot} must be one of {', '.join(VALUE_TYPES)}, not {kind!r}")
        for domain, slot, found in iterate_slots(synonyms):
            forms = found.values() if isinstance(found, dict) else [None]
            if not all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in forms):
                raise ValueError(f"the synonyms of {domain}-{slot} must be lists of texts by value, not {found!r}")
        return cls(data["values"], built_from, descriptions, types, synonyms)


def accepted(value: Value) -> list[str]:
    """All accepted surface forms of a value, the canonical one first."""
    return [value] if isinstance(value, str) else list(value)


def canonical(state: State) -> dict[str, dict[str, str]]:
    """The state with the canonical form of each value."""
    return {domain: {slot: accepted(value)[0] for slot, value in slots.items()} for domain, slots in state.items()}


def iterate_slots(state: Mapping[str, Mapping[str, T]]) -> Iterator[tuple[str, str, T]]:
    """Yield ``(domain, slot, value)`` in the order of a state, or of whatever is held by domain and slot."""
    for domain, slots in state.items():
        for slot, value in slots.items():
            yield domain, slot, value


def with_values(state: State, values: Mapping[tuple[str, str], Value | None]) -> State:
    """The state with these values of slots ``(domain, slot)`` in it; ``None`` takes a slot's value away."""
    found = {domain: dict(slots) for domain, slots in state.items()}
    for (domain, slot), value in values.items():
        if value is None:
            found.get(domain, {}).pop(slot, None)
        else:
            found.setdefault(domain, {})[slot] = value
    return {domain: slots for domain, slots in found.items() if slots}


def slot_key(domain: str, slot: str) -> str:
    """How an instruction names a slot."""
    return f"{domain}-{slot}"


def filled(instruction: Instruction) -> State:
    """The slots that a slot-filling response has a value for, as a state; of another response, nothing."""
    state: State = {}
    for key, value in instruction.response.items() if isinstance(instruction.response, dict) else ():
        domain, _, slot = key.partition("-")
        if accepted(value)[0]:
            state.setdefault(domain, {})[slot] = value
    return state


def is_whole(number: Any) -> bool:
    """Whether it is a whole number as JSON writes them; true and false are none."""
    return isinstance(number, int) and not isinstance(number, bool)


def check_state(state: Any) -> State:
    """Return ``state`` if it is ``{domain: {slot: value}}`` with string values (or non-empty lists of strings).

    Raises:
        ValueError: with the offending domain or slot.
    """
    if not isinstance(state, dict):
        raise ValueError(f"the state must be an object of domains, not {state!r}")
    for domain, slots in state.items():
        if not isinstance(slots, dict):
            raise ValueError(f"domain {domain!r} must hold an object of slots, not {slots!r}")
        for slot, value in slots.items():
            forms = value if isinstance(value, list) else [value]
            if not forms or not all(isinstance(form, str) for form in forms):
                raise ValueError(f"slot {domain}-{slot} must hold text or a list of texts, not {value!r}")
    return state


def read_manifest(path: str | Path) -> list[Dialogue]:
    """Read and check a manifest, plain or gzip'ed; audio paths come back absolute.

    Raises:
        ManifestError: the file is missing, a line is not valid, or a dialogue or turn id occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest; give the path of a JSON Lines file with one dialogue a line")
    dialogues: list[Dialogue] = []
    seen: set[str] = set()
    try:
        lines = read_text(path).split("\n")  # not splitlines: text may hold U+2028
        parsed = [(number, parse(path, line, number)) for number, line in enumerate(lines, 1) if line.strip()]
    except FileError as error:
        raise ManifestError(str(error)) from error
    for number, data in parsed:
        try:
            dialogue = _dialogue(data, path.parent)
            if dialogue.dialogue_id in seen:
                raise ValueError(f"dialogue {dialogue.dialogue_id!r} occurs twice; every dialogue needs its own id")
        except (ValueError, TypeError, KeyError) as error:
            reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ManifestError(f"{path}, line {number}: {reason}") from error
        seen.add(dialogue.dialogue_id)
        dialogues.append(dialogue)
    if not dialogues:
        raise ManifestError(f"{path}: the manifest holds no dialogue")
    return dialogues


def write_manifest(path: str | Path, dialogues: Iterable[Dialogue]) -> None:
    """Write a manifest atomically; audio paths below the manifest's folder are made relative to it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for dialogue in dialogues:
            file.write(json.dumps(_to_json(dialogue, path.parent.absolute()), ensure_ascii=False) + "\n")
    partial.replace(path)


def _dialogue(data: Any, folder: Path) -> Dialogue:
    if not isinstance(data, dict):
        raise ValueError("a line must be one JSON object, a dialogue")
    _check_keys(data, Dialogue, "a dialogue")
    dialogue_id, split = data["dialogue_id"], data.get("split", "train")
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    source, licence = data.get("source", ""), data.get("licence", "")
    for key, text in (("dialogue_id", dialogue_id), ("source", source), ("licence", licence)):
        if not isinstance(text, str):
            raise ValueError(f"{key} must be text, not {text!r}")
    if not isinstance(data["turns"], list):
        raise ValueError(f"turns must be a list, not {data['turns']!r}")
    turns = [_turn(turn, folder) for turn in data["turns"]]
    ids = [turn.turn_id for turn in turns]
    if any(later <= earlier for earlier, later in pairwise(ids)):
        raise ValueError(f"turn ids must rise without repeats, found {ids}")
    return Dialogue(dialogue_id, turns, split, source, licence)


def _check_keys(data: Mapping[str, Any], kind: type[Dialogue] | type[Turn], whose: str) -> None:
    known = {entry.name for entry in fields(kind)}
    for key in data:
        if key not in known:
            raise ValueError(f"{whose} has no key {key!r}{nearest(key, known)}")


def _turn(data: Any, folder: Path) -> Turn:
    if not isinstance(data, dict):
        raise ValueError("a turn must be a JSON object")
    if not is_whole(turn_id := data["turn_id"]):
        raise ValueError(f"turn_id must be a whole number, not {turn_id!r}")
    _check_keys(data, Turn, f"turn {turn_id}")
    turn = Turn(
        turn_id=turn_id,
        speaker=data["speaker"],
        transcript=data.get("transcript"),
        audio=data.get("audio"),
        start=data.get("start"),
        end=data.get("end"),
        channel=data.get("channel"),
        state=data.get("state"),
        voice=data.get("voice"),
        heard=data.get("heard"),
        translation=data.get("translation"),
    )
    if turn.speaker not in SPEAKERS:
        raise ValueError(f"turn {turn.turn_id}: speaker {turn.speaker!r} is not one of {', '.join(SPEAKERS)}")
    for key, text in (("transcript", turn.transcript), ("heard", turn.heard), ("voice", turn.voice)):
        if text is not None and not isinstance(text, str):
            raise ValueError(f"turn {turn.turn_id}: {key} must be text, not {text!r}")
    if turn.audio is not None and not (isinstance(turn.audio, str) and turn.audio):
        raise ValueError(f"turn {turn.turn_id}: audio must be the path of a file, not {turn.audio!r}")
    for key, edge in (("start", turn.start), ("end", turn.end), ("channel", turn.channel)):
        if edge is not None and (isinstance(edge, bool) or not isinstance(edge, int if key == "channel" else (int, float))):
            raise ValueError(f"turn {turn.turn_id}: {key} must be a number, not {edge!r}")
    try:
        if turn.state is not None:
            check_state(turn.state)
        if turn.translation is not None:
            _check_translation(turn.translation)
        if data.get("instructions") is not None:
            turn.instructions = _instructions(data["instructions"])
    except ValueError as error:
        raise ValueError(f"turn {turn.turn_id}: {error}") from error
    if turn.audio is not None:
        turn.audio = os.path.abspath(folder / turn.audio)
    if turn.start is not None and turn.end is not None and not 0 <= turn.start < turn.end:
        raise ValueError(f"turn {turn.turn_id}: start {turn.start} s and end {turn.end} s make no segment")
    return turn


def _check_translation(translation: Any) -> None:
    if not isinstance(translation, dict) or not all(isinstance(text, str) for text in translation.values()):
        raise ValueError(f'translation must be an object of texts by language, such as {{"de": "..."}}, not {translation!r}')


def _instructions(data: Any) -> list[Instruction]:
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise ValueError("instructions must be a list of objects")
    found = []
    for entry in data:
        task, text, response, context = (entry.get(key) for key in ("task", "instruction", "response", "context"))
        if unknown := sorted(entry.keys() - {"task", "instruction", "response", "context"}):
            raise ValueError(f"an instruction has task, instruction, response and context, but no {unknown[0]!r}")
        if task not in INSTRUCTION_TASKS:
            raise ValueError(f"an instruction's task must be one of {', '.join(INSTRUCTION_TASKS)}, not {task!r}")
        if not isinstance(text, str):
            raise ValueError(f"an instruction's text must be a text under 'instruction', not {text!r}")
        if task == "slot-filling":
            if not isinstance(response, dict) or not response:
                raise ValueError(f"a slot-filling response must be an object of slots and values, not {response!r}")
            check_state({"response": response})
        elif not isinstance(response, str):
            raise ValueError(f"a response must be text, not {response!r}")
        if context is not None and (not is_whole(context) or context < 0):
            raise ValueError(f"an instruction's context must be a number of turns, not {context!r}")
        found.append(Instruction(task, text, response, context or 0))
    return found


def _to_json(dialogue: Dialogue, folder: Path) -> dict[str, Any]:
    def turn_json(turn: Turn) -> dict[str, Any]:
        data = {key: value for key, value in vars(turn).items() if value is not None}
        if turn.instructions is not None:
            data["instructions"] = [asdict(instruction) for instruction in turn.instructions]
        if turn.audio is not None:
            audio = Path(turn.audio).absolute()
            data["audio"] = audio.relative_to(folder).as_posix() if audio.is_relative_to(folder) else audio.as_posix()
        return data

    head = {"dialogue_id": dialogue.dialogue_id, "split": dialogue.split}
    optional = {"source": dialogue.source, "licence": dialogue.licence}
    return head | {k: v for k, v in optional.items() if v} | {"turns": [turn_json(turn) for turn in dialogue.turns]}
