"""Prompt layouts and the JSON target, in one place for training and inference.

Layout ``paper`` (paper 1, WOZ collator): ``[prefix]<speech>[ {"dialogue_history": "...", "current_turn":][target]``.
Layout ``history_first``: ``[prefix][{"dialogue_history": "..."}]<speech>[ "current_turn":][target]``.
The target of a turn is one JSON object: ``{"transcript": "...", "domains": [...], "slots": {domain: {slot: value}}}``; it is
written and read with ``json``. Transcripts of history and target are put in spoken form here (`engine.data.spoken_form`), so that
typed text ("Table for 2, at 7:30!") looks the same in training and inference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import PromptConfig
from engine.data.spoken_form import to_spoken
from engine.dialogue import State, canonical, check_state


@dataclass(frozen=True)
class HistoryTurn:
    """An earlier turn as the model reads it."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """Text before and after the speech; the target follows ``suffix`` directly."""

    prefix: str
    suffix: str


@dataclass(frozen=True)
class ParsedOutput:
    """What the model's text says; ``state`` is None when the text is not a valid target."""

    transcript: str
    state: State | None


def asr_prompt(config: PromptConfig) -> Prompt:
    """Stage 1: the LLM sees the speech alone (paper 1, "NC")."""
    return Prompt(config.asr_prefix, config.asr_suffix)


def asr_target(transcript: str) -> str:
    """The transcript, with the leading space that its words carry as tokens."""
    return " " + to_spoken(transcript)


def dst_prompt(config: PromptConfig, history: Sequence[HistoryTurn]) -> Prompt:
    """Stage 2: speech and the dialogue's history."""
    kept = [turn for turn in history if turn.text and (turn.speaker == "user" or config.history == "user+agent")]
    text = json.dumps(" ".join(f"{turn.speaker.upper()}: {to_spoken(turn.text)}" for turn in kept), ensure_ascii=False)
    if config.layout == "paper":
        return Prompt(config.dst_prefix, f' {{"dialogue_history": {text}, "current_turn":')
    return Prompt(f'{config.dst_prefix}{{"dialogue_history": {text}, "speech": ', ' , "current_turn":')


def dst_target(transcript: str, state: State) -> str:
    """The JSON of one turn; of several accepted forms the canonical one is taught."""
    target = {"transcript": to_spoken(transcript), "domains": list(state), "slots": canonical(state)}
    return " " + json.dumps(target, ensure_ascii=False)


def parse_output(text: str) -> ParsedOutput:
    """Read a model's text. Broken JSON, or JSON of another shape, gives ``state=None`` and what transcript can be had."""
    try:
        data = json.loads(text)
        return ParsedOutput(_text(data["transcript"]), check_state(data["slots"]))
    except (ValueError, KeyError, TypeError):
        return ParsedOutput(_leading_transcript(text), None)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("the transcript is not text")
    return value


def _leading_transcript(text: str) -> str:
    """The transcript of an output that broke off later; it comes first, so it usually survives."""
    head = '{"transcript": '
    start = text.find(head)
    if start < 0:
        return ""
    try:
        value, _ = json.JSONDecoder().raw_decode(text[start + len(head) :])
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""
