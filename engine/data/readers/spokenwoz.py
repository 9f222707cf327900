"""SpokenWOZ (Si et al. 2023): 5,700 telephone dialogues between people, 8 kHz, customer left and agent right; CC BY-NC 4.0.

Folder, as published: ``text_5700_train_dev`` (``data.json``, ``valListFile.json``), ``text_5700_test`` (``data.json``) and
the WAV files in ``audio_5700_train_dev`` and ``audio_5700_test``. User turns are the even entries of a log; the state after
user turn 2k stands in ``metadata`` of entry 2k+1. Word times are milliseconds;
the words themselves are a recogniser's.

A sample of the corpus is read too: ``audio/*.wav`` and ``text/*.json``, a list of words in the order of the turns
(``speaker`` A or B, ``word``, ``start``, ``end`` in seconds), and ``joined_with_states.jsonl`` with turns and states of some.
"""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

from engine.data.readers import AS_SAID, CorpusError, PreparationReport, in_layout, own_split, require, state_value, within
from engine.data.readers.files import Recordings, read_json, read_lines
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue, State, Turn

LICENCE = "CC BY-NC 4.0"
_SPLITS = {"train": ["train"], "dev": ["dev"], "test": ["test"]}
_SPEAKERS = {"user": ("user", 0), "system": ("agent", 1)}  # tag in the log -> speaker, channel of the recording
_SAMPLE_SPEAKERS = {"A": "user", "B": "system", "USER": "user", "SYSTEM": "system"}
# Test dialogues whose labels belong to other dialogues (issue 87 of the corpus's repository); paper 1 leaves them out.
_MISLABELLED = {f"SNG0{number}" for number in (601, 646, 653, 877, 885, 890, 897, 901, 903)}
_PUNCTUATION = str.maketrans("", "", string.punctuation.replace("'", ""))


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split, or all of a sample, which names no splits.

    Dialogues without a recording are dropped, and the nine of the test split whose labels are wrong. Transcripts are
    normalised as in paper 1 (punctuation but ' removed, not replaced by a space).

    Raises:
        CorpusError: neither the corpus nor a sample of it, or a file is not in its layout.
    """
    split, _ = own_split(_SPLITS, split)
    report = PreparationReport("SpokenWOZ", split)
    part = "test" if split == "test" else "train_dev"
    path = require(folder, f"text_5700_{part}/data.json", "text")
    if path.is_dir():
        dialogues = _sample(folder, path, split, report)
    else:
        dialogues = _corpus(folder, path, part, split, report)
    report.count(dialogues)
    return dialogues, report


def _corpus(folder: Path, path: Path, part: str, split: str, report: PreparationReport) -> list[Dialogue]:
    audio = require(folder, f"audio_5700_{part}")
    with in_layout(path, "SpokenWOZ"):
        data: dict[str, Any] = dict(read_json(path))
    if split != "test":
        listed = {line.strip() for _, line in read_lines(require(path.parent, "valListFile.json"))}
        for name in sorted(listed - data.keys()):
            report.drop("listed in valListFile.json but not in data.json", name)
        data = {name: entry for name, entry in data.items() if (name in listed) == (split == "dev")}
    recordings = Recordings(report)
    dialogues = []
    for name, entry in data.items():
        if split == "test" and name in _MISLABELLED:
            report.drop("test dialogue with the labels of another (known fault of the corpus)", name)
        elif recordings.seconds(wav := audio / f"{name}.wav") is not None:
            with in_layout(f"{path}, dialogue {name}", "SpokenWOZ"):
                dialogues.append(_dialogue(name, entry["log"], wav, split, recordings, report))
    return dialogues


def _dialogue(
    name: str, log: list[dict[str, Any]], wav: Path, split: str, recordings: Recordings, report: PreparationReport
) -> Dialogue:
    dialogue = Dialogue(name, [], split, "spokenwoz", LICENCE)
    for turn_id, entry in enumerate(log):
        with within(f"turn {turn_id}"):
            where = f"{name} turn {turn_id}"
            tag = "system" if turn_id % 2 else "user"
            if entry["tag"] != tag:
                report.mend("speaker tag out of turn: speakers alternate", where)
            if tag == "user" and turn_id + 1 == len(log):
                report.drop("last user turn without a state", where)
                continue
            words = entry["words"]
            if tag == "system" and not words and not entry["text"]:
                continue  # only carries the state of the turn before
            turn = _turn(
                turn_id,
                tag,
                entry["text"] if entry.get(AS_SAID) else normalised(entry["text"]),
                wav,
                min((word["BeginTime"] / 1000 for word in words), default=0.0),
                max((word["EndTime"] / 1000 for word in words), default=0.0),
                recordings,
                where,
            )
            if turn is not None:
                if tag == "user":
                    with within(f"its state in turn {turn_id + 1}"):
                        metadata = log[turn_id + 1]["metadata"]
                        turn.state = _state(metadata, report) if metadata else None  # not even empty slots: nobody labelled it
                    turn.heard = normalise_transcript(" ".join(word["Word"] for word in words))
                dialogue.turns.append(turn)
    return dialogue


def normalised(text: str) -> str:
    """A transcript as paper 1 has it."""
    return normalise_transcript(text.replace("’", "'").translate(_PUNCTUATION))


def _turn(
    turn_id: int, tag: str, text: str, wav: Path, start: float, end: float, recordings: Recordings, where: str
) -> Turn | None:
    """The turn; None if it is the user's and cannot be heard. An agent's turn is needed as text alone."""
    speaker, channel = _SPEAKERS[tag]
    turn = Turn(turn_id, speaker, text, channel=channel)
    segment = recordings.segment(wav, start, end, where)
    if segment is None:
        return None if tag == "user" else Turn(turn_id, speaker, turn.transcript)
    turn.audio, (turn.start, turn.end) = str(wav.absolute()), segment
    return turn


def _state(metadata: dict[str, Any], report: PreparationReport) -> State:
    state: State = {}
    for domain, parts in metadata.items():
        slots = {
            re.sub(r"\W", "", slot.lower()): value
            for slot, raw in (parts["book"] | parts["semi"]).items()
            if slot != "booked" and (value := state_value(raw, report)) is not None
        }
        if slots:
            state[domain.lower()] = dict(sorted(slots.items()))
    return dict(sorted(state.items()))


def _sample(folder: Path, texts: Path, split: str, report: PreparationReport) -> list[Dialogue]:
    audio = require(folder, "audio")
    recordings = Recordings(report)
    labelled = dict(_labelled(folder / "joined_with_states.jsonl"))
    found: dict[str, list[dict[str, Any]]] = {path.stem: [] for path in sorted(texts.glob("[!.]*.json"))} | labelled
    if not found:
        raise CorpusError(f"{texts}: expected word lists SNG0001.json and so on, found none")
    report.note(f"a sample names no splits; its dialogues are marked {split!r}. Its transcripts are a recogniser's words")
    dialogues = []
    for name, turns in sorted(found.items()):
        if recordings.seconds(wav := audio / f"{name}.wav") is None:
            continue
        if name not in labelled:
            report.note("dialogues without states are tracked, not scored")
        source = folder / "joined_with_states.jsonl" if turns else texts / f"{name}.json"
        dialogue = Dialogue(name, [], split, "spokenwoz", LICENCE)
        with in_layout(f"{source}, dialogue {name}", "a SpokenWOZ sample"):
            for turn_id, raw in enumerate(turns or _turns(read_json(source))):
                with within(f"turn {turn_id}"):
                    tag = _SAMPLE_SPEAKERS[raw["speaker"]]
                    where = f"{name} turn {turn_id}"
                    turn = _turn(turn_id, tag, normalised(raw["text"]), wav, raw["start"], raw["end"], recordings, where)
                    if turn is not None:
                        turn.state = _folded(raw["state"], report) if "state" in raw else None
                        dialogue.turns.append(turn)
        dialogues.append(dialogue)
    return dialogues


def _labelled(path: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    if not path.is_file():
        return []
    found = []
    for number, line in read_lines(path):
        with in_layout(f"{path}, line {number}", "a SpokenWOZ sample"):
            data = json.loads(line)
            found.append((data["dialogue_id"], data["turns"]))
    return found


def _turns(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Words, one after the other, to turns: the speaker changes."""
    turns: list[dict[str, Any]] = []
    for word in words:
        if not turns or turns[-1]["speaker"] != word["speaker"]:
            turns.append({"speaker": word["speaker"], "text": "", "start": word["start"], "end": word["end"]})
        turns[-1]["text"] += f" {word['word']}"
        turns[-1]["end"] = max(turns[-1]["end"], word["end"])
    return turns


def _folded(state: dict[str, dict[str, str]], report: PreparationReport) -> State:
    folded = {domain: {slot: state_value(raw, report) for slot, raw in slots.items()} for domain, slots in state.items()}
    return {
        domain: {slot: value for slot, value in slots.items() if value is not None}
        for domain, slots in folded.items()
        if any(value is not None for value in slots.values())
    }
