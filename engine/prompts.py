"""Prompt layouts and the JSON target, in one place for training and inference.

Layout ``paper`` (paper 1, WOZ collator): ``[prefix]<speech>[ {"dialogue_history": "...", "current_turn":][target]``.
Layout ``history_first``: ``[prefix][{"dialogue_history": "..."}]<speech>[ "current_turn":][target]``.
An instruction (paper 2): ``[prefix][context][instruction]<speech>[suffix][target]``.
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
from engine.dialogue import State, Value, accepted, canonical, check_state

# Paper 1's instruction; its runs without it are named np.
_DST_SENTENCE = (
    "Given the following user input speech utterance and the user input history, transcribe the utterance and infer the "
    "dialogue state domains and slots in JSON format: "
)


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


def asr_prompt(config: PromptConfig, history: Sequence[HistoryTurn] = ()) -> Prompt:
    """Stage 1. Paper 1 trains it without history ("NC"); wording ``paper`` has a place for one."""
    if config.wording == "bare":
        return _around(config, config.asr_prefix, config.asr_suffix)
    said = json.dumps(_said(history[-config.asr_history :] if config.asr_history else ()), ensure_ascii=False)
    text = "Transcribe the rest of the conversation given the following conversation history"
    return _around(config, f"{text}: {said} ", " Continued transcript:")


def asr_target(transcript: str) -> str:
    """The transcript, with the leading space that its words carry as tokens; nothing for a clip without speech."""
    words = to_spoken(transcript)
    return " " + words if words else ""


def ast_prompt(config: PromptConfig, language: str) -> Prompt:
    """Speech to be translated into ``language``, a language's English name."""
    return _around(config, config.ast_prefix, config.ast_suffix.replace("{language}", language))


def instruction_prompt(config: PromptConfig, instruction: str, context: Sequence[HistoryTurn] = ()) -> Prompt:
    """An instruction with the turns it is to be read in, then the speech."""
    parts = ["Context: " + _said(context)] if context else []
    parts += [instruction] if instruction else []
    return _around(config, config.instruction_prefix + "\n".join([*parts, "Speech:"]), config.instruction_suffix)


def text_target(text: str) -> str:
    """Free text as an answer, on one line."""
    return " " + " ".join(text.split())


def dst_prompt(config: PromptConfig, history: Sequence[HistoryTurn]) -> Prompt:
    """Stage 2: speech and the dialogue's history."""
    kept = [turn for turn in history if turn.text and (turn.speaker == "user" or config.history == "user+agent")]
    text = json.dumps(_said(kept), ensure_ascii=False)
    prefix = _DST_SENTENCE if config.wording == "paper" else config.dst_prefix
    if config.layout == "paper":
        return _around(config, prefix, f' {{"dialogue_history": {text}, "current_turn":')
    return _around(config, f'{prefix}{{"dialogue_history": {text}, "speech": ', ' , "current_turn":')


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


def slots_target(slots: dict[str, Value]) -> str:
    """The JSON of one slot-filling answer: every slot asked for, the canonical form of its value, or the empty text."""
    return " " + json.dumps({slot: accepted(value)[0] for slot, value in slots.items()}, ensure_ascii=False)


def parse_slots(text: str) -> dict[str, str] | None:
    """Read a slot-filling answer; None when it is not one JSON object of texts."""
    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        return None
    return data


def _around(config: PromptConfig, prefix: str, suffix: str) -> Prompt:
    return Prompt(prefix + config.speech_begin, config.speech_end + suffix)


def _said(turns: Sequence[HistoryTurn]) -> str:
    return " ".join(f"{turn.speaker.upper()}: {to_spoken(turn.text)}" for turn in turns)


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
