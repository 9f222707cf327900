"""Dialogues out of a project, in every layout the engine writes. Held-out dialogues only go where they are asked for by name."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import LABELLED, Revision, RevisionKind, Split, TurnStatus
from db.repositories import dialogues as rows
from engine.data.writers import WriteError, layouts
from engine.dialogue import Dialogue, write_manifest
from studio.errors import StudioError
from studio.services.exchange import MANIFEST, REVISIONS, export_formats, in_parts
from studio.services.manifests import manifest_dialogue
from studio.workspace import Workspace, disk_errors

TRAINING = ("train", "dev")  # what goes out if nobody names a split
SELF_CONTAINED = (MANIFEST, "table")  # name recordings by their path, which have to come along
COLUMNS = ("revision", "created", "author", "dialogue", "split", "turn", "speaker", "kind", "source", "old", "new", "layer")
_PART = 200  # dialogues loaded at a time


@dataclass(frozen=True)
class Selection:
    """Which dialogues go out. ``test`` has to be named among ``splits``: it is what scores are measured on.

    ``status``: every user turn has come at least this far, ``corrected``, ``reviewed`` or ``final``.
    ``text`` occurs in the name, in what was said, or in a value.
    ``names`` are dialogues; none means all.
    """

    splits: tuple[str, ...] = TRAINING
    status: str | None = None
    text: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What was written, and below which folder; ``held_out`` dialogues were left out, ``findings`` say what else was."""

    folder: Path
    dialogues: int
    held_out: int
    findings: tuple[str, ...] = ()


def export(
    ws: Workspace, project_id: int, folder: str | Path, name: str = MANIFEST, selection: Selection = Selection()
) -> Exported:
    """Write dialogues into ``folder`` in the format ``name``: corrected values where there are any, else the model's.

    Raises:
        StudioError: no such format, split or dialogue, nothing to export, the layout cannot hold it, or the disk is full.
    """
    folder = Path(folder).expanduser()
    if name not in export_formats():
        raise StudioError(f"There is no format {name!r} to export; choose one of {', '.join(export_formats())}.")
    findings: Sequence[str] = ()
    with ws.read() as session, disk_errors(folder):
        ids, held_out = _chosen(session, project_id, selection)
        folder.mkdir(parents=True, exist_ok=True)
        if name == REVISIONS:
            _write_revisions(session, ids, folder / "revisions.csv")
        elif name == MANIFEST:
            write_manifest(folder / "manifest.jsonl", _loaded(ws, session, ids, folder))
        else:
            found = _loaded(ws, session, ids, folder if name in SELF_CONTAINED else None)
            try:
                findings = [line.strip() for line in layouts()[name].write(folder, found).lines()[1:]]
            except WriteError as error:
                raise StudioError(f"{error}.") from error
    return Exported(folder, len(ids), held_out, tuple(findings))


def export_archive(
    ws: Workspace, project_id: int, target: Path, name: str = MANIFEST, selection: Selection = Selection()
) -> tuple[Path, Exported]:
    """As ``export``, as one zip file ``target``, whose folder is made."""
    folder = target.with_suffix("")
    try:
        written = export(ws, project_id, folder, name, selection)
        with disk_errors(folder):
            return Path(shutil.make_archive(str(folder), "zip", folder)), written
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _chosen(session: Session, project_id: int, selection: Selection) -> tuple[list[int], int]:
    """The ids of the dialogues, and how many more there would be were held-out ones asked for."""
    if unknown := sorted(set(selection.splits) - set(Split)):
        raise StudioError(f"There is no split {unknown[0]!r}; choose of {', '.join(Split)}.")
    if selection.status is not None and selection.status not in LABELLED:
        raise StudioError(f"There is no status {selection.status!r} to choose by; choose of {', '.join(LABELLED)}.")
    wanted = set(selection.names)
    if missing := sorted(wanted - rows.names(session, project_id)):
        raise StudioError(f"There is no dialogue {missing[0]!r} in this project: check its name on the Correct page.")
    statuses = LABELLED[LABELLED.index(TurnStatus(selection.status)) :] if selection.status else ()
    found = [row for row in rows.matching(session, project_id, selection.text, statuses) if not wanted or row[1] in wanted]
    chosen = [id_ for id_, _, split in found if split in selection.splits]
    held_out = sum(split == Split.TEST for _, _, split in found) if Split.TEST not in selection.splits else 0
    if not chosen:
        hint = f"; {held_out} held-out ones match: name the split test to have them" if held_out else ""
        raise StudioError(f"There is no dialogue to export{hint or ': record or import one first, or ask for more'}.")
    return chosen, held_out


def _loaded(ws: Workspace, session: Session, ids: Sequence[int], folder: Path | None) -> list[Dialogue]:
    found: list[Dialogue] = []
    for part in in_parts(ids, _PART):
        found += [manifest_dialogue(ws, row, folder) for row in rows.load_some(session, part)]
        session.expunge_all()
    return found


def _write_revisions(session: Session, ids: Sequence[int], path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for part in in_parts(ids, _PART):
            for dialogue, turn, revision in rows.revisions_of(session, part):
                show = _shown(revision)
                table.writerow(
                    (
                        *(revision.id, revision.created.isoformat(), revision.author, dialogue.name, dialogue.split),
                        *(turn.turn_id, turn.speaker, revision.kind, revision.source, show(revision.old), show(revision.new)),
                        revision.layer,
                    )
                )
            session.expunge_all()
    partial.replace(path)


def _shown(revision: Revision) -> Callable[[object], object]:
    """How a value stands in the table: a transcript as it is, a state as JSON; nothing where there was none."""
    if revision.kind == RevisionKind.TRANSCRIPT:
        return lambda value: value
    return lambda value: None if value is None else json.dumps(value, ensure_ascii=False)
