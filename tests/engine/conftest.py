"""Real base models and real speech for the engine's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoints import CheckpointInfo
from engine.config import Recipe, load_recipe
from engine.dialogue import Dialogue, read_manifest
from engine.model import SpeechLLM
from tests.engine import tiny as tiny_models

SAMPLE = Path(__file__).parents[2] / "studio" / "assets" / "sample" / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Callable[[str], str]:
    """``tiny("wavlm-large")`` is the folder of a tiny model (see ``tests/engine/tiny.py``), made on first use; read only."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(name: str) -> str:
        path = root / name
        if not path.exists():
            tiny_models.make(name, path)
        return str(path)

    return folder


@pytest.fixture(scope="session")
def dialogues() -> list[Dialogue]:
    """Four short spoken dialogues of the packaged sample project, as training data."""
    found = sorted(read_manifest(SAMPLE), key=lambda dialogue: len(dialogue.turns))[:4]
    for dialogue in found:
        dialogue.split = "train"
    return found


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """The demo recipe, a few steps long, with dropout and masking on and the LLM in float32 so that sums can be compared."""
    small = [f"{stage}.{key}" for stage in ("align", "stage1", "stage2") for key in ("steps=2", "batch=4", "warmup=0")]
    return load_recipe("demo", [*small, "model.llm_dtype=float32", "checkpoint_every=1"])


@pytest.fixture(scope="session")
def model(base_models, recipe) -> SpeechLLM:
    """A fresh model on the real base models. Tests must leave its weights as they are."""
    import torch

    torch.manual_seed(0)
    return SpeechLLM(recipe.model).eval()


@pytest.fixture(scope="session")
def info(recipe) -> CheckpointInfo:
    return CheckpointInfo("test", recipe.model, recipe.prompt)
