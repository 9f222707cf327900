"""LoRA on encoder and LLM, through peft."""

from __future__ import annotations

import warnings
from typing import Any

from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel

from engine.config import LoraConfig, RecipeError


def add_lora(model: PreTrainedModel, config: LoraConfig) -> PeftModel:
    """Wrap the model's linear layers; the adapters have the model's dtype (the optimiser keeps float32 masters).

    Raises:
        RecipeError: the targets name no layer of this model.
    """
    targets = config.targets
    if isinstance(targets, str) and targets != "all-linear":
        targets = rf"(?:.*\.)?(?:{targets})"  # peft matches the whole path; a recipe names its end
    peft_config = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM" if model.can_generate() else None,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is on its way out
            return get_peft_model(model, peft_config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise RecipeError(f"LoRA targets {config.targets!r} do not fit {type(model).__name__}: {error}") from error


def merged(model: PreTrainedModel | PeftModel) -> Any:
    """The model with its adapters added to its weights; a model without adapters as it is."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model
