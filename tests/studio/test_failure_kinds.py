"""Why a job failed, told from what is left of it; the real things are provoked in tests/faults/test_failures.py."""

import errno
from pathlib import Path

import pytest
import torch

from engine.audio import AudioError
from engine.checkpoints import CheckpointError
from engine.failures import kind_of
from engine.training.checks import DiskError, LossError, TrainingError
from studio.errors import StudioError
from studio.services import failures
from studio.workspace import disk_errors


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (caused(TrainingError("out of memory in stage a"), torch.OutOfMemoryError("CUDA out of memory")), "gpu memory"),
        (caused(TrainingError("out of memory in stage a"), MemoryError()), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory"),
        (LossError("the loss became nan"), "loss"),
        (caused(TrainingError("could not read its data"), AudioError("a.flac: no such audio file")), "data"),
        (caused(StudioError("could not answer this turn"), FileNotFoundError(errno.ENOENT, "gone")), "data"),
        (caused(AudioError("unreadable"), OSError(errno.EIO, "Input/output error")), "disk"),
        (DiskError("the resume point could not be written"), "disk"),
        (caused(StudioError("cannot be loaded"), CheckpointError("no checkpoint here")), "weights"),
        (ValueError("something else"), "other"),
    ],
)
def test_an_error_is_of_the_kind_of_what_caused_it(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind


def test_a_full_disk_is_known_behind_the_sentence_people_get(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as refused, disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert kind_of(refused.value) == "disk"


@pytest.mark.parametrize(
    ("told", "code", "log", "kind", "sentence"),
    [
        ({"error": "out of memory in stage a", "failure": "gpu memory"}, 1, "", "gpu memory", "free the GPU and resume"),
        ({}, 1, "RuntimeError: CUDA error: out of memory", "gpu memory", "free the GPU and resume"),
        ({}, -9, "", "memory", "close what else uses it and resume"),
        ({}, 1, "exitcode  : -9\ntraceback : Signal 9 (SIGKILL) received", "memory", "close what else uses it and resume"),
        (
            {"error": "nan", "failure": "loss"},
            1,
            "",
            "loss",
            "resumed it would come to the same: start a new job with a lower learning rate",
        ),
        ({"error": "a.flac: no such file", "failure": "data"}, 1, "", "data", "a.flac: no such file"),
        ({"error": "no checkpoint", "failure": "weights"}, 2, "", "weights", "missing or damaged: no checkpoint"),
        ({}, 1, "OSError: [Errno 28] No space left on device", "disk", "make room on it, then resume"),
        ({"error": "a sentence of its own"}, 1, "", "other", "a sentence of its own"),
        ({"error": "of its own", "failure": "other"}, 1, "watching ends: CUDA out of memory", "other", "of its own"),
        ({"error": "connection closed", "failure": "other"}, 1, "Signal 9 (SIGKILL) received", "memory", "close what else"),
        ({}, 1, "watching ends: CUDA out of memory\n" + "a line\n" * 40 + "KeyError: 1", "other", "KeyError: 1"),
        ({}, -11, "", "other", "signal 11"),
        ({}, 1, "Traceback\nZeroDivisionError: division by zero\n", "other", "division by zero"),
    ],
)
def test_one_line_with_advice_for_each(tmp_path: Path, told: dict, code: int, log: str, kind: str, sentence: str) -> None:
    said, found = failures.why(tmp_path, told, code, log)
    assert (found, sentence in said, "\n" in said) == (kind, True, False), said
    assert list(tmp_path.iterdir()) == [], "what was tried on the disk is gone"


def test_a_folder_that_is_gone_is_told_whatever_the_process_made_of_it(tmp_path: Path) -> None:
    said, kind = failures.why(tmp_path / "gone", {"error": "a.flac: no such audio file", "failure": "data"}, 1, "")
    assert kind == "disk" and "is gone" in said
