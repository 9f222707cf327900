"""From files to a `Report`: read, score, judge every turn, and compress its recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.dialogue import Dialogue, Turn, read_manifest
from engine.postprocess import FuzzyMatcher
from engine.report.clips import Clips, make_clips
from engine.report.page import Report
from engine.report.turns import System, is_right, turn_rows
from engine.scoring import Profile
from engine.scoring.align import align
from engine.scoring.compare import compare_systems
from engine.scoring.files import ScoredFile, read_predictions, read_reference
from engine.scoring.provenance import ORACLE_HISTORY
from engine.scoring.report import score_files
from engine.scoring.robustness import perturb, score_kinds

AudioChoice = Literal["all", "wrong", "none"]
# What belongs to one turn, even where a file happens to say the same for all of them.
_TURN_KEYS = ("confidence", "raw", "valid", "seconds", "guarded", "audio", "start", "end", "channel", "fuzzy")


@dataclass(frozen=True)
class Options:
    """How to score and what to show. ``audio_limit``: bytes that the recordings may take in the page."""

    profile: Profile
    matcher: FuzzyMatcher | None = None
    robustness: bool = False
    audio: AudioChoice = "all"
    audio_limit: int = 20_000_000


def build(manifest: Path, files: Sequence[Path], names: Sequence[str], options: Options) -> Report:
    """Read and score one or two files of predictions for the same reference.

    Args:
        manifest: a manifest, or states alone as the published evaluators have them.
        names: what to call the systems, in the order of ``files``.

    Raises:
        FileError: a file cannot be used, or predictions do not fit the reference; with file, line and reason.
        ScoreError: there is nothing to score or to compare.
    """
    reference = read_reference(manifest)
    systems = [_system(reference, file, name, options) for file, name in zip(files, names, strict=True)]
    dialogues = _dialogues(reference, manifest, systems[0])
    rows, domains = turn_rows(systems, options.profile)
    report = Report(dialogues, systems, rows, domains)
    if len(systems) == 2:
        report.comparison = compare_systems(systems[0].aligned, systems[1].aligned, options.profile)
    if options.robustness and options.matcher:
        report.robustness = [score_kinds(system.perturbed, options.profile, options.matcher) for system in systems]
    report.clips = _clips(report, options)
    for number, seconds in report.clips.seconds.items():
        rows[number]["seconds"] = round(seconds, 1)
    report.facts = _facts(report, options)
    return report


def _system(reference: ScoredFile, file: Path, name: str, options: Options) -> System:
    aligned = align(reference, read_predictions(file), options.profile)
    scores = score_files(aligned, options.profile) | {"fuzzy": None}
    if options.matcher is None:
        return System(name, aligned, None, [], scores)
    matched, matches = aligned.matched(options.matcher)
    scores["fuzzy"] = {"mode": options.matcher.mode} | options.matcher.ontology.origin()
    scores["fuzzy"] |= matched.score(options.profile).to_json()
    return System(name, aligned, matched, matches, scores, perturb(aligned, options.matcher) if options.robustness else {})


def _dialogues(reference: ScoredFile, manifest: Path, system: System) -> list[Dialogue]:
    """The reference's dialogues as the systems' turns name them; published references hold no words and no agent turns."""
    aligned = system.aligned.turns
    entries = [entry for turns in reference.dialogues.values() for entry in turns]
    if all(entry.turn_id is None for entry in entries):
        return [Dialogue(name, [Turn(gold.index, "user") for gold, _ in pairs]) for name, pairs in aligned.items()]
    known = {dialogue.dialogue_id: dialogue for dialogue in read_manifest(manifest)}
    raw = {name: pairs[0][0].dialogue for name, pairs in aligned.items()}
    return [known[raw[name]] for name in aligned]


def _clips(report: Report, options: Options) -> Clips:
    """The recordings of the wrong turns first: if not all find room, these are the ones to hear."""
    turns = {(place, turn.turn_id): turn for place, dialogue in enumerate(report.dialogues) for turn in dialogue.turns}
    wrong: list[tuple[int, Turn]] = []
    right: list[tuple[int, Turn]] = []
    for number, row in enumerate(report.rows):
        turn = turns[row["dialogue"], row["turn"]]
        if turn.audio:
            good = row["scored"] and all(is_right(answer) for answer in row["answers"] if answer)
            (right if good else wrong).append((number, turn))
    return make_clips({"all": wrong + right, "wrong": wrong, "none": []}[options.audio], options.audio_limit)


def _facts(report: Report, options: Options) -> list[tuple[str, str]]:
    """What the head of the page says about the data, the scoring and the systems."""
    scores = report.systems[0].scores
    facts = [("Scored", f"{scores['dialogues']} dialogues, {scores['user_turns']} user turns with a state label")]
    for name, key in (("Corpus", "source"), ("Licence of the data", "licence")):
        facts.append((name, "; ".join(sorted({getattr(dialogue, key) for dialogue in report.dialogues} - {""})) or "not stated"))
    facts.append(("Scoring profile", scores["profile"]))
    if report.fuzzy:
        oracle = " (an oracle: it knows the test split's values)" if report.fuzzy["oracle"] else ""
        facts.append(("Fuzzy matching", f"mode {report.fuzzy['mode']}, ontology built from {report.fuzzy['ontology']}{oracle}"))
    else:
        facts.append(("Fuzzy matching", "none (no ontology was given)"))
    if any(turn.audio for dialogue in report.dialogues for turn in dialogue.turns):
        facts.append(("Audio", _audio_fact(report.clips, options.audio)))
    else:
        facts.append(("Audio", "none in the data"))
    for system in report.systems:
        if left_out := system.scores["unscored_turns"]:
            facts.append((f"{system.name}: without an answer", f"{left_out} turns, which the profile leaves out"))
        facts += [(f"{system.name}: {key}", text) for key, text in _recorded(system).items()]
    return facts


def _recorded(system: System) -> dict[str, str]:
    """What the prediction file says about all its turns alike, such as checkpoint, history and decoding."""
    found: dict[str, set[str]] = {}
    for answer in system.aligned.answers():
        for key, value in answer.details.items():
            if key not in _TURN_KEYS:
                found.setdefault(key, set()).add(_readable(value))
    if found.get("history") == {"oracle"}:
        found["history"] = {ORACLE_HISTORY}
    return {key.replace("_", " "): texts.pop() for key, texts in found.items() if len(texts) == 1}


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_readable(inner)}" for key, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _audio_fact(clips: Clips, audio: AudioChoice) -> str:
    if audio == "none":
        return "none (--audio none)"
    parts = [f"{len(clips.clips)} clips, {clips.size / 1e6:.1f} MB"]
    if audio == "wrong":
        parts.append("right turns have none (--audio wrong)")
    if clips.over_limit:
        parts.append(f"{clips.over_limit} turns left out, over the size limit (--audio-limit)")
    if clips.missing:
        more = f" and {len(clips.missing) - 1} more" if len(clips.missing) > 1 else ""
        parts.append(f"not to be read: {clips.missing[0]}{more}")
    return "; ".join(parts)
