"""What comes in: a manifest or a corpus, as a file, a folder or an archive, read into dialogues.

The formats are the engine's readers and writers; `imports` and `exports` bring dialogues into a project and out of it.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from engine.data.readers import CorpusError, NotHereError, corpora
from engine.data.writers import layouts
from engine.dialogue import SPLITS, Dialogue
from studio.errors import StudioError
from studio.services import manifests
from studio.workspace import Workspace, disk_errors

MANIFEST = "manifest"
REVISIONS = "revisions"
EXAMPLES = Path(__file__).parent.parent / "assets" / "examples"
T = TypeVar("T")
_ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
_LEFT_OUT = ("heard", "translation", "instructions")  # what turns may carry and the studio has no place for


@dataclass(frozen=True)
class Source:
    """What was read: dialogues, and what the reader dropped, mended or has to say, a sentence each."""

    path: Path
    format: str
    dialogues: list[Dialogue]
    findings: list[str] = field(default_factory=list)


def import_formats() -> dict[str, str]:
    """Every format that can be read, by name, with a line about it."""
    return {MANIFEST: "this program's own format, JSON Lines, with recordings"} | {
        name: corpus.summary for name, corpus in corpora().items()
    }


def export_formats() -> dict[str, str]:
    """Every format that can be written, by name, with a line about it."""
    return (
        {MANIFEST: "this program's own format, JSON Lines, with recordings"}
        | {name: layout.summary for name, layout in layouts().items()}
        | {REVISIONS: "every change of a transcript or state: who, when, old, new, from where (CSV)"}
    )


def example(name: str) -> list[tuple[str, str]]:
    """The text files of the example of a format, ``(name, text)``; none for a format that only readers know."""
    folder = EXAMPLES / name
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                texts = [(f"{path.name}: {member}", archive.read(member)) for member in sorted(archive.namelist())]
        else:
            texts = [(path.relative_to(folder).as_posix(), path.read_bytes())] if path.is_file() else []
        found += [(name, text.decode()) for name, text in texts if not name.endswith((".flac", ".wav"))]
    return found


def in_parts(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``things``, ``size`` at a time."""
    return (things[first : first + size] for first in range(0, len(things), size))


def check_source(path: Path, name: str) -> None:
    """Whether there is something to read, and such a format.

    Raises:
        StudioError: there is not.
    """
    if name not in import_formats():
        raise StudioError(f"There is no format {name!r} to import; choose one of {', '.join(import_formats())}.")
    if not path.exists():
        raise StudioError(f"There is no file or folder {path}: check the path; it is one on the machine the studio runs on.")


@contextmanager
def opened(
    ws: Workspace,
    path: str | Path,
    name: str = MANIFEST,
    splits: Sequence[str] = (),
    confined: bool = False,
    say: Callable[[str], None] = lambda phase: None,
) -> Iterator[Source]:
    """Read ``path`` in the format ``name``; what had to be unpacked is gone when the block ends.

    Args:
        path: a folder, an archive of one (zip, tar), or a file in one.
        splits: the splits to read, or the corpus's own names of parts; all that are there if none is named.
        confined: it is an upload. It must not name other files of this machine, and people know it by its name alone.
        say: told in plain words what is read now.

    Raises:
        StudioError: no such format, or it cannot be read; the message says which file, line and reason.
    """
    path = Path(path).expanduser()
    check_source(path, name)
    with disk_errors(ws.home):
        ws.path("tmp").mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=ws.path("tmp"), prefix="import-", ignore_cleanup_errors=True) as scratch:
            try:
                say(f"reading {path.name}")
                place = _unpacked(path, Path(scratch) / "files")
                if name == MANIFEST:
                    source = _read_manifest(path, place, splits)
                else:
                    folder = place if place.is_dir() else place.parent
                    source = _read_corpus(path, folder, name, splits, Path(scratch) / "audio", say)
                if confined:
                    _check_confined(source, (place if place.is_dir() else place.parent, Path(scratch)))
                yield source
            except StudioError as error:  # people know the archive, not where it was unpacked
                told = str(error).replace(str(Path(scratch) / "files"), str(path))
                raise StudioError(told.replace(f"{path.parent}{os.sep}" if confined else "\0", "")) from error


def _read_manifest(path: Path, place: Path, splits: Sequence[str]) -> Source:
    if place.is_dir():
        found = sorted(place.glob("manifest.jsonl*")) or sorted(place.glob("*.jsonl*"))
        if len(found) != 1:
            raise StudioError(f"{path} should hold one manifest, manifest.jsonl, and holds {len(found)}: give the file itself.")
        place = found[0]
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise StudioError(f"There is no split {unknown[0]!r}; choose of {', '.join(SPLITS)}.")
    return _source(path, MANIFEST, [d for d in manifests.read(place) if not splits or d.split in splits], [])


def _read_corpus(
    path: Path, folder: Path, name: str, splits: Sequence[str], extracted: Path, say: Callable[[str], None]
) -> Source:
    corpus = corpora()[name]
    found: dict[str, Dialogue] = {}
    findings: list[str] = []
    missing: list[NotHereError] = []
    for split in splits or SPLITS:
        say(f"reading {split} of {path.name}")
        try:
            dialogues, report = corpus.read(folder, split, extracted)
        except NotHereError as error:
            if splits:
                raise StudioError(f"{error}.") from error
            missing.append(error)
            continue
        except (CorpusError, OSError) as error:
            raise StudioError(f"{error}.") from error
        # A corpus that names no splits gives the same dialogues whichever is asked for
        if not all(dialogue.dialogue_id in found for dialogue in dialogues):
            findings += [line.strip() for line in report.lines()[1:]]
        for dialogue in dialogues:
            known = found.setdefault(dialogue.dialogue_id, dialogue)
            if known.turns != dialogue.turns:
                raise StudioError(
                    f"{path}: the name {dialogue.dialogue_id!r} stands for one dialogue in {known.split} and another in "
                    f"{dialogue.split}; import one split at a time."
                )
    if not found and missing:
        raise StudioError(f"{missing[0]}.")
    return _source(path, name, list(found.values()), list(dict.fromkeys(findings)))


def _source(path: Path, name: str, dialogues: list[Dialogue], findings: list[str]) -> Source:
    if not dialogues:
        raise StudioError(f"{path} holds no dialogue of what was asked for.")
    for key in _LEFT_OUT:
        if number := sum(getattr(turn, key) is not None for dialogue in dialogues for turn in dialogue.turns):
            findings.append(f"note: {key!r} of {number} turns is not kept: the studio has no place for it")
    return Source(path, name, dialogues, findings)


def _check_confined(source: Source, folders: Sequence[Path]) -> None:
    allowed = [folder.resolve() for folder in folders]
    for dialogue in source.dialogues:
        for turn in dialogue.turns:
            if turn.audio and not any(Path(turn.audio).resolve().is_relative_to(folder) for folder in allowed):
                raise StudioError(
                    f"{source.path.name}: dialogue {dialogue.dialogue_id}, turn {turn.turn_id} names a recording that was not "
                    "uploaded with it: upload a zip of the folder with its recordings."
                )


def _unpacked(path: Path, folder: Path) -> Path:
    """The folder that an archive holds; anything else as it is. ConvLab's ``data.zip`` is its reader's own."""
    if path.is_dir() or not path.name.endswith(_ARCHIVES) or path.name == "data.zip":
        return path
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                _check_room(path, sum(entry.file_size for entry in archive.infolist()), folder.parent)
                archive.extractall(folder)
        else:
            with tarfile.open(path) as archive:
                _check_room(path, sum(entry.size for entry in archive), folder.parent)
                archive.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError) as error:
        raise StudioError(f"{path.name} cannot be unpacked ({error}): pack it again as an ordinary zip file.") from error
    while len(inside := [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]) == 1:
        if not inside[0].is_dir() or inside[0].name in SPLITS:
            break
        folder = inside[0]
    return folder


def _check_room(path: Path, size: int, folder: Path) -> None:
    if size > shutil.disk_usage(folder).free // 2:
        raise StudioError(f"{path.name} would fill the disk when unpacked ({size / 1e9:.1f} GB): unpack it elsewhere.")
