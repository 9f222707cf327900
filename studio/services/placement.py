"""Where jobs run that name no backend, who computes on this machine's GPU now, and what the live model does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from db.repositories import settings
from studio import backends
from studio.services import lease
from studio.services.lease import WhileTraining
from studio.workspace import Workspace


@dataclass(frozen=True)
class Placement:
    """``backend`` as `backends.named` reads it; ``gpus`` of this machine; ``holder`` of its GPU in words, if anybody has it."""

    backend: str
    while_training: WhileTraining
    gpus: int
    holder: str | None

    @property
    def sentences(self) -> list[str]:
        """How it stands and what follows from it, for people."""
        return [_where(backends.named(self.backend), self.gpus), self._gpu()]

    def _gpu(self) -> str:
        if not self.gpus:
            return "This machine has no GPU: a job and the live model share its processor, and both are slower while a job runs."
        meanwhile = "answers on the CPU, slower," if self.while_training == "cpu" else "does not answer"
        holds = f"{self.holder[0].upper()}{self.holder[1:]} has the GPU now." if self.holder else "Nobody uses the GPU now."
        return f"{holds} A job takes it from the live model, which then {meanwhile} until the job is done."


def placement(ws: Workspace) -> Placement:
    """How it stands."""
    return Placement(default_backend(ws), lease.while_training(ws), backends.gpus(), lease.holder(ws))


def live_sentence(ws: Workspace) -> str | None:
    """What has to be known who talks to the live model: that a job has the GPU and what follows; ``None`` where none has."""
    job = lease.before_live(ws) if lease.has_gpu() else None
    if job is None:
        return None
    if lease.while_training(ws) == "cpu":
        return f"{job.capitalize()} has the GPU: until it is done, the model answers on the CPU, slower."
    return f"{job.capitalize()} has the GPU: turns are saved, and the model answers them when it is done and you ask again."


def default_backend(ws: Workspace) -> str:
    """Where jobs run that name no backend."""
    with ws.read() as session:
        return settings.get(session, settings.TRAINING_BACKEND, backends.LOCAL)


def set_default_backend(ws: Workspace, backend: str) -> None:
    """Choose where jobs run that name no backend; jobs that are queued already keep theirs.

    Raises:
        StudioError: there is none such, or it cannot be had from here.
    """
    chosen = backends.named(backend)
    chosen.check()
    with ws.write() as session:
        settings.put(session, settings.TRAINING_BACKEND, chosen.name)


def _where(chosen: backends.Backend, gpus: int) -> str:
    several = f"{chosen.processes} processes" if chosen.processes > 1 else "one process"
    if chosen.kind == "ray":
        each = "a GPU" if chosen.gpu else "a CPU"
        return (
            f"Jobs train on the Ray cluster at {chosen.address}, in {several} with {each} each; its nodes have to see the "
            "workspace folder and this program under the same paths. Scoring runs on this machine."
        )
    if chosen.kind == backends.LOCAL:
        idle = " The other GPUs stay idle: choose as many processes as there are GPUs." if gpus > 1 else ""
        return f"Jobs train on this machine, in one process.{idle}"
    shared = "each on a GPU of its own" if gpus else "which share its processor"
    return f"Jobs train on this machine, in {several} started by {chosen.kind}, {shared}."
