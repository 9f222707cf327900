"""Data: dialogues in and out. An import; an export as one archive; a call cut into turns."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from engine.dialogue import SPEAKERS, SPLITS
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.import_panel import LOOK, ImportPanel, example_html
from studio.pages.splits_panel import SplitsPanel
from studio.services import calls, exchange, exports, queueing
from studio.workspace import Workspace

COLUMNS = ["speaker", "start", "end", "channel"]
STATUSES = [("any", ""), ("corrected or further", "corrected"), ("reviewed or final", "reviewed"), ("final", "final")]
ANSWER = "Every recorded turn that it has not answered yet; what is corrected stays."
NONE_YET = "Corrected values go out where there are any, else the model's."
# These may take minutes
LONG: dict[str, Any] = shared.ACT | {"show_progress": "full"}


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("data")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=1, min_width=340):
            bringing = ImportPanel(ws, head.project)
            gr.Markdown("### Cut a call into turns", elem_id="data.call_title")
            call = gr.File(label="One recording of a whole call", file_types=["audio"], height=110, elem_id="data.call")
            with gr.Row(elem_classes="dst-bar"):
                kind = gr.Dropdown(
                    [("find out", "auto"), ("a speaker each", "separate"), ("all on one", "mixed")],
                    value="auto",
                    label="Channels",
                    elem_id="data.call_channels",
                )
                user = gr.Dropdown([("left", 0), ("right", 1)], value=0, label="The user is", elem_id="data.call_user")
                silence = gr.Number(
                    calls.MIN_SILENCE, label="Silence that ends a turn (s)", minimum=0.2, step=0.1, elem_id="data.call_silence"
                )
            cut = gr.Button("Cut", elem_id="data.cut")
            turns = gr.Dataframe(
                headers=COLUMNS,
                datatype=["str", "number", "number", "number"],
                interactive=True,
                visible=False,
                column_count=(len(COLUMNS), "fixed"),
                max_height=320,
                label="Turns: change what is wrong before you store them",
                elem_id="data.turns",
            )
            with gr.Row(elem_classes="dst-bar", visible=False) as storing:
                name = gr.Textbox(label="Dialogue", elem_id="data.call_name")
                split = gr.Dropdown(list(SPLITS), value="train", label="Split", elem_id="data.call_split")
                keep = gr.Button("Store as a dialogue", variant="primary", elem_id="data.store")
            call_notice = shared.block(elem_id="data.call_notice")
            gr.Markdown("### Answer recorded turns", elem_id="data.answer_title")
            answer = gr.Button("Let the model answer all turns", elem_id="data.answer")
            answer_notice = shared.block(ANSWER, elem_id="data.answer_notice", elem_classes="dst-hint")
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

    @shared.reported
    def load(remembered: int | None) -> Any:
        """Inputs: the browser's last project.

        Outputs: data.project, data.hint, data.split_dialogue, data.moves, the import.
        """
        top, project_id = head.choose(ws, remembered)
        return top | {head.hint: shared.hint(ws, project_id)} | moving.shown(project_id) | bringing.shown(project_id)

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
        place = ws.path("tmp/exports") / uuid4().hex  # nobody guesses the address of somebody else's download
        chosen = exports.Selection(tuple(wanted), least or None, words or "")
        try:
            shared.allowed(ws, request, "reviewer")  # it holds what blind annotators wrote
            target = place / f"{fmt}-{datetime.now():%Y-%m-%d-%H%M}.zip"
            archive, written = exports.export_archive(ws, project_id, target, fmt, chosen)
        except StudioError as error:
            return gr.update(value=None, interactive=False), shared.alert(error)
        told = [f"<b>{shared.count(written.dialogues, 'dialogue')}</b> in {archive.name}, {size(archive)}"]
        if written.held_out:
            told.append(f"{shared.count(written.held_out, 'held-out dialogue')} left out: choose test to have them")
        told += [shared.escape(finding) for finding in written.findings]
        return gr.update(value=str(archive), interactive=True), "<br>".join(told)

    def cut_call(recording: str | None, channels: str, user_channel: int, quiet: float | None) -> Any:
        """Inputs: data.call and its settings. Outputs: data.turns, the row to store them, data.call_name, data.call_notice."""
        try:
            if not recording:
                raise StudioError("Choose the recording of a call first.")
            found = calls.cut(recording, channels, quiet or calls.MIN_SILENCE, user_channel)
        except StudioError as error:
            return gr.update(visible=False), gr.update(visible=False), gr.skip(), shared.alert(error)
        rows = [[turn.speaker, turn.start, turn.end, turn.channel] for turn in found]
        told = f"{shared.count(len(rows), 'turn')}; speaker is {' or '.join(SPEAKERS)}, times are seconds."
        if found[0].channel is None:
            told += " On one channel nobody can tell who speaks: speakers alternate until you correct them."
        title = re.sub(r"\W+", "-", Path(recording).stem).strip("-")
        return gr.update(value=rows, visible=True), gr.update(visible=True), title, told

    @shared.reported
    def store(project_id: int, recording: str, table: Any, title: str, part: str, request: gr.Request) -> Any:
        """Inputs: data.project, data.call, data.turns, data.call_name, data.call_split. Outputs: data.call_notice."""
        shared.allowed(ws, request, "annotator")
        calls.store(ws, project_id, recording, table.values.tolist(), title, part, shared.author(request))
        return f"{shared.saved()}: <a href='correct'>open it on Correct</a>."

    @shared.reported
    def have_answered(project_id: int | None, request: gr.Request) -> Any:
        """Inputs: data.project. Outputs: data.answer_notice."""
        by = shared.person(ws, request, "trainer")
        if project_id is None:
            raise StudioError("There is no project yet: create one on the Talk page.")
        return shared.queued(queueing.start_prediction(ws, project_id, by=by))

    filled = [head.project, head.remembered, head.hint, *moving.parts, *bringing.parts]
    demo.load(load, head.remembered, filled, **shared.LIGHT)
    switched = [head.hint, notice, answer_notice, download, *moving.parts, bringing.plan, *bringing.parts]
    head.on_switch(switch_project, switched)
    grown = [*bringing.parts, head.hint, moving.dialogue]
    bringing.timer.tick(tick, [head.project, moving.search], grown, trigger_mode="once", **shared.LIGHT)
    outgoing.input(example_html, outgoing, out_example, **shared.LIGHT)
    pack.click(export, [head.project, outgoing, splits, status, text], [download, notice], **LONG)
    cut.click(cut_call, [call, kind, user, silence], [turns, storing, name, call_notice], **LONG)
    answer.click(have_answered, head.project, answer_notice, **shared.ACT)
    keep.click(store, [head.project, call, turns, name, split], call_notice, **shared.ACT)


def size(path: Path) -> str:
    """How large a file is."""
    number = path.stat().st_size
    return f"{number / 1e6:.1f} MB" if number > 1e5 else f"{number / 1e3:.1f} kB"
