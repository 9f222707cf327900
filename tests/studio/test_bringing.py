"""Checkpoints that the engine trained on its own come into the workspace, whole and once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from db.models import Checkpoint
from engine.checkpoints import DEMO
from studio import cli
from studio.errors import StudioError
from studio.services import bringing, checkpoints
from studio.workspace import Workspace

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Path]:
    """A folder as the engine leaves it, with weights of a few numbers."""

    def make(name: str = "wavlm-large_olmo-1b", weight: float = 0.5, run: str = "run", **model: str) -> Path:
        folder = tmp_path / run / "checkpoint"
        folder.mkdir(parents=True)
        head = json.loads((DEMO / "checkpoint.json").read_text()) | {"name": name}
        head["model"] |= model
        (folder / "checkpoint.json").write_text(json.dumps(head))
        shutil.copy(DEMO / "ontology.json", folder)
        for file in ("connector", "adapter"):
            save_file({"weight": torch.full((1000,), weight)}, folder / f"{file}.safetensors")
        return folder

    return make


def left(ws: Workspace) -> list[str]:
    return [path.name for folder in ("checkpoints", "tmp") for path in ws.path(folder).iterdir()]


@pytest.mark.databases("sqlite", "postgresql")
def test_a_checkpoint_trained_elsewhere_is_copied_and_known_again_by_its_content(ws: Workspace, trained) -> None:
    folder = trained()
    found = bringing.bring(ws, folder.parent)
    assert (found.new, found.checkpoint.name, found.checkpoint.parent) == (True, "wavlm-large_olmo-1b", None)
    copy = checkpoints.list_checkpoints(ws)[0].path
    assert copy.parent == ws.path("checkpoints") and not checkpoints.missing_files(copy)
    assert (copy / "adapter.safetensors").read_bytes() == (folder / "adapter.safetensors").read_bytes()
    moved = folder.rename(folder.with_name("moved"))
    assert bringing.bring(ws, moved, "another name") == bringing.Brought(found.checkpoint, False)
    assert bringing.bring(ws, DEMO).checkpoint.name == "demo"
    assert bringing.bring(ws, trained(weight=0.6, run="run2")).checkpoint.name == "wavlm-large_olmo-1b-2", "of the same recipe"
    assert len(left(ws)) == 2


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "checkpoint.json").unlink(), r"no checkpoint here \(checkpoint.json is missing\)"),
        (lambda folder: (folder / "ontology.json").unlink(), "ontology.json is missing"),
        (
            lambda folder: (folder / "adapter.safetensors").unlink(),
            "adapter.safetensors is missing; the checkpoint is incomplete",
        ),
        (lambda folder: (folder / "adapter.safetensors").write_bytes(b"half"), "adapter.safetensors: damaged"),
        (shutil.rmtree, "no checkpoint here"),
    ],
)
def test_half_a_checkpoint_and_what_is_none_are_refused_in_a_sentence_and_leave_nothing(
    ws: Workspace, trained, spoil: Callable[[Path], object], sentence: str
) -> None:
    folder = trained()
    spoil(folder)
    with pytest.raises(StudioError, match=sentence):
        bringing.bring(ws, folder)
    assert left(ws) == [] and len(checkpoints.list_checkpoints(ws)) == 1


def test_a_base_model_that_it_needs_and_that_is_not_here_is_named(ws: Workspace, trained) -> None:
    with pytest.raises(StudioError, match="needs the base model in /nowhere/llm, which is not there"):
        bringing.bring(ws, trained(llm="/nowhere/llm"))
    with pytest.raises(StudioError, match="needs the base model in .*checkpoint/llm, which is not there"):
        bringing.bring(ws, trained(llm="./llm", run="merged"))


def test_a_copy_that_breaks_off_leaves_nothing(ws: Workspace, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bringing, "fsync", full)
    with pytest.raises(StudioError, match="is full: make room there"):
        bringing.bring(ws, trained())
    assert left(ws) == [] and len(checkpoints.list_checkpoints(ws)) == 1


def test_a_name_is_ones_own_and_never_that_of_a_run_to_come(ws: Workspace, trained) -> None:
    with ws.write() as session:
        session.add(Checkpoint(name="run-1", path="runs/1/train/checkpoint", parent_id=1))
    folder = trained(name="run-7")
    for name, sentence in (
        ("demo", "a checkpoint called demo"),
        ("run-7", "as runs have"),
        ("x" * 101, "100 letters"),
        ("../x", "without slashes"),
    ):
        with pytest.raises(StudioError, match=sentence):
            bringing.bring(ws, folder, name)
    assert bringing.bring(ws, folder).checkpoint.name == "from elsewhere"
    assert bringing.bring(ws, trained(name="org/model", run="run2")).checkpoint.name == "org-model"


def test_the_shell_brings_in_and_lists(ws: Workspace, trained) -> None:
    def call(*options: str):
        return CliRunner().invoke(cli.app, ["checkpoints", *options, "--home", str(ws.home)])

    folder = str(trained())
    assert call("add", folder, "--name", "of the lab").stdout == "==> of the lab is here now\n"
    assert call("add", folder).stdout == "==> It is here already, as of the lab\n"
    assert [(item["name"], item["in_use"]) for item in json.loads(call("list", "--json").stdout)] == [
        ("of the lab", False),
        ("demo", True),
    ]
    assert call("list").stdout == "  of the lab\n* demo\n"
    refused = call("add", "/nowhere")
    assert refused.exit_code == 2
    assert refused.stderr == "This is no checkpoint to bring in: /nowhere: no checkpoint here (checkpoint.json is missing).\n"
