"""Where a job's engine runs: on this machine, in several processes under a launcher, or on a Ray cluster.

A backend starts one command of the engine and says how it ended; states, log, metrics, stop and resume are the same for all,
because they are files of the job's folder. It is named by a text, in the settings or of a job: ``local``; ``torchrun:2`` or
``accelerate:2`` (two processes); ``ray@http://head:8265`` (one CPU), ``ray:4gpu@http://head:8265`` (four processes, a GPU each).
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import psutil

from studio.errors import StudioError

LOCAL = "local"
RESULT = "train/result.json"  # below a job's folder: the engine's own word on how it ended
CODES = {"finished": 0, "stopped": 3, "failed": 1}  # what it says there, as its exit codes
DEVICES = Path("/dev")
WSL_DRIVER = "/usr/lib/wsl/lib/nvidia-smi"  # not always on the path there
_NAME = re.compile(
    r"(?P<kind>local)|(?P<launcher>torchrun|accelerate):(?P<processes>[1-9]\d{0,2})"
    r"|ray(:(?P<several>[1-9]\d{0,2})(?P<gpu>gpu)?)?@(?P<address>https?://\S+)"
)


class SilentError(StudioError):
    """Where a job was to be started does not answer: it waits in the queue."""


class LostError(StudioError):
    """A job's command is known to have died with the place where it ran."""


class Running(Protocol):
    """A started command. ``trouble`` says why nobody can tell how it is, as long as that is so."""

    trouble: str | None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; ``None`` while it runs.

        Raises:
            LostError: it died with the place where it ran.
        """

    def end(self) -> None:
        """End it with all its processes, and nothing else."""


@dataclass(frozen=True)
class Backend:
    """A place to run; ``address`` is that of Ray's dashboard, of which ``gpu`` asks a GPU for each process, not a CPU."""

    kind: str = LOCAL
    processes: int = 1
    gpu: bool = False
    address: str = ""

    @property
    def name(self) -> str:
        """The text that `named` reads."""
        if self.kind == "ray":
            several = f":{self.processes}{'gpu' if self.gpu else ''}" if self.processes > 1 or self.gpu else ""
            return f"ray{several}@{self.address}"
        return self.kind if self.kind == LOCAL else f"{self.kind}:{self.processes}"

    @property
    def is_here(self) -> bool:
        """Whether it computes on this machine: so does a Ray cluster whose head is here, whatever other nodes it has."""
        return self.kind != "ray" or _is_here(urlsplit(self.address).hostname or "")

    def check(self) -> None:
        """Look whether it can be had from here, in seconds.

        Raises:
            StudioError: a launcher or Ray is not installed, this machine has too few GPUs or cores, or no cluster answers.
        """
        if self.kind == "ray":
            from studio.backends import ray

            ray.check(self.address)
            return
        if self.kind == "accelerate" and find_spec("accelerate") is None:
            raise StudioError("accelerate is not installed here: take torchrun, or pip install accelerate.")
        cards = gpus()
        places, what = (cards, "GPU") if cards else (os.cpu_count() or 1, "core")
        if self.processes > places:
            has = f"{places} {what}{'' if places == 1 else 's'}"
            raise StudioError(f"{self.processes} processes do not fit on this machine, which has {has}: name {places} at most.")

    def answers(self) -> bool:
        """Whether a job could be started there now, as far as that changes by itself."""
        if self.kind != "ray":
            return True
        from studio.backends import ray

        return ray.answers(self.address)

    def start(self, arguments: Sequence[str], folder: Path) -> Running:
        """Run the engine with ``arguments``; what it says goes where this process's output goes, or to the job's log.

        Raises:
            SilentError: the cluster does not answer.
            StudioError: it cannot be started there.
        """
        command = [*launcher(self.kind, self.processes), *engine_command(), *arguments]
        if self.kind == "ray":
            from studio.backends import ray

            needs = {"gpus" if self.gpu else "cpus": self.processes}
            return ray.start(self.address, command, folder, **needs)
        from studio.backends import local

        return local.start(command)


def silent(address: str, since: datetime, meanwhile: str) -> str:
    """The phase of a job whose cluster does not answer, and what that means for it."""
    return f"Ray cluster at {address} does not answer since {since:%H:%M}; {meanwhile}"


def named(text: str) -> Backend:
    """The backend of that name.

    Raises:
        StudioError: there is none such.
    """
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise StudioError(f"There is no backend {text!r}: name local, torchrun:2, accelerate:2 or ray@http://HEAD:8265.")
    kind, processes = match["kind"] or match["launcher"] or "ray", int(match["processes"] or match["several"] or 1)
    return Backend(kind, processes, bool(match["gpu"]), match["address"] or "")


def launcher(kind: str, processes: int) -> list[str]:
    """What comes before the engine's command to run it in several processes of one machine."""
    if kind == "accelerate":
        # Said in full: else it would ask a configuration file of the user's
        where = ["--multi_gpu"] if gpus() else ["--cpu"]
        settings = {"num_machines": 1, "num_processes": processes, "num_cpu_threads_per_process": 1, "mixed_precision": "no"}
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        return [sys.executable, "-m", "accelerate.commands.launch", *where, *options, "--dynamo_backend", "no", "--no_python"]
    if kind == "torchrun" or processes > 1:
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--no-python"]
    return []


def gpus() -> int:
    """How many GPUs of this machine CUDA can use; asked without loading torch.

    ``CUDA_VISIBLE_DEVICES`` names those it may see, by number or id; as for CUDA, the list ends at the first that is not there.
    """
    there = len(list(DEVICES.glob("nvidia[0-9]*"))) or _told_by_driver()
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return there
    seen = 0
    for part in map(str.strip, os.environ["CUDA_VISIBLE_DEVICES"].split(",")):
        if not there or not (part.startswith(("GPU-", "MIG-")) or (part.isdecimal() and int(part) < there)):
            break
        seen += 1
    return seen


@cache
def _told_by_driver() -> int:
    """How many GPUs nvidia-smi lists: under WSL 2 and Windows they are no files. Asked once, for it takes up to seconds."""
    program = shutil.which("nvidia-smi") or WSL_DRIVER
    try:
        told = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in told.splitlines())


@cache
def _is_here(host: str) -> bool:
    """Whether a name or address is this machine's."""
    if host == socket.gethostname():
        return True
    try:
        named = {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    own = {address.address for several in psutil.net_if_addrs().values() for address in several}
    return any(ipaddress.ip_address(address.partition("%")[0]).is_loopback or address in own for address in named)


def engine_command() -> list[str]:
    """How the engine is called; ``DST_STUDIO_ENGINE`` names another program with the same arguments (tests do)."""
    return shlex.split(os.environ.get("DST_STUDIO_ENGINE", "")) or [sys.executable, "-m", "engine"]


def end_left(folder: Path) -> None:
    """End what a dead job process left running elsewhere."""
    from studio.backends import ray

    ray.end_left(folder)
