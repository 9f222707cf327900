"""Searching for an answer: greedy with drafts that are checked in one pass, or beams; many answers side by side.

A draft never changes a greedy answer: its tokens are read at once, and only those that the model would have written anyway
are kept (the first that differs is replaced by the model's own). An answer that is finished leaves its lane to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from engine.config import DecodingConfig
from engine.tracking.constraints import Constraint
from engine.tracking.lanes import Candidates, Feed, Lanes

_SHORTEST_DRAFT = 8


class Draft(Protocol):
    """A guess at how an answer goes on."""

    def propose(self, written: Sequence[int], limit: int) -> list[int]:
        """At most ``limit`` tokens that may follow those written so far."""


@dataclass
class Job:
    """One answer to search for: ``(L, D)`` embeddings of the prompt, and how. ``key`` is the caller's."""

    key: Any
    prompt: Tensor
    options: DecodingConfig
    constraint: Constraint | None = None
    draft: Draft | None = None


@dataclass
class Generated:
    """An answer's tokens, without the end-of-sequence token, and each one's natural log-probability.

    The probabilities are the model's own, before any constraint. ``finished`` is False when the answer broke off at its longest.
    """

    tokens: list[int]
    log_probs: list[float]
    finished: bool
    passes: int = 0


class Decoder:
    """Up to ``lanes`` hypotheses at a time; jobs come in with `start` as others are finished by `step`.

    Args:
        block: see `Lanes`.
    """

    def __init__(self, llm: PreTrainedModel, end: int, lanes: int, block: int) -> None:
        self.lanes = Lanes(llm, lanes, block)
        self.end = end
        self._table = llm.get_input_embeddings()
        self._free = list(range(lanes))
        self._searches: list[_Greedy | _Beams] = []

    @property
    def active(self) -> int:
        """Jobs under way."""
        return len(self._searches)

    def has_room(self, beams: int) -> bool:
        return len(self._free) >= beams

    def start(self, job: Job) -> None:
        """Take a job; there must be room for its beams."""
        own = [self._free.pop() for _ in range(job.options.beams)]
        for lane in own:
            self.lanes.lengths[lane] = 0
        self._searches.append(_Beams(job, own, self.end) if len(own) > 1 else _Greedy(job, own, self.end))

    def step(self) -> list[tuple[Any, Generated]]:
        """Let every job read once and decide; the jobs that this finished, by key."""
        room = max(_SHORTEST_DRAFT, self.lanes.block // max(1, len(self._searches)) - 1)
        wishes = [search.wishes(room) for search in self._searches]
        feeds = [self._feed(wish) for found in wishes for wish in found]
        candidates = iter(self.lanes.read(feeds, max(search.top for search in self._searches)))
        finished = []
        for search, found in zip(self._searches, wishes, strict=True):
            search.passes += 1
            search.decide([next(candidates) for _ in found], self.lanes)
            if search.result is not None:
                search.result.passes = search.passes
                finished.append((search.job.key, search.result))
                self._free += search.own
        self._searches = [search for search in self._searches if search.result is None]
        return finished

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Any, Generated]]:
        """All the jobs, as many at a time as there is room for; in the order in which they are finished."""
        waiting = list(reversed(jobs))
        while waiting or self._searches:
            while waiting and self.has_room(waiting[-1].options.beams):
                self.start(waiting.pop())
            yield from self.step()

    def _feed(self, wish: _Wish) -> Feed:
        written = self._table(torch.tensor(wish.tokens, dtype=torch.long, device=self.lanes.device))
        parts = [part.to(written.dtype) for part in (wish.prompt, written) if part is not None]
        return Feed(wish.lane, torch.cat(parts), wish.keep, wish.allowed)


@dataclass
class _Wish:
    """What a search wants a lane to read: the prompt (first time), then tokens."""

    lane: int
    prompt: Tensor | None
    tokens: list[int]
    keep: int
    allowed: list[Tensor | None]


class _Greedy:
    """The likeliest token at each place."""

    top = 1

    def __init__(self, job: Job, own: list[int], end: int) -> None:
        self.job = job
        self.own = own
        self.end = end
        self.passes = 0
        self.result: Generated | None = None
        self._tokens: list[int] = []
        self._log_probs: list[float] = []
        self._guess: list[int] = []

    def wishes(self, room: int) -> list[_Wish]:
        prompt = None if self._tokens else self.job.prompt
        left = self.job.options.max_new_tokens - len(self._tokens) - 1
        guess = self.job.draft.propose(self._tokens, min(room, left)) if self.job.draft and left > 0 else []
        self._guess, allowed = _permitted(guess, self.job.constraint)
        return [_Wish(self.own[0], prompt, self._tokens[-1:] + self._guess, len(self._guess) + 1, allowed)]

    def decide(self, candidates: list[Candidates], lanes: Lanes) -> None:
        (found,) = candidates
        for place, (ids, log_probs) in enumerate(zip(found.ids, found.log_probs, strict=True)):
            token = ids[0]
            if token == self.end:
                self.result = Generated(self._tokens, self._log_probs, True)
                return
            self._tokens.append(token)
            self._log_probs.append(log_probs[0])
            if self.job.constraint:
                self.job.constraint.push(token)
            if place == len(self._guess) or self._guess[place] != token:
                lanes.lengths[self.own[0]] -= len(self._guess) - place  # what was guessed wrongly is forgotten
                break
        if len(self._tokens) >= self.job.options.max_new_tokens:
            self.result = Generated(self._tokens, self._log_probs, False)


def _permitted(guess: list[int], constraint: Constraint | None) -> tuple[list[int], list[Tensor | None]]:
    """The guess up to its first token that is not allowed, and what is allowed before, within and after it."""
    if constraint is None:
        return guess, [None] * (len(guess) + 1)
    ahead = constraint.fork()
    allowed = [ahead.allowed()]
    for place, token in enumerate(guess):
        if allowed[-1] is not None and not (token < len(allowed[-1]) and bool(allowed[-1][token])):
            return guess[:place], allowed
        ahead.push(token)
        allowed.append(ahead.allowed())
    return guess, allowed


@dataclass
class _Hypothesis:
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    score: float = 0.0
    constraint: Constraint | None = None


class _Beams:
    """Beam search as transformers does it (``early_stopping=False``): finished answers are compared by
    log-probability / length ** length penalty, the end-of-sequence token counted, and the search ends when the best running
    hypothesis, so compared at its present length, cannot enter them."""

    def __init__(self, job: Job, own: list[int], end: int) -> None:
        self.job = job
        self.own = own
        self.end = end
        self.top = 2 * len(own)
        self.passes = 0
        self.result: Generated | None = None
        self._running = [_Hypothesis(constraint=job.constraint.fork() if job.constraint else None)]
        self._finished: list[tuple[float, Generated]] = []

    def wishes(self, room: int) -> list[_Wish]:
        prompt = None if self._running[0].tokens else self.job.prompt
        allowed = [None if one.constraint is None else one.constraint.allowed() for one in self._running]
        return [
            _Wish(lane, prompt, one.tokens[-1:], 1, [mask])
            for lane, one, mask in zip(self.own, self._running, allowed, strict=False)
        ]

    def decide(self, candidates: list[Candidates], lanes: Lanes) -> None:
        beams, length = len(self.own), len(self._running[0].tokens) + 1
        choices = [
            (one.score + log_prob, parent, token, log_prob)
            for parent, (one, found) in enumerate(zip(self._running, candidates, strict=True))
            for token, log_prob in zip(found.ids[0], found.log_probs[0], strict=True)
            if log_prob > -float("inf")
        ]
        choices = sorted(choices, key=lambda choice: -choice[0])[: 2 * beams]
        longest = length >= self.job.options.max_new_tokens
        kept: list[tuple[int, _Hypothesis]] = []
        for rank, (score, parent, token, log_prob) in enumerate(choices):
            one = self._running[parent]
            if token == self.end:
                if rank < beams:
                    self._add(score, length, Generated(one.tokens, one.log_probs, True))
            elif len(kept) < beams:
                constraint = one.constraint.fork() if one.constraint else None
                if constraint:
                    constraint.push(token)
                kept.append((parent, _Hypothesis([*one.tokens, token], [*one.log_probs, log_prob], score, constraint)))
                if longest and rank < beams:
                    self._add(score, length, Generated(kept[-1][1].tokens, kept[-1][1].log_probs, False))
        if longest or not kept or not self._can_improve(kept[0][1].score, length):
            self.result = max(self._finished, key=lambda item: item[0])[1]
            return
        moves = [(self.own[parent], lane) for (parent, _), lane in zip(kept, self.own, strict=False)]
        moves = [(source, target) for source, target in moves if source != target]
        if moves:
            lanes.copy(*zip(*moves, strict=True))
        self._running = [one for _, one in kept]

    def _add(self, score: float, length: int, answer: Generated) -> None:
        self._finished.append((score / length**self.job.options.length_penalty, answer))
        self._finished = sorted(self._finished, key=lambda item: -item[0])[: len(self.own)]

    def _can_improve(self, score: float, length: int) -> bool:
        if len(self._finished) < len(self.own):
            return True
        return score / length**self.job.options.length_penalty > self._finished[-1][0]
