"""The training loop: runs a recipe's stages one after the other and can be stopped and resumed at any step.

The run's folder (see docs/architecture.md): ``metrics.jsonl``, ``resume/state.pt``, ``checkpoint/``, ``result.json``; a file
``stop`` in it ends the run after the current step, saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
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
from engine.config import AugmentConfig, Recipe, StageConfig
from engine.data.batching import DataError, Example, Sampler, build_row
from engine.data.frames import FrameCache, load_turn
from engine.dialogue import Dialogue, Ontology
from engine.losses import cross_entropy_sum
from engine.model import Batch, SpeechLLM
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
        resume: go on from ``out/resume`` if there is one.
        cache: folder of the frame cache.

    Raises:
        DataError: nothing to train on, or a run folder that holds another run.
        TrainingError: a non-finite loss, or a trainable parameter without a gradient.
    """
    if (out / "checkpoint").exists():
        if resume:
            return {"status": "finished", "steps": _steps(out), "seconds": 0.0, "error": None}
        raise DataError(f"{out} holds a finished run; choose another --out folder")
    return _Run(recipe, dialogues, out, base, resume, device, cache).run()


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        dialogues: Sequence[Dialogue],
        out: Path,
        base: Path | None,
        resume: bool,
        device: str,
        cache: Path | None,
    ) -> None:
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.base = read_info(base) if base is not None else None
        if self.base is not None:
            recipe = recipe.model_copy(update={"model": self.base.model, "prompt": self.base.prompt})
        self.recipe = recipe
        self.out = out
        self.dialogues = [dialogue for dialogue in dialogues if dialogue.split == "train"]
        self.total = sum(stage.steps for stage in recipe.stages)
        self.resume_file = out / "resume" / "state.pt"
        self.stop_file = out / "stop"
        self.stopping = False
        self.identity = _identity(recipe, self.dialogues)
        self.state = self._resume_point(resume)
        out.mkdir(parents=True, exist_ok=True)
        self.stop_file.unlink(missing_ok=True)
        self._trim_metrics()
        self.model = SpeechLLM(recipe.model)
        if self.state is not None:
            self._restore_weights(self.state["weights"])
        elif base is not None:
            load_weights(self.model, base)
        self.model.to(_device(device))
        self.cache = FrameCache(self.model, cache)
        self.started = time.monotonic()
        self.pace: float | None = None

    def run(self) -> dict[str, Any]:
        previous = signal.signal(signal.SIGTERM, self._on_signal)
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
            self._save_checkpoint()
        finally:
            signal.signal(signal.SIGTERM, previous)
        shutil.rmtree(self.out / "resume", ignore_errors=True)
        return self._result("finished")

    def _resume_point(self, resume: bool) -> dict[str, Any] | None:
        """The saved state to go on from, if that is wanted; never throws an earlier run's work away."""
        if not self.resume_file.exists():
            return None
        if not resume:
            raise DataError(f"{self.out} holds an unfinished run; add --resume to go on with it, or choose another --out folder")
        state: dict[str, Any] = torch.load(self.resume_file, weights_only=True)
        for what, mine in self.identity.items():
            if state["identity"][what] != mine:
                raise DataError(f"{self.out} cannot be resumed: its {what} has changed since; put it back, or start a new run")
        return state

    def _on_signal(self, *_: Any) -> None:
        self.stopping = True

    def _stage(self, index: int) -> bool:
        stage = self.recipe.stages[index]
        select_trainable(self.model, stage.trainable)
        self.model.train()
        sampler = Sampler(self.dialogues, stage, self.recipe.seed)
        self.encoder_trains = any(name.startswith("encoder.") for name, _ in self.model.trainable())
        if not self.encoder_trains:
            self.cache.prepare(example.turn for example in sampler.examples())
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
            self._log(
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
            stopping = self.stopping or self.stop_file.exists()
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
            loss.backward()
            total += float(loss.detach())
            tokens += len(batch.labels)
        if check:
            self._check_gradients()
        norm, rate = optimiser.step(step, float(tokens))
        if not (_finite(total) and _finite(norm)):
            turns = ", ".join(f"{Path(e.turn.audio or '').name} turn {e.turn.turn_id}" for e in examples[:4])
            raise TrainingError(
                f"the loss became {total} (gradient norm {norm}) in stage {stage.name}, step {step + 1}, on {turns} ...; "
                "lower the learning rate or check these recordings, then resume"
            )
        return total / tokens, norm, rate, tokens

    def _micro_batches(self, stage: StageConfig, examples: list[Example]) -> list[tuple[Batch, list[Example]]]:
        frames = [self._frames(example) for example in examples]
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

    def _frames(self, example: Example) -> Tensor:
        if self.encoder_trains:
            return self.model.encoder.encode([load_turn(example.turn)])[0]
        return self.cache.get(example.turn)

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

    def _log(self, **values: Any) -> None:
        with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def _trim_metrics(self) -> None:
        """Drop what was logged after the resume point: those steps run again."""
        path = self.out / "metrics.jsonl"
        done = self.state["done"] if self.state else 0
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.write_text("".join(line + "\n" for line in lines[:done]), encoding="utf-8")

    def _save_resume(self, stage: int, step: int, optimiser: MasterAdamW | None) -> None:
        weights = {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.model.named_parameters()
            if not _is_base(name) or parameter.requires_grad
        }
        state = {
            "identity": self.identity,
            "stage": stage,
            "step": step,
            "done": sum(earlier.steps for earlier in self.recipe.stages[:stage]) + step,
            "weights": weights,
            "optimiser": optimiser.state() if optimiser else None,
            "random": torch.get_rng_state(),
        }
        self.resume_file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.resume_file.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.resume_file)

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

    def _save_checkpoint(self) -> None:
        """The new checkpoint knows the slots and values of its base too, and names the stages of both."""
        before = self.base or CheckpointInfo(self.recipe.name, self.recipe.model, self.recipe.prompt)
        info = CheckpointInfo(
            self.recipe.name,
            self.recipe.model,
            self.recipe.prompt,
            before.ontology.merged(Ontology.from_dialogues(self.dialogues)),
            (*before.stages, *(stage.name for stage in self.recipe.stages)),
        )
        save_checkpoint(self.model, info, self.out / "checkpoint")

    def _result(self, status: str) -> dict[str, Any]:
        seconds = round(time.monotonic() - self.started, 1)
        return {"status": status, "steps": _steps(self.out), "seconds": seconds, "error": None}


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


def _steps(out: Path) -> int:
    return len((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())


def _identity(recipe: Recipe, dialogues: Sequence[Dialogue]) -> dict[str, str]:
    """What must be the same for a resumed run to equal an uninterrupted one."""
    data = json.dumps([asdict(dialogue) for dialogue in dialogues], sort_keys=True)
    return {"recipe": recipe.model_dump_json(), "training data": hashlib.sha256(data.encode()).hexdigest()}


def _device(name: str) -> torch.device:
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu" if name == "auto" else name)


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _is_base(name: str) -> bool:
    """Parameters that come with the base models and never need saving unless they train."""
    return name.startswith("encoder.") or (name.startswith("llm.") and "lora_" not in name)
