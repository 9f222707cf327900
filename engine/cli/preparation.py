"""Commands that make manifests: of a corpus, of dialogue states (triplets), of a recogniser's words."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from engine.cli.common import Checkpoint, Device, errors, read
from engine.data.readers.__main__ import HELP as CORPORA
from engine.data.readers.__main__ import command as corpus
from engine.dialogue import INSTRUCTION_TASKS

Out = Annotated[Path, typer.Option(dir_okay=False, help="The manifest to write.")]
Manifest = Annotated[Path, typer.Argument(help="Manifest (JSON Lines).")]


class _Prepare(TyperGroup):
    """``prepare CORPUS FOLDER`` is short for ``prepare corpus CORPUS FOLDER``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["corpus", *args])


prepare = typer.Typer(
    cls=_Prepare, no_args_is_help=True, help=f"Make a manifest: prepare CORPUS FOLDER, or a command below.\n\n{CORPORA}"
)
prepare.command("corpus", help=CORPORA)(corpus)


@prepare.command()
def triplets(
    manifest: Manifest,
    out: Out,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help=f"Of {', '.join(INSTRUCTION_TASKS)}; may be given again. Slot filling if not given."),
    ] = None,
    context: Annotated[str, typer.Option(help="Turns before the user's that the model reads: a number or a range.")] = "0-3",
    distractors: Annotated[str, typer.Option(help="Slots asked for that the user does not mention.")] = "1-5",
    empty: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the turns without a new value that get a triplet, of distractors alone.")
    ] = 0.2,
    seed: int = 1,
    schema: Annotated[
        Path | None,
        typer.Option(help="Slot descriptions: schema.json of SGD or MultiWOZ 2.2, an ontology, {domain: {slot: description}}."),
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="A domain, or domain-slot, to leave out for zero-shot tests; may be given again.")
    ] = None,
) -> None:
    """Make instruction triplets of labelled dialogues: slot filling, questions about speech, spoken queries (paper 2)."""
    from engine.data.slots import known_slots, read_schema
    from engine.data.triplets import TripletSettings, with_triplets
    from engine.dialogue import write_manifest

    for task in tasks or ():
        if task not in INSTRUCTION_TASKS:
            raise typer.BadParameter(f"{task!r} is none of {', '.join(INSTRUCTION_TASKS)}", param_hint="--task")
    with errors():
        ranges = _range("--context", context, 0), _range("--distractors", distractors, 1)
        settings = TripletSettings(*ranges, empty, seed, frozenset(hold_out or ()))
        slots = known_slots() if schema is None else read_schema(schema)
        dialogues = with_triplets(read([manifest]), slots, settings, tasks or ("slot-filling",))
        write_manifest(out, dialogues)
    made = Counter(t.task for dialogue in dialogues for turn in dialogue.turns for t in turn.instructions or ())
    counts = ", ".join(f"{count} triplets for {task}" for task, count in made.items()) or "no triplet"
    print(f"{out}: {len(dialogues)} dialogues, {counts}", file=sys.stderr)


@prepare.command()
def heard(
    manifest: Manifest,
    out: Out,
    checkpoint: Checkpoint = None,
    batch: Annotated[int, typer.Option(min=1, help="Turns recognised together.")] = 16,
    device: Device = "auto",
) -> None:
    """Write what a checkpoint's recogniser hears in each spoken user turn, for training with a history of own transcripts."""
    from engine.dialogue import write_manifest
    from engine.tasks import TASKS
    from engine.tracking import Tracker, answer_examples

    with errors():
        dialogues = read([manifest])
        tracker = Tracker.load(checkpoint, device)
        examples = [example for dialogue in dialogues for example in TASKS["asr"].examples(dialogue, tracker.info.prompt)]
        for answer in answer_examples(tracker, examples, batch=batch):
            answer.example.turn.heard = answer.text
        write_manifest(out, dialogues)
    print(f"{out}: {len(dialogues)} dialogues, {len(examples)} turns heard", file=sys.stderr)


def _range(option: str, text: str, least: int) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        low, high = -1, -1
    if not least <= low <= high:
        raise typer.BadParameter(f"{text!r} is no number or range from {least} on, such as {least}-3", param_hint=option)
    return low, high
