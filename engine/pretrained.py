"""Base models by hub id or local folder: configuration, weights, tokenizer.

Everything comes through transformers' own ``from_pretrained``. What can go wrong with a name (gated, misspelt, no network, no
weights in the folder) becomes one sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, OfflineModeIsEnabled, RepositoryNotFoundError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from engine.base_models import BaseModelError, resolve
from engine.config import RecipeError

PRINT_ROWS = 64  # rows of the embedding table that tell one base model from another


def read_config(name: str) -> PreTrainedConfig:
    """The model's configuration.

    Raises:
        BaseModelError: it cannot be had.
    """
    with _sentences(name):
        return AutoConfig.from_pretrained(resolve(name))


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer.

    Raises:
        BaseModelError: it cannot be had, or has no end-of-sequence token, without which no answer would end.
    """
    with _sentences(name):
        tokenizer = AutoTokenizer.from_pretrained(resolve(name))
    # Where the files are missing, transformers makes an empty tokenizer of the model's kind and says nothing.
    if "hotel" not in tokenizer.decode(tokenizer(" hotel", add_special_tokens=False).input_ids):
        raise BaseModelError(f"{name}: the tokenizer cannot write 'hotel': its files are missing or not whole; fetch them again")
    if tokenizer.eos_token_id is None:
        raise BaseModelError(f"{name}: the tokenizer names no end-of-sequence token; set eos_token in its tokenizer_config.json")
    return tokenizer


def load_features(name: str) -> Any:
    """The model's own preprocessing of waveforms.

    Raises:
        BaseModelError: it cannot be had.
    """
    with _sentences(name):
        return AutoFeatureExtractor.from_pretrained(resolve(name))


def load_model(
    kind: Any,
    name: str,
    config: PreTrainedConfig,
    *,
    weights: bool = True,
    keys: dict[str, str] | None = None,
    unused: str = r"(?!)",
    **settings: Any,
) -> Any:
    """A model of transformers class ``kind``, with the weights of ``name``.

    Args:
        weights: False builds it on the meta device, without reading any.
        keys: regular expression -> replacement for the names in the weight files, to load a part of a larger model.
        unused: regular expression over parameters that may be missing, because nothing here uses them.

    Raises:
        BaseModelError: the weights cannot be had, are damaged, or lack some of the model's.
    """
    if not weights:
        with torch.device("meta"):
            return kind._from_config(config, **settings)
    with _sentences(name):
        model, info = kind.from_pretrained(resolve(name), config=config, key_mapping=keys, output_loading_info=True, **settings)
    if keys is not None:
        del model._weight_conversions  # saved again, the part keeps its own names
    missing = [key for key in sorted(info["missing_keys"]) if not re.search(unused, key)]
    if missing:
        raise BaseModelError(
            f"{name}: the weight files lack {len(missing)} of the model's parameters, for instance {missing[0]}; "
            f"they are not those of a whole {type(model).__name__}: fetch the model again, or name another one"
        )
    return model


def require_4bit() -> None:
    """See to it that 4-bit weights can be used here, before anything is loaded.

    Raises:
        RecipeError: no CUDA GPU, or no bitsandbytes.
    """
    if not torch.cuda.is_available():
        raise RecipeError("quantization '4bit' needs a CUDA GPU and none is visible; add --set model.quantization=none")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RecipeError("quantization '4bit' needs bitsandbytes: pip install 'spoken-dst-studio[cuda]'")


def weights_print(model: nn.Module) -> str:
    """A short hash that tells base models of one shape apart, whether loaded in float32, bfloat16 or 4 bits.

    It covers what quantisation leaves alone: every vector (norms, biases) and some rows of the embedding table.
    """
    prints = []
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 or (parameter.dim() == 2 and "embed" in name):
            rows = parameter.detach()[:: max(1, len(parameter) // PRINT_ROWS)].to("cpu", torch.bfloat16)
            prints.append(hashlib.sha256(rows.contiguous().view(torch.int16).numpy().tobytes()).hexdigest())
    return hashlib.sha256("".join(sorted(prints)).encode()).hexdigest()[:16]  # sorted: names and order are transformers' affair


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    """Turn what transformers and the hub raise into one sentence for the user."""
    try:
        yield
    except BaseModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(_reason(name, error)) from error


def _reason(name: str, error: BaseException) -> str:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    first = str(error).strip().split("\n")[0]
    if "does not recognize this architecture" in first:
        from engine.encoders import ENCODERS  # they load their models by this module
        from engine.llms import TRIED

        return (
            f"{name}: transformers does not know its architecture; encoders can be {', '.join(ENCODERS)}, and LLMs any causal "
            f"language model of transformers (tried: {', '.join(TRIED)})"
        )
    if Path(name).is_dir():
        return f"{name} is no usable model folder: {first}"
    if name.startswith((".", "/", "~")):
        return f"{name}: there is no such folder"
    if any(isinstance(link, GatedRepoError) for link in chain):
        return (
            f"{name} is a gated model: accept its terms on https://huggingface.co/{name}, log in once with `hf auth login` "
            "(or set HF_TOKEN), and start again"
        )
    if any(isinstance(link, RepositoryNotFoundError) for link in chain):
        return (
            f"{name} is neither a local folder nor a model that the hub shows you: check the spelling; "
            "for a private model log in once with `hf auth login` (or set HF_TOKEN)"
        )
    if any(isinstance(link, LocalEntryNotFoundError | OfflineModeIsEnabled | ConnectionError | TimeoutError) for link in chain):
        return (
            f"{name} is not on this machine and the hub cannot be reached: check the network, "
            "or copy the model's folder here and give its path in place of the name"
        )
    return f"{name} cannot be loaded: {first}"
