"""From files to a `Report`: read, score, judge every turn, and compress its recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from engine.dialogue import Dialogue, Ontology, Turn
from engine.postprocess import FuzzyMatcher, FuzzyMode
from engine.report.answers import read_answers
from engine.report.clips import Clips, make_clips
from engine.report.page import Report
from engine.report.turns import System, add_depth_intervals, slot_domains, turn_rows
from engine.scoring import ScoreError, TurnResult
from engine.scoring import report as score

AudioChoice = Literal["all", "wrong", "none"]


def build(
    dialogues: Sequence[Dialogue],
    files: Sequence[Path],
    names: Sequence[str],
    ontology: Ontology | None,
    fuzzy: FuzzyMode,
    audio: AudioChoice,
    audio_limit: int,
) -> Report:
    """Read and score one or two files of predictions for the same dialogues.

    Args:
        names: what to call the systems, in the order of ``files``.
        ontology: for fuzzy matching; without it there is none.
        audio: which turns bring their recording along.
        audio_limit: bytes that the recordings may take in the page.

    Raises:
        ScoreError: a file cannot be used, or does not fit the dialogues.
    """
    systems = []
    for name, file in zip(names, files, strict=True):
        answers = read_answers(file)
        results = [TurnResult(item.dialogue_id, item.turn_id, item.transcript or "", item.state) for item in answers]
        try:
            scores = score(dialogues, results, ontology or Ontology(), fuzzy)
        except ScoreError as error:
            raise ScoreError(f"{file}: {error}") from error
        if ontology is None:
            del scores["fuzzy"]
        systems.append(System(name, {(item.dialogue_id, item.turn_id): item for item in answers}, scores))
    rows = turn_rows(dialogues, systems, FuzzyMatcher(ontology, fuzzy) if ontology else None)
    add_depth_intervals(systems, rows)
    report = Report(dialogues, systems, rows, slot_domains(rows, dialogues, systems))
    report.clips = _clips(report, audio, audio_limit)
    report.facts = _facts(report, audio)
    return report


def _clips(report: Report, audio: AudioChoice, limit: int) -> Clips:
    """The recordings of the wrong turns first: if not all find room, these are the ones to hear."""
    turns = {(place, turn.turn_id): turn for place, dialogue in enumerate(report.dialogues) for turn in dialogue.turns}
    wrong: list[tuple[int, Turn]] = []
    right: list[tuple[int, Turn]] = []
    for number, row in enumerate(report.rows):
        turn = turns[row["dialogue"], row["turn"]]
        if turn.audio:
            (right if all(answer["right"]["plain"] for answer in row["answers"]) else wrong).append((number, turn))
    return make_clips({"all": wrong + right, "wrong": wrong, "none": []}[audio], limit)


def _facts(report: Report, audio: AudioChoice) -> list[tuple[str, str]]:
    scores = report.systems[0].scores
    licences = sorted({dialogue.licence for dialogue in report.dialogues if dialogue.licence})
    sources = sorted({dialogue.source for dialogue in report.dialogues if dialogue.source})
    facts = [
        ("Scored", f"{scores['dialogues']} dialogues, {scores['user_turns']} user turns"),
        ("Corpus", "; ".join(sources) or "not stated"),
        ("Licence of the data", "; ".join(licences) or "not stated"),
        ("Scoring profile", scores["profile"]),
    ]
    if report.fuzzy:
        origin = report.fuzzy["ontology"]
        oracle = " (an oracle: it knows the test split's values)" if report.fuzzy["oracle"] else ""
        facts.append(("Fuzzy matching", f"mode {report.fuzzy['mode']}, with the values of {origin}{oracle}"))
    else:
        facts.append(("Fuzzy matching", "none (no ontology was given)"))
    return [*facts, ("Audio", _audio_fact(report.clips, audio))]


def _audio_fact(clips: Clips, audio: AudioChoice) -> str:
    parts = [f"{len(clips.clips)} clips, {clips.size / 1e6:.1f} MB"]
    if audio == "wrong":
        parts.append("right turns have none (--audio wrong)")
    if audio == "none":
        parts = ["none (--audio none)"]
    if clips.over_limit:
        parts.append(f"{clips.over_limit} turns left out, over the size limit (--audio-limit)")
    if clips.missing:
        more = f" and {len(clips.missing) - 1} more" if len(clips.missing) > 1 else ""
        parts.append(f"not to be read: {clips.missing[0]}{more}")
    return "; ".join(parts)
