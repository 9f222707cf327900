"""Ontology: domains, slots and values, and what a change of them touches before it is made."""

from __future__ import annotations

from typing import Any, cast

import gradio as gr

from engine.dialogue import VALUE_TYPES
from studio.errors import StudioError
from studio.pages import ontology_html as html
from studio.pages import shared
from studio.pages.ontology_sources import Sources
from studio.services import ontology, ontology_changes
from studio.services.ontology_edits import Action, Change
from studio.workspace import Workspace

LOOK = "What a change touches is shown here before anything is saved."
ACTIONS = [("Add", "add"), ("Rename", "rename"), ("Remove", "remove")]
KINDS = [("a domain", "domain"), ("a slot", "slot"), ("values", "value")]


def spellings_of(value: str | None) -> str:
    """The label of a value's synonyms, which says whose they are."""
    return f"Spellings that stand for {value or 'it'}, a line each"


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("ontology")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=3, min_width=360):
            with gr.Row(elem_classes="dst-bar"):
                domain = gr.Dropdown([], label="Domain", elem_id="ontology.domain", interactive=True)
                slot = gr.Dropdown([], label="Slot", elem_id="ontology.slot", interactive=True)
            values = shared.block(elem_id="ontology.values", elem_classes="dst-panel dst-wide")
            with gr.Accordion("All slots", open=True, elem_id="ontology.slots_panel"):
                slots = shared.block(elem_id="ontology.slots", elem_classes="dst-wide")
            with gr.Accordion("History", open=False, elem_id="ontology.history_panel"):
                history = shared.block(elem_id="ontology.history", elem_classes="dst-wide")
                with gr.Row(elem_classes="dst-bar"):
                    older = gr.Dropdown([], label="Version", elem_id="ontology.version", interactive=True)
                    restore = gr.Button("Restore this version", size="sm", elem_id="ontology.restore")
        with gr.Column(scale=3, min_width=360):
            gr.Markdown("### Change", elem_id="ontology.change_title")
            with gr.Row(elem_classes="dst-bar"):
                action = gr.Radio(ACTIONS, value="rename", label="What to do", elem_id="ontology.action")
                kind = gr.Radio(KINDS, value="value", label="To", elem_id="ontology.kind")
            value = gr.Dropdown(
                [], label="Value", elem_id="ontology.value", interactive=True, info="Of the domain and slot chosen on the left."
            )
            new = gr.Textbox(
                label="New name",
                info="Of what is added or renamed. Several values to add: a line each.",
                lines=1,
                max_lines=8,
                elem_id="ontology.new",
            )
            preview = gr.Button("See what it touches", elem_id="ontology.preview")
            touched = shared.block(LOOK, elem_id="ontology.touched", elem_classes="dst-panel dst-wide")
            with gr.Row(elem_classes="dst-bar"):
                relabel = gr.Checkbox(label="Rename it in these labels too", elem_id="ontology.relabel", visible=False)
                held_out = gr.Checkbox(
                    label="Also in held-out ones: changes scores", elem_id="ontology.relabel_held_out", visible=False
                )
                although = gr.Checkbox(
                    label="Remove it although labels hold it; they keep it", elem_id="ontology.although_used", visible=False
                )
            save = gr.Button("Save the change", variant="primary", interactive=False, elem_id="ontology.save")
            notice = shared.block(elem_id="ontology.notice", elem_classes="dst-notice")
            with gr.Accordion("Synonyms of the value", open=False, elem_id="ontology.synonyms_panel"):
                synonyms = gr.Textbox(
                    label=spellings_of(None),
                    info="Suggestions, hints and fuzzy matching take them for the value chosen above.",
                    lines=3,
                    elem_id="ontology.synonyms",
                )
                keep_synonyms = gr.Button("Save the synonyms", size="sm", elem_id="ontology.save_synonyms")
            with gr.Accordion("Description and type of the slot", open=False, elem_id="ontology.description_panel"):
                description = gr.Textbox(label="What the slot holds", elem_id="ontology.description")
                slot_kind = gr.Dropdown(
                    [("not said", ""), *((name, name) for name in VALUE_TYPES)], value="", label="Type", elem_id="ontology.type"
                )
                keep_description = gr.Button("Save the description", size="sm", elem_id="ontology.save_description")
    sources = Sources(ws, head.project)
    asked = gr.State(None)  # the change that was looked at: only that one is saved
    look = [asked, touched, relabel, held_out, although, save]
    shown = [domain, slot, values, slots, history, older, value, synonyms, description, slot_kind, *look, *sources.parts]

    def unasked() -> dict[Any, Any]:
        hidden = {box: gr.update(value=False, visible=False) for box in (relabel, held_out, although)}
        return {asked: None, touched: LOOK, save: gr.update(interactive=False)} | hidden

    def listed(project_id: int | None, domain_name: str | None, slot_name: str | None) -> dict[Any, Any]:
        """The page for a slot, or the nearest there is."""
        if project_id is None:
            return unasked()
        known = ontology.get_ontology(ws, project_id)
        domains = list(known.values)
        domain_name = domain_name if domain_name in domains else next(iter(domains), None)
        names = list(known.values.get(domain_name or "", {}))
        slot_name = slot_name if slot_name in names else next(iter(names), None)
        place = (domain_name or "", slot_name or "")
        versions = ontology.versions(ws, project_id)
        there = known.values.get(place[0], {}).get(place[1], [])
        return {
            domain: gr.update(choices=domains, value=domain_name),
            slot: gr.update(choices=names, value=slot_name),
            values: html.values_html(known, *place, ontology.value_counts(ws, project_id, *place)) if slot_name else "",
            slots: html.slots_html(known, ontology.slot_counts(ws, project_id)),
            history: html.history_html(versions),
            older: gr.update(choices=[(f"v{item.version}", item.version) for item in versions[1:]], value=None),
            value: gr.update(choices=there, value=None),
            synonyms: gr.update(value="", label=spellings_of(None)),
            description: known.descriptions.get(place[0], {}).get(place[1], ""),
            slot_kind: known.types.get(place[0], {}).get(place[1], ""),
            **unasked(),
            **sources.shown(project_id),
        }

    def done(project_id: int, domain_name: str | None, slot_name: str | None, told: str) -> dict[Any, Any]:
        return {notice: f"{shared.saved()}: {told}", new: ""} | listed(project_id, domain_name, slot_name)

    @shared.reported
    def load(remembered: int | None) -> Any:
        """Inputs: the browser's last project. Outputs: everything on the page."""
        top, project_id = head.choose(ws, remembered)
        return top | of_project(project_id)

    def of_project(project_id: int | None) -> dict[Any, Any]:
        return {head.hint: shared.hint(ws, project_id)} | listed(project_id, None, None)

    @shared.reported
    def choose(project_id: int, domain_name: str, slot_name: str | None) -> Any:
        """Inputs: ontology.project, ontology.domain, ontology.slot. Outputs: the view."""
        return {notice: ""} | listed(project_id, domain_name, slot_name)

    @shared.reported
    def choose_value(project_id: int, domain_name: str, slot_name: str, chosen: str | None) -> Any:
        """Inputs: ontology.project and what is chosen. Outputs: ontology.synonyms."""
        known = ontology.get_ontology(ws, project_id).synonyms.get(domain_name, {}).get(slot_name, {})
        return gr.update(value="\n".join(known.get(chosen or "", ())), label=spellings_of(chosen))

    @shared.reported
    def see(
        project_id: int, what: str, to: str, domain_name: str | None, slot_name: str | None, old: str | None, name: str
    ) -> Any:
        """Inputs: ontology.project and the form. Outputs: the preview."""
        change = wanted(what, to, domain_name or "", slot_name or "", old or "", name)
        try:
            found = ontology_changes.preview(ws, project_id, change)
        except StudioError as error:
            return unasked() | {touched: shared.alert(error)}
        held = any(item.split != "train" for item in found)
        return {
            asked: change,
            touched: html.touched_html(change, found),
            relabel: gr.update(value=False, visible=bool(found) and what == "rename"),
            held_out: gr.update(value=False, visible=held and what == "rename"),
            although: gr.update(value=False, visible=bool(found) and what == "remove"),
            save: gr.update(interactive=True),
        }

    @shared.reported
    def save_change(
        change: Change | None,
        in_labels: bool,
        in_held_out: bool,
        anyway: bool,
        project_id: int,
        what: str,
        to: str,
        domain_name: str | None,
        slot_name: str | None,
        old: str | None,
        name: str,
        request: gr.Request,
    ) -> Any:
        """Inputs: the change that was looked at, its boxes, ontology.project and the form. Outputs: the view."""
        if change is None or change != wanted(what, to, domain_name or "", slot_name or "", old or "", name):
            raise StudioError("The change is another one now: see what it touches, then save it.")
        author = shared.author(request)
        boxes = {"relabel": in_labels, "held_out": in_held_out, "although_used": anyway}
        saved = ontology_changes.save(ws, project_id, change, author, **boxes)
        told = f"version {saved.version}, {shared.escape(change)}"
        if saved.relabelled or saved.left:
            told += f"; {shared.count(saved.relabelled, 'label')} renamed, {saved.left} left as they were"
        if change.kind != "value":  # stay where the change was
            domain_name = change.new if change.kind == "domain" and change.new else change.domain
            slot_name = change.new or change.slot if change.kind == "slot" else slot_name
        return done(project_id, domain_name, slot_name, told)

    @shared.reported
    def save_synonyms(
        project_id: int, domain_name: str, slot_name: str, chosen: str | None, text: str, request: gr.Request
    ) -> Any:
        """Inputs: ontology.project, what is chosen, ontology.synonyms. Outputs: the view."""
        if not chosen:
            raise StudioError("Choose the value first that these spellings stand for.")
        author = shared.author(request)
        ontology_changes.set_synonyms(ws, project_id, domain_name, slot_name, chosen, text.splitlines(), author)
        return done(project_id, domain_name, slot_name, f"synonyms of {shared.escape(chosen)}")

    @shared.reported
    def save_description(project_id: int, domain_name: str, slot_name: str, text: str, of_kind: str, request: gr.Request) -> Any:
        """Inputs: ontology.project, what is chosen, ontology.description, ontology.type. Outputs: the view."""
        ontology_changes.describe(ws, project_id, domain_name, slot_name, text, of_kind, shared.author(request))
        return done(project_id, domain_name, slot_name, "the description")

    @shared.reported
    def restore_version(project_id: int, version: int | None, domain_name: str, slot_name: str, request: gr.Request) -> Any:
        """Inputs: ontology.project, ontology.version, what is chosen. Outputs: the view."""
        if version is None:
            raise StudioError("Choose the version that is to stand again.")
        number = ontology_changes.restore(ws, project_id, version, shared.author(request))
        return done(project_id, domain_name, slot_name, f"version {number} is version {version} again; labels stay as they are")

    @shared.reported
    def refresh(project_id: int, domain_name: str | None, slot_name: str | None) -> Any:
        """After something came in. Inputs: ontology.project, what is chosen. Outputs: the view."""
        return listed(project_id, domain_name, slot_name)

    place = [head.project, domain, slot]
    view = [notice, new, *shown]
    demo.load(load, head.remembered, [head.project, head.remembered, head.hint, *view], **shared.LIGHT)
    head.on_switch(of_project, [head.hint, *view])
    gr.on([domain.input, slot.input], choose, place, view, **shared.LIGHT)
    value.input(choose_value, [*place, value], synonyms, **shared.LIGHT)
    form = [head.project, action, kind, domain, slot, value, new]
    preview.click(see, form, look, **shared.LIGHT)
    save.click(save_change, [asked, relabel, held_out, although, *form], view, **shared.ACT)
    keep_synonyms.click(save_synonyms, [*place, value, synonyms], view, **shared.ACT)
    keep_description.click(save_description, [*place, description, slot_kind], view, **shared.ACT)
    restore.click(restore_version, [head.project, older, domain, slot], view, **shared.ACT)
    sources.wire(refresh, place, view)


def wanted(what: str, to: str, domain: str, slot: str, value: str, name: str) -> Change:
    """The form as a change: an addition is named in the field for new names, the rest by what is chosen.

    Raises:
        StudioError: nothing is chosen, or nothing is named.
    """
    chosen = {"domain": domain, "slot": slot, "value": value}
    if what == "add" and not name.strip():
        raise StudioError("Type the name of what is to be added.")
    if what != "add" and not chosen[to]:
        raise StudioError(f"Choose the {to} first.")
    if what == "add":
        chosen[to] = name
    slot, value = chosen["slot"] if to != "domain" else "", chosen["value"] if to == "value" else ""
    return Change(cast(Action, what), chosen["domain"], slot, value, name if what == "rename" else "")
