"""SpokenWOZ: a stereo WAV file for each call, the user left and the agent right, and what was said and meant in ``data.json``.

The recordings of a dialogue's turns are put one after the other, each on its speaker's side, at whole milliseconds (a rate that
does not divide into them has the end of a turn filled up with less than 40 ms of silence). Nothing is resampled but turns of
several rates, to the highest. Where words begin and end inside a turn is not known here: they are spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from engine import audio
from engine.data.readers import PreparationReport
from engine.data.readers.spokenwoz import normalised
from engine.data.writers import WriteError, as_said, incomplete, no_values, positions, write_json
from engine.data.writers.multiwoz import metadata
from engine.dialogue import Dialogue, State, Turn

PAUSE = 200  # ms between turns
_TAGS = {"user": ("user", 0), "agent": ("system", 1)}  # speaker -> tag in the log, channel of the recording
Times = dict[int, tuple[int, int]]  # turn -> begin and end in ms


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Write the texts and the calls of train and dev, and those of test. A dialogue without any recording is left out.

    Raises:
        WriteError: no dialogue is recorded, or one has a name that is no file's.
    """
    report = PreparationReport("SpokenWOZ", "all splits")
    report.note("word times are spread evenly over each turn")
    incomplete(report, dialogues, needs_state=False)
    no_values(report, dialogues)
    logs: dict[str, dict[str, Any]] = {}
    written: list[Dialogue] = []
    for dialogue in dialogues:
        name, part = dialogue.dialogue_id, "test" if dialogue.split == "test" else "train_dev"
        if name != Path(name).name or name.startswith("."):
            raise WriteError(f"dialogue {name}: SpokenWOZ names a file after it, which this name cannot be; rename the dialogue")
        times = _call(folder / f"audio_5700_{part}" / f"{name}.wav", dialogue, report)
        if times:
            logs.setdefault(part, {})[name] = {"goal": {}, "log": _log(dialogue, times, report)}
            written.append(dialogue)
        else:
            report.drop("dialogue without a recording: the layout holds calls", name)
    if not written:
        raise WriteError("none of the dialogues has a recording, and SpokenWOZ holds calls; write another layout")
    for part, entries in logs.items():
        write_json(folder / f"text_5700_{part}" / "data.json", entries)
    if "train_dev" in logs:
        listed = "".join(f"{dialogue.dialogue_id}\n" for dialogue in written if dialogue.split == "dev")
        (folder / "text_5700_train_dev" / "valListFile.json").write_text(listed, encoding="utf-8")
    report.count(written)
    return report


def _call(path: Path, dialogue: Dialogue, report: PreparationReport) -> Times:
    """Write the recordings of a dialogue's turns as one call; when each is heard. Nothing is written where there are none."""
    found: list[tuple[Turn, int]] = []
    for turn in dialogue.turns:
        try:
            if turn.audio:
                found.append((turn, audio.sampling_rate(turn.audio)))
        except audio.AudioError as error:
            report.drop(f"sound of a turn: {error}", f"{dialogue.dialogue_id} turn {turn.turn_id}")
    if not found:
        return {}
    rate = max(rate for _, rate in found)
    step = 1000 // gcd(1000, rate)  # ms after which a sample falls on a whole millisecond
    frames = rate * step // 1000
    steps_of_pause = -(-PAUSE // step)
    sides: list[np.ndarray] = []
    times: Times = {}
    at = 0  # in steps
    for turn, _ in found:
        samples = audio.load(str(turn.audio), turn.start, turn.end, turn.channel, rate)
        length = -(-len(samples) // frames)
        part = np.zeros(((length + steps_of_pause) * frames, 2), np.int16)
        # by hand: libsndfile would scale by another factor than it read with
        part[: len(samples), _TAGS[turn.speaker][1]] = np.clip(np.round(samples * 32768), -32768, 32767)
        sides.append(part)
        times[turn.turn_id] = at * step, (at + length) * step
        at += length + steps_of_pause
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    soundfile.write(partial, np.concatenate(sides), rate, format="WAV", subtype="PCM_16")
    partial.replace(path)
    return times


def _log(dialogue: Dialogue, times: Times, report: PreparationReport) -> list[dict[str, Any]]:
    """The turns, users at even places; the state after a user turn stands in the entry behind it."""
    log: list[dict[str, Any]] = []
    state: State | None = None
    for turn in positions(dialogue, alternate=True):
        log.append(_entry(turn, times))
        if turn.speaker == "agent":
            log[-1]["metadata"] = metadata(state)
            continue
        state = turn.state
        if turn.transcript and not (turn.audio and turn.turn_id in times):
            report.mend("user turn without a recording: its reader leaves it out", f"{dialogue.dialogue_id} turn {turn.turn_id}")
    if len(log) % 2:
        log.append(_entry(Turn(len(log), "agent", ""), times) | {"metadata": metadata(state)})
    return log


def _entry(turn: Turn, times: Times) -> dict[str, Any]:
    tag, channel = _TAGS[turn.speaker]
    words: list[dict[str, Any]] = []
    if turn.audio and turn.turn_id in times:  # a turn that fills a gap has the number of none
        begin, end = times[turn.turn_id]
        said = (turn.heard or turn.transcript or "").split() or [""]
        borders = [begin + (end - begin) * place // len(said) for place in range(len(said) + 1)]
        words = [
            {"Word": word, "BeginTime": borders[i], "EndTime": borders[i + 1], "ChannelId": channel, "WordIndex": i}
            for i, word in enumerate(said)
        ]
    text = turn.transcript or ""
    entry = {"tag": tag, "text": text, "words": words, "metadata": {}, "dialog_act": {}, "span_info": []}
    return entry | as_said(text, read=normalised)
