"""Review and notes of one turn: a part of the Correct page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gradio as gr

from studio.errors import ConflictError, StudioError
from studio.pages import shared
from studio.pages.actions import left_behind
from studio.services import double, drafts, review
from studio.services.review import EventView, Happened, Step
from studio.services.views import TurnView
from studio.workspace import Workspace

# Step -> what its button says, its key, and the statuses in which it is offered.
STEPS: dict[Step, tuple[str, str, tuple[str, ...]]] = {
    "submitted": ("Send to review", "s", ("corrected",)),
    "reviewed": ("Reviewed", "v", ("corrected",)),
    "returned": ("Hand back", "b", ("corrected", "reviewed")),
    "final": ("Final", "f", ("reviewed",)),
    "reopened": ("Reopen", "o", ("reviewed", "final")),
}
PAST: dict[Happened, str] = {
    "submitted": "sent to review",
    "reviewed": "reviewed",
    "returned": "handed back",
    "final": "made final",
    "reopened": "reopened",
    "note": "noted",
    "unlocked": "unlocked held-out labels",
    "taken over": "taken over",
}


class ReviewPanel:
    """The panel's components; made inside the page's layout, wired once the page knows what a save shows."""

    def __init__(self, ws: Workspace, seen: gr.State, on_view: gr.Textbox) -> None:
        self.ws = ws
        self.seen = seen
        self.on_view = on_view
        with gr.Accordion("Review and notes", open=True, elem_id="correct.review_panel"):
            self.note = gr.Textbox(
                label="Note (K)",
                info="For whoever looks at this turn next. Enter keeps it; a step below takes it along.",
                elem_id="correct.note",
                elem_classes="key-k",
            )
            self.paused = shared.paused("correct.note", sent_on_leaving=True)
            with gr.Row(elem_classes="dst-bar"):
                self.buttons = {step: shared.action(name, key, f"correct.{step}") for step, (name, key, _) in STEPS.items()}
            self.events = shared.block(elem_id="correct.events")

    @property
    def parts(self) -> list[Any]:
        """What a save shows anew."""
        return [self.note, self.events, *self.buttons.values()]

    def shown(self, turn: TurnView) -> dict[Any, Any]:
        """The panel for a turn: only the steps that begin where it is, none while it is annotated blind."""
        offered = {
            step: turn.status in begins and not turn.layer and not (step == "submitted" and turn.submitted is not None)
            for step, (_, _, begins) in STEPS.items()
        }
        buttons = {button: gr.update(visible=offered[step]) for step, button in self.buttons.items()}
        return {self.events: events_html(review.events(self.ws, turn.id, turn.layer))} | buttons

    @shared.reported
    def noted(self, now: dict[str, Any]) -> Any:
        """Inputs: the turn. Outputs: correct.events."""
        turn_id = now.get("turn")
        return events_html(review.events(self.ws, turn_id, now["layer"])) if turn_id is not None else gr.skip()

    def wire(
        self,
        after_step: Callable[[TurnView], dict[Any, Any]],
        opened: Callable[[int], dict[Any, Any]],
        outputs: list[Any],
    ) -> None:
        """``after_step`` says what the page shows of a turn that has taken a step, ``opened`` of one that was another by then."""
        triggers: dict[Step, Any] = {step: button.click for step, button in self.buttons.items()} | {"note": self.note.submit}
        for step, trigger in triggers.items():
            trigger(self._on(step, after_step, opened), [self.note, self.seen, self.on_view], outputs, **shared.SAVE)
        typed = [self.paused.click, self.note.blur]
        gr.on(typed, self.keep_note, [self.note, self.seen, self.on_view], None, trigger_mode="always_last", **shared.LIGHT)

    def draft(self, turn_id: int) -> dict[Any, Any]:
        """The note on a turn that its reader has begun and not saved."""
        draft = drafts.kept(self.ws, turn_id, shared.reader()).get("note")
        return {self.note: draft.text if draft is not None else ""}

    def keep_note(self, text: str, now: dict[str, Any], request: gr.Request, on_view: str = "") -> None:
        """Keep what is typed unless it was just taken. Inputs: correct.note, the turn, the one on view. Outputs: none."""
        turn_id = left_behind(now, on_view) or now.get("turn")
        if turn_id is not None:
            author = shared.author(request)
            newest = review.events(self.ws, turn_id, double.layer_of_turn(self.ws, turn_id, author))[:1]
            taken = any((event.author, event.text) == (author, text.strip()) for event in newest)
            drafts.keep(self.ws, turn_id, author, "note", text if text.strip() and not taken else None)

    def _on(
        self, step: Step, after_step: Callable[[TurnView], dict[Any, Any]], opened: Callable[[int], dict[Any, Any]]
    ) -> Callable[..., Any]:
        @shared.reported
        def take(text: str, now: dict[str, Any], request: gr.Request, on_view: str = "") -> Any:
            """Inputs: correct.note, the turn, the one on view. Outputs: what every save shows."""
            if left_behind(now, on_view):
                self.keep_note(text, now, request, on_view)
                return shared.look_first()
            turn_id = now.get("turn")
            if turn_id is None:
                return gr.skip()
            author = shared.author(request)
            try:
                taken = review.take_step(self.ws, turn_id, step, author, text, now["layer"], (now["any"], now["prediction"]))
            except ConflictError as error:
                gr.Warning(shared.escape(error), title="Not done")
                return opened(turn_id) | {self.note: text}
            with suppress(StudioError):  # it is taken, whatever becomes of the draft
                drafts.keep(self.ws, turn_id, author, "note", None)
            return after_step(taken) | {self.note: ""}

        return take


def events_html(events: list[EventView]) -> str:
    """Notes and steps, newest first."""
    if not events:
        return "<p class='dst-muted'>No note yet, and not sent to review.</p>"
    rows = [
        [shared.day_clock(event.created), shared.escape(event.author), PAST[event.kind], shared.escape(event.text)]
        for event in events
    ]
    return shared.table(("Time", "Who", "What", "Note"), rows)
