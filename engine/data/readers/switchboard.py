"""Switchboard-1 release 2 with the transcripts of Mississippi State, and Hub5'00 as its test set; LDC licence.

Folder: one that holds, wherever below it, LDC97S62 (``sw02001.sph``, two channels, 8 kHz) and ``swb_ms98_transcriptions``
(``20/2001/sw2001A-ms98-a-trans.text``: "sw2001A-ms98-a-0001 start end words"); for the test set LDC2002S09
(``english/sw_4390.sph``) and LDC2002T43 (``hub5e00.english.000405.stm``). Recordings that come compressed are converted
beside the originals, ``sph2pipe -f wav sw02001.sph sw02001.wav``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from engine.data.readers import PreparationReport, in_layout, not_found, own_split
from engine.data.readers.files import Recordings, below, read_lines, utterance
from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue

LICENCE = "LDC user agreement"
_SPLITS = {"train": ["train"], "dev": ["dev"], "test": ["hub5e00"]}
_EVERY = 100  # one of so many calls is kept for dev: 24 of 2,438
Segment = tuple[str, str, str, float, float, str]  # utterance, recording, side, start, end, words


def read(folder: Path, split: str) -> tuple[list[Dialogue], PreparationReport]:
    """Read one split; every utterance is a dialogue of one turn that points into its call by seconds and channel.

    The calls name no splits: every hundredth by number is dev. ``[laughter-yes]`` becomes "yes", ``[yeam/yeah]`` what was
    meant, ``th[at]-`` what was said of it; noises go.

    Raises:
        CorpusError: no transcripts or no recordings below the folder, or a transcript is not in its layout.
    """
    split, _ = own_split(_SPLITS, split)
    report = PreparationReport("Switchboard", split)
    audio = below(folder, ".wav", ".flac", ".sph")
    if split == "test":
        texts = [path for path in below(folder, ".stm").values() if path.name.startswith("hub5e00.english")]
        expected = "reference/hub5e00.english.000405.stm and english/sw_4390.sph"
    else:
        texts = [path for path in below(folder, ".text").values() if re.fullmatch(r"sw\d{4}[AB]-ms98-a-trans", path.stem)]
        expected = "20/2001/sw2001A-ms98-a-trans.text and sw02001.sph"
        report.note("Switchboard-1 names no splits: every hundredth call is dev; a speaker may be in several calls")
    if not texts or not audio:
        raise not_found(folder, f"{expected} below the folder")
    recordings = Recordings(report)
    dialogues = []
    for path in texts:
        for name, recording, side, start, end, words in _hub5(path) if split == "test" else _ms98(path, split):
            transcript = normalise_transcript(" ".join(map(_said, words.split())))
            sound = audio.get(recording, folder / f"{recording}.sph")
            if not transcript:
                report.drop("no words, only noises", name)
            elif segment := recordings.segment(sound, start, end, name):
                dialogues.append(
                    utterance(
                        name,
                        split,
                        "switchboard" if split != "test" else "switchboard hub5e00",
                        LICENCE,
                        transcript,
                        sound,
                        segment=segment,
                        channel="AB".index(side),
                        voice=f"{recording}-{side}",
                    )
                )
    report.count(dialogues)
    return dialogues, report


def _ms98(path: Path, split: str) -> Iterator[Segment]:
    call, side = path.name[2:6], path.name[6]
    if ("dev" if int(call) % _EVERY == 0 else "train") != split:
        return
    for number, line in read_lines(path):
        with in_layout(f"{path}, line {number}", "Switchboard"):
            name, start, end, *words = line.split()
            yield name, f"sw0{call}", side, float(start), float(end), " ".join(words)


def _hub5(path: Path) -> Iterator[Segment]:
    for number, line in read_lines(path):
        if line.startswith(";;") or "IGNORE_TIME_SEGMENT" in line:
            continue
        with in_layout(f"{path}, line {number}", "a NIST STM file"):
            recording, side, _, start, end, _, *words = line.split()
            name = f"{recording}-{side}-{round(float(start) * 100):06d}"
            text = re.sub(r"\{\s*([^/}]*)/[^}]*\}", r"\1", " ".join(words))  # { a / b }: either may be said
            yield name, recording, side, float(start), float(end), text.replace("(", " ").replace(")", " ")


def _said(token: str) -> str:
    """The word of a token, without the transcribers' marks; empty for a noise."""
    if token.startswith(("<", "%")):
        return ""
    if match := re.fullmatch(r"\[laughter-(.+)\]", token, re.I):
        return _said(match[1])
    if match := re.fullmatch(r"\[[^\]/]+/([^\]]+)\]", token):
        return _said(match[1])
    token = re.sub(r"\[[^\]]*\]", "", token)  # a noise, or the part of a word that was not said
    return re.sub(r"_\d+$", "", token.strip("{}"))
