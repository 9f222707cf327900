"""What a model answers while it is trained: to dev dialogues when it is evaluated, and to held-out ones, which are watched: an
excerpt of them is answered now and then for people to see, and nothing follows from that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.checkpoints import CheckpointInfo
from engine.config import StageConfig
from engine.dialogue import Dialogue, State
from engine.model import SpeechLLM
from engine.scoring import TurnResult, report, wer
from engine.tasks import TASKS, Answer
from engine.tracking import Tracker, track_dialogues
from engine.tracking.examples import answer_examples
from engine.tracking.predictions import TrackedTurn
from engine.training.pace import Pace
from engine.training.processes import Processes

WATCHED_DIALOGUES, WATCHED_TURNS = 3, 2  # how many are watched, and spoken user turns of each: about as long as a step
WATCHES, WATCH_STEPS = 20, 15  # how often in a run, but at least so many steps apart


class Stopped(Exception):
    """Somebody wants the run to end."""


class Answers:
    """WER and JGA of the model as it stands, and its answers, which go to ``save`` as `RunFolder.save_samples` has them."""

    def __init__(
        self,
        model: SpeechLLM,
        info: CheckpointInfo,
        processes: Processes,
        pace: Pace,
        save: Callable[[dict[str, Any]], None],
        stopping: Callable[[], bool],
        watched: Sequence[Dialogue],
        steps: int,
    ) -> None:
        """``watched`` are answered some times in all of the ``steps``; once ``stopping``, no more of a turn than was begun."""
        self._model, self._info, self._processes, self._pace, self._save = model, info, processes, pace, save
        self._stopping = stopping
        self._watched = watched
        self._every = max(WATCH_STEPS, steps // WATCHES)

    def watch_due(self, step: int, last: bool) -> bool:
        """Whether the watched dialogues are to be answered after a step, which may be the ``last`` of its stage."""
        return bool(self._watched) and (last or step == 1 or step % self._every == 0)

    def watch(self, stage: StageConfig, step: int) -> dict[str, Any]:
        """Answer what is watched. What goes wrong there ends the watching and not the run."""
        try:
            return self.to("held_out", self._watched, stage, step, self._every)
        except Stopped:
            return {}
        except Exception as error:
            self._watched = []
            if self._processes.device.type == "cuda":
                torch.cuda.empty_cache()
            if self._processes.first:
                reason = str(error).strip().split("\n")[0] or type(error).__name__
                print(f"watching the held-out dialogues ends at step {step}: {reason}", file=sys.stderr, flush=True)
            return {}

    def to(self, what: str, dialogues: Sequence[Dialogue], stage: StageConfig, step: int, every: int) -> dict[str, Any]:
        """Answer dialogues, as is done ``every`` so many steps; the figures come back under names that begin with ``what``.

        Raises:
            Stopped: the run is to end.
        """
        begun = time.monotonic()
        self._model.eval()
        try:
            figures, samples = decode(self._model, self._info, stage, dialogues, self._processes, self._stopping)
        finally:
            self._model.train()
        self._save({"step": step, "stage": stage.name, "of": what, "turns": [vars(sample) for sample in samples]})
        seconds = time.monotonic() - begun
        self._pace.aside(what, seconds, every)
        return {f"{what}_{name}": value for name, value in figures.items()} | {f"{what}_seconds": round(seconds, 2)}


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
    model: SpeechLLM,
    info: CheckpointInfo,
    stage: StageConfig,
    dialogues: Sequence[Dialogue],
    processes: Processes,
    stopping: Callable[[], bool],
) -> tuple[dict[str, float | None], list[Sample]]:
    """WER and, of a stage with task ``dst``, JGA (percent) of the model as it stands, and its answers in the order of the turns.

    The processes share the dialogues.

    Raises:
        Stopped: it is ``stopping``, which is asked after every turn or batch of them.
    """

    def heed() -> None:
        if stopping():
            raise Stopped

    def tracked_in_mine() -> list[TrackedTurn]:
        found = []
        for turn in track_dialogues(tracker, mine):
            found.append(turn)
            heed()
        return found

    mine = dialogues[processes.rank :: processes.world]
    attention = model.llm.config._attn_implementation  # decoding has its own
    try:
        tracker = Tracker(model, info, device=str(processes.device), merge=False)
        if "dst" in stage.tasks:
            parts = processes.together(tracked_in_mine)
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
            return answer_examples(tracker, examples, each=heed)

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
