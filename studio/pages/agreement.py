"""Agreement: what two people annotated blind side by side, a reviewer's decision on it, and how far people agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from engine.dialogue import State, Value, accepted
from studio.errors import ConflictError, StudioError
from studio.pages import shared, slot_form
from studio.pages.player import Player
from studio.services import adjudication, agreement, dialogues, double, people, verdicts
from studio.services.adjudication import Comparison, SlotRow, Waiting
from studio.services.agreement import Report
from studio.services.double import Progress
from studio.workspace import Workspace

NO_VALUE = "no value"
Seen = tuple[int, dict[str, int | None]]  # a turn, and by annotator the ``Labels.head`` that is shown of it
TAKES = 4  # annotators of a turn whose labels are taken by a key; there are two, unless somebody went on with another's share
WEEKS = 4  # shown apart; the command line has all


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("agreement")
    chosen = gr.State(None)  # the turn side by side, and the heads of its labels that are shown: `Seen`
    decided = gr.State(None)  # the turn decided on last
    refused = shared.block(elem_id="agreement.refused", visible=False)
    with gr.Row(elem_classes="dst-columns", visible=False, elem_id="agreement.work") as work:
        with gr.Column(scale=2, min_width=300):
            share = gr.Slider(
                0,
                100,
                step=1,
                label="Annotated by two, % of the dialogues",
                info="Drawn by lot among those that nobody has begun; each of the two sees only their own work.",
                elem_id="agreement.share",
            )
            progress = shared.block(elem_id="agreement.progress", elem_classes="dst-panel")
            agreed = gr.Button("Take all that is agreed", elem_id="agreement.take_agreed", variant="primary")
            notice = shared.block(elem_id="agreement.notice", elem_classes="dst-notice")
            turn = gr.Radio([], label="To decide", elem_id="agreement.turn", elem_classes="dst-list", interactive=True)
        with gr.Column(scale=5, min_width=340):
            title = shared.block(elem_id="agreement.title")
            heard = Player("agreement", visible=False)
            audio = heard.audio
            table = shared.block(elem_id="agreement.table")
            # They stay whatever they take: a key that is pressed while the next turn comes must not reach one that is gone.
            with gr.Row(elem_classes="dst-bar"):
                takes = [shared.action("Take", str(n), f"agreement.take.{n}", "primary") for n in range(1, TAKES + 1)]

            @gr.render(chosen, triggers=[chosen.change], show_progress="hidden")
            def own(seen: Seen | None) -> None:
                """Inputs: the turn. Outputs: agreement.own.*"""
                if seen is not None:
                    own_form(adjudication.compare(ws, seen[0]))

            figures = shared.block(elem_id="agreement.figures", elem_classes="dst-panel dst-wide")
    side_by_side = [chosen, title, audio, table, *takes]
    view = [turn, progress, agreed, figures, *side_by_side]

    def opened(turn_id: int | None) -> dict[Any, Any]:
        if turn_id is None:
            text = shared.empty("Nothing to decide", "Turns appear here when two people have annotated them.")
            return {chosen: None, title: text, audio: gr.update(value=None, visible=False), table: "", **offered([])}
        found, item = adjudication.compare(ws, turn_id), dialogues.get_turn(ws, turn_id)
        recording = str(item.audio) if item.audio and item.audio.is_file() else None
        name = dialogues.get_dialogue(ws, item.dialogue_id).name
        return {
            chosen: (turn_id, {labels.annotator: labels.head for labels in found.labels}),
            title: f"<h3>{shared.escape(name)} · turn {item.turn_id + 1}</h3>",
            audio: gr.update(value=recording, visible=recording is not None),
            table: comparison_html(found),
            **offered([labels.annotator for labels in found.labels]),
        }

    def offered(annotators: Sequence[str]) -> dict[Any, Any]:
        """Whose labels can be taken by a key."""
        names = {n: f"Take {name}'s ({n})" for n, name in enumerate(annotators, 1)}
        return {button: gr.update(value=names.get(n), visible=n in names) for n, button in enumerate(takes, 1)}

    def shown(project_id: int) -> dict[Any, Any]:
        waiting = adjudication.waiting(ws, project_id)
        first = waiting[0].turn_id if waiting else None
        return {
            turn: gr.update(choices=[(waiting_label(item), item.turn_id) for item in waiting], value=first),
            progress: progress_html(double.progress(ws, project_id)),
            agreed: gr.update(interactive=any(item.agreed for item in waiting)),
            figures: report_html(agreement.report(ws, project_id)),
        } | opened(first)

    @shared.reported
    def load(remembered: int | None) -> Any:
        """Inputs: the browser's last project. Outputs: everything on the page."""
        top, project_id = head.choose(ws, remembered)
        return top | filled(project_id)

    def filled(project_id: int | None) -> dict[Any, Any]:
        """What a reviewer sees of a project."""
        top = {head.hint: shared.hint(ws, project_id)}
        try:
            people.require(ws, shared.reader(), "reviewer")
        except StudioError as error:
            return top | {refused: gr.update(value=shared.alert(error), visible=True)}
        if project_id is None:
            return top
        set_to = round(100 * double.progress(ws, project_id).share)
        return top | {work: gr.update(visible=True), share: set_to, notice: ""} | shown(project_id)

    @shared.reported
    def set_share(project_id: int, percent: float, request: gr.Request) -> Any:
        """Inputs: agreement.project, agreement.share. Outputs: agreement.share, agreement.progress, agreement.notice."""
        try:
            found = double.set_share(ws, project_id, percent / 100, shared.author(request))
        except StudioError as error:
            gr.Warning(shared.escape(error), title="Not done")
            return {share: round(100 * double.progress(ws, project_id).share)}
        return {progress: progress_html(found), notice: shared.saved()}

    @shared.reported
    def choose(turn_id: int, request: gr.Request) -> Any:
        """Inputs: agreement.turn. Outputs: the turn side by side."""
        shared.allowed(ws, request, "reviewer")
        return opened(turn_id)

    def taking(place: int) -> Any:
        @shared.reported
        def take(seen: Seen | None, project_id: int, request: gr.Request) -> Any:
            """Inputs: the turn, agreement.project. Outputs: what a decision shows."""
            reviewer = shared.allowed(ws, request, "reviewer")
            if seen is None:
                return gr.skip()
            turn_id, heads = seen
            annotator, expected = list(heads.items())[place]
            try:
                adjudication.take(ws, turn_id, annotator, reviewer, expected)
            except ConflictError as error:
                gr.Warning(shared.escape(error), title="Not done")
                return opened(turn_id)
            return {notice: f"{shared.saved()}: as {shared.escape(annotator)} has it", decided: turn_id} | shown(project_id)

        return take

    @shared.reported
    def explain(turn_id: int, request: gr.Request) -> None:
        """Find out why the model was wrong where no annotator's verdict says it. Inputs: the turn decided on. Outputs: none."""
        shared.allowed(ws, request, "reviewer")
        verdicts.find(ws, turn_id)

    @shared.reported
    def take_agreed(project_id: int, request: gr.Request) -> Any:
        """Inputs: agreement.project. Outputs: what a decision shows."""
        number = adjudication.take_agreed(ws, project_id, shared.author(request))
        return {notice: f"{shared.saved()}: {shared.count(number, 'turn')} on which both agree"} | shown(project_id)

    def own_form(found: Comparison) -> None:
        """A form for one's own labels of a turn in dispute, filled with the first annotator's."""
        if found.agreed:
            return
        disputed = [row for row in found.slots if not row.agreed]
        with gr.Row(elem_classes="dst-bar", key=(found.turn_id, "own")):
            words = gr.Textbox(
                found.labels[0].transcript, label="Or your own: what was said", elem_id="agreement.own.words", scale=3
            )
            fields = [
                gr.Dropdown(
                    list(dict.fromkeys(shown_value(value) for value in row.values)),
                    value=shown_value(row.values[0]),
                    allow_custom_value=True,
                    interactive=True,
                    label=f"{row.domain} {row.slot}",
                    elem_id=f"agreement.own.{row.domain}-{row.slot}",
                    min_width=130,
                )
                for row in disputed
            ]
            save = shared.action("Save this", "w", "agreement.own_save")

        @shared.reported
        def click(request: gr.Request, project_id: int, said: str, *values: str | None) -> Any:
            """Inputs: agreement.project, agreement.own.*. Outputs: what a decision shows."""
            adjudication.decide(ws, found.turn_id, said, own_state(found, disputed, values), shared.author(request))
            return {notice: shared.saved(), decided: found.turn_id} | shown(project_id)

        save.click(click, [head.project, words, *fields], outputs, **shared.ACT)

    outputs = [notice, decided, *view]
    everything = [head.project, head.hint, head.remembered, refused, work, share, *outputs]
    heard.wire(demo.load(load, head.remembered, everything, **shared.LIGHT))
    head.on_switch(filled, [head.hint, refused, work, share, *outputs])
    share.release(set_share, [head.project, share], [share, progress, notice], **shared.ACT)
    turn.input(choose, turn, side_by_side, **shared.LIGHT)
    for place, button in enumerate(takes):
        button.click(taking(place), [chosen, head.project], outputs, **shared.ACT)
    agreed.click(take_agreed, head.project, outputs, **shared.ACT)
    decided.change(explain, decided, None, **shared.MODEL)


def own_state(found: Comparison, disputed: Sequence[SlotRow], values: Sequence[str | None]) -> State:
    """The state of a reviewer's own: what is agreed as it is, what is disputed as it was written in the form."""
    state: State = {}
    for row in found.slots:
        if row.agreed:
            state.setdefault(row.domain, {})[row.slot] = next(value for value in row.values if value is not None)
    for row, text in zip(disputed, values, strict=True):
        text = (text or "").strip()
        # a value that an annotator wrote keeps its other accepted forms
        known = next((value for value in row.values if value is not None and shown_value(value) == text), None)
        if text != NO_VALUE and (value := known or slot_form.value_of(text)):
            state.setdefault(row.domain, {})[row.slot] = value
    return state


def shown_value(value: Value | None) -> str:
    """A value's canonical form, as the form offers it."""
    return NO_VALUE if value is None else accepted(value)[0]


def waiting_label(item: Waiting) -> str:
    """One line of the list."""
    return f"{'=' if item.agreed else '≠'} {item.dialogue} · turn {item.number + 1} · {', '.join(item.annotators)}"


def comparison_html(found: Comparison) -> str:
    """What each annotator wrote, slot by slot; what is in dispute stands out."""

    def cell(value: Value | None) -> str:
        return f"<span class='dst-muted'>{NO_VALUE}</span>" if value is None else f"<b>{shared.value_html(value)}</b>"

    rows = [["Words", *(shared.escape(labels.transcript) for labels in found.labels), verdict(found.same_words)]]
    rows += [
        [f"{shared.escape(row.domain)} {shared.escape(row.slot)}", *map(cell, row.values), verdict(row.agreed)]
        for row in found.slots
    ]
    marks = ["" if agreed else "changed" for agreed in (found.same_words, *(row.agreed for row in found.slots))]
    heads = ("", *(shared.escape(labels.annotator) for labels in found.labels), "")
    return shared.table(heads, rows, "Side by side", marks)


def verdict(agreed: bool) -> str:
    """Whether they agree, in words too: colour alone tells not everybody."""
    return "agreed" if agreed else "differs"


def progress_html(found: Progress) -> str:
    """How far the double share is."""
    figures = (
        (found.dialogues, "dialogues for two"),
        (found.turns, "user turns"),
        (found.to_decide, "to decide"),
        (found.decided, "decided"),
    )
    cells = "".join(f"<div><b>{number}</b><span>{name}</span></div>" for number, name in figures)
    return f"<div class='dst-figures'>{cells}</div>"


def report_html(found: Report) -> str:
    """Agreement in all and in the last weeks: whole states, then slot by slot."""
    if not found.overall.turns:
        return shared.empty("No agreement to measure yet", "It takes turns that two people have annotated.")
    columns = [found.overall, *(found.weeks[week] for week in list(found.weeks)[-WEEKS:])]
    alphas = [{(slot.domain, slot.slot): slot.alpha for slot in column.slots} for column in columns]
    rows = [
        ["Turns", *(str(column.turns) for column in columns)],
        ["Same whole state", *(shared.percent(None if c.joint is None else 100 * c.joint) for c in columns)],
    ]
    rows += [
        [
            f"{shared.escape(slot.domain)} {shared.escape(slot.slot)}",
            *(alpha_text(known.get((slot.domain, slot.slot))) for known in alphas),
        ]
        for slot in found.overall.slots
    ]
    note = "Krippendorff's alpha (nominal): 1 is full agreement, 0 what chance gives; undefined where all wrote the same."
    return shared.table(("", "All", *list(found.weeks)[-WEEKS:]), rows, "Agreement, slot by slot") + f"<p>{note}</p>"


def alpha_text(alpha: float | None) -> str:
    """``0.74``, or that there is none."""
    return "<span class='dst-muted'>undefined</span>" if alpha is None else f"{alpha:.2f}"
