"""Configurations of published models, to count and to plan where no hub is reachable: facts, as their config.json states them.

Only what differs from the architecture's defaults in transformers; names that share a configuration share an entry.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

_LARGE_WAVE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
_LLAMA_7B = {"vocab_size": 32000, "max_position_embeddings": 4096}
_GEMMA_2 = {"vocab_size": 256000, "head_dim": 256}
_QWEN2_5 = {"vocab_size": 151936, "max_position_embeddings": 32768}

_PUBLISHED: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {
    ("microsoft/wavlm-large",): ("wavlm", _LARGE_WAVE),
    ("microsoft/wavlm-base", "microsoft/wavlm-base-plus"): ("wavlm", {}),
    ("facebook/hubert-large-ll60k",): ("hubert", _LARGE_WAVE | {"conv_bias": True}),
    ("facebook/hubert-base-ls960",): ("hubert", {}),
    ("facebook/wav2vec2-large-lv60",): ("wav2vec2", _LARGE_WAVE | {"conv_bias": True}),
    ("facebook/wav2vec2-base",): ("wav2vec2", {}),
    ("openai/whisper-base",): (
        "whisper",
        {
            "vocab_size": 51865,
            "d_model": 512,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 8,
            "decoder_attention_heads": 8,
            "encoder_ffn_dim": 2048,
            "decoder_ffn_dim": 2048,
        },
    ),
    ("allenai/OLMo-1B-hf",): (
        "olmo",
        {
            "vocab_size": 50304,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 16,
            "tie_word_embeddings": True,
        },
    ),
    ("allenai/OLMo-7B-hf",): ("olmo", {"vocab_size": 50304}),
    ("google/gemma-2-9b", "google/gemma-2-9b-it"): (
        "gemma2",
        _GEMMA_2
        | {
            "hidden_size": 3584,
            "intermediate_size": 14336,
            "num_hidden_layers": 42,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
        },
    ),
    ("google/gemma-2-2b", "google/gemma-2-2b-it"): (
        "gemma2",
        _GEMMA_2
        | {
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
        },
    ),
    ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B-Instruct"): (
        "llama",
        {
            "vocab_size": 128256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "max_position_embeddings": 131072,
            "tie_word_embeddings": True,
        },
    ),
    ("lmsys/vicuna-7b-v1.5",): ("llama", _LLAMA_7B),
    ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B-Instruct"): (
        "qwen2",
        _QWEN2_5
        | {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
    ),
    ("Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-1.5B-Instruct"): (
        "qwen2",
        _QWEN2_5
        | {
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
    ),
    ("microsoft/phi-2",): (
        "phi",
        {
            "vocab_size": 51200,
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "partial_rotary_factor": 0.4,
        },
    ),
    ("Qwen/Qwen2-Audio-7B", "Qwen/Qwen2-Audio-7B-Instruct"): (
        "qwen2_audio",
        {
            "audio_config": {"model_type": "qwen2_audio_encoder"},
            "text_config": {
                "model_type": "qwen2",
                "vocab_size": 156032,
                "hidden_size": 4096,
                "intermediate_size": 11008,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "num_key_value_heads": 32,
            },
        },
    ),
}
PUBLISHED = {name: entry for names, entry in _PUBLISHED.items() for name in names}


def published_config(name: str) -> PreTrainedConfig:
    """The configuration of a model in this table.

    Raises:
        KeyError: it is not in it.
    """
    kind, values = PUBLISHED[name]
    return AutoConfig.for_model(kind, **values)
