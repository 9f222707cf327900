"""Per-slot confidence from token probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from engine.dialogue import State, accepted


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
    ends = [len(tokenizer.decode(tokens[: count + 1])) for count in range(len(tokens))]
    text = tokenizer.decode(tokens)
    cursor = max(0, text.find('"slots"'))
    confidence: dict[str, dict[str, float]] = {}
    for domain, slots in state.items():
        cursor = _after(text, json.dumps(domain, ensure_ascii=False) + ":", cursor)
        for slot, value in slots.items():
            start = _after(text, json.dumps(slot, ensure_ascii=False) + ":", cursor)
            cursor = _after(text, json.dumps(accepted(value)[0], ensure_ascii=False), start)
            confidence.setdefault(domain, {})[slot] = _span_probability(ends, log_probs, start, cursor)
    return confidence


def _after(text: str, part: str, cursor: int) -> int:
    found = text.find(part, cursor)
    return cursor if found < 0 else found + len(part)


def _span_probability(ends: Sequence[int], log_probs: Sequence[float], start: int, end: int) -> float:
    """Tokens that overlap the characters ``[start, end)``."""
    starts = [0, *ends[:-1]]
    inside = [p for p, a, b in zip(log_probs, starts, ends, strict=True) if a < end and b > start]
    return math.exp(sum(inside)) if inside else 0.0
