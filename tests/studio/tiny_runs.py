"""Real runs that take seconds: tiny base models, a checkpoint and a recipe on them, and corrected turns to train on."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from db.models import Checkpoint
from engine.checkpoints import CheckpointInfo, save_checkpoint
from engine.config import load_recipe
from studio.services import corrections, dialogues, projects, training
from studio.services.training import JobView
from studio.workspace import Workspace
from tests.engine import tiny

RECIPE = """
name = "tiny"
checkpoint_every = 3

[model]
encoder = "{encoder}"
llm = "{llm}"
llm_dtype = "float32"
connector = {{ stack = 4, layers = 1, width = 32, heads = 2, ffn = 32, dropout = 0.0 }}
lora = {{ rank = 4, dropout = 0.0 }}

[[stages]]
name = "only"
trainable = ["^connector\\\\.", "llm.*lora_"]
tasks = {{ dst = 1.0 }}
steps = 30
batch = 4
"""


WORDS = {"train": "i need a cheap hotel", "test": "a cheap hotel please"}  # else the held-out dialogue was a copy


class TinyRuns:
    """Starts fine-tunes of a project with one corrected dialogue."""

    def __init__(self, ws: Workspace, models: Path, held_out: bool = False) -> None:
        import torch

        from engine.model import SpeechLLM

        self.ws, self.recipe = ws, ws.home / "tiny.toml"
        self.recipe.write_text(RECIPE.format(encoder=models / "wavlm-base", llm=models / "qwen2"))
        recipe = load_recipe(str(self.recipe))
        torch.manual_seed(0)
        info = CheckpointInfo("tiny", recipe.model, recipe.prompt)
        save_checkpoint(SpeechLLM(recipe.model), info, ws.path("runs/base/checkpoint"))
        with ws.write() as session:
            base = Checkpoint(name="base", path="runs/base/checkpoint")
            session.add(base)
            session.flush()
            self.base_id = base.id
        self.project_id = projects.create_project(ws, "tiny").id
        for name in ("train", "test") if held_out else ("train",):
            self.correct(name)

    def correct(self, split: dialogues.Split) -> None:
        """Add the dialogue of a split, corrected."""
        dialogue = dialogues.create_dialogue(self.ws, self.project_id, split, split)
        path = self.ws.home / "tmp" / "noise.wav"
        for number in range(4):
            samples = np.random.default_rng([number, len(split)]).normal(0, 0.1, 8_000)
            soundfile.write(path, samples, 16_000)
            turn = dialogues.add_user_turn(self.ws, dialogue.id, path)
            corrections.save_transcript(self.ws, turn.id, WORDS[split], "anna", None)
            corrections.save_slot(self.ws, turn.id, "hotel", "area", "north", "anna", None)

    def start(self, steps: int, backend: str | None = None, *others: str, from_scratch: bool = False) -> JobView:
        chosen, base = [f"only.steps={steps}", *others], None if from_scratch else self.base_id
        return training.start_job(self.ws, self.project_id, base, str(self.recipe), chosen, False, backend=backend)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny base models."""
    root = tmp_path_factory.mktemp("tiny-models")
    for name in ("wavlm-base", "qwen2"):
        tiny.make(name, root / name)
    return root
