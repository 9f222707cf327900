"""Models: the checkpoints, how they score on held-out dialogues before and after training, and which one is in use."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.pages import shared
from studio.services import checkpoints, people
from studio.services.checkpoints import CheckpointView
from studio.workspace import Workspace

IN_USE = " <span class='dst-tag'>in use</span>"


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("models")
    table = shared.block(elem_id="models.table", elem_classes="dst-panel dst-wide")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=2, min_width=320):
            checkpoint = gr.Radio([], label="Checkpoint", elem_id="models.checkpoint", elem_classes="dst-list", interactive=True)
            use = gr.Button("Use this checkpoint", variant="primary", elem_id="models.use")
            notice = shared.block(elem_id="models.notice", elem_classes="dst-notice")
            scores = shared.block(elem_id="models.scores")
        with gr.Column(scale=3, min_width=340):
            card = gr.Markdown(elem_id="models.card", elem_classes="dst-panel dst-card")
    view = [table, checkpoint, use, scores, card]

    def shown(wanted: int | None) -> dict[Any, Any]:
        found = checkpoints.list_checkpoints(ws)
        chosen = next((item for item in found if item.id == wanted), next(item for item in found if item.in_use))
        return {
            table: table_html(found),
            checkpoint: gr.update(choices=[(label(item), item.id) for item in found], value=chosen.id),
            use: gr.update(value="In use" if chosen.in_use else "Use this checkpoint", interactive=not chosen.in_use),
            scores: shared.scores_html(chosen.parent_scores, chosen.scores),
            card: checkpoints.model_card(ws, chosen.id) or "*This checkpoint has no model card.*",
        }

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, ?checkpoint=. Outputs: everything on the page."""
        selector, project_id = shared.choose_project(ws, remembered)
        return {head.project: selector, head.hint: shared.hint(ws, project_id)} | shown(shared.query_int(request, "checkpoint"))

    @shared.reported
    def switch_project(project_id: int) -> Any:
        """Inputs: models.project. Outputs: the browser's last project, models.hint."""
        return {head.remembered: project_id, head.hint: shared.hint(ws, project_id)}

    @shared.reported
    def choose(checkpoint_id: int) -> Any:
        """Inputs: models.checkpoint. Outputs: the view."""
        return {notice: ""} | shown(checkpoint_id)

    @shared.reported
    def put_in_use(checkpoint_id: int, request: gr.Request) -> Any:
        """Inputs: models.checkpoint. Outputs: models.notice and the view."""
        people.require(ws, shared.author(request), "trainer")
        name = checkpoints.use(ws, checkpoint_id).name
        return {notice: f"{shared.saved()}: {shared.escape(name)} answers from now on."} | shown(checkpoint_id)

    everything = [head.project, head.hint, head.remembered, notice, *view]
    demo.load(load, head.remembered, everything, **shared.LIGHT)
    head.project.input(switch_project, head.project, everything, **shared.LIGHT)
    checkpoint.input(choose, checkpoint, [notice, *view], **shared.LIGHT)
    checkpoint.change(None, checkpoint, None, js=shared.address("checkpoint"), **shared.LIGHT)
    use.click(put_in_use, checkpoint, [notice, *view], **shared.ACT)


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
