"""Training examples and their order: a pure function of seed and step, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache

from torch import Tensor

from engine.config import PromptConfig, StageConfig, TaskName
from engine.data.frames import turn_seconds
from engine.dialogue import Dialogue
from engine.model import Row, SpeechLLM
from engine.tasks import TASKS, DataError, Example

BUCKET_BATCHES = 40  # batches whose rows are sorted by length together


def build_examples(dialogues: Sequence[Dialogue], task: TaskName, prompts: PromptConfig) -> list[Example]:
    """Every example the dialogues hold for the task.

    Raises:
        DataError: a turn lacks what the prompt's settings want of it.
    """
    return [example for dialogue in dialogues for example in TASKS[task].examples(dialogue, prompts)]


def build_row(model: SpeechLLM, prompts: PromptConfig, example: Example, frames: Tensor) -> Row:
    """The example's training row around its frames."""
    task = TASKS[example.task]
    return model.row(task.prompt(prompts, example), frames, task.target(example))


class Sampler:
    """Which examples a step sees. Rows of similar length come together; every epoch has its own order."""

    def __init__(self, dialogues: Sequence[Dialogue], stage: StageConfig, prompts: PromptConfig, seed: int) -> None:
        self.seed = seed
        total = sum(stage.tasks.values())
        self.parts: list[tuple[list[Example], int]] = []
        for task, share in stage.tasks.items():
            examples = build_examples(dialogues, task, prompts)
            if not examples:
                raise DataError(
                    f"stage {stage.name!r}: no user turn has audio and {TASKS[task].needs}; task {task!r} cannot be trained"
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
    text += len(example.instruction.instruction) if example.instruction else 0
    return turn_seconds(example.turn) * 10 + text / 4
