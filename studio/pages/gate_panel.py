"""Putting a checkpoint in use: what the gate says, its rules, going over it, going back, and what was in use when."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.pages import shared
from studio.services import deleting, gates, promotion
from studio.services.checkpoints import CheckpointView
from studio.services.deleting import Deletion
from studio.services.gates import Verdict
from studio.services.promotion import PromotionView
from studio.workspace import Workspace

RULES = "<p>By how many points may a new checkpoint be worse than the one in use? Empty: by any number.</p>"
PAST = {"promote": "put in use", "rollback": "put back in use"}


class GatePanel:
    """The components; `outputs` are those that ``shown`` fills for a checkpoint."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.verdict = shared.block(elem_id="models.verdict")
        with gr.Row(elem_classes="dst-bar"):
            self.use = gr.Button("Put in use", variant="primary", elem_id="models.use", min_width=130)
            self.back = gr.Button("Go back", elem_id="models.rollback", min_width=130)
        with gr.Row(elem_classes="dst-bar", visible=False) as self.override:
            self.reason = gr.Textbox(
                label="Put in use all the same, because",
                info="An admin may; the reason is kept.",
                elem_id="models.reason",
                scale=3,
            )
            self.over = gr.Button("Put in use all the same", variant="stop", elem_id="models.override", scale=1, min_width=130)
        with gr.Accordion("The gate's rules", open=False, elem_id="models.gate"):
            shared.block(RULES, elem_id="models.gate_text")
            with gr.Row(elem_classes="dst-bar"):
                self.jga = gr.Number(label="Joint goal accuracy", minimum=0, elem_id="models.jga_loss", min_width=110)
                self.wer = gr.Number(label="Word error rate", minimum=0, elem_id="models.wer_rise", min_width=110)
                self.slot = gr.Number(label="F1 of any slot", minimum=0, elem_id="models.slot_loss", min_width=110)
            self.keep = gr.Button("Keep these rules", size="sm", elem_id="models.keep_rules")
        with gr.Accordion("What was in use when, and what was deleted", open=False, elem_id="models.history_panel"):
            self.history = shared.block(elem_id="models.history")

    @property
    def limits(self) -> list[gr.Number]:
        """The fields of the rules."""
        return [self.jga, self.wer, self.slot]

    @property
    def outputs(self) -> list[Any]:
        """What ``shown`` fills."""
        return [self.verdict, self.use, self.back, self.override, self.reason, *self.limits, self.history]

    def shown(self, chosen: CheckpointView) -> dict[Any, Any]:
        """What stands on the panel for a checkpoint."""
        said = None if chosen.in_use else gates.verdict(self.ws, chosen.id)
        kept, before = gates.rules(self.ws), promotion.previous(self.ws)
        passed = said is not None and said.passed
        return {
            self.verdict: verdict_html(said) if said is not None else "",
            self.use: gr.update(value="In use" if chosen.in_use else "Put in use", interactive=passed),
            self.back: gr.update(value=f"Go back to {before}" if before else "Go back", interactive=before is not None),
            self.override: gr.update(visible=said is not None and not said.passed),
            self.reason: "",
            self.jga: kept.jga_loss,
            self.wer: kept.wer_rise,
            self.slot: kept.slot_loss,
            self.history: history_html(promotion.history(self.ws), deleting.deleted_checkpoints(self.ws)),
        }


def verdict_html(said: Verdict) -> str:
    """Every rule with its figure, and whether it is kept."""
    if not said.judged:
        return shared.alert(said.sentence)
    if not said.findings:
        return f"<p>{shared.escape(said.sentence)}</p>"
    rows = []
    for finding in sorted(said.findings, key=lambda finding: (finding.passed, finding.change)):
        kind = "better" if finding.passed else "worse"
        figures = [shared.percent(finding.before), shared.percent(finding.after)]
        figures += [f"{finding.change:+z.1f}", f"{-finding.limit:z.1f}"]
        answer = f"<span class='dst-{kind}'>{'kept' if finding.passed else 'broken'}</span>"
        rows.append([shared.escape(finding.title), *figures, answer])
    title = "Passes the gate" if said.passed else "Refused by the gate"
    table = shared.table(("Rule", "In use", "This one", "Points", "At least", ""), rows, f"<b>{title}</b>")
    return table + (shared.alert(said.missing) if said.missing else "")


def history_html(found: list[PromotionView], gone: list[Deletion]) -> str:
    """Who put what in use when, and what the gate said; and who deleted what."""
    if not found and not gone:
        return shared.empty("No change yet", "Every change of the checkpoint in use is kept here, and every deletion.")
    rows = []
    steps: list[PromotionView | Deletion] = [*found, *gone]
    for step in sorted(steps, key=lambda step: step.created, reverse=True):
        if isinstance(step, Deletion):
            what = f"<b>{shared.escape(step.checkpoint)}</b> deleted"
            rows.append([shared.day_clock(step.created), what, "", shared.escape(step.author), ""])
            continue
        gate = "" if step.verdict is None else "passed" if step.verdict["passed"] else "not passed"
        if step.verdict is not None and (names := step.verdict.get("unjudged")):
            gate += f", not judged on {', '.join(names)}"
        because = f"{gate}: {step.reason}" if step.reason else gate
        what = f"<b>{shared.escape(step.target)}</b> {PAST[step.kind]}"
        words = [shared.escape(text) for text in (step.source, step.author, because)]
        rows.append([shared.day_clock(step.created), what, *words])
    return shared.table(("When", "What", "Before", "Who", "Gate"), rows)
