"""Confidence from token probabilities: of each slot, and of the words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from engine.dialogue import State, accepted

_WORD = re.compile(r"\S+")


def slot_confidence(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], log_probs: Sequence[float], state: State
) -> dict[str, dict[str, float]]:
    """Probability of each slot's value, given all that was generated before it: the product over the value's tokens.

    Args:
        tokens: generated ids, whose text holds ``"slots": {domain: {slot: value}}`` in the state's order.
        log_probs: natural log-probability of each.

    Returns:
        ``{domain: {slot: 0..1}}`` for every slot of ``state``.
    """
    text, ends = _written(tokenizer, tokens)
    cursor = max(0, text.find('"slots"'))
    confidence: dict[str, dict[str, float]] = {}
    for domain, slots in state.items():
        cursor = _after(text, json.dumps(domain, ensure_ascii=False) + ":", cursor)
        for slot, value in slots.items():
            start = _after(text, json.dumps(slot, ensure_ascii=False) + ":", cursor)
            cursor = _after(text, json.dumps(accepted(value)[0], ensure_ascii=False), start)
            confidence.setdefault(domain, {})[slot] = _probability(ends, log_probs, start, cursor)
    return confidence


def transcript_confidence(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], log_probs: Sequence[float], transcript: str
) -> float | None:
    """Probability of a transcript's least sure word, 0..1, given all that was generated before it: the product over the word's
    tokens. ``None`` where there is no word.

    Args:
        tokens: generated ids, whose text begins with ``{"transcript": "..."``.
        log_probs: natural log-probability of each.
        transcript: what that says.
    """
    text, ends = _written(tokenizer, tokens)
    start = text.find(transcript, _after(text, '"transcript":', 0))
    words = _WORD.finditer(transcript) if start >= 0 else ()
    return min((_probability(ends, log_probs, start + word.start(), start + word.end()) for word in words), default=None)


def _written(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> tuple[str, list[int]]:
    """The tokens' text, and where in it each of them ends."""
    ends = [len(tokenizer.decode(tokens[: count + 1])) for count in range(len(tokens))]
    return tokenizer.decode(tokens), ends


def _after(text: str, part: str, cursor: int) -> int:
    found = text.find(part, cursor)
    return cursor if found < 0 else found + len(part)


def _probability(ends: Sequence[int], log_probs: Sequence[float], start: int, end: int) -> float:
    """Of the tokens that overlap the characters ``[start, end)``."""
    starts = [0, *ends[:-1]]
    inside = [p for p, a, b in zip(log_probs, starts, ends, strict=True) if a < end and b > start]
    return math.exp(sum(inside)) if inside else 0.0
