"""What a run leaves in its folder: metrics, resume points, the best weights, checkpoints. The first process writes, and whoever
watches from outside is told before each of the long ones.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from engine.base_models import file_hashes
from engine.checkpoints import CheckpointInfo, hash_weights, save_checkpoint
from engine.config import HOW, Recipe
from engine.dialogue import Dialogue
from engine.model import SpeechLLM
from engine.training.checks import DiskError
from engine.training.evaluation import Best
from engine.training.folder import RunFolder
from engine.training.optimiser import MasterAdamW
from engine.training.processes import Processes, gathered, whole
from engine.training.pulse import Pulse


class Saving:
    """Writes for one run; where something cannot be written, what was written before stays.

    All but ``stopped`` raise `DiskError` then.
    """

    def __init__(
        self,
        model: SpeechLLM,
        folder: RunFolder,
        processes: Processes,
        pulse: Pulse,
        identity: dict[str, str],
        info: Callable[[int | None], CheckpointInfo],
        done: Callable[[], int],
    ) -> None:
        """``info`` is what a checkpoint is to say of itself, written in the middle of a stage or (``None``) at the end; ``done``
        how many steps were taken.
        """
        self._model, self._folder, self._processes, self._pulse = model, folder, processes, pulse
        self._identity, self._info, self._done = identity, info, done

    def base_models(self, resumed: bool) -> None:
        """The hashes of the base models' files, which are here once they are loaded: that may have fetched them.

        Raises:
            RunFolderError: the run that is ``resumed`` began with other ones.
        """
        named = {"encoder": self._model.config.encoder, "llm": self._model.config.llm}
        self._write(
            "the base models' hashes",
            lambda: self._folder.note_base_models({part: file_hashes(name) for part, name in named.items()}, resumed),
        )

    def metrics(self, line: dict[str, Any]) -> None:
        """One step's figures."""
        self._write("the metrics", lambda: self._folder.log(**line))

    def samples(self, seen: dict[str, Any]) -> None:
        """What the model answered to a few turns."""
        self._write("the sample answers", lambda: self._folder.save_samples(**seen))

    def resume_point(
        self, stage: int, step: int, optimiser: MasterAdamW | None, best: Best, taken: dict[str, Any] | None = None
    ) -> None:
        """``taken`` is what a step that was taken is logged with, where it was stopped in the evaluation after it."""
        self._pulse.beat("saving")
        state = {
            "identity": self._identity,
            "stage": stage,
            "step": step,
            "done": self._done() - (taken is not None),
            "taken": taken,
            "best": vars(best),
            "weights": {name: whole(value) for name, value in self._model.named_parameters() if not self._model.is_base(name)},
            "optimiser": optimiser.state() if optimiser else None,
        }
        self._write("the resume point", lambda: self._folder.save_state(state))

    def best(self, stage: int, step: int) -> None:
        """The weights as they are, put aside."""
        self._pulse.beat("saving")
        weights = {name: whole(parameter) for name, parameter in self._model.trainable()}
        self._write("the best weights", lambda: self._folder.save_best(stage, step, weights))

    def checkpoint(self, folder: Path, stage: int | None = None) -> None:
        """A checkpoint; ``stage`` is the one it is written in the middle of."""
        self._pulse.beat("saving")
        with gathered(self._model):
            self._write("the checkpoint", lambda: save_checkpoint(self._model, self._info(stage), folder))

    def stopped(self, stage: int) -> None:
        """A checkpoint of where it stands, beside the resume point: without room for it the run stops all the same."""
        try:
            self.checkpoint(self._folder.stopped, stage)
        except DiskError as error:
            if self._processes.first:
                print(f"stopped without a checkpoint: {error}", file=sys.stderr, flush=True)

    def _write(self, what: str, work: Callable[[], None]) -> None:
        try:
            self._processes.on_first(work)
        except (OSError, SafetensorError) as error:
            reason = str(error).split("\n")[0]
            raise DiskError(
                f"{what} of step {self._done()} could not be written to {self._folder.path} ({reason}); make room there and go "
                "on with --resume from the last resume point, which stays"
            ) from error


def identity_of(recipe: Recipe, dialogues: Sequence[Dialogue], base: Path | None) -> dict[str, str]:
    """Hashes of what a resumed run must share with its beginning.

    Where the audio lies may change: its name may not.
    """
    data = hashlib.sha256()
    for dialogue in dialogues:
        turns = [vars(turn) | {"audio": turn.audio and Path(turn.audio).name} for turn in dialogue.turns]
        data.update(json.dumps(vars(dialogue) | {"turns": turns}, sort_keys=True, default=vars).encode())
    return {
        "recipe": recipe.model_dump_json(exclude=HOW),
        "base checkpoint": hash_weights(base).hexdigest() if base else "",
        "training data": data.hexdigest(),
    }
