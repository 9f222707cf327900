"""What became of one's own corrections: the third list of the Correct page's left side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.pages import shared
from studio.services import feedback
from studio.services.feedback import WORDS, Answer, RunOutcome
from studio.workspace import Workspace


class MinePanel:
    """A tab, made inside the tabs of the page; read anew whenever it is chosen."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        with gr.Tab("Mine", id="mine", elem_id="correct.mine_tab") as self.tab:
            self.shown = shared.block(elem_id="correct.mine", elem_classes="dst-wide")

    def wire(self, project: gr.Dropdown) -> None:
        """Show it for the project chosen."""

        @shared.reported
        def show(project_id: int | None, request: gr.Request) -> Any:
            """Inputs: correct.project. Outputs: correct.mine."""
            if project_id is None:
                return gr.skip()
            author = shared.author(request)
            return mine_html(feedback.answers(self.ws, project_id, author), feedback.runs(self.ws, project_id, author))

        self.tab.select(show, project, self.shown, **shared.LIGHT)


def mine_html(answers: Sequence[Answer], runs: Sequence[RunOutcome]) -> str:
    """What others made of somebody's corrections, and what runs learnt from them."""
    if not answers and not runs:
        return shared.empty(
            "Nothing to tell yet",
            "What reviewers change in your corrections is listed here, and what the model got right after learning from them.",
        )
    told = f"<ul>{''.join(map(_answer_html, answers))}</ul>" if answers else "<p>Nobody has changed what you corrected.</p>"
    learnt = "".join(map(_run_html, runs)) or "<p>No training run has used your corrections yet.</p>"
    return f"<div class='dst-moved'><b>What others changed</b>{told}</div><b>What the model learnt from you</b>{learnt}"


def _answer_html(answer: Answer) -> str:
    place = f"<a href='correct?turn={answer.turn_id}'>{shared.escape(answer.dialogue)} {answer.number + 1}</a>"
    by = f"<small class='dst-muted'>{shared.escape(answer.author)}, {shared.day_clock(answer.created)}</small>"
    if not answer.what:
        return f"<li>{place} handed back: “{shared.escape(answer.note)}” {by}</li>"
    what = "" if answer.what == WORDS else f"<b>{shared.escape(answer.what)}</b> "
    old, new = (shared.escape("no value" if value is None else value) for value in (answer.mine, answer.theirs))
    return f"<li>{place} {what}<del>{old}</del> → <ins>{new}</ins> {by}</li>"


def _run_html(run: RunOutcome) -> str:
    values = sum(slot.corrected for slot in run.slots)
    parts = [shared.count(number, noun) for number, noun in ((values, "value"), (run.words, "transcript")) if number]
    corrected = f", with {' and '.join(parts)} you corrected" if parts else ""
    head = f"<b><a href='train?job={run.job_id}'>Run {run.job_id}</a></b> learnt from {shared.count(run.turns, 'turn')} of yours"
    if run.problem:
        return f"<p>{head}{corrected}; {shared.escape(run.problem)}.</p>"
    base = shared.escape(run.base)
    gained = f"It has <b>{shared.count(run.fixed, 'test slot')} right</b> that {base} had wrong, and {run.broken} the other way."
    told = [slot for slot in run.slots if slot.fixed or slot.broken]
    rows = [[shared.escape(slot.slot), str(slot.corrected), str(slot.fixed), str(slot.broken)] for slot in told]
    heads = ("Slot you corrected", "times", "now right", "now wrong")
    return f"<p>{head}{corrected}. {gained}</p>" + (shared.table(heads, rows) if rows else "")
