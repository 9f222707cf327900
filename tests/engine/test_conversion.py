"""The converted base models are the models their packages carry."""

import csv
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from engine import audio, conversion

SPEECH = Path(__file__).parents[3] / "shared" / "data" / "human_speech"


def write_ct2(arrays: dict[str, np.ndarray], aliases: dict[str, str]) -> bytes:
    """CTranslate2's model.bin, as its own converters write it."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    out = [struct.pack("<I", 6), string("WhisperSpec"), struct.pack("<II", 3, len(arrays))]
    for name, array in arrays.items():
        head = struct.pack(f"<B{array.ndim}IBI", array.ndim, *array.shape, kinds[array.dtype.name], array.nbytes)
        out += [string(name), head, array.tobytes()]
    out.append(struct.pack("<I", len(aliases)))
    out += [string(alias) + string(name) for alias, name in aliases.items()]
    return b"".join(out)


def ct2_arrays(model: WhisperForConditionalGeneration) -> dict[str, np.ndarray]:
    """A transformers Whisper in CTranslate2's names and joined matrices."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    state |= {
        name.replace("weight", "bias"): np.zeros(len(array), array.dtype)
        for name, array in state.items()
        if name.endswith("k_proj.weight")
    }
    arrays: dict[str, np.ndarray] = {}

    def join(target: str, *sources: str) -> None:
        for kind in ("weight", "bias"):
            arrays[f"{target}/{kind}"] = np.concatenate([state[f"{source}.{kind}"] for source in sources])

    def norm(target: str, source: str) -> None:
        arrays[f"{target}/gamma"], arrays[f"{target}/beta"] = state[f"{source}.weight"], state[f"{source}.bias"]

    for side in ("encoder", "decoder"):
        arrays[f"{side}/num_heads"] = np.array(model.config.encoder_attention_heads, np.int16)
        arrays[f"{side}/position_encodings/encodings"] = state[f"model.{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for index in range(model.config.encoder_layers):
            here, there = f"{side}/layer_{index}", f"model.{side}.layers.{index}"
            join(f"{here}/self_attention/linear_0", *(f"{there}.self_attn.{part}_proj" for part in "qkv"))
            join(f"{here}/self_attention/linear_1", f"{there}.self_attn.out_proj")
            norm(f"{here}/self_attention/layer_norm", f"{there}.self_attn_layer_norm")
            if side == "decoder":
                join(f"{here}/attention/linear_0", f"{there}.encoder_attn.q_proj")
                join(f"{here}/attention/linear_1", *(f"{there}.encoder_attn.{part}_proj" for part in "kv"))
                join(f"{here}/attention/linear_2", f"{there}.encoder_attn.out_proj")
                norm(f"{here}/attention/layer_norm", f"{there}.encoder_attn_layer_norm")
            join(f"{here}/ffn/linear_0", f"{there}.fc1")
            join(f"{here}/ffn/linear_1", f"{there}.fc2")
            norm(f"{here}/ffn/layer_norm", f"{there}.final_layer_norm")
    for name in ("conv1", "conv2"):
        join(f"encoder/{name}", f"model.encoder.{name}")
    arrays["decoder/embeddings/weight"] = state["model.decoder.embed_tokens.weight"]
    return arrays


@pytest.fixture(scope="module")
def small_whisper() -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=60, d_model=8, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=4, max_source_positions=10,
        max_target_positions=6, bos_token_id=0, eos_token_id=0, pad_token_id=0, decoder_start_token_id=1,
    )  # fmt: skip
    return WhisperForConditionalGeneration(config).eval()


def test_reader_gives_back_every_array_and_alias():
    arrays = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
        "halves": np.ones((2, 2, 2), np.float16),
        "number": np.array(3, np.int8),
    }
    read = conversion.read_ct2(io.BytesIO(write_ct2(arrays, {"alias": "floats"})))
    assert read.keys() == {*arrays, "alias"}
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    np.testing.assert_array_equal(read["alias"], arrays["floats"])


def test_reader_refuses_a_truncated_file_and_another_version():
    data = write_ct2({"floats": np.ones(4, np.float32)}, {})
    with pytest.raises(ValueError, match="ends too early"):
        conversion.read_ct2(io.BytesIO(data[:-5]))
    with pytest.raises(ValueError, match="version 5"):
        conversion.read_ct2(io.BytesIO(struct.pack("<I", 5) + data[4:]))


def test_a_whisper_that_went_through_ctranslate2s_layout_gives_the_same_logits(small_whisper):
    arrays = conversion.read_ct2(io.BytesIO(write_ct2(ct2_arrays(small_whisper), {})))
    again = WhisperForConditionalGeneration(small_whisper.config).eval()
    again.load_state_dict({name: torch.from_numpy(array) for name, array in conversion.whisper_state(arrays).items()})
    inputs = {"input_features": torch.randn(1, 4, 20), "decoder_input_ids": torch.tensor([[1, 5, 7]])}
    with torch.inference_mode():
        assert torch.equal(again(**inputs).logits, small_whisper(**inputs).logits)


def test_converted_whisper_transcribes_a_human_voice(base_models):
    table = SPEECH / "transcripts.tsv"
    if not table.exists():
        pytest.skip("needs the human recordings in ../shared/data/human_speech")
    with table.open(encoding="utf-8", newline="") as rows:
        written = {row["path"]: row["transcript"] for row in csv.DictReader(rows, delimiter="\t")}
    name = "ljspeech/LJ001-0002.flac"
    folder = base_models["openai/whisper-tiny.en"]
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    processor = WhisperProcessor.from_pretrained(folder)
    features = processor(audio.load(SPEECH / name), sampling_rate=16_000, return_tensors="pt").input_features
    heard = processor.batch_decode(model.generate(features), skip_special_tokens=True)[0]
    assert heard.strip() == written[name] == "in being comparatively modern."


def test_converted_smollm2_answers_and_splits_numbers_into_digits(base_models):
    folder = base_models["HuggingFaceTB/SmolLM2-135M-Instruct"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("at  2024") == ["at", "ĠĠ", "2", "0", "2", "4"]
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    answer = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
