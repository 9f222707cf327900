"""Models: the checkpoints, how they score on held-out dialogues before and after training, and which one is in use."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.pages.compare_panel import ComparePanel
from studio.pages.delete_bar import DeleteBar
from studio.pages.gate_panel import GatePanel
from studio.services import bringing, checkpoints, deleting, gates, promotion, queueing
from studio.services.checkpoints import CheckpointView
from studio.services.gates import Rules
from studio.services.promotion import PromotionView
from studio.workspace import Workspace

IN_USE = " <span class='dst-tag'>in use</span>"


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("models")
    table = shared.block(elem_id="models.table", elem_classes="dst-panel dst-wide")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=2, min_width=320):
            checkpoint = gr.Radio([], label="Checkpoint", elem_id="models.checkpoint", elem_classes="dst-list", interactive=True)
            notice = shared.block(elem_id="models.notice", elem_classes="dst-notice")
            gate = GatePanel(ws)
            scores = shared.block(elem_id="models.scores")
            measure = gr.Button("Score on held-out dialogues", elem_id="models.score")
            queued = shared.block(elem_id="models.queued", elem_classes="dst-hint")
            with gr.Row(elem_classes="dst-bar"):
                bar = DeleteBar("models.delete")
            with gr.Accordion("Bring in a checkpoint", open=False, elem_id="models.bring_panel"):
                path = gr.Textbox(
                    label="Its folder on the studio's machine",
                    info="What python -m engine train made. That it did not learn from the held-out dialogues is up to you.",
                    elem_id="models.path",
                )
                name = gr.Textbox(label="What it is called here", info="Empty: its own name.", elem_id="models.name")
                bring = gr.Button("Bring it in", size="sm", elem_id="models.bring")
        with gr.Column(scale=3, min_width=340):
            side = ComparePanel(ws)
            with gr.Accordion("Model card", open=False, elem_id="models.card_panel"):
                card = gr.Markdown(elem_id="models.card", elem_classes="dst-card")
    view = [table, checkpoint, scores, queued, card, *gate.outputs, *side.outputs, *bar.parts]

    def shown(wanted: int | None, project_id: int | None) -> dict[Any, Any]:
        found = checkpoints.list_checkpoints(ws)
        chosen = next((item for item in found if item.id == wanted), next(item for item in found if item.in_use))
        return (
            {
                table: table_html(found),
                checkpoint: gr.update(choices=[(label(item), item.id) for item in found], value=chosen.id),
                scores: shared.scores_html(chosen.parent_scores, chosen.scores),
                queued: "",
                card: checkpoints.model_card(ws, chosen.id) or "*This checkpoint has no model card.*",
            }
            | bar.closed()
            | gate.shown(chosen)
            | side.shown(chosen, found, project_id)
        )

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, ?checkpoint=. Outputs: everything on the page."""
        top, project_id = head.choose(ws, remembered)
        return top | {head.hint: shared.hint(ws, project_id)} | shown(shared.query_int(request, "checkpoint"), project_id)

    @shared.reported
    def choose(project_id: int | None, checkpoint_id: int) -> Any:
        """Inputs: models.project, models.checkpoint. Outputs: the view."""
        return {notice: ""} | shown(checkpoint_id, project_id)

    @shared.reported
    def score(project_id: int | None, checkpoint_id: int, request: gr.Request) -> Any:
        """Inputs: models.project, models.checkpoint. Outputs: models.queued."""
        by = shared.person(ws, request, "trainer")
        if project_id is None:
            raise StudioError("There is no project to score on: create one on the Talk page.")
        return shared.queued(queueing.start_evaluation(ws, project_id, checkpoint_id, by))

    @shared.reported
    def put_in_use(project_id: int | None, checkpoint_id: int, request: gr.Request) -> Any:
        """Inputs: models.project, models.checkpoint. Outputs: models.notice and the view."""
        shared.allowed(ws, request, "trainer")
        return switched(promotion.promote(ws, checkpoint_id, shared.author(request)), project_id)

    @shared.reported
    def put_in_use_all_the_same(project_id: int | None, checkpoint_id: int, reason: str, request: gr.Request) -> Any:
        """Inputs: models.project, models.checkpoint, models.reason. Outputs: models.notice and the view."""
        shared.allowed(ws, request, "admin")
        return switched(promotion.promote(ws, checkpoint_id, shared.author(request), reason), project_id)

    @shared.reported
    def go_back(project_id: int | None, request: gr.Request) -> Any:
        """Inputs: models.project. Outputs: models.notice and the view."""
        shared.allowed(ws, request, "trainer")
        return switched(promotion.rollback(ws, shared.author(request)), project_id)

    @shared.reported
    def bring_in(project_id: int | None, folder: str | None, called: str | None, request: gr.Request) -> Any:
        """Inputs: models.project, models.path, models.name. Outputs: models.notice and the view."""
        shared.allowed(ws, request, "trainer")
        if not (folder or "").strip():
            raise StudioError("Name the folder of a checkpoint.")
        found = bringing.bring(ws, str(folder).strip(), called or "")
        called = shared.escape(found.checkpoint.name)
        text = f"{shared.saved()}: {called} is here now." if found.new else f"It is here already, as {called}."
        return {notice: text} | shown(found.checkpoint.id, project_id)

    @shared.reported
    def delete_checkpoint(project_id: int | None, checkpoint_id: int, request: gr.Request) -> Any:
        """Inputs: models.project, models.checkpoint. Outputs: models.notice and the view."""
        deleting.delete_checkpoint(ws, checkpoint_id, shared.person(ws, request, "admin"))
        return {notice: f"{shared.saved()}: its files are gone."} | shown(None, project_id)

    @shared.reported
    def keep_rules(
        project_id: int | None, checkpoint_id: int, jga: float | None, wer: float | None, slot: float | None, request: gr.Request
    ) -> Any:
        """Inputs: models.project, models.checkpoint, the rules. Outputs: models.notice and the view."""
        shared.allowed(ws, request, "trainer")
        gates.set_rules(ws, Rules(jga, wer, slot))
        return {notice: f"{shared.saved()}: the gate judges by these rules."} | shown(checkpoint_id, project_id)

    @shared.reported
    def choose_baseline(project_id: int | None, baseline_id: int | None, checkpoint_id: int) -> Any:
        """Inputs: models.project, models.baseline, models.checkpoint. Outputs: the comparison."""
        found = checkpoints.list_checkpoints(ws)
        chosen = next((item for item in found if item.id == checkpoint_id), None)
        return side.shown(chosen, found, project_id, baseline_id) if chosen is not None else gr.skip()

    @shared.reported
    def choose_turns(project_id: int | None, baseline_id: int | None, checkpoint_id: int, slot: str | None, kind: str) -> Any:
        """Inputs: models.project, models.baseline, models.checkpoint, models.compare_slot, models.compare_kind.
        Outputs: the turns.
        """
        return side.listed(project_id, baseline_id, checkpoint_id, slot, kind)

    @shared.reported
    def make_report(project_id: int | None, baseline_id: int, checkpoint_id: int) -> Any:
        """Inputs: models.project, models.baseline, models.checkpoint. Outputs: models.download_report."""
        return side.reported(project_id, baseline_id, checkpoint_id)

    def switched(step: PromotionView, project_id: int | None) -> dict[Any, Any]:
        text = f"{shared.saved()}: {shared.escape(step.target)} answers from now on."
        return {notice: text} | shown(None, project_id)

    everything = [head.project, head.hint, head.remembered, notice, *view]
    demo.load(load, head.remembered, everything, **shared.LIGHT)
    other = head.on_switch(lambda project_id: {head.hint: shared.hint(ws, project_id)}, [head.hint])
    checkpoint.input(choose, [head.project, checkpoint], [notice, *view], **shared.LIGHT)
    checkpoint.change(None, checkpoint, None, js=shared.address("checkpoint"), **shared.LIGHT)
    measure.click(score, [head.project, checkpoint], queued, **shared.ACT)
    gate.use.click(put_in_use, [head.project, checkpoint], [notice, *view], **shared.SWITCH)
    gate.over.click(put_in_use_all_the_same, [head.project, checkpoint, gate.reason], [notice, *view], **shared.SWITCH)
    gate.back.click(go_back, head.project, [notice, *view], **shared.SWITCH)
    bring.click(bring_in, [head.project, path, name], [notice, *view], **shared.COPY)
    bar.yes.click(delete_checkpoint, [head.project, checkpoint], [notice, *view], **shared.COPY)
    gate.keep.click(keep_rules, [head.project, checkpoint, *gate.limits], [notice, *view], **shared.ACT)
    pair = [head.project, side.baseline, checkpoint]
    other.then(choose_baseline, pair, side.outputs, **shared.LIGHT)
    side.baseline.input(choose_baseline, pair, side.outputs, **shared.LIGHT)
    for choice in (side.slot, side.kind):
        choice.input(choose_turns, [*pair, side.slot, side.kind], side.turns, **shared.LIGHT)
    side.make.click(make_report, pair, [side.download], **shared.LIGHT)


def label(item: CheckpointView) -> str:
    """One line of the checkpoint list."""
    parent = f" · from {item.parent}" if item.parent else ""
    return f"{'●' if item.in_use else '○'} {item.name}{parent}"


def table_html(found: list[CheckpointView]) -> str:
    """All checkpoints with their scores on held-out dialogues."""
    rows = [
        [
            f"<b>{shared.escape(item.name)}</b>{IN_USE if item.in_use else ''}",
            shared.escape(item.parent or "–"),
            shared.day_clock(item.created),
            *(shared.percent(shared.score(item.scores, name)) for name in shared.SCORES),
        ]
        for item in found
    ]
    warning = shared.other_labels_html(item.scores for item in found)
    return shared.table(("Checkpoint", "Trained from", "Made", *shared.SCORES), rows) + warning
