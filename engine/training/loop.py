"""The training loop: runs a recipe's stages one after the other and can be stopped and resumed at any step."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from engine.checkpoints import CheckpointInfo, load_weights, read_info, save_checkpoint
from engine.config import AugmentConfig, Recipe, RecipeError, StageConfig
from engine.data.batching import DataError, Example, Sampler, build_row
from engine.data.frames import FrameCache
from engine.dialogue import Dialogue, Ontology
from engine.losses import cross_entropy_sum, matching_sum
from engine.model import Batch, SpeechLLM, pick_device
from engine.prompts import asr_target
from engine.training.folder import RunFolder
from engine.training.optimiser import MasterAdamW, select_trainable

LENGTH_MULTIPLE = 16  # rows are padded to a few lengths, so that kernels are reused


class TrainingError(RuntimeError):
    """Training that must not go on; the last resume point stays as it is."""


def train(
    recipe: Recipe,
    dialogues: Sequence[Dialogue],
    out: Path,
    *,
    base: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run all stages of ``recipe`` on the ``train`` dialogues; returns what ``result.json`` holds.

    Args:
        base: checkpoint whose weights, model and prompts the run starts from, in place of the recipe's.
        resume: go on with the run in ``out`` if there is one.
        cache: folder of the frame cache.

    Raises:
        DataError: nothing to train on.
        RunFolderError: the folder holds another run.
        TrainingError: a non-finite loss, or a trainable parameter without a gradient.
    """
    folder = RunFolder(out)
    folder.check(resume)
    if folder.checkpoint.exists():
        return folder.write_result("finished", 0.0)
    return _Run(recipe, dialogues, folder, base, device, cache).run()


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        dialogues: Sequence[Dialogue],
        folder: RunFolder,
        base: Path | None,
        device: str,
        cache: Path | None,
    ) -> None:
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.base = read_info(base) if base is not None else None
        if self.base is not None:
            decoding = {**self.base.decoding, **recipe.decoding}
            recipe = recipe.model_copy(update={"model": self.base.model, "prompt": self.base.prompt, "decoding": decoding})
        elif recipe.needs_base:
            raise RecipeError(f"recipe {recipe.name} goes on from a checkpoint: name it with --base")
        self.recipe = recipe
        self.folder = folder
        self.dialogues = [dialogue for dialogue in dialogues if dialogue.split == "train"]
        if not self.dialogues:
            raise DataError("no dialogue of the manifests has split 'train'; the others are never trained on")
        # All stages are looked at before the first one costs hours.
        self.samplers = [Sampler(self.dialogues, stage, recipe.prompt, recipe.seed) for stage in recipe.stages]
        self.total = sum(stage.steps for stage in recipe.stages)
        self.stopping = False
        self.identity = _identity(recipe, self.dialogues, base)
        self.state = folder.claim(self.identity)
        self.model = SpeechLLM(recipe.model)
        for stage in recipe.stages:
            select_trainable(self.model, stage.trainable)
        if self.state is not None:
            self._restore_weights(self.state["weights"])
        elif base is not None:
            load_weights(self.model, base)
        self.model.to(pick_device(device))
        self.cache = FrameCache(self.model, cache)
        self.started = time.monotonic()
        self.pace: float | None = None

    def run(self) -> dict[str, Any]:
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        try:
            with Progress(*columns, TimeRemainingColumn()) as self.progress:
                for index in range(self.state["stage"] if self.state else 0, len(self.recipe.stages)):
                    if not self._stage(index):
                        return self._result("stopped")
            self._save_checkpoint(self.folder.checkpoint)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.folder.drop_state()
        return self._result("finished")

    def _on_signal(self, *_: Any) -> None:
        self.stopping = True

    def _must_stop(self) -> bool:
        return self.stopping or self.folder.stop.exists()

    def _stage(self, index: int) -> bool:
        """Run one stage from its first open step; False when it was stopped."""
        stage, sampler = self.recipe.stages[index], self.samplers[index]
        select_trainable(self.model, stage.trainable)
        self.model.train()
        if not self.cache.prepare((example.turn for example in sampler.examples()), self._must_stop):
            return False
        optimiser = MasterAdamW(self.model.trainable(), stage)
        table = _CtcTable(self.model, sampler.examples()) if stage.ctc_weight else None
        first = self._restore(index, optimiser)
        done_before = sum(earlier.steps for earlier in self.recipe.stages[:index])
        task = self.progress.add_task(stage.name, total=stage.steps, completed=first, note="")
        for step in range(first, stage.steps):
            begun = time.monotonic()
            loss, norm, rate, tokens = self._step(stage, sampler.batch(step), optimiser, table, step, step == first)
            seconds = time.monotonic() - begun
            number = done_before + step + 1
            self.folder.log(
                stage=stage.name,
                step=number,
                total_steps=self.total,
                loss=loss,
                lr=rate,
                grad_norm=norm,
                tokens=tokens,
                seconds=seconds,
                eta_seconds=self._eta(seconds, number),
            )
            self.progress.update(task, advance=1, note=f"loss {loss:.3f}")
            stopping = self._must_stop()
            last = step + 1 == stage.steps
            if stopping or (step + 1) % self.recipe.checkpoint_every == 0 or last:
                at = (index + 1, 0, None) if last else (index, step + 1, optimiser)
                self._save_resume(*at)
            if stopping and not (last and index + 1 == len(self.recipe.stages)):
                return False
        return True

    def _step(
        self,
        stage: StageConfig,
        examples: list[Example],
        optimiser: MasterAdamW,
        table: _CtcTable | None,
        step: int,
        check: bool,
    ) -> tuple[float, float, float, int]:
        """One optimiser step; returns loss per target token, gradient norm, learning rate, target tokens."""
        optimiser.zero()
        total, tokens = 0.0, 0
        for batch, micro in self._micro_batches(stage, examples):
            speech, valid = self.model.speech(_mask(batch, stage.augment, self.model.training), batch.valid)
            loss = speech.new_zeros(())
            if stage.ce_weight:
                logits = self.model.target_logits(batch, speech, valid)
                loss = loss + stage.ce_weight * cross_entropy_sum(logits, batch.labels)
            if table is not None:
                loss = loss + stage.ctc_weight * table.loss(speech, valid, micro)
            if stage.matching.active:
                tokens_of = [torch.tensor(self.model.token_ids(asr_target(e.turn.transcript or ""))) for e in micro]
                embed = self.model.llm.get_input_embeddings()
                loss = loss + matching_sum(embed, tokens_of, speech, valid, stage.matching)
            loss.backward()
            total += float(loss.detach())
            tokens += len(batch.labels)
        if check:
            self._check_gradients()
        norm, rate = optimiser.step(step, float(tokens))
        if not (math.isfinite(total) and math.isfinite(norm)):
            self._save_checkpoint(self.folder.last_good)  # the optimiser took no step: these weights are still good
            turns = ", ".join(f"{Path(e.turn.audio or '').name} turn {e.turn.turn_id}" for e in examples[:4])
            raise TrainingError(
                f"the loss became {total} (gradient norm {norm}) in stage {stage.name}, step {step + 1}, on {turns} ...; "
                f"check these recordings, or start a new run with --base {self.folder.last_good} and a lower learning rate"
            )
        return total / tokens, norm, rate, tokens

    def _micro_batches(self, stage: StageConfig, examples: list[Example]) -> list[tuple[Batch, list[Example]]]:
        frames = [self.cache.get(example.turn) for example in examples]
        rows = [build_row(self.model, self.recipe.prompt, e, f) for e, f in zip(examples, frames, strict=True)]
        lengths = [self.model.connector.lengths(len(row.frames)) for row in rows]
        text = [len(row.prefix) + len(row.suffix) + len(row.target) if stage.ce_weight else 0 for row in rows]
        sizes = [length + words for length, words in zip(lengths, text, strict=True)]
        groups: list[list[int]] = [[]]
        for index in sorted(range(len(rows)), key=sizes.__getitem__):
            if groups[-1] and sizes[index] * (len(groups[-1]) + 1) > stage.max_positions:
                groups.append([])
            groups[-1].append(index)
        return [
            (
                self.model.collate([rows[i] for i in group], multiple=LENGTH_MULTIPLE).to(self.model.device),
                [examples[i] for i in group],
            )
            for group in groups
        ]

    def _check_gradients(self) -> None:
        dead = [name for name, parameter in self.model.trainable() if parameter.grad is None]
        if dead:
            raise TrainingError(
                f"{len(dead)} trainable parameters got no gradient on the first step, for instance {dead[0]}; "
                "take them out of the stage's `trainable`, or give the stage a loss that reaches them"
            )

    def _eta(self, seconds: float, number: int) -> float:
        self.pace = seconds if self.pace is None else 0.95 * self.pace + 0.05 * seconds
        return self.pace * (self.total - number)

    def _save_resume(self, stage: int, step: int, optimiser: MasterAdamW | None) -> None:
        self.folder.save_state(
            {
                "identity": self.identity,
                "stage": stage,
                "step": step,
                "done": sum(earlier.steps for earlier in self.recipe.stages[:stage]) + step,
                "weights": {
                    name: parameter.detach().cpu().clone()
                    for name, parameter in self.model.named_parameters()
                    if not self.model.is_base(name)
                },
                "optimiser": optimiser.state() if optimiser else None,
                "random": torch.get_rng_state(),
            }
        )

    @torch.no_grad()
    def _restore_weights(self, weights: dict[str, Tensor]) -> None:
        parameters = dict(self.model.named_parameters())
        for name, value in weights.items():
            parameters[name].copy_(value)

    def _restore(self, index: int, optimiser: MasterAdamW) -> int:
        """Take optimiser and random state from the resume point if it lies in this stage; returns the step to go on with."""
        if self.state is None or self.state["stage"] != index:
            return 0
        state, self.state = self.state, None
        if state["optimiser"] is not None:
            optimiser.load(state["optimiser"])
        torch.set_rng_state(state["random"])
        return int(state["step"])

    def _save_checkpoint(self, folder: Path) -> None:
        """The new checkpoint knows the slots and values of its base too, and names the stages of both."""
        before = self.base or CheckpointInfo(self.recipe.name, self.recipe.model, self.recipe.prompt)
        info = CheckpointInfo(
            self.recipe.name,
            self.recipe.model,
            self.recipe.prompt,
            before.ontology.merged(Ontology.from_dialogues(self.dialogues)),
            (*before.stages, *(stage.name for stage in self.recipe.stages)),
            self.recipe.decoding,
        )
        save_checkpoint(self.model, info, folder)

    def _result(self, status: str) -> dict[str, Any]:
        return self.folder.write_result(status, time.monotonic() - self.started)


class _CtcTable:
    """The LLM's embeddings of the tokens in use, and each example's target as indices into them."""

    def __init__(self, model: SpeechLLM, examples: Sequence[Example]) -> None:
        self.model = model
        ids = sorted({token for example in examples for token in self._tokens(example)})
        self.index = {token: place for place, token in enumerate(ids)}
        self.table = model.llm.get_input_embeddings().weight[torch.tensor(ids, device=model.device)].detach().float()

    def _tokens(self, example: Example) -> list[int]:
        return self.model.token_ids(" " + (example.turn.transcript or ""))

    def loss(self, speech: Tensor, valid: Tensor, examples: Sequence[Example]) -> Tensor:
        targets = [torch.tensor([self.index[token] for token in self._tokens(example)]) for example in examples]
        return self.model.ctc(speech, valid, self.table, targets)


def _mask(batch: Batch, augment: AugmentConfig, training: bool) -> Tensor:
    """Frames with random time and feature spans zeroed; ``(B, T, W)`` float32."""
    frames = batch.frames.float()
    if not training or not (augment.time_masks or augment.feature_masks):
        return frames
    count, time_size, width = frames.shape
    keep = torch.ones(count, time_size, width, dtype=torch.bool, device=frames.device)
    lengths = batch.valid.sum(1).cpu()
    for row in range(count):
        for _ in range(augment.time_masks):
            span = min(int(torch.randint(0, augment.time_mask_frames + 1, ())), int(lengths[row]) // 4)
            start = int(torch.randint(0, int(lengths[row]) - span + 1, ()))
            keep[row, start : start + span] = False
        for _ in range(augment.feature_masks):
            start = int(torch.randint(0, max(1, width - augment.feature_mask_size), ()))
            keep[row, :, start : start + augment.feature_mask_size] = False
    return frames * keep


def _identity(recipe: Recipe, dialogues: Sequence[Dialogue], base: Path | None) -> dict[str, str]:
    """Hashes of what a resumed run must share with its beginning. Where the audio lies may change: its name may not."""
    data = [asdict(dialogue) for dialogue in dialogues]
    for turn in (turn for dialogue in data for turn in dialogue["turns"] if turn["audio"]):
        turn["audio"] = Path(turn["audio"]).name
    return {
        "recipe": recipe.model_dump_json(),
        "base checkpoint": _sha256((base / "connector.safetensors").read_bytes()) if base else "",
        "training data": _sha256(json.dumps(data, sort_keys=True).encode()),
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
