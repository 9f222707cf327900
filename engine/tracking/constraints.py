"""What an answer may not become, told token by token while it is searched for."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

# No one speaks faster: the most talkative turn of the WOZ 2.0 validation split has 3.4 tokens a second beyond the first six.
_TOKENS_A_SECOND = 8.0
_TOKENS_AT_LEAST = 6
_LONGEST_REPEATED = 12  # tokens of a phrase that can be noticed to repeat
_REPEATS = 4  # a phrase said so many times in a row, and
_REPEATED_TOKENS = 12  # at least so many tokens long in all, is the model going round in circles
_NAMED = re.compile(r'("(?:[^"\\]|\\.)*"):$')  # a slot whose value has not begun
_DOMAIN = re.compile(r'("(?:[^"\\]|\\.)*"): \{')


class Constraint(Protocol):
    """Follows one answer; a search forks it where hypotheses part."""

    def allowed(self) -> Tensor | None:
        """Which tokens may come next: booleans by token id, those beyond the end are not allowed; None allows all."""

    def push(self, token: int) -> None:
        """A token was written."""

    def fork(self) -> Constraint:
        """An independent copy."""


class Together:
    """Several constraints at once."""

    def __init__(self, parts: Sequence[Constraint]) -> None:
        self._parts = list(parts)

    def allowed(self) -> Tensor | None:
        masks = [mask for part in self._parts if (mask := part.allowed()) is not None]
        if not masks:
            return None
        size = min(map(len, masks))
        return torch.stack([mask[:size] for mask in masks]).all(0)

    def push(self, token: int) -> None:
        for part in self._parts:
            part.push(token)

    def fork(self) -> Together:
        return Together([part.fork() for part in self._parts])


class NoRepeatedNgram:
    """No run of ``size`` tokens occurs twice in the answer (paper 3's ASR; prompts do not count)."""

    def __init__(self, size: int, vocabulary: int) -> None:
        self._size = size
        self._vocabulary = vocabulary
        self._tokens: list[int] = []

    def allowed(self) -> Tensor | None:
        size, tokens = self._size, self._tokens
        if len(tokens) < size:
            return None
        tail = tokens[len(tokens) - size + 1 :]
        banned = [tokens[i + size - 1] for i in range(len(tokens) - size + 1) if tokens[i : i + size - 1] == tail]
        if not banned:
            return None
        mask = torch.ones(self._vocabulary, dtype=torch.bool)
        mask[banned] = False
        return mask

    def push(self, token: int) -> None:
        self._tokens.append(token)

    def fork(self) -> NoRepeatedNgram:
        fork = NoRepeatedNgram(self._size, self._vocabulary)
        fork._tokens = list(self._tokens)
        return fork


class TranscriptEnd:
    """Ends a transcript that runs on: longer than speech of that duration can be, or going round in circles.

    The transcript is then closed as the model itself would close it, and the answer goes on behind it; without this, one
    run-on transcript takes the whole answer with it, state and all.

    Args:
        seconds: duration of the speech.
        opening: tokens before the transcript's first.
        closing: tokens that close it; in JSON these begin with the quotation mark.
        marks: tokens any of which closes it when the model writes it.
    """

    def __init__(self, seconds: float, opening: Sequence[int], closing: Sequence[int], marks: frozenset[int]) -> None:
        self._room = _TOKENS_AT_LEAST + int(_TOKENS_A_SECOND * seconds)
        self._opening = len(opening)
        self._closing = list(closing)
        self._marks = marks
        self._tokens: list[int] = []
        self._closed = -1  # closing tokens written by force; -1 before
        self._over = False

    def allowed(self) -> Tensor | None:
        if self._over or self._closed < 0:
            return None
        return _only([self._closing[self._closed]])

    def push(self, token: int) -> None:
        if self._over:
            return
        self._tokens.append(token)
        if self._closed >= 0:
            self._closed += 1
            self._over = self._closed == len(self._closing)
        elif len(self._tokens) > self._opening:
            said = self._tokens[self._opening :]
            if token in self._marks:
                self._over = True
            elif len(said) >= self._room or _circles(said):
                self._closed = 0

    def fork(self) -> TranscriptEnd:
        fork = TranscriptEnd(0.0, (), self._closing, self._marks)
        fork._room, fork._opening = self._room, self._opening
        fork._tokens, fork._closed, fork._over = list(self._tokens), self._closed, self._over
        return fork


class TranscriptLimits:
    """Makes a `TranscriptEnd` for each recording, with one tokenizer's tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        def ids(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False).input_ids

        self._opening, self._closing = ids(' {"transcript": "'), ids('", "domains":')
        self._marks = frozenset(number for token, number in tokenizer.get_vocab().items() if '"' in token)
        self._end = [tokenizer.eos_token_id]

    def json(self, seconds: float) -> TranscriptEnd:
        """For a transcript in the JSON of a dialogue state."""
        return TranscriptEnd(seconds, self._opening, self._closing, self._marks)

    def text(self, seconds: float) -> TranscriptEnd:
        """For a transcript that is the whole answer."""
        return TranscriptEnd(seconds, (), self._end, frozenset())


class Given:
    """The answer begins with these tokens: somebody knows better than the model what was said."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)

    def allowed(self) -> Tensor | None:
        return _only(self._tokens[:1]) if self._tokens else None

    def push(self, token: int) -> None:
        self._tokens = self._tokens[1:]

    def fork(self) -> Given:
        return Given(self._tokens)


class Pinned:
    """Slots of a dialogue state whose values are settled: wherever the model writes such a slot, it writes that value, and what
    it writes behind it knows the value.

    Args:
        tokenizer: of the model.
        values: the value of each ``(domain, slot)``.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, values: Mapping[tuple[str, str], str]) -> None:
        self._tokenizer = tokenizer
        self._values = dict(values)
        self._quotes = [number for token, number in tokenizer.get_vocab().items() if token.startswith('"')]
        self._tokens: list[int] = []
        self._forced: list[int] = []
        self._closes = False  # the value is written: only its quotation mark may follow

    def allowed(self) -> Tensor | None:
        if self._forced:
            return _only(self._forced[:1])
        return _only(self._quotes) if self._closes else None

    def push(self, token: int) -> None:
        self._tokens.append(token)
        if self._forced:
            self._forced = self._forced[1:]
            self._closes = not self._forced
            return
        self._closes = False
        place = _slot_to_come(self._tokenizer.decode(self._tokens))
        if place in self._values:
            opened = " " + json.dumps(self._values[place], ensure_ascii=False)[:-1]
            self._forced = self._tokenizer(opened, add_special_tokens=False).input_ids

    def fork(self) -> Pinned:
        fork = copy.copy(self)
        fork._tokens, fork._forced = list(self._tokens), list(self._forced)
        return fork


def _slot_to_come(text: str) -> tuple[str, str] | None:
    """The domain and slot whose value comes next in a dialogue state's JSON, if the text ends where one does."""
    _, slots, state = text.partition('"slots": {')
    named = _NAMED.search(state) if slots else None
    opened = _DOMAIN.findall(state[: named.start()]) if named else []
    return (json.loads(opened[-1]), json.loads(named[1])) if named and opened else None


def _only(tokens: Sequence[int]) -> Tensor:
    """Allows these tokens and no other."""
    mask = torch.zeros(max(tokens) + 1, dtype=torch.bool)
    mask[list(tokens)] = True
    return mask


def _circles(tokens: Sequence[int]) -> bool:
    """Whether the tokens end in one phrase several times over."""
    for size in range(1, _LONGEST_REPEATED + 1):
        times = max(_REPEATS, -(-_REPEATED_TOKENS // size))
        tail = tokens[-size * times :]
        if len(tail) == size * times and all(tail[i] == tail[i + size] for i in range(len(tail) - size)):
            return True
    return False
