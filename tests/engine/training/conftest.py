"""A corpus of short noise bursts with transcripts and states, and a recipe on tiny base models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.audio import save_flac
from engine.config import Recipe, parse_recipe
from engine.dialogue import Dialogue, Turn, read_manifest, write_manifest

WORDS = ("i need a cheap hotel", "a train to cambridge", "which restaurant", "on friday", "book a table for two", "north")


@pytest.fixture(scope="session")
def manifest(tmp_path_factory) -> Path:
    """Six dialogues to train on, two of split ``dev``, two of non-speech; sources ``alpha``, ``beta`` and ``noise``."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(5)

    def turn(name: str, number: int, words: str, state: dict[str, Any] | None) -> Turn:
        path = folder / "audio" / f"{name}-{number}.flac"
        save_flac(path, random.normal(0, 0.1, random.integers(4000, 12000)).astype(np.float32))
        return Turn(number, "user", words, str(path), state=state)

    dialogues = []
    for index in range(8):
        name, source = f"d{index}", ("alpha", "beta")[index % 2]
        turns = [turn(name, 2 * n, WORDS[(index + n) % 6], {"hotel": {"area": WORDS[n]}}) for n in range(2)]
        turns.insert(1, Turn(1, "agent", "any area?"))
        dialogues.append(Dialogue(name, turns, "dev" if index > 5 else "train", source))
    dialogues += [Dialogue(f"n{index}", [turn(f"n{index}", 0, "", None)], "train", "noise") for index in range(2)]
    write_manifest(folder / "manifest.jsonl", dialogues)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def corpus(manifest) -> list[Dialogue]:
    return read_manifest(manifest)


@pytest.fixture(scope="session")
def make_recipe(tiny) -> Callable[..., Recipe]:
    """A recipe of one stage (its keys are the arguments) or of ``stages``, on WavLM and Qwen2 in miniature."""

    def make(model: dict[str, Any] | None = None, stages: list[dict[str, Any]] | None = None, **stage: Any) -> Recipe:
        connector = {"stack": 4, "layers": 1, "width": 32, "heads": 2, "ffn": 32, "dropout": 0.1}
        default = {"trainable": ["^connector\\.", "llm.*lora_"], "tasks": {"dst": 1.0}, "steps": 3, "batch": 4}
        parts = {
            "encoder": tiny("wavlm-large"),
            "llm": tiny("qwen2"),
            "llm_dtype": "float32",
            "connector": connector,
            "lora": {"rank": 4, "dropout": 0.1},
        }
        every = [default | {"name": f"s{n}"} | each for n, each in enumerate(stages or [stage], 1)]
        short = {task: {"max_new_tokens": 12} for task in ("asr", "dst")}  # they never come to an end by themselves
        whole = {"name": "tiny", "checkpoint_every": 1, "decoding": short}
        return parse_recipe(whole | {"model": parts | (model or {}), "stages": every})

    return make


@pytest.fixture(scope="session")
def steady_encoder(tiny, tmp_path_factory) -> str:
    """The miniature WavLM without dropout, for what must not depend on how a batch is cut up."""
    folder = shutil.copytree(tiny("wavlm-large"), tmp_path_factory.mktemp("steady") / "wavlm")
    config = json.loads((folder / "config.json").read_text())
    config |= {key: 0.0 for key in config if "dropout" in key and isinstance(config[key], float)}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)
