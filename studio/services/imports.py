"""Dialogues into a project: first what would happen, then all of it or none.

An import is written in small parts into a project that nobody sees (`Project.staged_for`), so nobody's save waits for it; what
makes it visible is one short transaction at the end. One that was stopped or killed goes on where it was when it is started
again, for what is staged is known by its content. What nobody goes on with, `studio.services.staging` removes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy.orm import Session

from db.models import Split
from db.repositories import dialogues as rows
from db.repositories import projects
from engine.dialogue import Dialogue, Ontology, iterate_slots
from studio.errors import StudioError
from studio.services import ontology
from studio.services.exchange import MANIFEST, Source, in_parts
from studio.services.manifests import add_dialogues, content_hash, manifest_dialogue, store_audio
from studio.services.recordings import StoredAudio, sound_hash
from studio.workspace import Workspace

STAGED_TURNS = 300  # of a transaction: it takes a quarter of a second, for which others' saves wait
PART = 100  # dialogues loaded at a time
NAMED = 5  # problems that a message names

Progress = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True)
class Entry:
    """A dialogue that comes in, under the name it would get, and the hash of its ``content``.

    ``there``: the project has it, as ``known_as``. ``clash``: that name is another dialogue's.
    """

    dialogue: Dialogue
    content: str
    status: Literal["new", "there", "clash"]
    known_as: str = ""


@dataclass(frozen=True)
class Plan:
    """What an import would do, and what its reader had to say. ``additions`` is what the ontology would get."""

    source: Source
    entries: tuple[Entry, ...]
    additions: Ontology

    def those(self, status: str) -> list[Entry]:
        """The dialogues that are new, there already, or clash."""
        return [entry for entry in self.entries if entry.status == status]

    def to_json(self) -> dict[str, Any]:
        """The plan for people and programs."""
        dialogues = [entry.dialogue for entry in self.entries]
        turns = [turn for dialogue in dialogues for turn in dialogue.turns]
        slots = {(domain, slot) for turn in turns for domain, slot, _ in iterate_slots(turn.state or {})}
        new = self.those("new")
        return {
            "source": str(self.source.path),
            "format": self.source.format,
            "dialogues": len(dialogues),
            "turns": len(turns),
            "user_turns": sum(turn.speaker == "user" for turn in turns),
            "turns_with_audio": sum(turn.audio is not None for turn in turns),
            "turns_with_state": sum(turn.state is not None for turn in turns),
            "splits": dict(Counter(dialogue.split for dialogue in dialogues)),
            "slots": sorted(f"{domain}-{slot}" for domain, slot in slots),
            "new": len(new),
            "renamed": {entry.known_as: entry.dialogue.dialogue_id for entry in new if entry.known_as},
            "already_there": {entry.dialogue.dialogue_id: entry.known_as for entry in self.those("there")},
            "same_name_other_content": [entry.dialogue.dialogue_id for entry in self.those("clash")],
            "findings": self.source.findings,
            "ontology_additions": self.additions.values,
        }


def lines(planned: Plan) -> list[str]:
    """A plan for people, a fact a line."""
    return [f"{name}: {text}" for name, text in facts(planned)] + [f"  {finding}" for finding in planned.source.findings]


def facts(planned: Plan) -> list[tuple[str, str]]:
    """What a plan says, as names and texts."""
    found = planned.to_json()
    there, clashes, additions = found["already_there"], found["same_name_other_content"], found["ontology_additions"]
    added = [f"{domain}-{slot} ({len(values)} values)" for domain, slot, values in iterate_slots(additions)]
    told = [
        ("Dialogues", f"{found['dialogues']} ({', '.join(f'{split} {n}' for split, n in found['splits'].items())})"),
        ("Turns", f"{found['turns']}, {found['user_turns']} of them the user's, {found['turns_with_audio']} with a recording"),
        ("States", f"{found['turns_with_state']}, of {len(found['slots'])} slots: {_some(found['slots'], 12)}"),
        ("New", f"{found['new']} dialogues"),
    ]
    if found["renamed"]:
        told.append(("Renamed", _some([f"{old} to {new}" for old, new in found["renamed"].items()])))
    if there:
        same = [name if name == known else f"{name} (as {known})" for name, known in there.items()]
        told.append(("There already", f"{len(there)}, left out: {_some(same)}"))
    if clashes:
        told.append(("Same name, other content", f"{len(clashes)}, refused unless renamed: {_some(clashes)}"))
    if added:
        told.append(("New in the ontology", _some(added, 12)))
    return told


def plan(
    ws: Workspace, project_id: int | None, source: Source, rename: bool = False, progress: Progress = lambda done, total: None
) -> Plan:
    """Find out what importing ``source`` would do; nothing is written. Every recording is decoded once.

    Args:
        project_id: ``None`` stands for an empty project.
        rename: give a dialogue whose name is another's the name "NAME (2)"; if that other one is held out, so is this.

    Raises:
        StudioError: the project is gone, or recordings of a manifest cannot be used; the message names the first few.
    """
    source, contents = _listened(source, progress)
    with ws.read() as session:
        known = ontology.from_row(ontology.newest(session, project_id)) if project_id is not None else Ontology()
        there = _There(ws, session, project_id, source.dialogues, contents)
        entries = [there.entry(dialogue, content, rename) for dialogue, content in zip(source.dialogues, contents, strict=True)]
        fresh = [entry.dialogue for entry in entries if entry.status == "new"]
        additions = ontology.new_in(known, fresh)
    return Plan(source, tuple(entries), additions)


def carry_out(
    ws: Workspace, project_id: int, planned: Plan, author: str = "import", progress: Progress = lambda done, total: None
) -> int:
    """Import what is new, all of it or nothing; the number of dialogues comes back. What raises out of ``progress`` ends it
    between two dialogues: nothing comes in, and the next import of the same goes on there.

    Audio is cut to each turn and stored by content. Transcripts and states become revisions of source ``import``.

    Raises:
        StudioError: names clash, a recording cannot be used, or the disk is full.
    """
    if clashes := planned.those("clash"):
        raise StudioError(
            f"{len(clashes)} of these dialogues have the name of one in the project but other content: "
            f"{_some([repr(entry.dialogue.dialogue_id) for entry in clashes])}; "
            "rename them (--rename), or import into another project."
        )
    new = {_staged_name(entry, author): entry.dialogue for entry in planned.those("new")}
    if not new:
        return 0
    with ws.write() as session:
        staging = projects.staging(session, project_id).id
        there = rows.named(session, staging, list(new))
    coming = [replace(dialogue, dialogue_id=name) for name, dialogue in new.items() if name not in there]
    done = len(new) - len(coming)
    for part in _of_some_turns(coming):
        stored: dict[tuple[str, int], StoredAudio] = {}
        for number, dialogue in enumerate(part):
            progress(done + number, len(new))
            stored |= store_audio(ws, [dialogue])
        with ws.write() as session:
            there = rows.named(session, staging, [dialogue.dialogue_id for dialogue in part])  # by somebody who imports the same
            add_dialogues(session, staging, [dialogue for dialogue in part if dialogue.dialogue_id not in there], stored, author)
        ws.give_way()
        done += len(part)
    _bring_in(ws, project_id, staging, new, planned, author)
    progress(done, len(new))
    return done


def _bring_in(ws: Workspace, project_id: int, staging: int, new: dict[str, Dialogue], planned: Plan, author: str) -> None:
    """Hand what is staged over to the project: ``new`` by the names it has there, and what the ontology gets from it."""
    names = [dialogue.dialogue_id for dialogue in new.values()]
    with ws.write() as session:
        ids = rows.named(session, staging, list(new))
        if taken := [*rows.named(session, project_id, names), *(new[name].dialogue_id for name in new.keys() - ids.keys())]:
            raise StudioError(f"Somebody imported dialogue {min(taken)!r} meanwhile: start the import again.")
        if planned.additions.values:
            known = ontology.from_row(ontology.newest(session, project_id))
            told = f"{ontology.told(planned.additions.values)}, imported from {planned.source.path.name}"
            ontology.add_version(session, project_id, known.merged(planned.additions), author, told)
        changes = [
            {"row": ids[name], "name": dialogue.dialogue_id, "split": Split(dialogue.split)}
            | {"source": dialogue.source, "licence": dialogue.licence}
            for name, dialogue in new.items()
        ]
        rows.hand_over(session, project_id, changes)


def _staged_name(entry: Entry, author: str) -> str:
    """What a dialogue is called as long as it is staged: equal for the same of the same person, whenever it is imported."""
    return hashlib.sha256(f"{author}\n{entry.content}\n{entry.dialogue.dialogue_id}".encode()).hexdigest()


def _of_some_turns(dialogues: Sequence[Dialogue]) -> Iterator[list[Dialogue]]:
    """Whole dialogues, of 300 turns together at most where a single one has no more."""
    part: list[Dialogue] = []
    for dialogue in dialogues:
        if part and sum(len(other.turns) for other in part) + len(dialogue.turns) > STAGED_TURNS:
            yield part
            part = []
        part.append(dialogue)
    if part:
        yield part


def came_in(ws: Workspace, project_id: int, planned: Plan) -> int:
    """How many of the dialogues that were new are in the project now: all or none."""
    with ws.read() as session:
        return len(rows.named(session, project_id, [entry.dialogue.dialogue_id for entry in planned.those("new")]))


class _There:
    """What a project holds already."""

    def __init__(
        self, ws: Workspace, session: Session, project_id: int | None, dialogues: Sequence[Dialogue], contents: Sequence[str]
    ) -> None:
        self.held_out: set[str] = set()
        self.by_name: dict[str, set[str | None]] = {}
        self.by_content: dict[str, list[str]] = {}
        coming = {(dialogue.dialogue_id, content) for dialogue, content in zip(dialogues, contents, strict=True)}
        names = {name for name, _ in coming}
        changed = []
        for id_, name, content, split in rows.contents(session, project_id) if project_id is not None else ():
            self.by_name[name] = {content}
            if split == Split.TEST:
                self.held_out.add(name)
            if content is not None and (name, content) not in coming:
                self.by_content.setdefault(content, []).append(name)
            if name in names and (name, content) not in coming:
                changed.append(id_)
        # What was recorded or corrected here and exported is known again as it stands now
        for ids in in_parts(changed, PART):
            for row in rows.load_some(session, ids):
                sounds = [turn.recording.sha256 if turn.recording else None for turn in row.turns]
                self.by_name[row.name].add(content_hash(manifest_dialogue(ws, row, None), sounds))
            session.expunge_all()
        self.taken = set(self.by_name) | names

    def entry(self, dialogue: Dialogue, content: str, rename: bool) -> Entry:
        name = dialogue.dialogue_id
        if content in self.by_name.get(name, ()):
            return Entry(dialogue, content, "there", name)
        if content in self.by_content:
            return Entry(dialogue, content, "there", self.by_content[content][0])
        if name not in self.by_name:
            return Entry(dialogue, content, "new")
        if not rename:
            return Entry(dialogue, content, "clash", name)
        number = 2
        while (free := f"{name} ({number})") in self.taken:
            number += 1
        self.taken.add(free)
        split = "test" if name in self.held_out else dialogue.split
        return Entry(replace(dialogue, dialogue_id=free, split=split), content, "new", name)


def _listened(source: Source, progress: Progress) -> tuple[Source, list[str]]:
    """The source without recordings that cannot be used, and each dialogue's content hash.

    In a manifest, which somebody wrote for this import, such a recording is an error. In a corpus it costs its turn the
    sound, as readers have it.
    """
    dialogues: list[Dialogue] = []
    contents: list[str] = []
    problems: list[str] = []
    for done, dialogue in enumerate(source.dialogues, 1):
        turns, sounds = [], []
        for turn in dialogue.turns:
            sound = None
            try:
                sound = sound_hash(turn.audio, turn.start, turn.end, turn.channel) if turn.audio else None
            except StudioError as error:
                problems.append(f"dialogue {dialogue.dialogue_id}, turn {turn.turn_id}: {error}")
                turn = replace(turn, audio=None, start=None, end=None, channel=None)
            turns.append(turn)
            sounds.append(sound)
        dialogues.append(replace(dialogue, turns=turns))
        contents.append(content_hash(dialogue, sounds))
        progress(done, len(source.dialogues))
    if problems and source.format == MANIFEST:
        raise StudioError(f"{source.path.name}: {len(problems)} recordings cannot be used: {_some(problems)}")
    findings = [f"dropped {len(problems)}: sound of a turn ({_some(problems)})"] if problems else []
    return replace(source, dialogues=dialogues, findings=[*source.findings, *findings]), contents


def _some(things: Sequence[str], most: int = NAMED) -> str:
    return ", ".join(things[:most]) + (", ..." if len(things) > most else "")
