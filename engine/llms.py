"""The LLM behind the connector: any of transformers' causal language models, whole or inside a speech-LLM's checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from engine.config import ModelConfig, RecipeError
from engine.pretrained import load_model

TRIED = ("olmo", "gemma2", "llama", "qwen2", "phi", "phi3", "qwen2_audio")

# Where Qwen2-Audio's files have the LLM: as published, and as transformers 5 names it.
QWEN2_AUDIO_KEYS = {r"^model\.language_model\.": "model.", r"^language_model\.": ""}


def build_llm(model: ModelConfig, config: PreTrainedConfig, *, weights: bool = True) -> Any:
    """The recipe's LLM; ``weights=False`` builds it on the meta device.

    Raises:
        RecipeError: the architecture is no causal language model.
        BaseModelError: the model cannot be had.
    """
    keys = None
    if config.model_type == "qwen2_audio":
        config, keys = config.text_config, QWEN2_AUDIO_KEYS
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if kind is None:
        raise RecipeError(
            f"{model.llm}: architecture {config.model_type!r} is no causal language model of transformers; any such will do, "
            f"tried are {', '.join(TRIED)}"
        )
    # On a CPU eager attention trains these short rows a third faster than SDPA (tests/bench/attention.py); models with
    # soft-capped attention, Gemma-2 for one, have no SDPA.
    fused = torch.cuda.is_available() and kind._supports_sdpa
    settings: dict[str, Any] = {
        "dtype": computed_dtype(model) if weights else getattr(torch, model.llm_dtype),
        "attn_implementation": "sdpa" if fused else "eager",
    }
    if weights and model.quantization == "4bit":
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        settings["device_map"] = {"": torch.cuda.current_device()}
    return load_model(kind, model.llm, config, weights=weights, keys=keys, **settings)


def computed_dtype(model: ModelConfig) -> torch.dtype:
    """What the LLM's weights are held in here: the recipe's ``llm_dtype``, or float32 on a CPU without bfloat16 arithmetic.

    There torch emulates it, at a fifth of float32's speed and less (tests/bench/llm_dtype.py).
    """
    return getattr(torch, model.llm_dtype) if torch.cuda.is_available() or bfloat16_cpu() else torch.float32


def bfloat16_cpu() -> bool:
    """Whether this CPU multiplies bfloat16 matrices itself (AMX, AVX-512 BF16, Arm's BF16)."""
    able = torch.cpu.get_capabilities()
    return any(able.get(unit, False) for unit in ("amx_bf16", "avx512_bf16", "bf16"))
