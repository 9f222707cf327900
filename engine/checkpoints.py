"""A checkpoint folder: what was trained, and all that is needed to use it again on the same base models.

checkpoint.json          format, name, model, prompt and decoding sections, stages done
connector.safetensors    connector and CTC parameters
adapter.safetensors      LoRA (absent when rank is 0)
ontology.json            slots and values of the training states
MODEL_CARD.md            optional
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.base_models import fsync
from engine.config import DecodingConfig, ModelConfig, PromptConfig, TaskName
from engine.dialogue import Ontology
from engine.model import SpeechLLM

FORMAT = 1
MODEL_CARD = "MODEL_CARD.md"
DEMO = Path(__file__).parent / "demo"


class CheckpointError(ValueError):
    """A folder that is no usable checkpoint; the message says what is wrong with it."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What ``checkpoint.json`` and ``ontology.json`` say."""

    name: str
    model: ModelConfig
    prompt: PromptConfig
    ontology: Ontology = field(default_factory=Ontology)
    stages: tuple[str, ...] = ()
    decoding: Mapping[TaskName, DecodingConfig] = field(default_factory=dict)


def save_checkpoint(model: SpeechLLM, info: CheckpointInfo, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write the folder under another name, then rename it into place. ``dtype`` rounds the weights (to ship them smaller).

    Raises:
        CheckpointError: the folder is there already.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} is there already; choose another folder, or move it away")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    parts = {"connector." + key: value for key, value in model.connector.state_dict().items()}
    parts |= {"ctc." + key: value for key, value in model.ctc.state_dict().items()}
    save_file(_plain(parts, dtype), partial / "connector.safetensors")
    if info.model.lora.rank:
        save_file(_plain(get_peft_model_state_dict(model.llm), dtype), partial / "adapter.safetensors")
    head = {
        "format": FORMAT,
        "name": info.name,
        "model": info.model.model_dump(),
        "prompt": info.prompt.model_dump(),
        "stages": list(info.stages),
        "decoding": {task: decoding.model_dump() for task, decoding in info.decoding.items()},
    }
    (partial / "checkpoint.json").write_text(json.dumps(head, indent=1), encoding="utf-8")
    (partial / "ontology.json").write_text(json.dumps(info.ontology.to_json(), ensure_ascii=False), encoding="utf-8")
    for file in [*partial.iterdir(), partial]:
        fsync(file)
    partial.rename(folder)


def read_info(folder: str | Path) -> CheckpointInfo:
    """Read a checkpoint's description without its weights.

    Raises:
        CheckpointError: not a checkpoint, or written by a newer version.
    """
    folder = Path(folder)
    try:
        head = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
        ontology = Ontology.from_json(json.loads((folder / "ontology.json").read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no checkpoint here ({Path(error.filename).name} is missing)") from error
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: the checkpoint's description is damaged: {error}") from error
    if head.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder}: checkpoint format {head.get('format')} is not {FORMAT}; use a matching version"
        )
    try:
        decoding = _decoding(head)
        model, prompt = ModelConfig.model_validate(head["model"]), PromptConfig.model_validate(head["prompt"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{folder}: the checkpoint's description is damaged: {error}") from error
    return CheckpointInfo(head["name"], model, prompt, ontology, tuple(head.get("stages", ())), decoding)


def _decoding(head: dict[str, Any]) -> dict[TaskName, DecodingConfig]:
    """The settings of each task. The first checkpoints had one of them, the longest answer, among the prompt's."""
    settings = head.get("decoding", {})
    longest = head["prompt"].pop("max_new_tokens", None)
    if longest and "dst" not in settings:
        settings = settings | {"dst": {"max_new_tokens": longest}}
    return {task: DecodingConfig.model_validate(values) for task, values in settings.items()}


def load_weights(model: SpeechLLM, folder: str | Path) -> None:
    """Put a checkpoint's weights into a model of the same configuration.

    Raises:
        CheckpointError: files missing or damaged, or shapes that do not fit the model.
    """
    folder = Path(folder)
    parts = _load(folder / "connector.safetensors")
    own = {"connector." + key for key in model.connector.state_dict()} | {
        "ctc." + key for key in model.ctc.state_dict()
    }
    if own != set(parts):
        raise CheckpointError(f"{folder}: the connector's parameters are not this model's; the recipe's model differs")
    try:
        model.load_state_dict(parts, strict=False)
        if model.config.lora.rank:
            adapter = _load(folder / "adapter.safetensors")
            if set(adapter) != set(get_peft_model_state_dict(model.llm)):
                raise CheckpointError(f"{folder}: the adapter's parameters are not this model's")
            set_peft_model_state_dict(model.llm, adapter)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder}: the weights do not fit this model: {str(error).splitlines()[-1].strip()}"
        ) from error


def load_checkpoint(folder: str | Path | None = None) -> tuple[SpeechLLM, CheckpointInfo]:
    """Build the model a checkpoint describes, on the CPU, with its weights; ``None`` is the demo checkpoint."""
    folder = Path(folder) if folder is not None else DEMO
    info = read_info(folder)
    model = SpeechLLM(info.model)
    load_weights(model, folder)
    return model, info


def _load(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent}: {path.name} is missing; the checkpoint is incomplete") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged ({error}); fetch or train the checkpoint again") from error


def _plain(tensors: dict[str, Any], dtype: torch.dtype | None) -> dict[str, Any]:
    return {key: value.detach().cpu().to(dtype or value.dtype).contiguous() for key, value in tensors.items()}
