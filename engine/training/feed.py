"""What a step computes on: this process's rows with their sound, in micro-batches, read one step ahead in a thread."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine import audio
from engine.config import AugmentConfig, PromptConfig, StageConfig
from engine.data.augment import Noises, augment_waveform, spec_augment
from engine.data.batching import Example, build_row
from engine.data.frames import FrameCache, encode, load_turn, turn_seconds
from engine.model import Row, SpeechLLM
from engine.training.processes import Processes

READERS = 4  # threads that decode audio


@dataclass
class Item:
    """One row on its way: ``sound`` is the encoder's frames, or the waveform that is still to be encoded."""

    example: Example
    row: Row
    seed: int
    sound: Tensor | np.ndarray


@dataclass
class MicroBatch:
    """Rows that are computed together. ``seed`` decides their dropout."""

    items: list[Item]
    seed: int


@dataclass
class Step:
    """A step's share for one process; ``tokens`` counts the targets of all processes together."""

    micro: list[MicroBatch] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0  # of speech in this process's rows
    turns: int = 0  # rows of all processes together
    spare: list[MicroBatch] = field(default_factory=list)  # one to compute on where there is no row for this process


class Feed:
    """Gives this process its rows of step 0, 1, ...

    Every process orders the whole batch by estimated length and takes each ``world``-th row: all get the same mix of lengths, and
    together they see exactly the batch that a single process would see. Seeds are made of recipe seed, stage, step and row.

    Args:
        batch: the examples of a step, the same in every process.
        live: the encoder trains, so nothing may come from the frame cache.
        augment: None while evaluating.
    """

    def __init__(
        self,
        model: SpeechLLM,
        prompts: PromptConfig,
        stage: StageConfig,
        batch: Callable[[int], list[Example]],
        cache: FrameCache,
        *,
        augment: AugmentConfig | None,
        live: bool,
        seed: int,
        processes: Processes,
    ) -> None:
        self.model, self.prompts, self.stage, self.batch, self.cache = model, prompts, stage, batch, cache
        self.augment, self.live, self.seed = augment or AugmentConfig(), live, seed
        self.processes = processes
        self.noises = Noises(self.augment.noise) if self.augment.noise else None
        self.ahead: dict[int, Future[Step]] = {}
        self.planner = ThreadPoolExecutor(1)
        self.readers = ThreadPoolExecutor(READERS)

    def step(self, number: int, last: int) -> Step:
        """The rows of a step; those of the next, up to step ``last``, are read meanwhile.

        Raises:
            AudioError: a recording is missing or cannot be used.
        """
        now = self.ahead.pop(number, None) or self.planner.submit(self._read, number)
        self.ahead = {number + 1: self.planner.submit(self._read, number + 1)} if number < last else {}
        step = now.result()
        for micro in [*step.micro, *step.spare]:
            self._encode(micro)
        return step

    def close(self) -> None:
        for pool in (self.planner, self.readers):
            pool.shutdown(cancel_futures=True)

    def _read(self, number: int) -> Step:
        examples = self.batch(number)
        rows = [build_row(self.model, self.prompts, example, torch.empty(self._frames(example), 0)) for example in examples]
        sizes = [self._positions(row) for row in rows]
        order = sorted(range(len(rows)), key=sizes.__getitem__)
        own = order[self.processes.rank :: self.processes.world]
        mine = own or order[:1]
        seeds = {place: self._seed(number, "row", place) for place in mine}
        sounds = dict(zip(mine, self.readers.map(lambda place: self._sound(examples[place], seeds[place]), mine), strict=True))
        groups: list[list[int]] = [[]]
        for place in mine:
            if groups[-1] and sizes[place] * (len(groups[-1]) + 1) > self.stage.max_positions:
                groups.append([])
            groups[-1].append(place)
        micro = [
            MicroBatch(
                [Item(examples[place], rows[place], seeds[place], sounds[place]) for place in group],
                self._seed(number, "dropout", self.processes.rank, index),
            )
            for index, group in enumerate(groups)
        ]
        tokens = sum(len(row.target) for row in rows)
        if not own:
            return Step(tokens=tokens, spare=micro, turns=len(rows))
        return Step(micro, tokens, sum(turn_seconds(examples[place].turn) for place in own), turns=len(rows))

    def _frames(self, example: Example) -> int:
        """Encoder frames of a row, from its length alone; a perturbed speed changes them a little."""
        return self.model.encoder.lengths(round(turn_seconds(example.turn) * audio.SAMPLE_RATE))

    def _positions(self, row: Row) -> int:
        text = len(row.prefix) + len(row.suffix) + len(row.target) if self.stage.ce_weight else 0
        return self.model.connector.lengths(len(row.frames)) + text

    def _sound(self, example: Example, seed: int) -> Tensor | np.ndarray:
        if not (self.live or self.augment.changes_waveforms):
            frames = self.cache.read(example.turn)
            if frames is not None:
                return frames
        waveform = load_turn(example.turn)
        if self.augment.changes_waveforms:
            waveform = augment_waveform(waveform, self.augment, self.noises, random.Random(seed))
        return waveform

    def _encode(self, micro: MicroBatch) -> None:
        """Give the rows their frames; those of a live encoder have the right number and no width until it has run."""
        waiting = [item for item in micro.items if isinstance(item.sound, np.ndarray)]
        if self.live:
            for item in waiting:
                item.row.frames = torch.empty(self.model.encoder.lengths(len(item.sound)), 0)
            return
        waveforms = [item.sound for item in waiting if isinstance(item.sound, np.ndarray)]
        if self.augment.changes_waveforms:
            frames = encode(self.model, waveforms)
        else:
            frames = self.cache.add([item.example.turn for item in waiting], waveforms)
        for item, encoded in zip(waiting, frames, strict=True):
            item.sound = encoded
        for item in micro.items:
            assert isinstance(item.sound, Tensor)
            item.row.frames = item.sound

    def examples(self, micro: MicroBatch) -> list[Example]:
        return [item.example for item in micro.items]

    def waveforms(self, micro: MicroBatch) -> list[np.ndarray] | None:
        """What an encoder that trains is to encode; None where the rows have their frames."""
        return [item.sound for item in micro.items if isinstance(item.sound, np.ndarray)] if self.live else None

    def masks(self, micro: MicroBatch, width: int) -> Tensor | None:
        """SpecAugment's masks for a micro-batch, ``(B, T, width)`` of 1 and 0; None where nothing is masked."""
        if not (self.augment.time_masks or self.augment.feature_masks):
            return None
        rows = [spec_augment(len(item.row.frames), width, self.augment, item.seed) for item in micro.items]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _seed(self, *parts: object) -> int:
        text = " ".join(map(str, (self.seed, self.stage.name, *parts)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
