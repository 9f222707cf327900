"""What kind of thing went wrong, for whoever has to say what to do about it: from an error, or from what a process said."""

from __future__ import annotations

import errno
from typing import Literal, get_args

Kind = Literal["gpu memory", "memory", "loss", "data", "disk", "weights", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EFBIG)
# What libraries write where their errors have no class of their own, and what is left where a process could not tell
_SAID: dict[str, Kind] = {
    "cuda out of memory": "gpu memory",
    "cuda error: out of memory": "gpu memory",
    "outofmemoryerror": "gpu memory",
    "defaultcpuallocator": "memory",
    "memoryerror": "memory",
    "cannot allocate memory": "memory",
    "memory allocation of": "memory",  # Rust, of safetensors and tokenizers, which then aborts
    "bad_alloc": "memory",
    "no space left on device": "disk",
    "disk quota exceeded": "disk",
    "read-only file system": "disk",
    "input/output error": "disk",
    "database or disk is full": "disk",
}


def kind_of(error: BaseException) -> Kind:
    """The kind of an error or of what caused it.

    Memory and disk are looked for first: they break everything else, and where they ran out nothing more should be loaded.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__
    for link in chain:
        if isinstance(link, MemoryError):
            return "memory"
        if isinstance(link, OSError) and link.errno in _DISK:
            return "disk"
        if (said := kind_in(str(link))) != "other":
            return said

    import torch

    from engine.audio import AudioError
    from engine.base_models import BaseModelError
    from engine.checkpoints import CheckpointError
    from engine.config import RecipeError
    from engine.data.readers import CorpusError
    from engine.dialogue import ManifestError
    from engine.json_text import FileError
    from engine.tasks.base import DataError
    from engine.training.checks import DiskError, LossError

    classes: dict[Kind, tuple[type[BaseException], ...]] = {
        "gpu memory": (torch.OutOfMemoryError,),
        "disk": (DiskError,),
        "loss": (LossError,),
        "weights": (BaseModelError, CheckpointError),
        "data": (AudioError, CorpusError, DataError, FileError, ManifestError, RecipeError),
    }
    for kind, known in classes.items():
        if any(isinstance(link, known) for link in chain):
            return kind
    return "data" if any(isinstance(link, FileNotFoundError) for link in chain) else "other"


def kind_in(text: str) -> Kind:
    """The kind that a log tells, ``other`` where it does not."""
    text = text.lower()
    return next((kind for words, kind in _SAID.items() if words in text), "other")
