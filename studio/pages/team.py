"""Team: who may log in and what each may do, for admins."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.services import claims, people
from studio.services.people import ROLES, UserView
from studio.workspace import Workspace

MAY = {
    "annotator": "records and corrects, sends to review",
    "reviewer": "reviews, decides where two annotators differ, changes the ontology, exports",
    "trainer": "starts and stops training, puts a checkpoint in use, imports from a path",
    "admin": "manages people and held-out dialogues",
}
FIRST = "The first user has to be an admin. Start the studio again then: from there on everybody logs in."


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("team")
    refused = shared.block(elem_id="team.refused", visible=False)
    with gr.Row(elem_classes="dst-columns", visible=False, elem_id="team.manage") as manage:
        with gr.Column(scale=3, min_width=340):
            table = shared.block(elem_id="team.table", elem_classes="dst-panel dst-wide")
            roles = "".join(f"<li><b>{role}</b>: {text}</li>" for role, text in MAY.items())
            minutes = gr.Number(
                label="Minutes a dialogue is held",
                info="For whoever works on it; renewed by what they do. The queue gives it to nobody else meanwhile.",
                precision=0,
                minimum=1,
                maximum=claims.LONGEST_MINUTES,
                elem_id="team.minutes",
            )
            shared.block(f"<p>Each may do what the ones before it may.</p><ul>{roles}</ul>", elem_id="team.roles")
        with gr.Column(scale=2, min_width=320):
            gr.Markdown("### Add somebody", elem_id="team.add_title")
            name = gr.Textbox(label="Name", elem_id="team.name", max_length=100)
            password = gr.Textbox(label="Password", type="password", info="8 characters or more.", elem_id="team.password")
            role = gr.Dropdown(list(map(str, ROLES)), value="annotator", label="Role", elem_id="team.role")
            add = gr.Button("Add", variant="primary", elem_id="team.add")
            gr.Markdown("### Change somebody", elem_id="team.change_title")
            who = gr.Dropdown([], label="Who", elem_id="team.who", interactive=True)
            new_role = gr.Dropdown(list(map(str, ROLES)), label="Role", elem_id="team.new_role", interactive=True)
            active = gr.Checkbox(True, label="May log in", elem_id="team.active")
            new_password = gr.Textbox(label="New password", type="password", info="Empty: it stays.", elem_id="team.new_password")
            change = gr.Button("Save", elem_id="team.change")
            notice = shared.block(elem_id="team.notice", elem_classes="dst-notice")
    form = [who, new_role, active, new_password]
    shown = [table, *form]

    def listed(wanted: str | None) -> dict[Any, Any]:
        found = people.list_users(ws)
        chosen = next((user for user in found if user.name == wanted), next(iter(found), None))
        return {
            table: table_html(found),
            who: gr.update(choices=[user.name for user in found], value=chosen.name if chosen else None),
            new_role: chosen.role if chosen else None,
            active: chosen.active if chosen else True,
            new_password: "",
        }

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project. Outputs: everything on the page."""
        top, project_id = head.choose(ws, remembered)
        top |= {head.hint: shared.hint(ws, project_id)}
        try:
            shared.allowed(ws, request, "admin")
        except StudioError as error:
            return top | {refused: gr.update(value=shared.alert(error), visible=True)}
        return top | {manage: gr.update(visible=True), minutes: claims.minutes(ws)} | listed(None)

    @shared.reported
    def choose(wanted: str, request: gr.Request) -> Any:
        """Inputs: team.who. Outputs: the table and the form."""
        shared.allowed(ws, request, "admin")
        return listed(wanted)

    @shared.reported
    def add_user(new: str, secret: str, wanted: str, request: gr.Request) -> Any:
        """Inputs: team.name, team.password, team.role. Outputs: both forms, the table, team.notice."""
        shared.allowed(ws, request, "admin")
        first = not people.list_users(ws)
        user = people.add_user(ws, new, secret, wanted)
        told = f"{shared.saved()}: {shared.escape(user.name)} may log in as {user.role}."
        return {name: "", password: "", notice: told + (f" {FIRST}" if first else "")} | listed(user.name)

    @shared.reported
    def change_user(wanted: str | None, its_role: str, may_log_in: bool, secret: str, request: gr.Request) -> Any:
        """Inputs: the form to change somebody. Outputs: the table, that form, team.notice."""
        shared.allowed(ws, request, "admin")
        if wanted is None:
            return gr.skip()
        user = people.change_user(ws, wanted, role=its_role, active=may_log_in, password=secret or None)
        return {notice: f"{shared.saved()}: {shared.escape(user.name)}"} | listed(user.name)

    @shared.reported
    def set_minutes(number: int | None, request: gr.Request) -> Any:
        """Inputs: team.minutes. Outputs: team.notice."""
        claims.set_minutes(ws, number or 0, shared.author(request))
        return f"{shared.saved()}: a dialogue is held for {shared.count(claims.minutes(ws), 'minute')}."

    filled = [head.project, head.remembered, head.hint, refused, manage, minutes, *shown]
    demo.load(load, head.remembered, filled, **shared.LIGHT)
    head.on_switch(lambda project_id: {head.hint: shared.hint(ws, project_id)}, [head.hint])
    who.input(choose, who, shown, **shared.LIGHT)
    add.click(add_user, [name, password, role], [name, password, notice, *shown], **shared.ACT)
    gr.on([minutes.submit, minutes.blur], set_minutes, minutes, notice, **shared.ACT)
    change.click(change_user, form, [notice, *shown], **shared.ACT)


def table_html(found: list[UserView]) -> str:
    """Everybody with their role."""
    if not found:
        return shared.empty("No login yet", f"Without users this machine's own user may do everything. {FIRST}")
    rows = [
        [f"<b>{shared.escape(user.name)}</b>", user.role, "yes" if user.active else "<span class='dst-muted'>no</span>"]
        for user in found
    ]
    return shared.table(("Name", "Role", "May log in"), rows)
