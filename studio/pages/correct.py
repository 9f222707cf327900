"""Correct: find a dialogue, hear one turn, put its transcript and state right. Every change is at once a revision.

Only one turn is ever rendered: the slot forms of a whole dialogue, with all their choices, would be several megabytes.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import gradio as gr

from studio.errors import ConflictError, StudioError
from studio.pages import shared
from studio.pages.actions import LOOKS, Action, Seen, perform, sight
from studio.pages.held_out import HeldOutBar
from studio.pages.review_panel import ReviewPanel
from studio.pages.slot_form import slot_form
from studio.pages.turn_html import (
    STATUS_TEXT,
    conflict_html,
    dialogue_label,
    heard_html,
    hints_html,
    history_html,
    json_problem,
    moved_html,
    title_html,
    turn_label,
)
from studio.services import corrections, dialogues, drafts, ontology, propagation, splits, understanding
from studio.services import search as queue
from studio.services.dialogues import TurnView
from studio.workspace import Workspace

LISTED = 200
PROGRESS = gr.Progress()

_forms = itertools.count(1)  # a fresh number makes the slot form render again


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("correct")
    seen, form, refused, asked_again = gr.State({}), gr.State((None, 0)), gr.State(None), gr.State(None)
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=2, min_width=260):
            with gr.Row(elem_classes="dst-bar"):
                search = gr.Textbox(label="Search", placeholder="name or words", elem_id="correct.search", min_width=120)
                status = gr.Dropdown(
                    [("all", ""), *STATUS_TEXT],
                    value="",
                    label="Status",
                    elem_id="correct.status",
                    min_width=100,
                )
            dialogue = gr.Radio([], label="Dialogues", elem_id="correct.dialogue", elem_classes="dst-list", interactive=True)
            held_out = gr.Checkbox(False, label="Held out: for testing, never trained on", elem_id="correct.held_out")
            turn = gr.Radio([], label="Turns", elem_id="correct.turn", elem_classes="dst-list", interactive=True)
        with gr.Column(scale=5, min_width=340):
            nothing = shared.block(elem_id="correct.empty", visible=False)
            with gr.Column(visible=False, elem_id="correct.editor") as editor:
                with gr.Row(elem_classes="dst-bar dst-turn-bar"):
                    title = shared.block(elem_id="correct.title", scale=3, min_width=180)
                    notice = shared.block(elem_id="correct.notice", elem_classes="dst-notice", scale=1, min_width=110)
                    back = shared.action("← Previous", "p", "correct.previous")
                    forward = shared.action("Next →", "n", "correct.next")
                    undo = shared.action("Undo", "u", "correct.undo")
                    redo = shared.action("Redo", "r", "correct.redo")
                    doubtful = shared.action("Next doubtful", "d", "correct.doubtful")
                    accept = shared.action("All correct", "a", "correct.accept", "primary")
                guard = HeldOutBar(ws, seen)
                with gr.Column(visible=False, elem_id="correct.conflict", elem_classes="dst-conflict") as conflict:
                    versions = shared.block(elem_id="correct.versions")
                    with gr.Row(elem_classes="dst-bar"):
                        keep_theirs = gr.Button("Keep theirs", elem_id="correct.keep_theirs", size="sm")
                        keep_mine = gr.Button("Save mine over it", elem_id="correct.keep_mine", size="sm", variant="primary")
                audio = gr.Audio(
                    interactive=False,
                    label="Recording (Space plays)",
                    elem_id="correct.audio",
                    elem_classes="dst-player",
                    buttons=[],
                )
                with gr.Row(elem_classes="dst-bar"):
                    heard = shared.block(elem_id="correct.model_transcript", scale=1)
                    ask = shared.action("Ask the model", "m", "correct.ask_model")
                transcript = gr.Textbox(
                    label="Transcript",
                    info="Enter saves it, and leaving it; till then a draft is kept.",
                    elem_id="correct.transcript",
                )
                with gr.Column(visible=False, elem_id="correct.state") as state_editor:

                    @gr.render([form, head.project], triggers=[form.change], show_progress="hidden")
                    def slots(current: tuple[int | None, int], project_id: int | None) -> None:
                        """Inputs: the turn, correct.project. Outputs: correct.slot.*, correct.remove.*, correct.add*."""
                        if current[0] is not None and project_id is not None:
                            item = dialogues.get_turn(ws, current[0])
                            if item.speaker == "user":
                                slot_form(ws, project_id, item, seen, save_slot, confirm, saved_view)

                    hints = shared.block(elem_id="correct.hints")
                    moved = shared.block(elem_id="correct.moved")

                    with gr.Accordion("Raw JSON", open=False, elem_id="correct.raw_panel"):
                        raw = gr.Code(language="json", interactive=True, elem_id="correct.raw", show_label=False, lines=6)
                        raw_problem = shared.block(elem_id="correct.raw_problem")
                        raw_save = gr.Button("Save this state", elem_id="correct.raw_save", size="sm")
                review = ReviewPanel(ws, seen)
                with gr.Accordion("History", open=False, elem_id="correct.history_panel"):
                    history = shared.block(elem_id="correct.history")
    # Fields in which somebody may be typing are no part of what a save shows anew.
    saved_view = [seen, refused, form, notice, title, conflict, versions, hints, raw, raw_problem, history]
    saved_view += [turn, held_out, undo, redo, *review.parts, *guard.parts]
    turn_view = [*saved_view, nothing, editor, audio, heard, ask, transcript, state_editor]

    def after_save(item: TurnView, render: bool, changed: bool) -> dict[Any, Any]:
        """Everything but the fields one may be typing in, and but a conflict one has not decided yet."""
        around = dialogues.get_dialogue(ws, item.dialogue_id)
        shown: dict[Any, Any] = {
            title: title_html(item),
            hints: hints_html(item, ontology.get_ontology(ws, around.project_id)),
            undo: gr.update(interactive=item.can_undo),
            redo: gr.update(interactive=item.can_redo),
            raw: shared.pretty(item.state),
            raw_problem: "",
            history: history_html(corrections.history(ws, item.id)),
            **review.shown(item),
            **guard.shown(around),
            turn: gr.update(choices=[(turn_label(other), other.id) for other in around.turns], value=item.id),
            held_out: around.split == "test",
        }
        # A choice by mouse arrives twice, the second time without a change: the notice of the first has to stay.
        if changed:
            shown[notice] = shared.saved()
        if render:
            shown[form] = (item.id, next(_forms))
        return shown

    def opened(turn_id: int | None) -> dict[Any, Any]:
        if turn_id is None:
            text = shared.empty("No dialogue here", "Record one on the Talk page, or clear the search and the status filter.")
            return {
                seen: {},
                turn: gr.update(choices=[], value=None),
                nothing: gr.update(value=text, visible=True),
                editor: gr.update(visible=False),
            }
        item = dialogues.get_turn(ws, turn_id)
        recording = str(item.audio) if item.audio and item.audio.is_file() else None
        return after_save(item, render=True, changed=False) | {
            seen: sight(item),
            refused: None,
            conflict: gr.update(visible=False),
            notice: "",
            nothing: gr.update(visible=False),
            editor: gr.update(visible=True),
            audio: gr.update(value=recording, visible=recording is not None),
            heard: heard_html(item),
            ask: gr.update(visible=item.waits_for_model),
            transcript: item.transcript or "",
            state_editor: gr.update(visible=item.speaker == "user"),
        }

    def listed(
        project_id: int | None, words: str, wanted_status: Any, chosen: int | None, keep: bool = False
    ) -> tuple[dict[Any, Any], int | None]:
        """The list, and what is selected in it; ``keep`` leaves the open dialogue there although it matches no longer."""
        rows = dialogues.list_dialogues(ws, project_id, words or "", wanted_status or None) if project_id is not None else []
        if keep and project_id is not None and chosen not in [row.id for row in rows]:
            rows = [row for row in dialogues.list_dialogues(ws, project_id) if row.id == chosen] + rows
        label = f"{shared.count(len(rows), 'dialogue')}, {sum(row.status == 'corrected' for row in rows)} corrected"
        chosen = chosen if chosen in [row.id for row in rows] else next((row.id for row in rows), None)
        if len(rows) > LISTED:
            label += f" (first {LISTED} shown: search for others)"
            rows = rows[:LISTED] + [row for row in rows[LISTED:] if row.id == chosen]
        return {dialogue: gr.update(choices=[(dialogue_label(row), row.id) for row in rows], value=chosen, label=label)}, chosen

    def first_open(dialogue_id: int | None) -> int | None:
        """Where to begin in a dialogue: the first user turn nobody corrected."""
        turns = dialogues.get_dialogue(ws, dialogue_id).turns if dialogue_id is not None else ()
        todo = (item.id for item in turns if item.speaker == "user" and not item.labelled)
        return next(todo, next((item.id for item in turns), None))

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, ?dialogue=, ?turn=.

        Outputs: correct.project, correct.hint, correct.dialogue, one turn.
        """
        turn_id, dialogue_id = shared.query_int(request, "turn"), shared.query_int(request, "dialogue")
        try:
            dialogue_id = dialogues.get_turn(ws, turn_id).dialogue_id if turn_id is not None else dialogue_id
            by_address = dialogues.get_dialogue(ws, dialogue_id).project_id if dialogue_id is not None else None
        except StudioError as error:  # an old link: say so and open what there is
            gr.Warning(shared.escape(error))
            turn_id = dialogue_id = by_address = None
        selector, project_id = shared.choose_project(ws, by_address or remembered)
        choices, chosen = listed(project_id, "", None, dialogue_id)
        shown = opened(turn_id if turn_id is not None else first_open(chosen))
        return {head.project: selector, head.hint: shared.hint(ws, project_id)} | choices | shown

    @shared.reported
    def switch_project(project_id: int, words: str, wanted_status: str) -> Any:
        """Inputs: correct.project, correct.search, correct.status.

        Outputs: the browser's last project, correct.hint, correct.dialogue, one turn.
        """
        choices, chosen = listed(project_id, words, wanted_status, None)
        return {head.remembered: project_id, head.hint: shared.hint(ws, project_id)} | choices | opened(first_open(chosen))

    @shared.reported
    def find(project_id: int, words: str, wanted_status: str, dialogue_id: int | None) -> Any:
        """Inputs: correct.project, correct.search, correct.status, correct.dialogue.

        Outputs: correct.dialogue, one turn.
        """
        choices, chosen = listed(project_id, words, wanted_status, dialogue_id)
        return choices if chosen == dialogue_id and chosen is not None else choices | opened(first_open(chosen))

    def open_now(now: Seen) -> int | None:
        """The dialogue that is open, whatever is selected in the list."""
        turn_id = now.get("turn")
        return dialogues.get_turn(ws, turn_id).dialogue_id if turn_id is not None else None

    @shared.reported
    def relist(project_id: int, words: str, wanted_status: str, now: Seen) -> Any:
        """Inputs: correct.project, correct.search, correct.status, the turn. Outputs: correct.dialogue."""
        return listed(project_id, words, wanted_status, open_now(now), keep=True)[0]

    @shared.reported
    def open_dialogue(dialogue_id: int) -> Any:
        """Inputs: correct.dialogue. Outputs: one turn."""
        return opened(first_open(dialogue_id))

    @shared.reported
    def hold_out(wanted: bool, now: Seen, project_id: int, words: str, wanted_status: str, request: gr.Request) -> Any:
        """Inputs: correct.held_out, the turn, correct.project, correct.search, correct.status.

        Outputs: correct.held_out, correct.dialogue, the held-out bar.
        """
        dialogue_id = open_now(now)
        if dialogue_id is None:
            return gr.skip()
        try:
            splits.move(ws, dialogue_id, "test" if wanted else "train", shared.author(request))
        except StudioError as error:
            gr.Warning(shared.escape(error), title="Not done")
            return {held_out: not wanted}
        bar = guard.shown(dialogues.get_dialogue(ws, dialogue_id))
        return listed(project_id, words, wanted_status, dialogue_id, keep=True)[0] | bar

    @shared.reported
    def open_turn(turn_id: int) -> Any:
        """Inputs: correct.turn. Outputs: one turn."""
        return opened(turn_id)

    @shared.reported
    def step(by: int, now: Seen) -> Any:
        dialogue_id, turn_id = open_now(now), now.get("turn")
        ids = [item.id for item in dialogues.get_dialogue(ws, dialogue_id).turns] if dialogue_id is not None else []
        place = ids.index(turn_id) + by if turn_id in ids else -1
        if not 0 <= place < len(ids):
            gr.Info("This is the dialogue's last turn." if by > 0 else "This is the dialogue's first turn.", duration=3)
            return gr.skip()
        return opened(ids[place])

    def go_back(now: Seen) -> Any:
        """Inputs: the turn. Outputs: one turn."""
        return step(-1, now)

    def go_forward(now: Seen) -> Any:
        """Inputs: the turn. Outputs: one turn."""
        return step(1, now)

    @shared.reported
    def go_doubtful(project_id: int, words: str, wanted_status: str, now: Seen) -> Any:
        """Inputs: correct.project, correct.search, correct.status, the turn. Outputs: correct.dialogue, one turn."""
        turn_id = queue.next_turn(ws, project_id, queue.TO_CORRECT, after=now.get("turn"))
        if turn_id is None:
            gr.Info("Nothing is left to correct: every recorded turn of this project has been.", duration=4)
            return gr.skip()
        dialogue_id = dialogues.get_turn(ws, turn_id).dialogue_id
        return listed(project_id, words, wanted_status, dialogue_id, keep=True)[0] | opened(turn_id)

    @shared.reported
    def save(action: Action, now: Seen, request: gr.Request, render: bool = True) -> Any:
        """Carry out one change and show what it did.

        A conflict shows both versions and keeps the change; what was seen stays as it was, so that the same text, sent
        again by leaving the field, is refused again. One that holds no text, like undo, just shows the turn as it stands.
        """
        try:
            item = perform(ws, action, now, shared.author(request))
        except ConflictError as error:
            if action[0] not in LOOKS:
                gr.Warning(shared.escape(error), title="Not done")
                return opened(now["turn"])
            return {
                refused: (action, sight(error.turn)),
                conflict: gr.update(visible=True),
                versions: conflict_html(error),
            }
        news = sight(item)
        looked = {name: news[name] for name in LOOKS.get(action[0], news)}
        changed = item.head != now["any"] or action[0] == "mark"
        return after_save(item, render, changed) | {seen: now | looked}

    def save_slot(domain: str, slot: str, value: str | None, now: Seen, request: gr.Request, render: bool) -> Any:
        return save(("slot", domain, slot, value.strip() if value else None), now, request, render)

    def confirm(domain: str, slot: str, now: Seen, request: gr.Request) -> Any:
        return save(("mark", domain, slot), now, request)

    def save_transcript(text: str, now: Seen, request: gr.Request) -> Any:
        """Inputs: correct.transcript. Outputs: what every save shows."""
        shown = save(("transcript", text.strip()), now, request, render=False)
        if (turn_id := now.get("turn")) is not None and seen in shown:
            drafts.keep(ws, turn_id, shared.author(request), "transcript", None)
        return shown

    def keep_draft(text: str, now: Seen, request: gr.Request) -> None:
        """Inputs: correct.transcript, the turn. Outputs: none."""
        if (turn_id := now.get("turn")) is not None:
            drafts.keep(ws, turn_id, shared.author(request), "transcript", text)

    def restore_draft(now: Seen, text: str, request: gr.Request) -> Any:
        """Bring back what was typed and not saved, unless somebody is typing. Inputs: the turn, correct.transcript.

        Outputs: correct.transcript, correct.notice.
        """
        turn_id = now.get("turn")
        draft = drafts.kept(ws, turn_id, shared.author(request), "transcript") if turn_id is not None else None
        if turn_id is None or draft in (None, text) or text != stands(now):
            return gr.skip()
        return {transcript: draft, notice: "<span class='dst-muted'>your draft, not saved yet</span>"}

    def save_raw(text: str, now: Seen, request: gr.Request) -> Any:
        """Inputs: correct.raw. Outputs: what every save shows."""
        problem = json_problem(text)
        return {raw_problem: problem} if problem else save(("state", json.loads(text)), now, request)

    def save_undo(now: Seen, request: gr.Request) -> Any:
        """Inputs: the turn. Outputs: what every save shows."""
        return save(("undo",), now, request)

    def save_redo(now: Seen, request: gr.Request) -> Any:
        """Inputs: the turn. Outputs: what every save shows."""
        return save(("redo",), now, request)

    def save_accept(now: Seen, request: gr.Request) -> Any:
        """Inputs: the turn. Outputs: what every save shows."""
        return save(("accept",), now, request)

    def save_refused(kept: tuple[Action, Seen] | None, now: Seen, request: gr.Request) -> Any:
        """Inputs: the change that met a conflict, the turn. Outputs: what every save shows."""
        if kept is None:
            return gr.skip()
        action, theirs = kept
        shown = save(action, now | {name: theirs[name] for name in LOOKS[action[0]]}, request)
        # saved, unless somebody was quicker once more
        return shown | {refused: None, conflict: gr.update(visible=False)} if seen in shown else shown

    @shared.reported
    def follow(notice_text: str, now: Seen) -> Any:
        """Let the rest of the dialogue follow what was just saved. Inputs: correct.notice, the turn. Outputs: correct.moved."""
        turn_id = now.get("turn")
        if turn_id is None or "dst-saved" not in notice_text:
            return {moved: ""}
        changes = propagation.propagate(ws, turn_id)
        return {moved: moved_html(changes), asked_again: (turn_id, any(change.turn_id == turn_id for change in changes))}

    @shared.reported
    def refresh(now: Seen, typed: str, again: tuple[int, bool] | None) -> Any:
        """Show the model's newer answer to the turn that was saved, if it is open still. Inputs: the turn, correct.transcript.

        Outputs: one turn; only what was seen of it, where the state is as before: the hands keep their fields.
        """
        turn_id = now.get("turn")
        if turn_id is None or again is None or turn_id != again[0]:
            return gr.skip()
        return answered(now, typed) if again[1] else {seen: sight(dialogues.get_turn(ws, turn_id))}

    @shared.reported
    def ask_model(now: Seen, progress: gr.Progress = PROGRESS) -> Any:
        """Inputs: the turn. Outputs: correct.notice."""
        dialogue_id = open_now(now)
        if dialogue_id is None:
            return gr.skip()
        understanding.predict_dialogue(ws, dialogue_id, lambda done, total: progress((done, total), unit="turns"))
        return {notice: shared.saved()}

    @shared.reported
    def reopen(now: Seen) -> Any:
        """Inputs: the turn. Outputs: one turn, as it stands in the database."""
        return opened(now.get("turn"))

    @shared.reported
    def answered(now: Seen, typed: str) -> Any:
        """Show what the model answered, in the turn that is open by now; text typed meanwhile stays.

        Inputs: the turn, correct.transcript. Outputs: one turn.
        """
        shown = opened(now.get("turn"))
        return {part: value for part, value in shown.items() if part is not notice and not (part is transcript and typed)}

    @shared.reported
    def stands(now: Seen) -> str:
        """Inputs: the turn. Outputs: correct.transcript."""
        turn_id = now.get("turn")
        return (dialogues.get_turn(ws, turn_id).transcript or "") if turn_id is not None else ""

    everything = [head.project, head.hint, head.remembered, dialogue, *turn_view]
    arrived = demo.load(load, head.remembered, everything, **shared.LIGHT)
    arrived.then(None, [dialogue, turn], None, js=shared.address("dialogue", "turn"), **shared.LIGHT)
    head.project.input(switch_project, [head.project, search, status], everything, **shared.SAVE)
    gr.on(
        [search.input, status.input],
        find,
        [head.project, search, status, dialogue],
        [dialogue, *turn_view],
        **shared.SAVE,
    )
    following = notice.change(follow, [notice, seen], [moved, asked_again], trigger_mode="always_last", **shared.MODEL)
    following.then(refresh, [seen, transcript, asked_again], turn_view, **shared.SAVE)
    # Whatever was saved or understood may have changed a dialogue's mark; nobody waits for the list.
    notice.change(relist, [head.project, search, status, seen], [dialogue], **shared.LIGHT)
    dialogue.input(open_dialogue, dialogue, turn_view, **shared.SAVE)
    held_out.input(hold_out, [held_out, seen, head.project, search, status], [held_out, dialogue, *guard.parts], **shared.SAVE)
    turn.input(open_turn, turn, turn_view, **shared.SAVE)
    turn.change(None, [dialogue, turn], None, js=shared.address("dialogue", "turn"), **shared.LIGHT)
    back.click(go_back, seen, turn_view, **shared.SAVE)
    forward.click(go_forward, seen, turn_view, **shared.SAVE)
    transcript.input(keep_draft, [transcript, seen], None, trigger_mode="always_last", **shared.LIGHT)
    form.change(restore_draft, [seen, transcript], [transcript, notice], **shared.LIGHT)
    gr.on([transcript.submit, transcript.blur], save_transcript, [transcript, seen], saved_view, **shared.SAVE)
    raw_save.click(save_raw, [raw, seen], saved_view, **shared.SAVE)
    accept.click(save_accept, seen, turn_view, **shared.SAVE)
    for button, handler in ((undo, save_undo), (redo, save_redo)):
        button.click(handler, seen, turn_view, **shared.SAVE).then(stands, seen, transcript, **shared.SAVE)
    for part in (review, guard):
        part.wire(lambda item: after_save(item, render=False, changed=True), saved_view)
    doubtful.click(go_doubtful, [head.project, search, status, seen], [dialogue, *turn_view], **shared.SAVE)
    keep_mine.click(save_refused, [refused, seen], saved_view, **shared.SAVE).then(stands, seen, transcript, **shared.SAVE)
    asked = ask.click(ask_model, seen, notice, show_progress_on=[heard], **shared.MODEL)
    asked.then(answered, [seen, transcript], turn_view, **shared.SAVE)
    keep_theirs.click(reopen, seen, turn_view, **shared.SAVE)
