"""Data: dialogues in and out. An import; an export as one archive; a call cut into turns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import gradio as gr

from engine.dialogue import SPLITS
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.call_panel import LONG, CallPanel
from studio.pages.import_panel import LOOK, ImportPanel, example_html
from studio.pages.splits_panel import SplitsPanel
from studio.services import exchange, exports, queueing
from studio.workspace import Workspace

STATUSES = [("any", ""), ("corrected or further", "corrected"), ("reviewed or final", "reviewed"), ("final", "final")]
ANSWER = "Every recorded turn that it has not answered yet; what is corrected stays."
NONE_YET = "Corrected values go out where there are any, else the model's."


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("data")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=1, min_width=340):
            bringing = ImportPanel(ws, head.project)
            calling = CallPanel(ws, head.project)
        with gr.Column(scale=1, min_width=340):
            gr.Markdown("### Export", elem_id="data.export_title")
            outgoing = gr.Dropdown(
                [(f"{name}: {text}", name) for name, text in exchange.export_formats().items()],
                value=exchange.MANIFEST,
                label="Format",
                elem_id="data.export_format",
            )
            with gr.Row(elem_classes="dst-bar"):
                splits = gr.CheckboxGroup(
                    list(SPLITS),
                    value=list(exports.TRAINING),
                    label="Splits",
                    info="test is held out: what is trained on must not hold it.",
                    elem_id="data.export_splits",
                )
                status = gr.Dropdown(STATUSES, value="", label="All user turns are", elem_id="data.export_status")
            text = gr.Textbox(label="Name, words or value", info="Dialogues in which this occurs.", elem_id="data.export_text")
            with gr.Row(elem_classes="dst-bar"):
                pack = gr.Button("Make the archive", variant="primary", elem_id="data.export")
                download = gr.DownloadButton("Download", interactive=False, elem_id="data.download")
            notice = shared.block(NONE_YET, elem_id="data.export_notice", elem_classes="dst-panel")
            with gr.Accordion("What the format looks like", open=False, elem_id="data.export_example"):
                out_example = shared.block(example_html(exchange.MANIFEST), elem_id="data.export_example_text")
            moving = SplitsPanel(ws, head.project)
            gr.Markdown("### Answer recorded turns", elem_id="data.answer_title")
            answer = gr.Button("Let the model answer all turns", elem_id="data.answer")
            answer_notice = shared.block(ANSWER, elem_id="data.answer_notice", elem_classes="dst-hint")

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project.

        Outputs: data.project, data.hint, data.split_dialogue, data.moves, the import, the call that is being cut.
        """
        top, project_id = head.choose(ws, remembered)
        top |= {head.hint: shared.hint(ws, project_id)} | calling.shown(shared.author(request))
        return top | moving.shown(project_id) | bringing.shown(project_id)

    def switch_project(project_id: int) -> dict[Any, Any]:
        """What is shown of a project; what was planned, packed or answered in another one is gone."""
        return {
            head.hint: shared.hint(ws, project_id),
            notice: NONE_YET,
            answer_notice: ANSWER,
            download: gr.update(value=None, interactive=False),
            **moving.shown(project_id),
            bringing.plan: LOOK,
            **bringing.shown(project_id),
        }

    def tick(project_id: int | None, words: str) -> Any:
        """Inputs: data.project, data.split_search. Outputs: the import; once it has ended data.hint, data.split_dialogue."""
        now = bringing.shown(project_id)
        if now[bringing.timer]["active"]:
            return now
        return now | {head.hint: shared.hint(ws, project_id), moving.dialogue: moving.find(project_id, words)}

    def export(project_id: int, fmt: str, wanted: list[str], least: str, words: str, request: gr.Request) -> Any:
        """Inputs: data.project and the export's form. Outputs: data.download, data.export_notice."""
        chosen = exports.Selection(tuple(wanted), least or None, words or "")
        try:
            shared.allowed(ws, request, "reviewer")  # it holds what blind annotators wrote
            target = ws.download(f"{fmt}-{datetime.now():%Y-%m-%d-%H%M}.zip")
            archive, written = exports.export_archive(ws, project_id, target, fmt, chosen)
        except StudioError as error:
            return gr.update(value=None, interactive=False), shared.alert(error)
        told = [f"<b>{shared.count(written.dialogues, 'dialogue')}</b> in {archive.name}, {shared.size(archive)}"]
        if written.held_out:
            told.append(f"{shared.count(written.held_out, 'held-out dialogue')} left out: choose test to have them")
        told += [shared.escape(finding) for finding in written.findings]
        return gr.update(value=str(archive), interactive=True), "<br>".join(told)

    @shared.reported
    def have_answered(project_id: int | None, request: gr.Request) -> Any:
        """Inputs: data.project. Outputs: data.answer_notice."""
        by = shared.person(ws, request, "trainer")
        if project_id is None:
            raise StudioError("There is no project yet: create one on the Talk page.")
        return shared.queued(queueing.start_prediction(ws, project_id, by=by))

    filled = [head.project, head.remembered, head.hint, *moving.parts, *bringing.parts, *calling.parts]
    demo.load(load, head.remembered, filled, **shared.LIGHT)
    switched = [head.hint, notice, answer_notice, download, *moving.parts, bringing.plan, *bringing.parts]
    head.on_switch(switch_project, switched)
    grown = [*bringing.parts, head.hint, moving.dialogue]
    bringing.timer.tick(tick, [head.project, moving.search], grown, trigger_mode="once", **shared.LIGHT)
    outgoing.input(example_html, outgoing, out_example, **shared.LIGHT)
    pack.click(export, [head.project, outgoing, splits, status, text], [download, notice], **LONG)
    answer.click(have_answered, head.project, answer_notice, **shared.ACT)
