"""What a model answers while it is trained: to dev dialogues when it is evaluated, and to held-out ones, which are watched: an
excerpt of them, as large as takes little of the run's time, is answered now and then for people to see, and nothing follows from
that.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
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

FIRST_TURNS, ROUND = 6, 2  # so many spoken user turns are watched at least and first; of a dialogue, so many are taken together
SHARE = 0.1  # of the time between two watches; what the first turns took says how many turns that is
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
        self._watched = [dialogue for dialogue in watched if _spoken(dialogue)]
        self._all = sum(len(_spoken(dialogue)) for dialogue in watched)
        self._first = {
            (dialogue.dialogue_id, turn.turn_id) for dialogue in excerpt(watched, FIRST_TURNS) for turn in dialogue.user_turns()
        }
        self._each: dict[bool, float] = {}  # seconds a turn took, without states and with them
        self._turns: dict[bool, int] = {}  # how many are watched once that is known
        self._every = max(WATCH_STEPS, steps // WATCHES)

    def watch_due(self, step: int, last: bool) -> bool:
        """Whether the watched dialogues are to be answered after a step, which may be the ``last`` of its stage."""
        return bool(self._watched) and (last or step == 1 or step % self._every == 0)

    def watch(self, stage: StageConfig, step: int) -> dict[str, Any]:
        """Answer what is watched. What goes wrong there ends the watching and not the run."""
        states = "dst" in stage.tasks
        dialogues = excerpt(self._watched, self._affordable(states))
        try:
            figures = self.to("held_out", dialogues, stage, step, self._every, self._first)
            self._each[states] = figures["held_out_seconds"] / sum(len(_spoken(dialogue)) for dialogue in dialogues)
            return figures
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

    def _affordable(self, states: bool) -> int:
        """How many turns are watched. It stays the same, unless they turn out to take twice their share."""
        each = self._each.get(states)
        if each is None:
            return FIRST_TURNS
        fitting = int(SHARE * self._every * self._pace.step_seconds / max(each, 1e-9))
        fitting = self._processes.gather(max(FIRST_TURNS, min(fitting, self._all)))[0]  # their clocks differ
        if states not in self._turns or self._turns[states] > 2 * fitting:
            self._turns[states] = fitting
        return self._turns[states]

    def to(
        self,
        what: str,
        dialogues: Sequence[Dialogue],
        stage: StageConfig,
        step: int,
        every: int,
        shown: Collection[tuple[str, int]] | None = None,
    ) -> dict[str, Any]:
        """Answer dialogues, as is done ``every`` so many steps; the figures come back under names that begin with ``what``.

        Only the turns ``shown`` are saved; ``None`` means all.

        Raises:
            Stopped: the run is to end.
        """
        begun = time.monotonic()
        self._model.eval()
        try:
            figures, samples = decode(self._model, self._info, stage, dialogues, self._processes, self._stopping)
        finally:
            self._model.train()
        kept = [vars(sample) for sample in samples if shown is None or (sample.dialogue_id, sample.turn_id) in shown]
        self._save({"step": step, "stage": stage.name, "of": what, "turns": kept})
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
    """WER and, of a stage with task ``dst``, JGA (percent) of the model as it stands, each with the number of turns it is of, and
    the model's answers in the order of the turns.

    The processes share the dialogues.

    Raises:
        Stopped: it is ``stopping``, which is asked after every turn or batch of them.
    """

    def heed() -> None:
        if stopping():
            raise Stopped

    def tracker() -> Tracker:  # made where the processes work together: what goes wrong with it in one ends it in all
        return Tracker(model, info, device=str(processes.device), merge=False)

    def tracked_in_mine() -> list[TrackedTurn]:
        found = []
        for turn in track_dialogues(tracker(), mine):
            found.append(turn)
            heed()
        return found

    mine = dialogues[processes.rank :: processes.world]
    attention = model.llm.config._attn_implementation  # decoding has its own
    try:
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
            counted = {"wer_turns": scores["words"]["utterances"], "jga_turns": scores["counts"]["turns"]}
            return {"wer": scores["wer"], "jga": scores["jga"]} | counted, samples

        def heard_in_mine() -> list[Answer]:
            examples = [example for dialogue in mine for example in TASKS["asr"].examples(dialogue, info.prompt)]
            return answer_examples(tracker(), examples, each=heed)

        answers = [answer for part in processes.together(heard_in_mine) for answer in part]
        heard = [
            Sample(a.example.dialogue_id, a.example.turn.turn_id, a.example.turn.transcript, None, a.text, None) for a in answers
        ]
        order = {dialogue.dialogue_id: place for place, dialogue in enumerate(dialogues)}
        heard.sort(key=lambda sample: (order[sample.dialogue_id], sample.turn_id))
        words = wer([sample.said or "" for sample in heard], [sample.heard for sample in heard])
        return {"wer": words.wer, "wer_turns": words.utterances}, heard
    finally:
        model.llm.set_attn_implementation(attention)


def excerpt(dialogues: Sequence[Dialogue], turns: int) -> list[Dialogue]:
    """What is watched: so many spoken user turns, taken in rounds, two of each dialogue; each is cut after its last one.

    A round goes through the dialogues in an order whose beginnings, too, are from all over the list. More turns are always those
    of fewer and others.
    """
    spoken = [_spoken(dialogue) for dialogue in dialogues]
    order = sorted(range(len(spoken)), key=lambda place: f"{place:032b}"[::-1])
    taken: Counter[int] = Counter()
    left = min(turns, sum(map(len, spoken)))
    while left:
        for place in order:
            more = min(ROUND, len(spoken[place]) - taken[place], left)
            taken[place] += more
            left -= more
    return [
        replace(dialogues[place], turns=dialogues[place].turns[: spoken[place][count - 1] + 1])
        for place, count in sorted(taken.items())
        if count
    ]


def _spoken(dialogue: Dialogue) -> list[int]:
    """The places of the spoken user turns."""
    return [place for place, turn in enumerate(dialogue.turns) if turn.speaker == "user" and turn.audio]


def spread_evenly(dialogues: Sequence[Dialogue], count: int) -> list[Dialogue]:
    """``count`` of the dialogues that have spoken user turns, from all over the list."""
    spoken = [dialogue for dialogue in dialogues if any(turn.audio for turn in dialogue.user_turns())]
    return [spoken[i * len(spoken) // count] for i in range(count)] if count < len(spoken) else spoken
