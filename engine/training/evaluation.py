"""Evaluation on the dev dialogues while training, and when to stop because of it (paper 1: patience on the dev loss)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.checkpoints import CheckpointInfo
from engine.config import PromptConfig, StageConfig
from engine.data.batching import DataError, Example, row_length, stage_examples
from engine.dialogue import Dialogue
from engine.model import SpeechLLM
from engine.scoring import TurnResult, report, wer
from engine.tasks import TASKS
from engine.tracking import Tracker, track_dialogues
from engine.tracking.examples import answer_examples
from engine.training.processes import Processes


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


def decode(
    model: SpeechLLM, info: CheckpointInfo, stage: StageConfig, dialogues: Sequence[Dialogue], processes: Processes
) -> dict[str, float | None]:
    """WER and, of a stage with task ``dst``, JGA (percent) of the model as it stands; the processes share the dialogues."""
    mine = dialogues[processes.rank :: processes.world]
    attention = model.llm.config._attn_implementation  # decoding has its own
    try:
        tracker = Tracker(model, info, device=str(processes.device), merge=False)
        if "dst" in stage.tasks:
            results = [TurnResult(t.dialogue_id, t.turn_id, t.transcript, t.state) for t in track_dialogues(tracker, mine)]
            scores = report(dialogues, [result for part in processes.gather(results) for result in part], info.ontology)
            return {"eval_wer": scores["wer"], "eval_jga": scores["jga"]}
        examples = [example for dialogue in mine for example in TASKS["asr"].examples(dialogue, info.prompt)]
        answers = [answer for part in processes.gather(answer_examples(tracker, examples)) for answer in part]
        return {"eval_wer": wer([a.example.turn.transcript or "" for a in answers], [a.text for a in answers]).wer}
    finally:
        model.llm.set_attn_implementation(attention)


def spread_evenly(dialogues: Sequence[Dialogue], count: int) -> list[Dialogue]:
    """``count`` of the dialogues that have spoken user turns, from all over the list."""
    spoken = [dialogue for dialogue in dialogues if any(turn.audio for turn in dialogue.user_turns())]
    return [spoken[i * len(spoken) // count] for i in range(count)] if count < len(spoken) else spoken
