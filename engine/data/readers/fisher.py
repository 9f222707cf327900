"""Fisher English, parts 1 and 2: telephone conversations, two channels, 8 kHz; LDC licence.

Folder: one that holds LDC2004S13 and LDC2005S13 (``.../audio/000/fe_03_00001.sph``) and LDC2004T19 and LDC2005T19
(``.../data/trans/000/fe_03_00001.txt``, ``.../doc/fe_03_p1_calldata.tbl``), or a part of them, wherever they lie below it.
A transcript line is "start end A: words", in seconds. The recordings come compressed: convert them beside the originals,
``sph2pipe -f wav fe_03_00001.sph fe_03_00001.wav``.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.data.readers import PreparationReport, in_layout, not_found, own_split
from engine.data.readers.files import Recordings, below, read_lines, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue

LICENCE = "LDC user agreement"
_SPLITS = {"train": ["train"], "dev": ["dev"], "test": ["test"]}
_LINE = re.compile(r"\s*([\d.]+)\s+([\d.]+)\s+([AB]):\s*(.*)")
_EVERY = 500  # of so many calls one is kept for dev and one for test: about 23 of 11,699 each


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; every utterance is a dialogue of one turn that points into its call by seconds and channel.

    The corpus names no splits: of every 500 calls by number the 499th is dev, the 500th test. Utterances with words the
    transcriber was not sure of, "((...))", are dropped, as recognisers trained on Fisher commonly do.

    Raises:
        CorpusError: no transcripts or no recordings below the folder, or a transcript is not in Fisher's layout.
    """
    split, _ = own_split(_SPLITS, split)
    texts = {stem: path for stem, path in below(folder, ".txt").items() if re.fullmatch(r"fe_03_\d{5}", stem)}
    audio = below(folder, ".wav", ".flac", ".sph")
    if not texts or not audio:
        raise not_found(folder, "data/trans/000/fe_03_00001.txt and audio/000/fe_03_00001.sph below the folder")
    report = PreparationReport("Fisher", split)
    report.note("Fisher names no splits: of every 500 calls one is dev and one test; a speaker may be in several calls")
    recordings = Recordings(report)
    speakers = _speakers(folder)
    dialogues: list[Dialogue] = []
    for call, path in texts.items():
        if _split(call) == split:
            dialogues += _call(call, path, audio.get(call, path.with_suffix(".sph")), split, speakers, recordings, report)
    report.count(dialogues)
    return dialogues, report


def _split(call: str) -> str:
    return {_EVERY - 1: "dev", 0: "test"}.get(int(call[-5:]) % _EVERY, "train")


def _speakers(folder: Path) -> dict[str, dict[str, str]]:
    """PIN of the speaker on each side of a call, from the call tables."""
    speakers: dict[str, dict[str, str]] = {}
    for path in below(folder, ".tbl").values():
        if path.name.endswith("_calldata.tbl"):
            rows = [line.split(",") for _, line in read_lines(path)][1:]
            speakers |= {f"fe_03_{row[0]}": {"A": row[5], "B": row[10]} for row in rows if len(row) > 10}
    return speakers


def _call(
    call: str,
    path: Path,
    audio: Path,
    split: str,
    speakers: dict[str, dict[str, str]],
    recordings: Recordings,
    report: PreparationReport,
) -> list[Dialogue]:
    if recordings.seconds(audio) is None:
        return []
    found = []
    for number, line in read_lines(path):
        if line.startswith("#"):
            continue
        where = f"{path.name}, line {number}"
        with in_layout(f"{path}, line {number}", "Fisher"):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f'expected "start end A: words", found {line[:40]!r}')
            start, end, side, words = float(match[1]), float(match[2]), match[3], match[4]
        if "((" in words:
            report.drop("words the transcriber was not sure of, ((...))", where)
            continue
        transcript = normalise_transcript(re.sub(r"\[[^\]]*\]", " ", words))
        if not transcript:
            report.drop("no words, only noises", where)
        elif segment := recordings.segment(audio, start, end, where):
            name = f"{call}-{side}-{round(start * 100):06d}"
            voice = speakers.get(call, {}).get(side, f"{call}-{side}")
            side_number = "AB".index(side)
            found.append(
                utterance(name, split, "fisher", LICENCE, transcript, audio, segment=segment, channel=side_number, voice=voice)
            )
    return found
