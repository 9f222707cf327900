"""Typed recipes: a TOML file says what the model is made of and what each training stage does.

A stage is data, not code: which parameters train (regular expressions over parameter names), which tasks in which mix, which
losses, learning rates per group, steps and augmentation. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from engine.connector_config import CONNECTOR_KINDS, CONNECTOR_SECTIONS, ConnectorConfig, Section, StackedTransformerConfig
from engine.recipe_files import RecipeError, compose, nearest, override, packaged, read_recipe

# What a resumed run may change in its recipe: how the work is cut up, not what it is.
HOW: Any = {
    "threads": True,
    "checkpoint_every": True,
    "model": {"activation_checkpointing": True},
    "stages": {"__all__": {"max_positions": True}},
}


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
Share = Annotated[float, Field(gt=0)]


class LoraConfig(Section):
    """Low-rank adapters on linear layers; ``rank = 0`` means none."""

    rank: int = Field(16, ge=0)
    alpha: int = Field(16, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | list[str] = Field(
        "all-linear", description="layers by name, a regular expression over the end of their path, or all-linear"
    )


Tuning = Literal["frozen", "lora", "full"]


class ModelConfig(Section):
    """The three parts. ``encoder`` and ``llm`` are hub ids or local folders.

    The tuning of a part says which of its parameters a checkpoint holds and a stage may train; what does train in a stage is
    up to the stage's ``trainable``. Parameter names begin with ``encoder.`` and ``llm.``; those of LoRA have ``lora_``.
    """

    encoder: str
    encoder_layer: int | None = Field(None, ge=1, description="hidden layer whose outputs are the frames; the last if not given")
    encoder_tuning: Tuning = "frozen"
    encoder_lora: LoraConfig = LoraConfig(rank=8, alpha=16)  # paper 3
    llm: str
    llm_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    llm_tuning: Tuning = "lora"
    quantization: Literal["none", "4bit"] = Field("none", description="of the LLM's base weights; 4bit needs CUDA, bitsandbytes")
    activation_checkpointing: bool = Field(False, description="recompute activations in the backward pass: slower, less memory")
    connector: ConnectorConfig = StackedTransformerConfig()
    lora: LoraConfig = Field(LoraConfig(), description="the LLM's")

    @model_validator(mode="after")
    def _tuning_is_possible(self) -> ModelConfig:
        if self.quantization != "none" and self.llm_tuning == "full":
            raise ValueError("llm_tuning 'full' cannot train quantised weights; choose 'lora', or quantization 'none'")
        return self

    @property
    def llm_has_lora(self) -> bool:
        return self.llm_tuning == "lora" and self.lora.rank > 0

    @property
    def encoder_has_lora(self) -> bool:
        return self.encoder_tuning == "lora" and self.encoder_lora.rank > 0


TaskName = Literal["asr", "ast", "dst", "slot-filling", "sit", "sqit"]
JSON_TASKS: tuple[TaskName, ...] = ("dst", "slot-filling")


class PromptConfig(Section):
    """Text around the speech. ``paper``: speech, then history (paper 1); ``history_first``: history, then speech."""

    layout: Literal["paper", "history_first"] = "paper"
    wording: Literal["bare", "paper"] = Field(
        "bare", description="paper: paper 1's sentences before the speech; its runs named np have none"
    )
    speech_begin: str = Field("", description="directly before the speech, in every task: a base model's own marker of audio")
    speech_end: str = Field("", description="directly after the speech, in every task")
    asr_history: int = Field(0, ge=0, description="earlier turns in the ASR prompt of wording paper; 0 is paper 1's NC")
    asr_prefix: str = ""
    asr_suffix: str = " Transcript:"
    dst_prefix: str = ""
    ast_prefix: str = ""
    ast_suffix: str = Field(" Translation into {language}:", description="after the speech that is to be translated")
    instruction_prefix: str = Field("", description="before an instruction, for instance a chat template's user header")
    instruction_suffix: str = Field("\nResponse:", description="after an instruction's speech")
    history: Literal["user", "user+agent"] = "user+agent"
    history_text: Literal["given", "own"] = Field(
        "given", description="user turns of a training history: as transcribed, or as a recogniser heard them"
    )

    @model_validator(mode="after")
    def _texts_agree(self) -> PromptConfig:
        default = PromptConfig.model_fields
        if self.wording == "paper":
            for key in ("asr_prefix", "asr_suffix", "dst_prefix"):
                if getattr(self, key) != default[key].default:
                    raise ValueError(f"wording paper brings its own texts: leave {key} out, or choose wording bare")
        elif self.asr_history:
            raise ValueError("asr_history needs wording paper, whose ASR prompt has a place for the history")
        return self


class DecodingConfig(Section):
    """How an answer is searched for. A recipe gives a task's settings as ``[decoding.dst]``; a command's options win."""

    max_new_tokens: int = Field(400, ge=1, description="longest answer; paper 1 allows 400 tokens for its 36 slots")
    beams: int = Field(1, ge=1, description="hypotheses kept; 1 is greedy, paper 1 keeps 2")
    length_penalty: float = Field(1.0, description="beams compare log-probability / length ** this; above 1 favours long")
    no_repeat_ngram: int = Field(0, ge=0, description="no run of so many tokens occurs twice; 0 allows it; not for JSON answers")
    grammar: bool = Field(False, description="dst: only JSON with the ontology's domains and slots can be written")


def check_decoding(task: TaskName, decoding: DecodingConfig) -> DecodingConfig:
    """Return ``decoding`` if it suits the task.

    Raises:
        ValueError: saying which setting does not, and why.
    """
    if decoding.no_repeat_ngram and task in JSON_TASKS:
        raise ValueError(
            f"no_repeat_ngram is not for task {task}: its answer is JSON, where keys, quotes and braces have to repeat, so "
            "forbidding repeats breaks the answer; leave it out (it is meant for asr)"
        )
    if decoding.grammar and task != "dst":
        raise ValueError(f"grammar is not for task {task}: only the JSON of dialogue states has a grammar; leave it out")
    return decoding


class AugmentConfig(Section):
    """What is done to speech while training, and only then: to waveforms (speed, noise) and to encoder frames (SpecAugment).

    Changed waveforms cannot come from the frame cache: a frozen encoder then runs in every step.
    """

    speeds: list[Annotated[float, Field(ge=0.5, le=2)]] = Field(
        [], description="speed perturbation: one of these factors for each row, such as [0.9, 1.0, 1.1]"
    )
    noise: str = Field("", description="folder of noise recordings, or a manifest whose turns are noise")
    noise_share: float = Field(1.0, gt=0, le=1, description="share of rows that get noise")
    noise_snr: tuple[float, float] = Field((5.0, 20.0), description="lowest and highest signal-to-noise ratio, decibels")
    time_masks: int = Field(0, ge=0, description="stretches of frames that are blanked")
    time_mask_frames: int = Field(10, ge=1, description="frames in the longest of them")
    feature_masks: int = Field(0, ge=0, description="bands of features that are blanked")
    feature_mask_size: int = Field(32, ge=1, description="features in the widest of them")

    @property
    def changes_waveforms(self) -> bool:
        return bool(self.noise) or any(speed != 1 for speed in self.speeds)

    @model_validator(mode="after")
    def _ratios_rise(self) -> AugmentConfig:
        if self.noise_snr[0] > self.noise_snr[1]:
            raise ValueError(f"noise_snr {list(self.noise_snr)} must be [lowest, highest]")
        return self


class MatchingConfig(Section):
    """Paper 3's matching loss: speech positions, gathered by each transcript token's attention, against its embedding."""

    mse: float = Field(0.0, ge=0, description="weight of the mean squared error")
    cosine: float = Field(0.0, ge=0, description="weight of one minus the cosine")
    attention: Literal["dot", "scaled-dot"] = "scaled-dot"

    @property
    def active(self) -> bool:
        """Whether it is part of the loss; without a weight it is not."""
        return self.mse + self.cosine > 0


class StageConfig(Section):
    """One training stage."""

    name: str
    trainable: list[Pattern] = Field(min_length=1, description="regular expressions over parameter names: connector, ctc, lora")
    tasks: dict[TaskName, Share] = Field(min_length=1, description="share of rows drawn for each task")
    sources: dict[Pattern, Share] = Field(
        {}, description="share of rows per regular expression over a dialogue's source, first match wins; others are left out"
    )
    ce_weight: float = Field(1.0, ge=0, description="cross-entropy through the LLM; 0 skips the LLM's forward pass")
    ctc_weight: float = Field(0.0, ge=0, description="CTC of the connector's outputs against the LLM's embedding table")
    matching: MatchingConfig = MatchingConfig()
    steps: int = Field(ge=1, description="optimiser steps; more fits the data more closely, too many forget the rest")
    batch: int = Field(16, ge=1, description="rows an optimiser step sees")
    max_positions: int = Field(4096, ge=64, description="padded positions one micro-batch may hold")
    learning_rate: float = Field(5e-5, gt=0, description="lower it when the loss jumps")
    learning_rates: dict[Pattern, float] = Field({}, description="learning rate per regular expression, first match wins")
    warmup: int = Field(0, ge=0, description="steps in which the learning rate rises from 0")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="how the learning rate falls after that")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's decay of the gradient's mean and of its square")
    weight_decay: float = Field(1e-6, ge=0, description="AdamW's, of the weights a step")
    clip: float = Field(5.0, gt=0, description="gradient norm limit")
    augment: AugmentConfig = AugmentConfig()
    eval_every: int = Field(0, ge=0, description="steps between evaluations on the dev dialogues; the best weights are kept")
    patience: int = Field(0, ge=0, description="evaluations without a lower loss after which the stage ends; 0: never")
    eval_dialogues: int = Field(0, ge=0, description="dev dialogues each evaluation also decodes, for WER and JGA (asr, dst)")

    @model_validator(mode="after")
    def _loses_and_evaluates(self) -> StageConfig:
        if not (self.ce_weight or self.ctc_weight or self.matching.active):
            raise ValueError("a stage needs a loss: ce_weight, ctc_weight or matching")
        for key in ("patience", "eval_dialogues"):
            if getattr(self, key) and not self.eval_every:
                raise ValueError(f"{key} needs eval_every, the steps between two evaluations")
        if self.eval_dialogues and not self.tasks.keys() & {"asr", "dst"}:
            raise ValueError("eval_dialogues needs task asr or dst, whose answers are scored while training")
        return self


class Recipe(Section):
    """A whole system: model, prompts, stages."""

    name: str
    description: str = ""
    seed: int = 1
    threads: int = Field(0, ge=0, description="CPU threads, 0 = all")
    checkpoint_every: int = Field(100, ge=1, description="steps between resume points")
    needs_base: bool = Field(False, description="goes on from a checkpoint, whose model and prompts it takes")
    model: ModelConfig
    prompt: PromptConfig = PromptConfig()
    decoding: dict[TaskName, DecodingConfig] = Field({}, description="settings of each task; greedy where none are given")
    stages: list[StageConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"every stage needs its own name, found {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _decoding_suits_tasks(self) -> Recipe:
        for task, decoding in self.decoding.items():
            check_decoding(task, decoding)
        return self

    def stage(self, name: str) -> StageConfig:
        """The stage of that name.

        Raises:
            RecipeError: naming the stages there are.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise RecipeError(f"recipe {self.name} has no stage {name!r}; it has {', '.join(s.name for s in self.stages)}")


def available_recipes() -> dict[str, str]:
    """Name -> description of every packaged recipe."""
    return {name: data.get("description", "") for name, data in packaged("recipes").items()}


def recipe_variants(name: str) -> dict[str, str]:
    """Name -> description of a recipe's variants.

    Raises:
        RecipeError: no such recipe.
    """
    return {variant: content.get("description", "") for variant, content in read_recipe(name)[1].items()}


def load_recipe(name: str, overrides: list[str] | None = None) -> Recipe:
    """Load a recipe (`engine.recipe_files` says how one is named) and apply ``key.path=value`` overrides.

    A stage is addressed by its name: ``stage2.steps=20``. Values are TOML (``0.001``, ``true``, ``"text"``); bare words are text.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key or a bad value.
    """
    return parse_recipe(recipe_content(name, overrides), name)


def recipe_content(name: str, overrides: Sequence[str] | None = None, stages: Sequence[str] | None = None) -> dict[str, Any]:
    """What `load_recipe` checks, as a dictionary: all that it extends and overrides in place, and only ``stages`` if given.

    Raises:
        RecipeError: no such recipe or stage, not TOML, or a key path that leads nowhere.
    """
    data = compose(name, Recipe.model_fields, stages)
    for text in overrides or []:
        override(data, text, Recipe.model_fields)
    return data


def parse_recipe(data: dict[str, Any], where: str = "recipe") -> Recipe:
    """Check a recipe given as a dictionary.

    Raises:
        RecipeError: for the first unknown key or bad value.
    """
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problem = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        key = _key(problem["loc"], data)
        if problem["type"] == "extra_forbidden":
            known = {name for section in _SECTIONS for name in section.model_fields}
            hint = nearest(str(problem["loc"][-1]), known)
            raise RecipeError(f"{where}: unknown key {key!r}{hint}") from error
        if problem["type"] == "missing":
            raise RecipeError(f"{where}: {key} is missing") from error
        value = problem["input"]
        got = f" (got {value!r})" if isinstance(value, (str, int, float)) else ""  # a whole table would hide the sentence
        reason = problem["msg"].removeprefix("Value error, ") + got
        raise RecipeError(f"{where}: {key}: {reason}" if key else f"{where}: {reason}") from error


def _key(place: Sequence[str | int], data: dict[str, Any]) -> str:
    """A key's path as a user writes it: a stage by its name, where it has one; a connector without its kind."""
    parts = [str(part) for part in place if part not in CONNECTOR_KINDS]
    if len(place) > 1 and place[0] == "stages" and isinstance(place[1], int):
        name = data["stages"][place[1]].get("name")
        parts = [str(name), *parts[2:]] if name else parts
    return ".".join(parts)


_SECTIONS = (
    *(Recipe, ModelConfig, LoraConfig, PromptConfig, DecodingConfig, AugmentConfig, MatchingConfig, StageConfig),
    *CONNECTOR_SECTIONS,
)
