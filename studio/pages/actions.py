"""What can be done to the turn that the Correct page shows, as plain values that a conflict can keep for later."""

from __future__ import annotations

from typing import Any

from studio.services import corrections, people
from studio.services.views import TurnView
from studio.workspace import Workspace

# What one wants changed: ("transcript", text), ("slot", domain, slot, value), ("mark", domain, slot, value shown),
# ("state", state), ("accept",), ("undo",), ("redo",), ("restore", revision's id).
# One that met a conflict is kept, so that it can be saved once both versions were seen.
Action = tuple[Any, ...]
# What the page last saw of a turn: its id, and the revisions and the model's answer that a save expects to find.
# ``layer`` says whose labels were seen (`TurnView.layer`).
Seen = dict[str, Any]

# What a change of each kind looks at.
LOOKS = {"transcript": ("transcript", "any"), "state": ("state", "any", "prediction")}
LOOKS |= dict.fromkeys(("slot", "mark"), ("state", "any"))


def sight(item: TurnView) -> Seen:
    """What is seen of a turn that is shown."""
    return {
        "turn": item.id,
        "transcript": item.transcript_head,
        "state": item.state_head,
        "any": item.head,
        "prediction": item.prediction_id,
        "layer": item.layer,
    }


def on_view(item: TurnView) -> str:
    """The turn that a page draws, and the answer with it. The browser sends it along with what is done: by the time that the
    server comes to it another turn may be open, or another answer stand.
    """
    return f"{item.id}:{item.prediction_id or ''}"


def left_behind(seen: Seen, on_view: str | None) -> int | None:
    """The turn that something was done to, where another one is open by now."""
    turn = (on_view or "").partition(":")[0]
    return int(turn) if turn and int(turn) != seen.get("turn") else None


def as_drawn(seen: Seen, on_view: str | None) -> Seen:
    """What is seen of a turn, with the answer that is drawn: a newer one may be on its way."""
    if not on_view:
        return seen
    answer = on_view.partition(":")[2]
    return seen | {"prediction": int(answer) if answer else None}


def without_words(news: Seen, now: Seen) -> Seen:
    """What is seen of a turn that is shown anew but for the words in their field: of them, what was seen before."""
    if news["transcript"] == now["transcript"]:
        return news
    return news | {"transcript": now["transcript"], "any": now["any"]}


def perform(ws: Workspace, action: Action, seen: Seen, author: str) -> TurnView:
    """Ask the service for one change of the turn that was seen."""
    people.require(ws, author, "annotator")  # who left may have a page open still
    turn, answer, layer = seen["turn"], seen["prediction"], seen["layer"]
    match action:
        case ("transcript", text):
            return corrections.save_transcript(ws, turn, text, author, seen["transcript"], layer=layer)
        case ("slot", domain, slot, value):
            return corrections.save_slot(ws, turn, domain, slot, value, author, seen["state"], layer=layer)
        case ("state", state):
            return corrections.save_state(ws, turn, state, author, seen["state"], prediction=answer, layer=layer)
        case ("accept",):
            return corrections.accept_turn(ws, turn, author, seen["any"], prediction=answer, layer=layer)
        case ("mark", domain, slot, shown):
            return corrections.mark_slot(ws, turn, domain, slot, author, layer=layer, shown=shown)
        case ("undo",):
            return corrections.undo(ws, turn, author, seen["any"], layer=layer)
        case ("redo",):
            return corrections.redo(ws, turn, author, seen["any"], layer=layer)
        case ("restore", revision):
            return corrections.restore(ws, turn, revision, author, seen["any"], layer=layer)
    raise ValueError(f"no such action: {action}")
