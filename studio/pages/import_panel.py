"""Dialogues in: first what an import would do, then the job that does it. A part of the Data page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from engine.dialogue import SPLITS
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.job_html import progress_html
from studio.services import exchange, import_jobs, imports, queueing, training
from studio.services.import_jobs import ImportView
from studio.workspace import Workspace

UPLOADS = [".jsonl", ".json", ".csv", ".tsv", ".txt", ".zip", ".gz", ".tgz"]
LOOK = (
    "What would come in is told here before anything is changed. Looking through a large corpus takes minutes: keep the page "
    "open for it. The import itself goes on without the page."
)
PROGRESS = gr.Progress()  # Gradio gives each call its own in place of this one


class ImportPanel:
    """Made inside the page's layout; ``shown`` fills it for a project, and ``timer`` ticks while an import is under way."""

    def __init__(self, ws: Workspace, project: gr.Dropdown) -> None:
        self.ws = ws
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
            only = gr.CheckboxGroup(list(SPLITS), label="Splits", info="None chosen: all that are there.", elem_id="data.splits")
            rename = gr.Checkbox(
                label="Rename on a clash",
                info="Give a new name to a dialogue that has another one's.",
                elem_id="data.rename",
            )
        with gr.Row(elem_classes="dst-bar"):
            look = gr.Button("See what would happen", elem_id="data.dry_run")
            bring = gr.Button("Import", variant="primary", elem_id="data.import")
        self.plan = shared.block(LOOK, elem_id="data.plan", elem_classes="dst-panel dst-wide")
        self.job = shared.block(visible=False, elem_id="data.import_job", elem_classes="dst-panel dst-wide")
        with gr.Row(elem_classes="dst-bar"):
            options: dict[str, Any] = {"size": "sm", "visible": False, "scale": 0, "min_width": 130}
            self.stop = gr.Button("Stop the import", elem_id="data.import_stop", **options)
            self.resume = gr.Button("Go on importing", elem_id="data.import_resume", **options)
        with gr.Accordion("What the format looks like", open=False, elem_id="data.import_example"):
            example = shared.block(example_html(exchange.MANIFEST), elem_id="data.import_example_text")
        self.timer = gr.Timer(2, active=False)
        form = [project, incoming, upload, path, only, rename]
        look.click(self._dry_run, form, self.plan, **(shared.ACT | shared.WAITED_FOR))
        bring.click(self._start, form, [self.plan, *self.parts], **shared.ACT)
        self.stop.click(self._stop, project, self.parts, **shared.ACT)
        self.resume.click(self._resume, project, self.parts, **shared.ACT)
        incoming.input(example_html, incoming, example, **shared.LIGHT)

    @property
    def parts(self) -> list[Any]:
        """What is shown anew with a project and while an import runs."""
        return [self.job, self.stop, self.resume, self.timer]

    def shown(self, project_id: int | None) -> dict[Any, Any]:
        """The import that runs or waits, else the last one."""
        found = import_jobs.shown(self.ws, project_id) if project_id is not None else None
        return {
            self.job: gr.update(value=import_html(found) if found else "", visible=found is not None),
            self.stop: gr.update(visible=found is not None and found.job.can_stop),
            self.resume: gr.update(visible=found is not None and found.can_resume),
            self.timer: gr.update(active=found is not None and found.job.active),
        }

    def _dry_run(
        self,
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

        def tell(done: int, total: int) -> None:
            progress((done, total), desc="reading", unit="dialogues")

        try:
            source = self._asked(uploaded, typed, request)
            with exchange.opened(self.ws, source, fmt, wanted, confined=bool(uploaded)) as opened:
                found = imports.plan(self.ws, project_id, opened, renamed, tell)
        except StudioError as error:
            return shared.alert(error)
        return found_html(imports.facts(found), found.source.findings, "What comes in")

    def _start(
        self,
        project_id: int,
        fmt: str,
        uploaded: str | None,
        typed: str,
        wanted: list[str],
        renamed: bool,
        request: gr.Request,
    ) -> dict[Any, Any]:
        """Inputs: as the dry run's. Outputs: data.plan, data.import_job, its buttons and timer."""
        try:
            source = self._asked(uploaded, typed, request)
            author, by = shared.author(request), request.username or ""
            item = queueing.start_import(
                self.ws, project_id, source, fmt, wanted, renamed, author, uploaded=bool(uploaded), by=by
            )
        except StudioError as error:
            return {self.plan: shared.alert(error)}
        return {self.plan: shared.queued(item) if item.waits_for else LOOK} | self.shown(project_id)

    def _asked(self, uploaded: str | None, typed: str | None, request: gr.Request) -> str:
        """What is to be read, by somebody who may."""
        shared.allowed(self.ws, request, "annotator")
        if uploaded:
            return uploaded
        if not (typed or "").strip():
            raise StudioError("Choose a file to upload, or give a path.")
        shared.allowed(self.ws, request, "trainer")  # a path reaches every file of this machine
        return str(typed).strip()

    @shared.reported
    def _stop(self, project_id: int, request: gr.Request) -> Any:
        """Inputs: data.project. Outputs: data.import_job, its buttons and timer."""
        by = shared.person(self.ws, request, "annotator")
        if (found := import_jobs.shown(self.ws, project_id)) is not None:
            training.stop_job(self.ws, found.job.id, by)
        return self.shown(project_id)

    @shared.reported
    def _resume(self, project_id: int, request: gr.Request) -> Any:
        """Inputs: data.project. Outputs: data.import_job, its buttons and timer."""
        by = shared.person(self.ws, request, "annotator")
        if (found := import_jobs.shown(self.ws, project_id)) is not None:
            training.resume_job(self.ws, found.job.id, by=by)
        return self.shown(project_id)


def import_html(found: ImportView) -> str:
    """How far an import is, what it found and what came in."""
    item = found.job
    told = f"{shared.escape(item.title)}, {shared.day_clock(item.created)}"
    if item.active:
        told += ". It runs without this page."
    elif found.imported is not None:
        of_all = f"{found.imported} of {shared.count(found.new or 0, 'new dialogue')}"
        told += f": <b>{shared.count(found.imported, 'dialogue') if item.status == 'finished' else of_all} imported</b>"
    told += f" · <a href='train?job={item.id}'>log</a>"
    facts = found_html(found.facts, found.findings, "What was found") if found.facts else ""
    return f"{progress_html(item)}<p>{told}</p>{facts}"


def found_html(facts: Any, findings: Any, title: str) -> str:
    """What an import found to do, and what its reader had to say."""
    rows = [(shared.escape(name), shared.escape(text)) for name, text in facts]
    rows += [("Reader", shared.escape(finding)) for finding in findings]
    return shared.table(("", title), rows)


def example_html(name: str) -> str:
    """The example of a format, file by file.

    Inputs: data.import_format or data.export_format. Outputs: data.import_example_text or data.export_example_text.
    """
    files = exchange.example(name)
    if not files:
        summary = exchange.import_formats()[name]
        return shared.empty(summary, "Give the folder as it was published; docs/corpora.md names the files.")
    return "".join(f"<b>{shared.escape(file)}</b><pre tabindex='0'>{shared.escape(text[:3000])}</pre>" for file, text in files)
