"""A checkpoint folder: what was trained, and all that is needed to use it again on the same base models.

checkpoint.json                format, name, model, prompt and decoding sections, stages done, what tells the base models and the
                               weights apart
connector.safetensors          connector and CTC parameters
adapter.safetensors            the LLM's LoRA, where it has one
encoder_adapter.safetensors    the encoder's LoRA, where it has one
llm.safetensors                the whole LLM, where it was tuned in full
encoder.safetensors            the whole encoder, where it was tuned in full
ontology.json                  slots and values of the training states
MODEL_CARD.md                  optional
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from engine.base_models import fsync
from engine.config import DecodingConfig, ModelConfig, PromptConfig, TaskName
from engine.dialogue import Ontology
from engine.lora import merged
from engine.model import SpeechLLM
from engine.pretrained import weights_print

FORMAT = 1
MODEL_CARD = "MODEL_CARD.md"
DEMO = Path(__file__).parent / "demo"


class CheckpointError(ValueError):
    """A folder that is no usable checkpoint; the message says what is wrong with it."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What ``checkpoint.json`` and ``ontology.json`` say; ``weights`` is the `weights_hash`, known once they are loaded."""

    name: str
    model: ModelConfig
    prompt: PromptConfig
    ontology: Ontology = field(default_factory=Ontology)
    stages: tuple[str, ...] = ()
    decoding: Mapping[TaskName, DecodingConfig] = field(default_factory=dict)
    weights: str = ""


def save_checkpoint(model: SpeechLLM, info: CheckpointInfo, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write the folder under another name, then rename it into place. ``dtype`` rounds the weights (to ship them smaller).

    Raises:
        CheckpointError: the folder is there already.
    """
    with new_folder(folder) as partial:
        _write(model, info, partial, dtype)


def save_merged(model: SpeechLLM, info: CheckpointInfo, folder: Path) -> None:
    """Write a checkpoint whose LLM, and whose encoder if it was tuned, are ordinary transformers folders with LoRA merged.

    ``AutoModelForCausalLM.from_pretrained(folder / "llm")`` loads the LLM alone, `load_checkpoint` the whole. ``model`` is of no
    use afterwards: its adapters are gone.

    Raises:
        CheckpointError: the folder is there already.
    """
    with new_folder(folder) as partial:
        changes: dict[str, Any] = {"llm": "./llm", "llm_tuning": "frozen", "quantization": "none"}
        model.llm = merged(model.llm)
        model.llm.save_pretrained(partial / "llm")
        model.tokenizer.save_pretrained(partial / "llm")
        if info.model.encoder_tuning != "frozen":
            changes |= {"encoder": "./encoder", "encoder_tuning": "frozen"}
            model.encoder.save_pretrained(partial / "encoder")
        model.config = info.model.model_copy(update=changes)
        model.prints = {"encoder": weights_print(model.encoder.backbone), "llm": weights_print(model.llm)}
        _write(model, replace(info, model=model.config), partial, None)


def refuse_existing(folder: Path) -> None:
    """Ask before the work what `save_checkpoint` would refuse after it.

    Raises:
        CheckpointError: the folder is there already.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} is there already; choose another folder, or move it away")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder under another name, renamed into place when it is complete and on the disk."""
    refuse_existing(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    for path in [*partial.rglob("*"), partial]:
        fsync(path)
    partial.rename(folder)


def _write(model: SpeechLLM, info: CheckpointInfo, folder: Path, dtype: torch.dtype | None) -> None:
    for name, tensors in _files(model).items():
        save_file(_plain(tensors, dtype), folder / name)
    head = {
        "format": FORMAT,
        "name": info.name,
        "model": info.model.model_dump(),
        "prompt": info.prompt.model_dump(),
        "stages": list(info.stages),
        "base": model.prints,
        "weights": _weights_hash(folder, model.prints),
        "decoding": {task: decoding.model_dump() for task, decoding in info.decoding.items()},
    }
    (folder / "checkpoint.json").write_text(json.dumps(head, indent=1), encoding="utf-8")
    (folder / "ontology.json").write_text(json.dumps(info.ontology.to_json(), ensure_ascii=False), encoding="utf-8")


def read_info(folder: str | Path) -> CheckpointInfo:
    """Read a checkpoint's description without its weights.

    Raises:
        CheckpointError: not a checkpoint, or written by a newer version.
    """
    folder = Path(folder)
    head = _head(folder)
    try:
        ontology = Ontology.from_json(json.loads((folder / "ontology.json").read_text(encoding="utf-8")))
        decoding = _decoding(head)
        for part in ("encoder", "llm"):
            if head["model"][part].startswith("./"):  # a merged checkpoint brings its base models along
                head["model"][part] = str(folder / head["model"][part])
        model, prompt = ModelConfig.model_validate(head["model"]), PromptConfig.model_validate(head["prompt"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no checkpoint here ({Path(error.filename).name} is missing)") from error
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: the checkpoint's description is damaged: {error}") from error
    return CheckpointInfo(head["name"], model, prompt, ontology, tuple(head.get("stages", ())), decoding)


def weights_hash(folder: str | Path) -> str:
    """A short hash that tells checkpoints apart which have one name: of the weights, and of what tells the base models apart.

    It stands in ``checkpoint.json``; that of checkpoints of before is computed from their files.

    Raises:
        CheckpointError: not a checkpoint.
    """
    head = _head(Path(folder))
    return head.get("weights") or _weights_hash(Path(folder), head.get("base", {}))


def hash_weights(folder: Path) -> Any:
    """The sha256 object of a checkpoint's weight files."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest


def _weights_hash(folder: Path, prints: Mapping[str, str]) -> str:
    digest = hash_weights(folder)
    digest.update(json.dumps(prints, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def check_folder(folder: str | Path) -> CheckpointInfo:
    """Read a checkpoint's description, and look whether all its files are there and none is cut off; no weights are loaded.

    Raises:
        CheckpointError: not a checkpoint, written by a newer version, or only a part of one.
    """
    folder = Path(folder).absolute()
    info = read_info(folder)
    for part in (info.model.encoder, info.model.llm):
        if Path(part).is_absolute() and not Path(part).is_dir():
            raise CheckpointError(f"{folder}: the checkpoint needs the base model in {part}, which is not there")
    for path in sorted({folder / name for name in _contents(info.model)} | {*folder.rglob("*.safetensors")}):
        with _damage_named(path), safe_open(path, "pt"):
            pass
    return info


def _decoding(head: dict[str, Any]) -> dict[TaskName, DecodingConfig]:
    """The settings of each task. The first checkpoints had one of them, the longest answer, among the prompt's."""
    settings = head.get("decoding", {})
    longest = head["prompt"].pop("max_new_tokens", None)
    if longest and "dst" not in settings:
        settings = settings | {"dst": {"max_new_tokens": longest}}
    return {task: DecodingConfig.model_validate(values) for task, values in settings.items()}


@torch.no_grad()
def load_weights(model: SpeechLLM, folder: str | Path) -> None:
    """Put a checkpoint's weights into a model of the same configuration.

    Raises:
        CheckpointError: files missing or damaged, other base models than the checkpoint's, or shapes that do not fit.
    """
    folder = Path(folder)
    _check_base(model, _head(folder), folder)
    for name, own in _files(model).items():
        theirs = _load(folder / name)
        if set(own) != set(theirs):
            odd = min(set(own) ^ set(theirs))
            raise CheckpointError(
                f"{folder}: the parameters in {name} are not this model's ({odd}, say); the recipe's model differs"
            )
        for key, value in own.items():
            if value.shape != theirs[key].shape:
                raise CheckpointError(
                    f"{folder}: the weights do not fit this model: {key} is {tuple(theirs[key].shape)} in {name} and "
                    f"{tuple(value.shape)} here"
                )
        for key, value in own.items():
            value.copy_(theirs[key])


def load_checkpoint(folder: str | Path | None = None, **changes: Any) -> tuple[SpeechLLM, CheckpointInfo]:
    """Build the model a checkpoint describes, on the CPU, with its weights; ``None`` is the demo checkpoint.

    ``changes`` replace keys of its model section. Trained on 4-bit weights, it runs on the plain ones where there is no GPU.
    """
    folder = Path(folder) if folder is not None else DEMO
    info = read_info(folder)
    if not torch.cuda.is_available():
        changes = {"quantization": "none"} | changes
    model = SpeechLLM(info.model.model_copy(update=changes))
    load_weights(model, folder)
    return model, replace(info, weights=weights_hash(folder))


def _files(model: SpeechLLM) -> dict[str, dict[str, torch.Tensor]]:
    """What a checkpoint holds of a model, by file; the tensors are the model's own."""
    return {name: tensors(model) for name, tensors in _contents(model.config).items()}


def _contents(config: ModelConfig) -> dict[str, Callable[[SpeechLLM], dict[str, torch.Tensor]]]:
    """The weight files of a checkpoint of such a model, and what of the model each holds."""
    contents: dict[str, Callable[[SpeechLLM], dict[str, torch.Tensor]]] = {"connector.safetensors": _connector}
    if config.llm_has_lora:
        contents["adapter.safetensors"] = lambda model: _lora(model.llm)
    if config.encoder_has_lora:
        contents["encoder_adapter.safetensors"] = lambda model: _lora(model.encoder.backbone)
    # Tied weights are in `named_parameters` once, in `state_dict` twice.
    if config.llm_tuning == "full":
        contents["llm.safetensors"] = lambda model: dict(model.llm.named_parameters())
    if config.encoder_tuning == "full":
        contents["encoder.safetensors"] = lambda model: dict(model.encoder.backbone.named_parameters())
    return contents


def _connector(model: SpeechLLM) -> dict[str, torch.Tensor]:
    connector = {"connector." + key: value for key, value in model.connector.state_dict().items()}
    return connector | {"ctc." + key: value for key, value in model.ctc.state_dict().items()}


def _lora(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(get_peft_model_state_dict(part, save_embedding_layers=False))


def _check_base(model: SpeechLLM, head: dict[str, Any], folder: Path) -> None:
    for part, own in model.prints.items():
        if head.get("base", {}).get(part, own) != own:
            name = getattr(model.config, part)
            raise CheckpointError(
                f"{folder} was trained on another {part} than the {name} that is here: its files are not those of then; "
                "put that model back, or train anew"
            )


def _head(folder: Path) -> dict[str, Any]:
    try:
        head = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no checkpoint here ({Path(error.filename).name} is missing)") from error
    except ValueError as error:
        raise CheckpointError(f"{folder}: the checkpoint's description is damaged: {error}") from error
    if head.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: checkpoint format {head.get('format')} is not {FORMAT}; use a matching version")
    return head


def _load(path: Path) -> dict[str, Any]:
    with _damage_named(path):
        return load_file(path)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn what safetensors says of a file into a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent}: {path.name} is missing; the checkpoint is incomplete") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged ({error}); fetch or train the checkpoint again") from error


def _plain(tensors: dict[str, Any], dtype: torch.dtype | None) -> dict[str, Any]:
    return {key: value.detach().cpu().to(dtype or value.dtype).contiguous() for key, value in tensors.items()}
