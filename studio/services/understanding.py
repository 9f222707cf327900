"""What the model in use hears and understands. One tracker is kept per process; it changes with the checkpoint in use."""

from __future__ import annotations

from collections.abc import Callable

from studio.services.dialogues import DialogueView, TurnView
from studio.workspace import Workspace


def predict_turn(ws: Workspace, turn_id: int) -> TurnView:
    """Transcribe a turn and, for a user turn, work out the state after it; store and return it.

    The history is what stands in earlier turns (corrected before the model's) and so is the previous state. Earlier turns
    without a prediction are predicted first. Seconds on a CPU: call it where the page can show progress.

    Raises:
        StudioError: no such turn, no recording, or the model cannot be loaded or run.
    """
    raise NotImplementedError


def predict_dialogue(
    ws: Workspace, dialogue_id: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> DialogueView:
    """Predict every turn that has a recording and no prediction yet, in order; ``progress(done, total)`` after each."""
    raise NotImplementedError


def warm_up(ws: Workspace) -> None:
    """Load the checkpoint in use, so that the first turn does not wait for it. Safe to call from a background thread."""
    raise NotImplementedError
