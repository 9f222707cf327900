"""LoRA on the LLM, through peft."""

from __future__ import annotations

from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel

from engine.config import LoraConfig


def add_lora(llm: PreTrainedModel, config: LoraConfig) -> PreTrainedModel | PeftModel:
    """Wrap the LLM's linear layers; the adapters have the LLM's dtype (the optimiser keeps float32 masters)."""
    if config.rank == 0:
        return llm
    peft_config = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(llm, peft_config, autocast_adapter_dtype=False)
