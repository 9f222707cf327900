"""Evaluation on the dev dialogues while training, and when to stop because of it (paper 1: patience on the dev loss).

Held-out dialogues may be watched too: the model answers an excerpt of them now and then, and nothing follows from that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.checkpoints import CheckpointInfo
from engine.config import PromptConfig, StageConfig
from engine.data.batching import DataError, Example, row_length, stage_examples
from engine.dialogue import Dialogue, State
from engine.model import SpeechLLM
from engine.scoring import TurnResult, report, wer
from engine.tasks import TASKS, Answer
from engine.tracking import Tracker, track_dialogues
from engine.tracking.examples import answer_examples
from engine.training.processes import Processes

WATCHED_DIALOGUES, WATCHED_TURNS = 3, 2  # how many are watched, and spoken user turns of each: about as long as a step
WATCHES, WATCH_STEPS = 20, 15  # how often in a run, but at least so many steps apart


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


@dataclass(frozen=True)
class Sample:
    """What was said in a turn and the state after it, where a reference has them, and what the model makes of it.

    ``answer`` is ``None`` while a stage teaches words alone.
    """

    dialogue_id: str
    turn_id: int
    said: str | None
    reference: State | None
    heard: str
    answer: State | None


def decode(
    model: SpeechLLM, info: CheckpointInfo, stage: StageConfig, dialogues: Sequence[Dialogue], processes: Processes
) -> tuple[dict[str, float | None], list[Sample]]:
    """WER and, of a stage with task ``dst``, JGA (percent) of the model as it stands, and its answers in the order of the turns.

    The processes share the dialogues.
    """
    mine = dialogues[processes.rank :: processes.world]
    attention = model.llm.config._attn_implementation  # decoding has its own
    try:
        tracker = Tracker(model, info, device=str(processes.device), merge=False)
        if "dst" in stage.tasks:
            parts = processes.together(lambda: list(track_dialogues(tracker, mine)))
            tracked = {(turn.dialogue_id, turn.turn_id): turn for part in parts for turn in part}
            results = [TurnResult(t.dialogue_id, t.turn_id, t.transcript, t.state) for t in tracked.values()]
            scores = report(dialogues, results, info.ontology)
            samples = [
                Sample(dialogue.dialogue_id, turn.turn_id, turn.transcript, turn.state, found.transcript, found.state)
                for dialogue in dialogues
                for turn in dialogue.user_turns()
                if (found := tracked.get((dialogue.dialogue_id, turn.turn_id))) is not None
            ]
            return {"wer": scores["wer"], "jga": scores["jga"]}, samples

        def heard_in_mine() -> list[Answer]:
            examples = [example for dialogue in mine for example in TASKS["asr"].examples(dialogue, info.prompt)]
            return answer_examples(tracker, examples)

        answers = [answer for part in processes.together(heard_in_mine) for answer in part]
        heard = [
            Sample(a.example.dialogue_id, a.example.turn.turn_id, a.example.turn.transcript, None, a.text, None) for a in answers
        ]
        order = {dialogue.dialogue_id: place for place, dialogue in enumerate(dialogues)}
        heard.sort(key=lambda sample: (order[sample.dialogue_id], sample.turn_id))
        return {"wer": wer([sample.said or "" for sample in heard], [sample.heard for sample in heard]).wer}, heard
    finally:
        model.llm.set_attn_implementation(attention)


def excerpt(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """What is watched: a few dialogues from all over the list, each cut after a few spoken user turns."""
    cut = []
    for dialogue in spread_evenly(dialogues, WATCHED_DIALOGUES):
        spoken = [place for place, turn in enumerate(dialogue.turns) if turn.speaker == "user" and turn.audio]
        cut.append(replace(dialogue, turns=dialogue.turns[: spoken[:WATCHED_TURNS][-1] + 1]))
    return cut


def spread_evenly(dialogues: Sequence[Dialogue], count: int) -> list[Dialogue]:
    """``count`` of the dialogues that have spoken user turns, from all over the list."""
    spoken = [dialogue for dialogue in dialogues if any(turn.audio for turn in dialogue.user_turns())]
    return [spoken[i * len(spoken) // count] for i in range(count)] if count < len(spoken) else spoken
