"""What can be known to fail before the models are loaded or the first stage has cost hours, and what an error means."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch

from engine.audio import AudioError
from engine.checkpoints import CheckpointInfo
from engine.config import Recipe, RecipeError, StageConfig
from engine.data.augment import Noises
from engine.data.batching import Example
from engine.training.processes import Processes

# Keys of a model that may differ from its checkpoint's: they decide how it computes, not what it is.
COMPUTING = ("llm_dtype", "quantization", "activation_checkpointing")


class TrainingError(RuntimeError):
    """Training that must not go on; the last resume point stays as it is."""


class LossError(TrainingError):
    """The loss is no finite number."""


class DiskError(TrainingError):
    """What is to be kept cannot be written."""


def with_base(recipe: Recipe, base: CheckpointInfo | None) -> Recipe:
    """The recipe with its base checkpoint's model and prompts.

    Raises:
        RecipeError: the recipe needs a base and has none, or says other than what the base was trained with.
    """
    if base is None:
        if recipe.needs_base:
            raise RecipeError(f"recipe {recipe.name} goes on from a checkpoint: name it with --base")
        return recipe
    for section in ("prompt",) if recipe.needs_base else ("model", "prompt"):
        wanted, trained = getattr(recipe, section), getattr(base, section)
        for key in wanted.model_fields_set - set(COMPUTING):
            mine, theirs = getattr(wanted, key), getattr(trained, key)
            if mine != theirs:
                raise RecipeError(
                    f"recipe {recipe.name} says {section}.{key} = {_short(mine)}, but checkpoint {base.name} was trained with "
                    f"{_short(theirs)}; take another base, or change the key"
                )
    computing = {key: getattr(recipe.model, key) for key in COMPUTING if key in recipe.model.model_fields_set}
    model, decoding = base.model.model_copy(update=computing), {**base.decoding, **recipe.decoding}
    return recipe.model_copy(update={"model": model, "prompt": base.prompt, "decoding": decoding})


def check_model(recipe: Recipe, processes: Processes) -> None:
    """Look for what several processes cannot do with a model.

    Raises:
        RecipeError: it is to be spread, and its weights are in 4 bits.
    """
    if processes.shard and recipe.model.quantization == "4bit":
        raise RecipeError("FSDP cannot spread 4-bit weights: leave out --fsdp, or add --set model.quantization=none")


def check_stage(stage: StageConfig, examples: list[Example], processes: Processes) -> None:
    """Look for what a stage will need; ``examples`` are all that it trains and evaluates on.

    Raises:
        RecipeError: no noise where it should be, fewer rows than processes, or what FSDP cannot do.
        AudioError: recordings that are not there.
    """
    if stage.augment.noise:
        Noises(stage.augment.noise)
    if (stage.matching.active or stage.ctc_weight) and not any(example.turn.transcript for example in examples):
        loss = "matching" if stage.matching.active else "ctc_weight"
        raise RecipeError(f"stage {stage.name!r}: {loss} compares speech with transcripts, and none of the stage's turns has one")
    if stage.batch < processes.world:
        raise RecipeError(f"stage {stage.name!r}: {stage.batch} rows cannot feed {processes.world} processes; raise batch")
    if stage.eval_dialogues and processes.shard:
        raise RecipeError(f"stage {stage.name!r}: a model spread by FSDP cannot decode while training; set eval_dialogues = 0")
    check_audio(example.turn.audio or "" for example in examples)


def check_audio(paths: Iterable[str]) -> None:
    """Ask for every file once, without opening it.

    Raises:
        AudioError: naming the first one missing, and how many are.
    """
    missing = [path for path in dict.fromkeys(paths) if not os.path.exists(path)]
    if missing:
        others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise AudioError(f"{missing[0]}: no such audio file{others}; put it back, or correct the manifest")


def explain(error: BaseException, stage: StageConfig, step: int) -> str:
    """One sentence on what went wrong in a step, and what to do about it."""
    where = f"stage {stage.name}, step {step}"
    if is_out_of_memory(error):
        return (
            f"out of memory in {where}: lower {stage.name}.max_positions (now {stage.max_positions}) and go on with --resume; "
            "model.activation_checkpointing = true needs less too, and so does a new run with model.quantization = '4bit'"
        )
    text = str(error).strip().split("\n")[0] or type(error).__name__
    if isinstance(error, TrainingError):
        return text
    if isinstance(error, (AudioError, OSError)):
        return f"{where} could not read its data: {text}; then go on with --resume"
    return f"{where} failed: {text}"


def is_foreseen(error: BaseException) -> bool:
    """Whether `explain` says what to do; anything else is a fault of the program and keeps its traceback."""
    return isinstance(error, (AudioError, OSError, TrainingError)) or is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or the CPU (where torch says so in a RuntimeError's text only)."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def _short(value: object) -> str:
    return repr(value) if isinstance(value, (str, int, float, bool)) else str(value)
