"""A table of turns beside recordings, as a spreadsheet writes it: the way in for dialogues of one's own.

Folder: ``turns.csv`` or ``turns.tsv`` (UTF-8, a header line), or the only such file in it, one turn a row, a dialogue's rows in
order. Columns: ``dialogue_id``, ``turn_id`` and ``speaker`` (user or agent) are needed; the others are used where they are:

- ``transcript`` (empty: not transcribed; ``<silence>``: nobody speaks), ``heard`` (a recogniser's words), ``voice``;
- ``audio``, a path from the table's folder, with ``start`` and ``end`` in seconds and ``channel`` from 0;
- ``state`` as JSON ``{"hotel": {"area": "north"}}`` (empty: no label), or a column for each slot, ``hotel-area``: then every
  user turn has a state, and "a|b" is a value with two accepted forms;
- ``translation`` as JSON by language; ``split``, ``source``, ``licence`` of the dialogue.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.data.readers import CorpusError, PreparationReport, in_layout, not_found, own_split
from engine.data.readers.files import Recordings, read_table
from engine.dialogue import SPEAKERS, SPLITS, Dialogue, State, Turn, check_state

NEEDED = ("dialogue_id", "turn_id", "speaker")
SILENCE = "<silence>"


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read the dialogues of one split; those without a split are of every split that is asked for.

    Transcripts and values are taken as they are. A turn whose recording is missing stays as text.

    Raises:
        CorpusError: no table, or a row that cannot be used; the message names its place.
    """
    split, _ = own_split({name: [name] for name in SPLITS}, split)
    path = _table(folder)
    report = PreparationReport("table of turns", split)
    recordings = Recordings(report)
    found: dict[str, Dialogue] = {}
    delimiter = "\t" if path.suffix == ".tsv" else ","
    for number, row in enumerate(read_table(path, delimiter, NEEDED), 2):
        own = row.get("split") or split
        if own not in SPLITS:
            raise CorpusError(f"{path}, row {number}: split {own!r} is not one of {', '.join(SPLITS)}")
        if own == split:
            with in_layout(f"{path}, row {number}", "a table of turns"):
                name = row["dialogue_id"]
                blank = Dialogue(name, [], split, row.get("source", ""), row.get("licence", ""))
                found.setdefault(name, blank).turns.append(_turn(row, folder, recordings, found[name].turns[-1:]))
    dialogues = list(found.values())
    report.count(dialogues)
    return dialogues, report


def _table(folder: Path) -> Path:
    named = [folder / name for name in ("turns.csv", "turns.tsv") if (folder / name).is_file()]
    only = named or sorted(path for path in folder.glob("[!.]*") if path.suffix in (".csv", ".tsv"))
    if len(only) != 1:
        raise not_found(folder, "one table turns.csv or turns.tsv")
    return only[0]


def _turn(row: dict[str, str], folder: Path, recordings: Recordings, before: list[Turn]) -> Turn:
    if row["speaker"] not in SPEAKERS:
        raise ValueError(f"speaker {row['speaker']!r} is not one of {', '.join(SPEAKERS)}")
    turn = Turn(int(row["turn_id"]), row["speaker"])
    if before and before[0].turn_id >= turn.turn_id:
        raise ValueError(f"turn {turn.turn_id} of dialogue {row['dialogue_id']!r} comes after turn {before[0].turn_id}")
    text = row.get("transcript", "")
    turn.transcript = "" if text == SILENCE else text or None
    turn.heard, turn.voice = row.get("heard") or None, row.get("voice") or None
    turn.translation = json.loads(row["translation"]) if row.get("translation") else None
    turn.state = _state(row) if turn.speaker == "user" else None
    if row.get("audio") and recordings.seconds(path := folder / row["audio"]) is not None:
        turn.audio = str(path.absolute())
        turn.start, turn.end = (_number(row, key) for key in ("start", "end"))
        turn.channel = int(row["channel"]) if row.get("channel") else None
        if turn.start is not None or turn.end is not None:
            end = turn.end if turn.end is not None else recordings.seconds(path) or 0.0
            where = f"{row['dialogue_id']} turn {turn.turn_id}"
            if recordings.segment(path, turn.start or 0.0, end, where) is None:
                turn.audio = turn.start = turn.end = turn.channel = None
    return turn


def _number(row: dict[str, str], key: str) -> float | None:
    return float(row[key]) if row.get(key) else None


def _state(row: dict[str, str]) -> State | None:
    if "state" in row:
        return check_state(json.loads(row["state"])) if row["state"] else None
    columns = [name for name in row if "-" in name]
    if not columns:
        return None
    state: dict[str, Any] = {}
    for name in columns:
        if value := row[name].strip():
            domain, slot = name.split("-", 1)
            forms = [form.strip() for form in value.split("|")]
            state.setdefault(domain, {})[slot] = forms if len(forms) > 1 else value
    return state
