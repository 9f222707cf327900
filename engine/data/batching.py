"""Training examples and their order: a pure function of seed and step, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from functools import lru_cache

from torch import Tensor

from engine.config import PromptConfig, RecipeError, StageConfig, TaskName
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
    """Which examples a step sees. Rows of similar length come together; every epoch has its own order.

    A stage's tasks and sources share its batch: every pair of the two for which there are examples gets its share of the rows.
    Lengths are asked of one bucket of batches at a time, so that 200,000 turns take no look into 200,000 files before step 1.
    """

    def __init__(self, dialogues: Sequence[Dialogue], stage: StageConfig, prompts: PromptConfig, seed: int) -> None:
        self.seed = seed
        parts = stage_examples(dialogues, stage, prompts)
        for source in stage.sources:
            if not any(source == part_source for _, part_source in parts):
                known = ", ".join(sorted({repr(dialogue.source) for dialogue in dialogues}))
                raise DataError(
                    f"stage {stage.name!r}: sources pattern {source!r} selects no turn that the stage's tasks could use; "
                    f"the manifests' sources are {known}, and the first pattern that matches counts"
                )
        for task in stage.tasks:
            if not any(task == part_task for part_task, _ in parts):
                raise DataError(
                    f"stage {stage.name!r}: no user turn has audio and {TASKS[task].needs}; task {task!r} cannot be trained"
                )
        self.parts = [(examples, count) for examples, count in zip(parts.values(), _rows(stage, list(parts)), strict=True)]
        self._bucket = lru_cache(maxsize=2 * len(self.parts))(self._make_bucket)
        self._order = lru_cache(maxsize=2 * len(self.parts))(self._make_order)

    def examples(self) -> list[Example]:
        """Every example the stage may draw."""
        return [example for examples, _ in self.parts for example in examples]

    def batch(self, step: int) -> list[Example]:
        """The examples of step 0, 1, ..."""
        drawn: list[Example] = []
        for part, (examples, count) in enumerate(self.parts):
            epoch, index = divmod(step, math.ceil(len(examples) / count))
            bucket, place = divmod(index, BUCKET_BATCHES)
            drawn += self._bucket(part, epoch, bucket)[place]
        return drawn

    def _make_order(self, part: int, epoch: int) -> list[int]:
        examples, count = self.parts[part]
        size = len(examples)
        order = random.Random(f"{self.seed} {part} {epoch}").sample(range(size), size)
        if len(self.parts) > 1:  # in a mix, an epoch's last batch is filled from its beginning, or the shares would be off
            order += [order[place % size] for place in range(-size % count)]
        return order

    def _make_bucket(self, part: int, epoch: int, bucket: int) -> list[list[Example]]:
        examples, count = self.parts[part]
        size = count * BUCKET_BATCHES
        drawn = [examples[place] for place in self._order(part, epoch)[bucket * size : (bucket + 1) * size]]
        shuffled = random.Random(f"{self.seed} {part} {epoch} {bucket}")
        drawn.sort(key=lambda example: row_length(example) * shuffled.uniform(0.9, 1.1))  # few rows must not meet every epoch
        batches = [drawn[i : i + count] for i in range(0, len(drawn), count)]
        shuffled.shuffle(batches)
        return batches


def stage_examples(
    dialogues: Sequence[Dialogue], stage: StageConfig, prompts: PromptConfig
) -> dict[tuple[TaskName, str], list[Example]]:
    """What a stage may draw, by task and by the sources pattern that a dialogue matches first; only what there is.

    A stage that names no sources takes all, under ``""``.
    """
    patterns = list(stage.sources) or [""]
    selected: dict[str, list[Dialogue]] = {pattern: [] for pattern in patterns}
    for dialogue in dialogues:
        pattern = next((pattern for pattern in patterns if re.search(pattern, dialogue.source)), None)
        if pattern is not None:
            selected[pattern].append(dialogue)
    return {
        (task, pattern): examples
        for pattern in patterns
        for task in stage.tasks
        if (examples := build_examples(selected[pattern], task, prompts))
    }


def _rows(stage: StageConfig, parts: list[tuple[TaskName, str]]) -> list[int]:
    """How many rows of a batch each (task, source) gets: its share, rounded so that they fill the batch.

    Raises:
        RecipeError: a share that comes to less than half a row, or fewer rows than parts.
    """
    if len(parts) > stage.batch:
        raise RecipeError(
            f"stage {stage.name!r}: a batch of {stage.batch} has no room for a row of each of the {len(parts)} tasks and "
            "sources; raise the batch"
        )
    weights = [stage.tasks[task] * stage.sources.get(source, 1.0) for task, source in parts]
    exact = [stage.batch * weight / sum(weights) for weight in weights]
    for (task, source), rows in zip(parts, exact, strict=True):
        if rows < 0.5:
            name = f"task {task!r}" + (f" of source {source!r}" if source else "")
            raise RecipeError(
                f"stage {stage.name!r}: {name} has a share of {rows:.2f} rows in a batch of {stage.batch}; "
                "raise the batch or the share"
            )
    counts = [max(1, math.floor(rows)) for rows in exact]
    while sum(counts) != stage.batch:
        step = 1 if sum(counts) < stage.batch else -1
        able = [i for i, count in enumerate(counts) if count + step >= 1]
        counts[max(able, key=lambda i: step * (exact[i] - counts[i]))] += step
    return counts


def row_length(example: Example) -> float:
    """Proxy for a row's positions: speech at about ten positions a second, text at about four characters a token."""
    text = sum(len(turn.text) for turn in example.history) + len(example.turn.transcript or "")
    text += len(example.instruction.instruction) if example.instruction else 0
    return turn_seconds(example.turn) * 10 + text / 4
