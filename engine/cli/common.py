"""What the commands share: options, reading manifests, errors as one sentence."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Checkpoint = Annotated[Path | None, typer.Option(help="Checkpoint folder; the demo checkpoint if not given.")]
_MANIFEST = typer.Option("--manifest", help="Manifest (JSON Lines); may be given several times.")
Manifests = Annotated[list[Path], _MANIFEST]
ManifestsIfAny = Annotated[list[Path] | None, _MANIFEST]
Corpus = Annotated[
    tuple[str, Path] | None,
    typer.Option(
        "--corpus", metavar="NAME FOLDER", help="A corpus's own folder in place of a manifest; `prepare --help` lists the names."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


@contextmanager
def errors(as_json: bool = False) -> Iterator[None]:
    """Turn what a user can mend into one sentence on standard error and exit code 2 (1 when training itself failed).

    With ``as_json`` any failure is told on standard output too, as an object with ``error`` and ``failure`` (`engine.failures`).
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    for library in ("transformers", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # their classes are looked up only now: scoring needs no torch to succeed
        from engine.audio import AudioError
        from engine.base_models import BaseModelError
        from engine.checkpoints import CheckpointError
        from engine.config import RecipeError
        from engine.data.batching import DataError
        from engine.data.readers import CorpusError
        from engine.dialogue import ManifestError
        from engine.failures import kind_of
        from engine.json_text import FileError
        from engine.scoring import ScoreError
        from engine.training import TrainingError

        data = (AudioError, CorpusError, DataError, FileError, ManifestError, ScoreError)
        expected = (*data, BaseModelError, CheckpointError, RecipeError, OSError)

        if as_json and not isinstance(error, typer.Exit):
            print(json.dumps({"error": str(error), "failure": kind_of(error)}, ensure_ascii=False), flush=True)
        if not isinstance(error, (*expected, TrainingError)):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, expected) else 1) from error


def make_folder(out: Path) -> None:
    """The folder, if it is not there yet.

    Raises:
        OSError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FileExistsError(f"{out} is a file, not a folder; give --out another path") from error


def read(manifests: list[Path]) -> list[Any]:
    from engine.dialogue import ManifestError, read_manifest

    dialogues = [dialogue for path in manifests for dialogue in read_manifest(path)]
    seen: set[str] = set()
    for dialogue in dialogues:
        if dialogue.dialogue_id in seen:
            raise ManifestError(f"dialogue {dialogue.dialogue_id!r} is in two of the manifests; every dialogue needs its own id")
        seen.add(dialogue.dialogue_id)
    return dialogues


def read_spoken(manifests: list[Path] | None, corpus: tuple[str, Path] | None, split: str | None = None) -> list[Any]:
    """Dialogues of manifests or of a corpus's folder, whose report goes to standard error; of one split if that is asked for.

    Audio that a corpus packs in containers is extracted to the workspace's cache.
    """
    from engine.base_models import home
    from engine.data.readers import CorpusError, corpus_named
    from engine.dialogue import ManifestError

    if corpus is None and not manifests:
        raise ManifestError("no dialogues given: name a manifest with --manifest, or a corpus with --corpus NAME FOLDER")
    found = [dialogue for dialogue in read(manifests or []) if split is None or dialogue.split == split]
    if corpus is not None:
        name, folder = corpus
        dialogues, report = corpus_named(name).read(folder, split or "test", home() / "cache" / "corpora" / name)
        print("\n".join(report.lines()), file=sys.stderr)
        if not dialogues:
            raise CorpusError(f"{folder}: nothing left to track after what was dropped")
        found += dialogues
    return found
