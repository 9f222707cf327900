"""Tiny base models of every architecture class, in the layout the real ones have on a hub.

Random weights, two layers, widths of 16 to 64; configuration, safetensors, preprocessor and tokenizer files are written with
``save_pretrained`` and read back by path through the same ``from_pretrained`` as a hub id. Weights are larger than a fresh
model's, so that every part moves the outputs. ``make(name, folder)`` writes one; tests take the ``tiny`` fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPREAD = 0.15  # standard deviation of the random weights
SENTENCES = [
    'i need a cheap hotel in the north {"hotel": {"pricerange": "cheap", "area": "north"}}',
    'a train to cambridge on friday", "slots": {"train": {"destination": "cambridge", "day": "friday"}}}',
    "USER: can you book a table for two? AGENT: which restaurant would you like?",
    ' {"dialogue_history": "USER: hello AGENT: how can i help?", "current_turn": "transcript", "domains": []',
]


def tokenizer(bos: str | None, eos: str, pad: str | None) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the special tokens of a family; every text survives it."""
    special = list(dict.fromkeys(token for token in (bos, eos, pad) if token))
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos, pad_token=pad)


def _llm(family: str, bos: str | None, eos: str, pad: str | None, **settings: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tokens = tokenizer(bos, eos, pad)
        config = getattr(transformers, f"{family}Config")(
            **{
                "vocab_size": len(tokens) + 8,  # as real tables do, it has rows that no token uses
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": 2048,
                "initializer_range": SPREAD,
                "bos_token_id": tokens.bos_token_id,
                "eos_token_id": tokens.eos_token_id,
                "pad_token_id": tokens.pad_token_id,
            }
            | settings
        )
        getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)
        tokens.save_pretrained(folder)

    return write


def _wave_encoder(family: str, norm: str, **settings: Any) -> Callable[[Path], None]:
    """``norm = "layer"``: the large models' extractor, with normalised input and a mask; ``"group"``: the base models'."""

    def write(folder: Path) -> None:
        large = norm == "layer"
        config = getattr(transformers, f"{family}Config")(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            conv_dim=(16,) * 7,
            conv_bias=large,
            feat_extract_norm=norm,
            do_stable_layer_norm=large,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            initializer_range=SPREAD,
            **settings,
        )
        getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
        features = transformers.Wav2Vec2FeatureExtractor(do_normalize=large, return_attention_mask=large)
        features.save_pretrained(folder)

    return write


def _whisper(folder: Path) -> None:
    config = transformers.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        vocab_size=64,
        num_mel_bins=80,
        init_std=SPREAD,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def _qwen2_audio(folder: Path) -> None:
    tokens = tokenizer(None, "<|im_end|>", "<|endoftext|>")
    tokens.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"]})
    config = transformers.Qwen2AudioConfig(
        audio_config={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "num_mel_bins": 128,
            "initializer_range": SPREAD,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokens) + 8,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "initializer_range": SPREAD,
            "bos_token_id": None,
            "eos_token_id": tokens.eos_token_id,
            "pad_token_id": tokens.pad_token_id,
        },
        audio_token_index=tokens.convert_tokens_to_ids("<|AUDIO|>"),
        initializer_range=SPREAD,
    )
    transformers.Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    features = transformers.WhisperFeatureExtractor(feature_size=128)
    transformers.Qwen2AudioProcessor(features, tokens).save_pretrained(folder)


ENCODERS: dict[str, Callable[[Path], None]] = {
    "whisper": _whisper,
    "wavlm-large": _wave_encoder("WavLM", "layer"),
    "wavlm-base": _wave_encoder("WavLM", "group"),
    "hubert-large": _wave_encoder("Hubert", "layer"),
    "hubert-base": _wave_encoder("Hubert", "group"),
    "wav2vec2-large": _wave_encoder("Wav2Vec2", "layer"),
    "wav2vec2-base": _wave_encoder("Wav2Vec2", "group"),
}
LLMS: dict[str, Callable[[Path], None]] = {
    "olmo": _llm("Olmo", None, "<|endoftext|>", "<|padding|>", num_key_value_heads=4),
    "gemma2": _llm("Gemma2", "<bos>", "<eos>", "<pad>", head_dim=16, query_pre_attn_scalar=16, sliding_window=32),
    "llama-3.2": _llm("Llama", "<|begin_of_text|>", "<|end_of_text|>", None, tie_word_embeddings=True),
    "vicuna": _llm("Llama", "<s>", "</s>", "<unk>", num_key_value_heads=4),
    "qwen2": _llm("Qwen2", None, "<|im_end|>", "<|endoftext|>", tie_word_embeddings=True),
    "phi": _llm("Phi", "<|endoftext|>", "<|endoftext|>", None, num_key_value_heads=4),
    "phi3": _llm("Phi3", "<s>", "<|endoftext|>", "<|endoftext|>"),
}
WHOLE: dict[str, Callable[[Path], None]] = {"qwen2-audio": _qwen2_audio}  # encoder, projector and LLM in one checkpoint


def make(name: str, folder: Path) -> Path:
    """Write the tiny model ``name`` into ``folder`` (always the same weights), leaving the random state as it was."""
    write = (ENCODERS | LLMS | WHOLE)[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write(folder)
    return folder
