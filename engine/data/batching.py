"""Training examples and their order: a pure function of seed and step, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from engine.config import PromptConfig, StageConfig
from engine.data.frames import turn_seconds
from engine.dialogue import Dialogue, Turn
from engine.model import Row, SpeechLLM
from engine.prompts import HistoryTurn, asr_prompt, asr_target, dst_prompt, dst_target

BUCKET_BATCHES = 40  # batches whose rows are sorted by length together


class DataError(ValueError):
    """Manifests that cannot be trained on; the message says what is missing."""


@dataclass(frozen=True)
class Example:
    """One user turn for one task, with the turns before it."""

    task: str
    turn: Turn
    history: tuple[HistoryTurn, ...] = ()


def build_examples(dialogues: Sequence[Dialogue], task: str) -> list[Example]:
    """User turns with audio and the labels the task needs: ``asr`` a transcript, ``dst`` also a state.

    The history of a training example holds the reference transcripts.
    """
    examples = []
    for dialogue in dialogues:
        history: list[HistoryTurn] = []
        for turn in dialogue.turns:
            usable = turn.speaker == "user" and turn.audio and turn.transcript
            if usable and (task == "asr" or turn.state is not None):
                examples.append(Example(task, turn, tuple(history) if task == "dst" else ()))
            if turn.transcript:
                history.append(HistoryTurn(turn.speaker, turn.transcript))
    return examples


def build_row(model: SpeechLLM, prompts: PromptConfig, example: Example, frames: Tensor) -> Row:
    """The example's training row around its frames."""
    turn = example.turn
    if example.task == "asr":
        return model.row(asr_prompt(prompts), frames, asr_target(turn.transcript or ""))
    return model.row(dst_prompt(prompts, example.history), frames, dst_target(turn.transcript or "", turn.state or {}))


class Sampler:
    """Which examples a step sees. Rows of similar length come together; every epoch has its own order."""

    def __init__(self, dialogues: Sequence[Dialogue], stage: StageConfig, seed: int) -> None:
        self.seed = seed
        total = sum(stage.tasks.values())
        self.parts: list[tuple[list[Example], int]] = []
        for task, share in stage.tasks.items():
            examples = build_examples(dialogues, task)
            if not examples:
                need = "a transcript" if task == "asr" else "a transcript and a state"
                raise DataError(
                    f"stage {stage.name!r}: no user turn has audio, {need}; task {task!r} cannot be trained"
                )
            self.parts.append((examples, max(1, round(stage.batch * share / total))))
        self._epoch = lru_cache(maxsize=4)(self._make_epoch)

    def examples(self) -> list[Example]:
        """Every example the stage may draw."""
        return [example for examples, _ in self.parts for example in examples]

    def batch(self, step: int) -> list[Example]:
        """The examples of step 0, 1, ..."""
        drawn: list[Example] = []
        for part, (examples, count) in enumerate(self.parts):
            epoch, index = divmod(step, math.ceil(len(examples) / count))
            drawn += self._epoch(part, epoch)[index]
        return drawn

    def _make_epoch(self, part: int, epoch: int) -> list[list[Example]]:
        examples, count = self.parts[part]
        shuffled = random.Random(f"{self.seed} {part} {epoch}")
        order = shuffled.sample(examples, len(examples))
        size = count * BUCKET_BATCHES
        batches = []
        for start in range(0, len(order), size):
            bucket = sorted(order[start : start + size], key=_length)
            batches += [bucket[i : i + count] for i in range(0, len(bucket), count)]
        shuffled.shuffle(batches)
        return batches


def _length(example: Example) -> float:
    """Proxy for a row's positions: speech at about ten positions a second, text at about four characters a token."""
    text = sum(len(turn.text) for turn in example.history) + len(example.turn.transcript or "")
    return turn_seconds(example.turn) * 10 + text / 4
