"""The training loop: runs a recipe's stages one after the other and can be stopped and resumed at any step."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from engine.checkpoints import CheckpointInfo, load_weights, read_info
from engine.config import Recipe, RecipeError, StageConfig
from engine.data.batching import DataError, Example, Sampler
from engine.data.frames import FrameCache
from engine.dialogue import Dialogue, Ontology
from engine.model import SpeechLLM
from engine.training.checks import (
    LossError,
    TrainingError,
    check_audio,
    check_model,
    check_stage,
    explain,
    is_foreseen,
    with_base,
)
from engine.training.evaluation import Best, dev_batches
from engine.training.feed import Feed, MicroBatch, Step
from engine.training.folder import RunFolder, RunFolderError
from engine.training.objective import Objective
from engine.training.optimiser import MasterAdamW, select_trainable
from engine.training.pace import Pace
from engine.training.processes import Processes, like
from engine.training.pulse import Pulse
from engine.training.saving import Saving, identity_of
from engine.training.watching import Answers, Stopped, spread_evenly

LENGTH_MULTIPLE = 16  # rows are padded to a few lengths, so that kernels are reused


def train(
    recipe: Recipe,
    dialogues: Sequence[Dialogue],
    out: Path,
    *,
    base: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    shard: bool = False,
    watched: Sequence[Dialogue] = (),
    keep: bool = False,
) -> dict[str, Any]:
    """Run all stages of ``recipe`` on the ``train`` dialogues; returns what ``result.json`` holds.

    Started by ``torchrun`` or ``accelerate launch``, the processes share the work (`Processes`); the first one writes.

    Args:
        base: checkpoint whose weights, model and prompts the run starts from, in place of the recipe's.
        resume: go on with the run in ``out`` if there is one.
        cache: folder of the frame cache.
        shard: with several processes, spread the LLM over them (FSDP).
        watched: an excerpt of these dialogues is answered now and then, for people to see; the result is the same without.
        keep: take no step, but write the checkpoint ``stopped`` of the resume point; the recordings need not be there.

    Raises:
        DataError: nothing to train or evaluate on.
        RecipeError: what the recipe asks cannot be done with this base, these dialogues or processes.
        RunFolderError: the folder holds another run, or no resume point to keep.
        TrainingError: a non-finite loss, a trainable parameter without a gradient, no memory or disk left, data that vanished.
    """
    folder = RunFolder(out)
    processes = Processes(device, shard)
    processes.on_first(lambda: folder.check(resume))
    if folder.checkpoint.exists():
        result = processes.on_first(lambda: folder.write_result("finished", 0.0)) or {}
    else:
        try:
            run = _Run(recipe, dialogues, folder, base, processes, cache, watched, keep)
            result = run.keep() if keep else run.run()
            del run  # its model holds on to the processes' talk, whose threads would outlive the parting
        finally:
            folder.leave()
    processes.part()
    return result


@dataclass
class _Figures:
    """What the processes tell each other about a step before the weights change: sums, and what went wrong."""

    loss: float = 0.0
    positions: int = 0
    padded: int = 0
    seconds: float = 0.0
    problem: str | None = None
    stopping: bool = False

    def __add__(self, other: _Figures) -> _Figures:
        sums = (self.loss + other.loss, self.positions + other.positions, self.padded + other.padded)
        return _Figures(*sums, self.seconds + other.seconds, self.problem or other.problem, self.stopping or other.stopping)


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        dialogues: Sequence[Dialogue],
        folder: RunFolder,
        base: Path | None,
        processes: Processes,
        cache: Path | None,
        watched: Sequence[Dialogue] = (),
        keep: bool = False,
    ) -> None:
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.base = read_info(base) if base is not None else None
        self.recipe = recipe = with_base(recipe, self.base)
        check_model(recipe, processes)
        self.folder, self.processes, self.cache = folder, processes, cache
        self.dialogues = [dialogue for dialogue in dialogues if dialogue.split == "train"]
        self.dev = [dialogue for dialogue in dialogues if dialogue.split == "dev"]
        if not self.dialogues:
            raise DataError("no dialogue of the manifests has split 'train'; the others are never trained on")
        # All stages are looked at before the first one costs hours.
        self.samplers = [Sampler(self.dialogues, stage, recipe.prompt, recipe.seed) for stage in recipe.stages]
        self.dev_batches = [dev_batches(self.dev, stage, recipe.prompt) if stage.eval_every else [] for stage in recipe.stages]
        for stage, sampler, batches in zip(recipe.stages, self.samplers, self.dev_batches, strict=True):
            if not keep:
                check_stage(stage, [*sampler.examples(), *(example for batch in batches for example in batch)], processes)
        if watched and processes.shard:
            raise RecipeError("a model spread by FSDP cannot answer while training; watch nothing")
        check_audio(turn.audio for dialogue in (watched if not keep else ()) for turn in dialogue.user_turns() if turn.audio)
        self.stopping = False
        evaluated = self.dev if any(self.dev_batches) else []
        self.identity = identity_of(recipe, [*self.dialogues, *evaluated], base)
        processes.on_first(lambda: folder.claim(self.identity))
        self.pulse = Pulse(folder.beat if processes.first else lambda sign: None)
        self.state = folder.read_state()
        self.done = self.state["done"] if self.state else 0
        self.best = Best()
        self.taken: dict[str, Any] | None = None  # of a step that was taken before the resume point, but not evaluated
        self.model = SpeechLLM(recipe.model)
        for stage in recipe.stages:
            select_trainable(self.model, stage.trainable)
        if self.state is not None:
            self._put_weights(self.state["weights"])
        elif base is not None:
            load_weights(self.model, base)
        self.objective = Objective(self.model)
        if processes.shard:
            processes.spread(self.objective, self.model.llm)
        self.model.to(processes.device)
        self.started = time.monotonic()
        self.pace = Pace()
        steps = sum(stage.steps for stage in recipe.stages)
        self.saving = Saving(self.model, folder, processes, self.pulse, self.identity, self._info, lambda: self.done)
        self.saving.base_models(resumed=self.state is not None)
        self.answers = Answers(self.model, self._info(), processes, self.pace, self.saving.samples, self._goes_on, watched, steps)

    def run(self) -> dict[str, Any]:
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        try:
            with Progress(*columns, TimeRemainingColumn(), disable=not self.processes.first) as self.progress:
                for index in range(self.state["stage"] if self.state else 0, len(self.recipe.stages)):
                    if not self._stage(index):
                        self.saving.stopped(index)
                        return self._result("stopped")
            self.saving.checkpoint(self.folder.checkpoint)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.processes.on_first(self.folder.drop_state)
        return self._result("finished")

    def keep(self) -> dict[str, Any]:
        """Make a checkpoint of the resume point, as where it is stopped; the run can go on from there later."""
        if self.state is None:
            raise RunFolderError(f"{self.folder.path} holds no resume point to make a checkpoint of")
        self.saving.checkpoint(self.folder.stopped, self.state["stage"])
        return self._result("stopped")

    def _on_signal(self, *_: Any) -> None:
        self.stopping = True

    def _heard(self) -> bool:
        """Whether this process was told to stop."""
        return self.stopping or self.folder.stop.exists()

    def _goes_on(self) -> bool:
        """Give a sign between two turns or batches; whether this process was told to stop."""
        self.pulse.beat()
        return self._heard()

    def _must_stop(self) -> bool:
        """Whether one process was told to; all agree."""
        return any(self.processes.gather(self._heard()))

    def _stage(self, index: int) -> bool:
        """Run one stage from its first open step; False when it was stopped."""
        stage, sampler = self.recipe.stages[index], self.samplers[index]
        select_trainable(self.model, stage.trainable)
        self.model.train()
        self.objective.begin(stage, sampler.examples())
        self.pace.begin_stage()
        self.pulse.begin_stage()
        optimiser = MasterAdamW(self.model.trainable(), stage, self.processes)
        first = self._restore(index, optimiser)
        total = self.done - first + sum(later.steps for later in self.recipe.stages[index:])
        task = self.progress.add_task(stage.name, total=stage.steps, completed=first, note="")
        feed, dev_feed = self._feed(stage, sampler.batch, training=True), self._feed(stage, self.dev_batches[index].__getitem__)
        try:
            for step in range(first, stage.steps):
                begun = time.monotonic()
                taken, self.taken = self.taken, None
                values = taken or self._step(index, step, feed, optimiser, check=step == first)
                seconds = values.pop("seconds", time.monotonic() - begun)
                self.done += 1
                evaluate = stage.eval_every and ((step + 1) % stage.eval_every == 0 or step + 1 == stage.steps)
                if evaluate:
                    try:
                        values |= self._evaluate(index, step + 1, dev_feed)
                    except Stopped:
                        self._log(stage, total, seconds, values)
                        self.saving.resume_point(index, step, optimiser, self.best, values | {"seconds": seconds})
                        return False
                last = step + 1 == stage.steps or bool(evaluate and stage.patience and self.best.worse >= stage.patience)
                if last:
                    total -= stage.steps - (step + 1)
                if self.answers.watch_due(self.done, last):
                    self.pulse.beat("answering")
                    values |= self.answers.watch(stage, self.done)
                self._log(stage, total, seconds, values)
                self.progress.update(task, advance=1, note=f"loss {values['loss']:.3f}")
                if last and stage.eval_every:
                    self._put_weights(self.folder.read_best(index, self.best.step))
                stopping = self._must_stop()
                if stopping or (step + 1) % self.recipe.checkpoint_every == 0 or last:
                    at: tuple[int, int, MasterAdamW | None] = (index + 1, 0, None) if last else (index, step + 1, optimiser)
                    self.saving.resume_point(*at, self.best)
                self.pulse.beat("training")
                if last:
                    break
                if stopping:
                    return False
        finally:
            feed.close()
            dev_feed.close()
        return not stopping or index + 1 == len(self.recipe.stages)

    def _step(self, index: int, step: int, feed: Feed, optimiser: MasterAdamW, *, check: bool) -> dict[str, Any]:
        """One optimiser step; returns what is to be logged."""
        stage = self.recipe.stages[index]
        share = Step()

        def backward() -> _Figures:
            nonlocal share
            share = feed.step(step, stage.steps - 1)
            figures = _Figures(seconds=share.seconds)
            for micro, weight in self._even(share):
                loss, positions, padded = self._loss(feed, micro)
                (loss * weight).backward()
                optimiser.collect()
                figures += _Figures(float(loss.detach()) * weight, positions * int(weight), padded * int(weight))
            if check and (dead := optimiser.without_gradient()) and share.micro:
                raise TrainingError(
                    f"{len(dead)} trainable parameters got no gradient on the first step, for instance {dead[0]}; "
                    "take them out of the stage's `trainable`, or give the stage a loss that reaches them"
                )
            return figures

        optimiser.zero()
        figures = self._together(index, step, backward, optimiser)
        norm = optimiser.norm(float(share.tokens))
        if not (math.isfinite(figures.loss) and math.isfinite(norm)):
            self.saving.checkpoint(self.folder.last_good, index)  # the optimiser took no step: these weights are still good
            turns = ", ".join(f"{Path(e.turn.audio or '').name} turn {e.turn.turn_id}" for e in feed.batch(step)[:4])
            raise LossError(
                f"the loss became {figures.loss} (gradient norm {norm}) in stage {stage.name}, step {step + 1}, on {turns} ...; "
                f"check these recordings, or start a new run with --base {self.folder.last_good} and a lower learning rate"
            )
        rate = optimiser.step(step, norm)
        values = {"loss": figures.loss / share.tokens, "lr": rate, "grad_norm": norm}
        values |= {"tokens": share.tokens, "turns": share.turns}
        rates = {"positions": figures.positions, "speech_seconds": round(figures.seconds, 2)}
        return values | rates | {"padding": round(1 - figures.positions / figures.padded, 4)}

    def _together(self, index: int, step: int, work: Callable[[], _Figures], optimiser: MasterAdamW | None) -> _Figures:
        """Do the work and sum all processes' figures; what went wrong in one of them ends all, before any weight changed."""
        stage, failure = self.recipe.stages[index], None
        try:
            figures = work()
        except Exception as error:
            failure, figures = error, _Figures(problem=explain(error, stage, step + 1))
        total = sum(self.processes.gather(figures), _Figures())
        if total.problem is None:
            return total
        if failure is not None and not is_foreseen(failure):
            raise failure
        if optimiser is not None and not isinstance(failure, TrainingError) and not self.processes.shard:
            optimiser.zero()
            self.saving.resume_point(index, step, optimiser, self.best)
        raise TrainingError(total.problem) from failure

    def _even(self, share: Step) -> list[tuple[MicroBatch, float]]:
        """The micro-batches with their weights. FSDP's processes compute together, so those with fewer add some of weight 0."""
        real = [(micro, 1.0) for micro in share.micro]
        if not self.processes.shard:
            return real
        missing = max(self.processes.gather(len(real))) - len(real)
        return real + [(micro, 0.0) for micro in [*share.micro, *share.spare][:1] * missing]

    def _loss(self, feed: Feed, micro: MicroBatch) -> tuple[Tensor, int, int]:
        """The summed loss of a micro-batch; its positions, without and with padding."""
        batch = self.model.collate([item.row for item in micro.items], multiple=LENGTH_MULTIPLE)
        keep = feed.masks(micro, self.model.encoder.width)
        torch.manual_seed(micro.seed)
        loss = self.objective(batch.to(self.model.device), feed.examples(micro), feed.waveforms(micro), keep)
        return loss, int(batch.attention.sum()), batch.attention.numel()

    def _evaluate(self, index: int, step: int, feed: Feed) -> dict[str, Any]:
        """Loss on the dev dialogues, and WER and JGA on some; the best weights so far are put aside.

        Raises:
            Stopped: one process was told to, and nothing is changed.
        """
        stage, batches = self.recipe.stages[index], self.dev_batches[index]
        begun, tokens, figures = time.monotonic(), 0, _Figures()

        @torch.no_grad()
        def forward(number: int) -> _Figures:
            nonlocal tokens, figures
            share = feed.step(number, len(batches) - 1)
            tokens += share.tokens
            for micro, weight in self._even(share):
                figures += _Figures(float(self._loss(feed, micro)[0]) * weight)
            return _Figures(stopping=self._goes_on())

        self.model.eval()
        self.pulse.beat("evaluating")
        for number in range(len(batches)):
            if self._together(index, step - 1, partial(forward, number), None).stopping:
                raise Stopped
        loss = sum(self.processes.gather(figures), _Figures()).loss / tokens
        values: dict[str, Any] = {"eval_loss": loss}
        if stage.eval_dialogues:
            self.pulse.beat("answering")
            some = spread_evenly(self.dev, stage.eval_dialogues)
            values |= self.answers.to("eval", some, stage, self.done, stage.eval_every)
        if self.best.take(loss, step):
            self.saving.best(index, step)
        self.model.train()
        seconds = time.monotonic() - begun
        self.pace.aside("eval", seconds, stage.eval_every)
        return values | {"eval_seconds": round(seconds, 2)}

    def _feed(self, stage: StageConfig, batch: Callable[[int], list[Example]], *, training: bool = False) -> Feed:
        return Feed(
            self.model,
            self.recipe.prompt,
            stage,
            batch,
            FrameCache(self.model, self.cache),
            augment=stage.augment if training else None,
            live=any(parameter.requires_grad for parameter in self.model.encoder.parameters()),
            seed=self.recipe.seed,
            processes=self.processes,
        )

    def _log(self, stage: StageConfig, total: int, seconds: float, values: dict[str, Any]) -> None:
        self.pace.step(seconds)
        line = {"stage": stage.name, "step": self.done, "total_steps": total, **values, "seconds": seconds}
        line |= {"memory_gb": round(self.processes.memory() / 1e9, 2), "eta_seconds": self.pace.left(total - self.done)}
        self.saving.metrics(line)

    @torch.no_grad()
    def _put_weights(self, weights: dict[str, Tensor]) -> None:
        parameters = dict(self.model.named_parameters())
        for name, value in weights.items():
            parameters[name].copy_(like(value, parameters[name]))

    def _restore(self, index: int, optimiser: MasterAdamW) -> int:
        """Take optimiser and evaluations from the resume point if it lies in this stage; returns the step to go on with."""
        self.best = Best()
        if self.state is None or self.state["stage"] != index:
            return 0
        state, self.state = self.state, None
        self.taken = state.get("taken")
        if state["optimiser"] is not None:
            optimiser.load(state["optimiser"])
            self.best = Best(**state["best"])
        return int(state["step"])

    def _info(self, stage: int | None = None) -> CheckpointInfo:
        """The new checkpoint knows the slots and values of its base too, and names the stages of both; of its own those up to
        ``stage`` where it is written in the middle of that one."""
        before = self.base or CheckpointInfo(self.recipe.name, self.recipe.model, self.recipe.prompt)
        return CheckpointInfo(
            self.recipe.name,
            self.recipe.model,
            self.recipe.prompt,
            before.ontology.merged(Ontology.from_dialogues(self.dialogues)),
            (*before.stages, *(each.name for each in self.recipe.stages[: None if stage is None else stage + 1])),
            self.recipe.decoding,
        )

    def _result(self, status: str) -> dict[str, Any]:
        seconds = time.monotonic() - self.started
        return self.processes.gather(self.processes.on_first(lambda: self.folder.write_result(status, seconds)))[0] or {}
