"""What tells checkpoints of one name apart."""

import json
import shutil

import pytest
import torch

from engine.checkpoints import CheckpointError, CheckpointInfo, load_checkpoint, save_checkpoint, weights_hash
from engine.config import ModelConfig, PromptConfig
from engine.connector_config import StackedTransformerConfig
from engine.model import SpeechLLM


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    connector = StackedTransformerConfig(stack=4, width=32, heads=2, ffn=32, layers=1)
    config = ModelConfig(encoder=tiny("whisper"), llm=tiny("llama-3.2"), llm_tuning="frozen", connector=connector)
    root = tmp_path_factory.mktemp("checkpoints")
    for number, name in enumerate(("one", "two", "three")):
        torch.manual_seed(max(number, 1))  # the first two are the same
        save_checkpoint(SpeechLLM(config), CheckpointInfo("adapt", config, PromptConfig()), root / name)
    return root


def test_checkpoints_of_one_name_are_told_apart_by_their_weights(folder):
    one, two, three = (weights_hash(folder / name) for name in ("one", "two", "three"))
    assert one == two != three
    assert load_checkpoint(folder / "three")[1].weights == three


def test_a_checkpoint_of_before_the_hash_was_written_has_the_same(folder, tmp_path):
    shutil.copytree(folder / "one", tmp_path / "old")
    head = json.loads((tmp_path / "old" / "checkpoint.json").read_text())
    assert head.pop("weights") == weights_hash(folder / "one")
    (tmp_path / "old" / "checkpoint.json").write_text(json.dumps(head))
    assert weights_hash(tmp_path / "old") == weights_hash(folder / "one")
    head["base"]["llm"] = "another"
    (tmp_path / "old" / "checkpoint.json").write_text(json.dumps(head))
    assert weights_hash(tmp_path / "old") != weights_hash(folder / "one"), "the same connector before another LLM"
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        weights_hash(tmp_path)
