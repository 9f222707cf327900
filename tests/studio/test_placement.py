"""Where jobs run and what the live model does meanwhile: chosen in words, refused in one sentence."""

import json

import pytest
from typer.testing import CliRunner

from studio import backends, cli
from studio.errors import StudioError
from studio.services import lease, placement
from studio.workspace import Workspace

pytestmark = pytest.mark.databases("sqlite")


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("torchrun:900", "900 processes do not fit on this machine"),
        ("slurm", "There is no backend 'slurm'"),
        ("ray@http://127.0.0.1:1", "There is no Ray cluster at http://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(ws: Workspace, name: str, refusal: str, monkeypatch) -> None:
    monkeypatch.setattr("studio.backends.ray.find_spec", lambda name: object())
    with pytest.raises(StudioError, match=refusal):
        placement.set_default_backend(ws, name)
    assert placement.placement(ws).backend == "local"


def test_processes_are_counted_by_gpus_where_there_are_some(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "gpus", lambda: 2)
    with pytest.raises(StudioError, match="which has 2 GPUs: name 2 at most"):
        placement.set_default_backend(ws, "torchrun:3")
    placement.set_default_backend(ws, "torchrun:2")
    where, gpu = placement.placement(ws).sentences
    assert "2 processes started by torchrun, each on a GPU of its own" in where
    assert gpu.startswith("Nobody uses the GPU now. A job takes it from the live model, which then answers on the CPU")
    assert lease.take(ws, "job 3")
    lease.set_while_training(ws, "wait")
    assert placement.placement(ws).sentences[1].startswith("Job 3 has the GPU now.")
    assert "does not answer until the job is done" in placement.placement(ws).sentences[1]
    lease.release(ws)


def test_the_shell_says_and_chooses_it_too(ws: Workspace) -> None:
    def call(*options: str):
        return CliRunner().invoke(cli.app, ["settings", *options, "--home", str(ws.home)])

    chosen = call("--backend", "torchrun:1", "--while-training", "wait", "--json")
    assert chosen.exit_code == 0, chosen.output
    found = json.loads(chosen.stdout)
    assert (found["backend"], found["while_training"]) == ("torchrun:1", "wait")
    assert lease.while_training(ws) == "wait"
    refused = call("--while-training", "sleep")
    assert (refused.exit_code, refused.stderr.strip()) == (
        2,
        "The live model cannot do 'sleep' while a job trains: choose cpu (answer slower) or wait.",
    )
    assert "in one process started by torchrun" in call().stdout
