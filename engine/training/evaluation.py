"""Evaluation on the dev dialogues while training, and when to stop because of it (paper 1: patience on the dev loss)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import PromptConfig, StageConfig
from engine.data.batching import DataError, Example, row_length, stage_examples
from engine.dialogue import Dialogue


@dataclass
class Best:
    """The lowest dev loss of a stage; ``loss`` is infinite before the first evaluation."""

    loss: float = math.inf
    step: int = 0
    worse: int = 0  # evaluations since

    def take(self, loss: float, step: int) -> bool:
        """Note an evaluation; True when it is the best so far. A loss that is no number is not."""
        if loss < self.loss:
            self.loss, self.step, self.worse = loss, step, 0
            return True
        self.worse += 1
        return False


def dev_batches(dialogues: Sequence[Dialogue], stage: StageConfig, prompts: PromptConfig) -> list[list[Example]]:
    """Every example that the dev dialogues hold for the stage's tasks and sources, once, rows of similar length together.

    Raises:
        DataError: there is none.
    """
    examples = [example for part in stage_examples(dialogues, stage, prompts).values() for example in part]
    if not examples:
        raise DataError(
            f"stage {stage.name!r} evaluates every {stage.eval_every} steps, but the manifests hold no dialogue of split 'dev' "
            "with turns for its tasks and sources; add some, or set eval_every = 0"
        )
    examples.sort(key=row_length)
    return [examples[start : start + stage.batch] for start in range(0, len(examples), stage.batch)]
