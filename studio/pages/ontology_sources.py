"""Where an ontology comes from: files of corpora, the project's own labels, entity tables. A part of the Ontology page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from engine.dialogue import BUILT_FROM, SPLITS, Ontology
from studio.errors import StudioError
from studio.pages import ontology_html as html
from studio.pages import shared
from studio.services import entities, ontology, ontology_changes, ontology_edits, ontology_files
from studio.workspace import Workspace

FILE, LABELS = "a file", "this project's labels"
LOOK = "What would come in is told here before anything is changed."


class Sources:
    """Two accordions; made inside the page's layout, wired once the page knows what it shows anew."""

    def __init__(self, ws: Workspace, project: gr.Dropdown) -> None:
        self.ws = ws
        self.project = project
        with gr.Accordion("Import slots and values", open=False, elem_id="ontology.import_panel"):
            with gr.Row(elem_classes="dst-bar"):
                self.source = gr.Radio([FILE, LABELS], value=FILE, label="From", elem_id="ontology.import_source")
                self.built_from = gr.Dropdown(
                    [("as the file says", ""), *((name, name) for name in BUILT_FROM)],
                    value="",
                    label="A file's values come from",
                    info="Splits of a corpus. Values of test make an oracle of the ontology.",
                    elem_id="ontology.built_from",
                )
                self.splits = gr.CheckboxGroup(list(SPLITS), value=["train"], label="Labels of", elem_id="ontology.import_splits")
            self.file = gr.File(
                label=f"{ontology_files.LAYOUTS[0].upper()}{ontology_files.LAYOUTS[1:]}",
                file_types=[".json", ".gz"],
                height=110,
                elem_id="ontology.import_file",
            )
            with gr.Row(elem_classes="dst-bar"):
                self.look = gr.Button("See what would come in", elem_id="ontology.import_preview")
                self.bring = gr.Button("Import", variant="primary", elem_id="ontology.import")
            self.plan = shared.block(LOOK, elem_id="ontology.import_plan", elem_classes="dst-panel dst-wide")
        with gr.Accordion("Entity tables", open=False, elem_id="ontology.entities_panel"):
            self.tables = shared.block(elem_id="ontology.entities", elem_classes="dst-wide")
            with gr.Row(elem_classes="dst-bar"):
                self.drop = gr.Dropdown([], label="Table", elem_id="ontology.entities_domain", interactive=True)
                self.remove = gr.Button("Remove this table", size="sm", elem_id="ontology.remove_entities")
            self.database = gr.File(
                label="A database file, such as MultiWOZ's restaurant_db.json",
                file_types=[".json", ".gz"],
                height=110,
                elem_id="ontology.entities_file",
            )
            with gr.Row(elem_classes="dst-bar"):
                self.domain = gr.Textbox(
                    label="Domain", info="Empty: as the file's name says.", elem_id="ontology.entities_of", min_width=120
                )
                self.columns = gr.CheckboxGroup(
                    [],
                    label="Offer the values of",
                    info="Each in the slot of its name, which is made where there is none.",
                    elem_id="ontology.entities_columns",
                )
            self.table = shared.block(elem_id="ontology.entities_preview", elem_classes="dst-panel dst-wide")
            self.keep = gr.Button("Keep this table", variant="primary", elem_id="ontology.save_entities")
        self.notice = shared.block(elem_id="ontology.sources_notice", elem_classes="dst-notice")

    @property
    def parts(self) -> list[Any]:
        """What the page shows anew with a project."""
        return [self.tables, self.drop]

    def shown(self, project_id: int) -> dict[Any, Any]:
        """The tables a project has."""
        found = entities.tables(self.ws, project_id)
        domains = [table.domain for table in found]
        return {self.tables: html.tables_html(found), self.drop: gr.update(choices=domains, value=None)}

    def wire(self, refresh: Callable[..., Any], place: list[Any], view: list[Any]) -> None:
        """``refresh`` shows the page again, from ``place`` into ``view``."""
        form = [self.project, self.source, self.built_from, self.splits, self.file]
        self.look.click(self._preview, form, self.plan, **shared.LIGHT)
        brought = self.bring.click(self._bring, form, [self.plan, self.notice], **shared.ACT)
        database = [self.project, self.database, self.domain]
        gr.on([self.database.change, self.domain.submit], self._read, database, [self.columns, self.table], **shared.LIGHT)
        kept = self.keep.click(self._keep, [*database, self.columns], self.notice, **shared.ACT)
        removed = self.remove.click(self._remove, [self.project, self.drop], self.notice, **shared.ACT)
        for event in (brought, kept, removed):
            event.then(refresh, place, view, **shared.LIGHT)

    def _found(self, project_id: int, source: str, built_from: str, splits: list[str], file: str | None) -> tuple[Ontology, str]:
        """What the form names, and where it is from in words."""
        if source == LABELS:
            if not splits:
                raise StudioError("Choose the splits whose labels are to be looked at.")
            return ontology_files.collected(self.ws, project_id, splits), f"the labels of {', '.join(splits)}"
        if not file:
            raise StudioError("Choose a file to upload.")
        return ontology_files.read(file, built_from or None), Path(file).name

    def _preview(self, project_id: int, source: str, built_from: str, splits: list[str], file: str | None) -> str:
        """Inputs: ontology.project and the import's form. Outputs: ontology.import_plan."""
        try:
            found, _ = self._found(project_id, source, built_from, splits, file)
            return html.news_html(ontology_edits.news(ontology.get_ontology(self.ws, project_id), found))
        except StudioError as error:
            return shared.alert(error)

    def _bring(
        self, project_id: int, source: str, built_from: str, splits: list[str], file: str | None, request: gr.Request
    ) -> tuple[str, str]:
        """Inputs: ontology.project and the import's form. Outputs: ontology.import_plan, ontology.sources_notice."""
        try:
            found, name = self._found(project_id, source, built_from, splits, file)
            plan = html.news_html(ontology_edits.news(ontology.get_ontology(self.ws, project_id), found))
            version = ontology_changes.merge(self.ws, project_id, found, f"imported from {name}", shared.author(request))
        except StudioError as error:
            return shared.alert(error), ""
        return plan, f"{shared.saved()}: version {version}, imported from {shared.escape(name)}" if version else "Nothing new."

    def _read(self, project_id: int, file: str | None, domain: str) -> Any:
        """Inputs: ontology.project, ontology.entities_file, ontology.entities_of.

        Outputs: ontology.entities_columns, ontology.entities_preview.
        """
        if not file:
            return gr.update(choices=[], value=[]), ""
        try:
            table = entities.read(file, domain)
        except StudioError as error:
            return gr.update(choices=[], value=[]), shared.alert(error)
        known = ontology.get_ontology(self.ws, project_id)
        columns = [(f"{name} ({len(values)})", name) for name, values in table.columns().items()]
        return gr.update(choices=columns, value=entities.suggested(known, table)), html.table_html(table)

    def _keep(self, project_id: int, file: str | None, domain: str, columns: list[str], request: gr.Request) -> str:
        """Inputs: ontology.project and the table's form. Outputs: ontology.sources_notice."""
        try:
            if not file:
                raise StudioError("Choose a database file to upload.")
            table = entities.read(file, domain)
            version = entities.store(self.ws, project_id, table, columns, shared.author(request))
        except StudioError as error:
            return shared.alert(error)
        return f"{shared.saved()}: version {version}, {len(table.entities)} entities of {shared.escape(table.domain)}"

    def _remove(self, project_id: int, domain: str | None, request: gr.Request) -> str:
        """Inputs: ontology.project, ontology.entities_domain. Outputs: ontology.sources_notice."""
        try:
            if not domain:
                raise StudioError("Choose the table that is to go.")
            version = entities.remove(self.ws, project_id, domain, shared.author(request))
        except StudioError as error:
            return shared.alert(error)
        return f"{shared.saved()}: version {version}, without the entities of {shared.escape(domain)}"
