"""Options of the commands that decode: how answers are searched for, and what stands in the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.config import TaskName

Beams = Annotated[int | None, typer.Option(min=1, help="Hypotheses kept; 1 is greedy. The checkpoint's own if not given.")]
LengthPenalty = Annotated[float | None, typer.Option(help="Of beams: above 1 favours longer answers.")]
NoRepeatNgram = Annotated[int | None, typer.Option(min=0, help="No run of so many tokens occurs twice; for ASR, not for JSON.")]
Grammar = Annotated[bool | None, typer.Option(help="Let only JSON of the ontology's domains and slots be written.")]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="The longest answer.")]
Guard = Annotated[bool, typer.Option(help="Answer recordings without speech with no words and an unchanged state (dst, asr).")]
History = Annotated[
    str,
    typer.Option(
        metavar="own|oracle|FILE",
        help="Earlier user turns as the model heard them, as the manifest has them, or as a recogniser wrote them to a JSON "
        "Lines file (dialogue_id, turn_id, transcript).",
    ),
]
Speakers = Annotated[
    Literal["user", "user+agent"] | None, typer.Option(help="Whose turns the history holds. As in training if not given.")
]


def load_tracker(
    checkpoint: Path | None, device: str, task: TaskName, speakers: str | None = None, guard: bool = True, **settings: Any
) -> Any:
    """A tracker whose decoding settings are the checkpoint's own for the task, those given on the command line in their place.

    Raises:
        RecipeError: settings that do not suit the task.
    """
    from engine.checkpoints import DEMO, read_info
    from engine.config import RecipeError, check_decoding
    from engine.tasks import TASKS
    from engine.tracking import Tracker

    info = read_info(checkpoint or DEMO)
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        decoding = check_decoding(task, info.decoding.get(task, TASKS[task].decoding).model_copy(update=given))
    except ValueError as error:
        raise RecipeError(str(error)) from error
    tracker = Tracker.load(checkpoint, device, decoding={task: decoding}, guard=guard)
    if speakers is not None:
        prompt = tracker.info.prompt.model_copy(update={"history": speakers})
        tracker.info = replace(tracker.info, prompt=prompt)
    return tracker


def choose_history(name: str, dialogues: Sequence[Any]) -> Any:
    """What ``--history`` names.

    Raises:
        ManifestError: a file that is missing or does not fit the dialogues.
    """
    from engine.tracking.history import OWN, oracle_history, read_history

    if name == "own":
        return OWN
    return oracle_history(dialogues) if name == "oracle" else read_history(Path(name), dialogues)
