"""A run's folder: metrics, resume point, result. What is in it is never overwritten by another run.

metrics.jsonl              one object a step
pulse.json                 what it does now, and what is usual for that; written at each sign it gives (`pulse.py`)
base_models.json           the hashes of the files that the base models were loaded from
samples.json               what the model answered to a few turns when it was last evaluated or watched
resume/state.safetensors   everything an exact resume needs, replaced atomically; what is no tensor is JSON in its header
resume/best-*.safetensors  the weights of a stage's best evaluation, written before the state that names them
checkpoint/                the result, renamed into place when complete
last_good/                 the weights before a step that failed
stopped/                   the weights where it was stopped; gone when it goes on
result.json                how the run ended
stop                       made by whoever wants it to save and end
lock                       locked by the process that writes here
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.base_models import fsync, other_files
from engine.data.batching import DataError

LOCK_SECONDS = 30.0  # what another process gets to leave the folder


class RunFolderError(DataError):
    """A folder that holds another run, or a run that cannot go on; nothing in it was changed."""


class RunFolder:
    """The files of one run. ``identity`` says what must be unchanged for a resumed run to equal an uninterrupted one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint"
        self.last_good = path / "last_good"
        self.stopped = path / "stopped"
        self.metrics = path / "metrics.jsonl"
        self.base_models = path / "base_models.json"
        self.samples = path / "samples.json"
        self.pulse = path / "pulse.json"
        self.result = path / "result.json"
        self.stop = path / "stop"
        self._state = path / "resume" / "state.safetensors"
        self._lock = FileLock(path / "lock", LOCK_SECONDS, is_singleton=True, fallback_to_soft=False)

    def check(self, resume: bool) -> None:
        """Refuse to begin over an earlier run.

        Raises:
            RunFolderError: a finished run is there, or an unfinished one that is not to be resumed.
        """
        if resume:
            return
        if self.checkpoint.exists():
            raise RunFolderError(f"{self.path} holds a finished run; choose another --out folder")
        if self._state.exists():
            raise RunFolderError(f"{self.path} holds an unfinished run; add --resume, or choose another --out folder")

    def read_state(self) -> dict[str, Any] | None:
        """The state to go on from, if there is one.

        Raises:
            RunFolderError: it is damaged.
        """
        return _read(self._state) if self._state.exists() else None

    def claim(self, identity: dict[str, str]) -> None:
        """Make the folder ready for a run, or for an unfinished one to go on.

        Steps logged after the resume point are dropped: they run again. So are broken lines, which a power cut may leave.

        Raises:
            RunFolderError: another process writes here, the unfinished run has another recipe, base or training data, or its
                resume point is damaged.
        """
        self._keep_others_out()
        state = _read(self._state, tensors=False) if self._state.exists() else None
        for what, mine in identity.items():
            if state is not None and state["identity"].get(what) != mine:
                raise RunFolderError(f"{self.path} cannot be resumed: its {what} changed since; put it back, or start a new run")
        self.stop.unlink(missing_ok=True)
        self.result.unlink(missing_ok=True)
        for begun in self._state.parent.glob(".tmp*"):  # what safetensors had begun to write when it was killed
            begun.unlink()
        for left in (self.last_good, self.stopped):
            shutil.rmtree(left, ignore_errors=True)
        if state is None:
            self.samples.unlink(missing_ok=True)
        done = state["done"] if state else 0
        lines = [line for line in self._lines() if line["step"] <= done]
        if len(lines) < done:
            print(f"the figures of {done - len(lines)} of {done} steps are lost from {self.metrics}", file=sys.stderr, flush=True)
        _replace(self.metrics, "".join(json.dumps(line) + "\n" for line in lines))

    def _keep_others_out(self) -> None:
        """Lock the folder until `leave`, or as long as this process lives, on whatever machine the others are."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise RunFolderError(f"another process writes to {self.path}: end it, or wait until it has ended") from error
        except (NotImplementedError, OSError):  # not every disk has locks; a full one is told by what is written next
            print(f"{self.path} cannot be locked: let no other process write there", file=sys.stderr, flush=True)

    def leave(self) -> None:
        """Let other processes write here."""
        self._lock.release(force=True)

    def note_base_models(self, hashes: dict[str, dict[str, str]], resumed: bool) -> None:
        """Keep the hashes of the base models' files, by ``encoder`` and ``llm``.

        Raises:
            RunFolderError: the run that is resumed began with other ones.
        """
        before = json.loads(self.base_models.read_text(encoding="utf-8")) if resumed and self.base_models.exists() else {}
        for part, name in other_files(before, hashes).items():
            raise RunFolderError(
                f"{self.path} cannot be resumed: {name} of its {part} changed since; put it back, or start a new run"
            )
        _replace(self.base_models, json.dumps(hashes, indent=1))

    def log(self, **values: Any) -> None:
        """Append one step's figures."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def beat(self, sign: dict[str, Any]) -> None:
        """Replace the newest sign. Without room for it the run goes on: what matters more will say so."""
        partial = self.pulse.with_suffix(".partial")
        with suppress(OSError):
            partial.write_text(json.dumps(sign), encoding="utf-8")
            partial.replace(self.pulse)

    def save_samples(self, **content: Any) -> None:
        """Replace the sample answers."""
        _replace(self.samples, json.dumps(content, ensure_ascii=False))

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the resume point; a power cut or a full disk leaves the old or the new one, and the figures up to it."""
        if self.metrics.exists():
            fsync(self.metrics)
        _save(self._state, state)
        for file in self._state.parent.glob("best-*.safetensors"):
            if file != self._best(state["stage"], state["best"]["step"]):
                file.unlink()

    def save_best(self, stage: int, step: int, weights: dict[str, Tensor]) -> None:
        """Put the weights of a stage's best evaluation aside."""
        _save(self._best(stage, step), weights)

    def read_best(self, stage: int, step: int) -> dict[str, Tensor]:
        """The weights put aside; none where no evaluation gave a finite loss."""
        return _read(self._best(stage, step)) if step else {}

    def _best(self, stage: int, step: int) -> Path:
        return self._state.parent / f"best-{stage}-{step}.safetensors"

    def drop_state(self) -> None:
        """The run is finished: its checkpoint is all that is needed."""
        shutil.rmtree(self._state.parent, ignore_errors=True)

    def write_result(self, status: str, seconds: float, error: str | None = None, failure: str | None = None) -> dict[str, Any]:
        """Write ``result.json``: ``status`` is finished, stopped or failed, ``error`` a sentence for people, ``failure`` its
        kind (`engine.failures`)."""
        steps = self._lines()[-1:]
        result = {"status": status, "steps": steps[0]["step"] if steps else 0, "seconds": round(seconds, 1)}
        result |= {"error": error, "failure": failure}
        _replace(self.result, json.dumps(result, ensure_ascii=False))
        return result

    def _lines(self) -> list[dict[str, Any]]:
        """What was logged, without lines that are broken."""
        found = []
        for line in self.metrics.read_bytes().splitlines() if self.metrics.exists() else ():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found


def _replace(path: Path, text: str) -> None:
    """Write a small file so that whoever reads it, or finds it after a power cut, sees the old or the new one."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    fsync(partial)
    partial.replace(path)


def _save(path: Path, content: dict[str, Any]) -> None:
    """Write a file under another name, force it to the disk, rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    tensors: dict[str, Tensor] = {}
    head = _without_tensors(content, tensors, "")
    try:
        save_file(tensors, partial, {"head": json.dumps(head)})
        fsync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path, *, tensors: bool = True) -> dict[str, Any]:
    """What `_save` wrote; ``tensors=False`` leaves them in the file.

    Raises:
        RunFolderError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            content: dict[str, Any] = json.loads(file.metadata()["head"])
            for name in file.keys() if tensors else ():
                *parents, last = name.split("/")
                place = content
                for parent in parents:
                    place = place[parent]
                place[last] = file.get_tensor(name).clone()  # the file itself is replaced while they are in use
            return content
    except (SafetensorError, ValueError, KeyError) as error:
        raise RunFolderError(f"{path} is damaged ({error}); put it back, or start a new run elsewhere") from error


def _without_tensors(content: dict[str, Any], tensors: dict[str, Tensor], path: str) -> dict[str, Any]:
    """``content`` without its tensors, which go into ``tensors`` by their path."""
    rest: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            tensors[path + key] = value.contiguous()
        else:
            rest[key] = _without_tensors(value, tensors, f"{path}{key}/") if isinstance(value, dict) else value
    return rest
