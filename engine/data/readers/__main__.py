"""Corpus folder to manifest:  python -m engine.data.readers woz20 FOLDER --split train --out woz_train.jsonl"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine.data.readers import CorpusError, corpora, corpus_named
from engine.dialogue import SPLITS, Dialogue, write_manifest

_FAVOUR = 4.0  # how much likelier a favoured dialogue's turn is drawn


def utterances(
    dialogues: list[Dialogue],
    count: int | None,
    words: tuple[int, int],
    favour: tuple[str, ...],
    seed: int,
    split: str | None = None,
) -> list[Dialogue]:
    """Distinct user turns as dialogues of one turn without state, in random order, for speech recognition.

    Two recordings of the same words are distinct turns.

    Args:
        count: how many; ``None`` for all.
        words: fewest and most words of a turn.
        favour: beginnings of domain names whose dialogues' turns are drawn four times as often.
        split: what the turns are for; ``None`` keeps each dialogue's own split.
    """
    rng = random.Random(seed)
    keyed: dict[tuple[str, str | None, float | None], tuple[float, Dialogue]] = {}
    for dialogue in dialogues:
        domains = {domain for turn in dialogue.turns for domain in turn.state or {}}
        weight = _FAVOUR if any(domain.startswith(favour) for domain in domains) else 1.0
        for turn in dialogue.user_turns():
            text = turn.transcript or ""
            key = (text, turn.audio, turn.start)
            if key not in keyed and words[0] <= len(text.split()) <= words[1]:
                single = replace(
                    dialogue,
                    dialogue_id=f"{dialogue.dialogue_id}-t{turn.turn_id}",
                    turns=[replace(turn, turn_id=0, state=None)],
                    split=split or dialogue.split,
                )
                keyed[key] = (rng.random() ** (1 / weight), single)
    return [single for _, single in sorted(keyed.values(), key=lambda pair: -pair[0])[:count]]


app = typer.Typer(add_completion=False)
# Click writes a paragraph that begins with \b as it is: one corpus a line.
_LISTING = "\n".join(f"{name}: {known.summary}" for name, known in corpora().items())
HELP = f"Read a corpus into a manifest and say what was dropped or mended.\n\n\b\n{_LISTING}"


@app.command(help=HELP)
def command(
    name: Annotated[str, typer.Argument(metavar="CORPUS", help="One of the corpora listed above.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="The corpus's folder, as published.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The manifest to write.")],
    split: Annotated[str, typer.Option(help=f"{', '.join(SPLITS)}, or the corpus's own name of a part.")] = "train",
    single_turns: Annotated[bool, typer.Option("--single-turns", help="User turns alone, without state, for stage 1.")] = False,
    count: Annotated[int | None, typer.Option(help="At most so many dialogues or single turns.")] = None,
    min_words: int = 1,
    max_words: int = 40,
    favour: Annotated[str, typer.Option(help="Beginnings of domain names to favour among single turns, by commas.")] = "",
    as_split: Annotated[
        str | None, typer.Option(help="Give single turns this split, for instance to train on a validation split.")
    ] = None,
    seed: int = 0,
) -> None:
    console = Console(stderr=True, soft_wrap=True)
    try:
        if as_split and as_split not in SPLITS:
            raise CorpusError(f"no split {as_split!r}; choose of {', '.join(SPLITS)}")
        began = time.monotonic()
        dialogues, report = corpus_named(name).read(folder, split, out.with_name(f"{out.stem}_audio"))
    except (CorpusError, OSError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from error
    console.print("\n".join(report.lines()), markup=False)
    turns, seconds = sum(len(dialogue.turns) for dialogue in dialogues), max(time.monotonic() - began, 1e-3)
    console.print(f"  read in {seconds:.1f} s: {turns} turns, {turns / seconds:.0f} a second", markup=False)
    if single_turns:
        chosen = utterances(dialogues, count, (min_words, max_words), tuple(filter(None, favour.split(","))), seed, as_split)
    else:
        chosen = dialogues[:count]
    write_manifest(out, chosen)
    console.print(f"{out}: {len(chosen)} dialogues", markup=False)


if __name__ == "__main__":
    app()
