"""Where jobs run and what the live model does meanwhile: chosen in words, refused in one sentence."""

import json

import pytest
from typer.testing import CliRunner

from studio import backends, cli
from studio.errors import StudioError
from studio.services import lease, placement, training
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


@pytest.mark.parametrize(
    ("visible", "number"),
    [(None, 3), ("", 0), ("0", 1), ("2,0", 2), ("1,-1,2", 1), ("0,7", 1), ("NoDevFiles", 0), ("GPU-8932f937,MIG-a1", 2)],
)
def test_only_gpus_that_cuda_may_see_count(tmp_path, monkeypatch, visible: str | None, number: int) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(backends, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert backends.gpus() == number


def test_where_gpus_are_no_files_the_driver_is_asked_once(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho 'GPU 0: RTX (UUID: GPU-1)'\necho '  MIG 1g (UUID: MIG-1)'\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(backends, "DEVICES", tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    backends._told_by_driver.cache_clear()
    try:
        assert (backends.gpus(), backends.gpus()) == (1, 1)
        assert (tmp_path / "asked").read_text() == "asked\n"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        assert backends.gpus() == 0
    finally:
        backends._told_by_driver.cache_clear()


def test_a_job_is_refused_where_its_backend_cannot_be_had(ws: Workspace, project: int, corrected, monkeypatch) -> None:
    monkeypatch.setattr("studio.backends.ray.find_spec", lambda name: object())
    corrected()
    with pytest.raises(StudioError, match="There is no Ray cluster at http://127.0.0.1:1 .*: start one with ray start --head"):
        training.start_job(ws, project, 1, "adapt", backend="ray@http://127.0.0.1:1")
    assert training.list_jobs(ws) == []


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
