"""Data: dialogues in and out. First what an import would do, then the import; an export as one archive; a call cut into turns."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from engine.dialogue import SPEAKERS, SPLITS
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.splits_panel import SplitsPanel
from studio.services import calls, exchange, exports, imports, people, queueing
from studio.workspace import Workspace

UPLOADS = [".jsonl", ".json", ".csv", ".tsv", ".txt", ".zip", ".gz", ".tgz"]
COLUMNS = ["speaker", "start", "end", "channel"]
STATUSES = [("any", ""), ("corrected or further", "corrected"), ("reviewed or final", "reviewed"), ("final", "final")]
LOOK = "What would come in is told here before anything is changed."
ANSWER = "Every recorded turn that it has not answered yet; what is corrected stays."
NONE_YET = "Corrected values go out where there are any, else the model's."
PROGRESS = gr.Progress()  # Gradio gives each call its own in place of this one
# An import may take minutes: its progress is shown where the plan stood
LONG: dict[str, Any] = shared.ACT | {"show_progress": "full"}


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("data")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=1, min_width=340):
            gr.Markdown("### Import", elem_id="data.import_title")
            incoming = gr.Dropdown(
                [(f"{name}: {text}", name) for name, text in exchange.import_formats().items()],
                value=exchange.MANIFEST,
                label="Format",
                elem_id="data.import_format",
            )
            upload = gr.File(label="A file, or a zip of a folder", file_types=UPLOADS, height=110, elem_id="data.upload")
            path = gr.Textbox(
                label="Or a path on the studio's machine",
                info="A file or folder; for what is too large to upload.",
                elem_id="data.path",
            )
            with gr.Row(elem_classes="dst-bar"):
                only = gr.CheckboxGroup(
                    list(SPLITS), label="Splits", info="None chosen: all that are there.", elem_id="data.splits"
                )
                rename = gr.Checkbox(
                    label="Rename on a clash",
                    info="Give a new name to a dialogue that has another one's.",
                    elem_id="data.rename",
                )
            with gr.Row(elem_classes="dst-bar"):
                look = gr.Button("See what would happen", elem_id="data.dry_run")
                bring = gr.Button("Import", variant="primary", elem_id="data.import")
            result = shared.block(LOOK, elem_id="data.plan", elem_classes="dst-panel dst-wide")
            with gr.Accordion("What the format looks like", open=False, elem_id="data.import_example"):
                in_example = shared.block(example_html(exchange.MANIFEST), elem_id="data.import_example_text")
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
        """Inputs: the browser's last project. Outputs: data.project, data.hint, data.split_dialogue, data.moves."""
        selector, project_id = shared.choose_project(ws, remembered)
        return {head.project: selector, head.hint: shared.hint(ws, project_id)} | moving.shown(project_id)

    @shared.reported
    def switch_project(project_id: int) -> Any:
        """Inputs: data.project.

        Outputs: the browser's last project, data.hint, data.plan, data.download, data.export_notice, data.answer_notice,
        data.split_dialogue, data.moves.
        """
        return {
            head.remembered: project_id,
            head.hint: shared.hint(ws, project_id),
            result: LOOK,
            notice: NONE_YET,
            answer_notice: ANSWER,
            download: gr.update(value=None, interactive=False),
            **moving.shown(project_id),
        }

    def planned(
        project_id: int, form: tuple[Any, ...], author: str, tell: gr.Progress, then: Callable[[imports.Plan], str]
    ) -> str:
        fmt, uploaded, typed, wanted, renamed = form
        people.require(ws, author, "annotator")
        if not uploaded and not (typed or "").strip():
            raise StudioError("Choose a file to upload, or give a path.")
        if not uploaded:
            people.require(ws, author, "trainer")  # a path reaches every file of this machine
        try:
            with exchange.opened(ws, uploaded or typed.strip(), fmt, wanted, confined=bool(uploaded)) as source:
                return then(imports.plan(ws, project_id, source, renamed, progress_of(tell, "reading")))
        except StudioError as error:  # people know an upload by its name
            raise StudioError(str(error).replace(f"{Path(uploaded).parent}{os.sep}" if uploaded else "\0", "")) from error

    def dry_run(
        project_id: int,
        fmt: str,
        uploaded: str | None,
        typed: str,
        wanted: list[str],
        renamed: bool,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> str:
        """Inputs: data.project, data.import_format, data.upload, data.path, data.splits, data.rename. Outputs: data.plan."""
        try:
            return planned(project_id, (fmt, uploaded, typed, wanted, renamed), shared.author(request), progress, plan_html)
        except StudioError as error:
            return shared.alert(error)

    def import_(
        project_id: int,
        fmt: str,
        uploaded: str | None,
        typed: str,
        wanted: list[str],
        renamed: bool,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple[str, str]:
        """Inputs: as the dry run's. Outputs: data.plan, data.hint."""
        author = shared.author(request)

        def done(found: imports.Plan) -> str:
            number = imports.carry_out(ws, project_id, found, author, progress_of(progress, "importing"))
            there = len(found.those("there"))
            left = f"; {shared.count(there, 'dialogue')} left out, already there" if there else ""
            return f"{shared.saved()}: <b>{shared.count(number, 'dialogue')} imported</b>{left}." + plan_html(found)

        try:
            told = planned(project_id, (fmt, uploaded, typed, wanted, renamed), author, progress, done)
        except StudioError as error:
            told = shared.alert(error)
        return told, shared.hint(ws, project_id)

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
        shared.allowed(ws, request, "trainer")
        if project_id is None:
            raise StudioError("There is no project yet: create one on the Talk page.")
        return shared.queued(queueing.start_prediction(ws, project_id))

    demo.load(load, head.remembered, [head.project, head.hint, *moving.parts], **shared.LIGHT)
    switched = [head.remembered, head.hint, result, notice, answer_notice, download, *moving.parts]
    head.project.input(switch_project, head.project, switched, **shared.LIGHT)
    form = [head.project, incoming, upload, path, only, rename]
    look.click(dry_run, form, result, **LONG)
    imported = bring.click(import_, form, [result, head.hint], **LONG)
    imported.then(moving.find, [head.project, moving.search], moving.dialogue, **shared.LIGHT)
    incoming.input(example_html, incoming, in_example, **shared.LIGHT)
    outgoing.input(example_html, outgoing, out_example, **shared.LIGHT)
    pack.click(export, [head.project, outgoing, splits, status, text], [download, notice], **LONG)
    cut.click(cut_call, [call, kind, user, silence], [turns, storing, name, call_notice], **LONG)
    answer.click(have_answered, head.project, answer_notice, **shared.ACT)
    keep.click(store, [head.project, call, turns, name, split], call_notice, **shared.ACT)


def progress_of(tell: gr.Progress, what: str) -> imports.Progress:
    """What a service calls to have its progress shown."""
    return lambda done, total: tell((done, total), desc=what, unit="dialogues") and None


def plan_html(found: imports.Plan) -> str:
    """What an import does, and what its reader had to say."""
    rows = [(shared.escape(name), shared.escape(text)) for name, text in imports.facts(found)]
    rows += [("Reader", shared.escape(finding)) for finding in found.source.findings]
    return shared.table(("", "What comes in"), rows)


def example_html(name: str) -> str:
    """The example of a format, file by file.

    Inputs: data.import_format or data.export_format. Outputs: data.import_example_text or data.export_example_text.
    """
    files = exchange.example(name)
    if not files:
        summary = exchange.import_formats()[name]
        return shared.empty(summary, "Give the folder as it was published; docs/corpora.md names the files.")
    return "".join(f"<b>{shared.escape(file)}</b><pre tabindex='0'>{shared.escape(text[:3000])}</pre>" for file, text in files)


def size(path: Path) -> str:
    """How large a file is."""
    number = path.stat().st_size
    return f"{number / 1e6:.1f} MB" if number > 1e5 else f"{number / 1e3:.1f} kB"
