"""What can be done to the turn that the Correct page shows: events of its components, each carried out at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import gradio as gr

from engine.dialogue import State, accepted
from studio.errors import ConflictError, StudioError
from studio.pages import shared, slot_form
from studio.pages.actions import LOOKS, Action, Seen, as_drawn, left_behind, perform, sight, without_words
from studio.pages.slot_form import Place, event_of, value_of
from studio.pages.turn_editor import TurnEditor
from studio.pages.turn_html import conflict_html, json_problem, raw_draft_html
from studio.services import corrections, dialogues, double, drafts, ontology
from studio.services.views import TurnView
from studio.workspace import Workspace

# What is typed stays when something else comes to stand: told by the browser, which alone knows the newest key.
UNLESS_TYPED = "(standing, typed, shown) => (typed.trim() === shown.trim() ? [standing, standing] : [typed, shown])"
# What was typed, with the turn that was on view then.
AS_TYPED = "(text, _, shown) => (([text, shown]) => [text, null, shown])(dstTyped('correct.transcript', text, shown))"


def typed_in(action: Action) -> tuple[str, str]:
    """The field of a draft that a change belongs to, and the text that was typed there; empty where there is none."""
    match action:
        case ("transcript", text):
            return "transcript", text
        case ("slot" | "mark", domain, slot, *value):
            text = " | ".join(accepted(value[0])) if action[0] == "slot" and value[0] is not None else ""
            return slot_form.draft_of((domain, slot)), text
        case ("state", _):
            return "raw", ""  # kept as it was typed
    return "", ""


def reads_as(text: str, state: State | None) -> bool:
    """Whether a raw text is the state, however it is spaced."""
    with suppress(ValueError):
        return bool(json.loads(text) == (state or {}))
    return False


class TurnSaving:
    """Handlers of an editor's components, and their wiring."""

    def __init__(self, ws: Workspace, editor: TurnEditor) -> None:
        self.ws = ws
        self.editor = editor

    def wire(self) -> None:
        """Connect the components of the editor."""
        editor = self.editor
        seen, saved, shown, transcript = editor.seen, editor.saved_view, editor.turn_view, editor.transcript
        here = [seen, editor.on_view]
        editor.slots.input(self.slot_event, seen, saved, **shared.SAVE)
        editor.paused.click(self.keep_draft, [transcript, *here], None, js=AS_TYPED, trigger_mode="always_last", **shared.LIGHT)
        restored = [transcript, editor.notice, seen, editor.refused, editor.conflict, editor.versions]
        editor.seen.change(self.restore_draft, [seen, transcript], restored, **shared.SAVE)
        gr.on([transcript.submit, transcript.blur], self.save_transcript, [transcript, *here], saved, **shared.SAVE)
        typed = ([editor.raw, *here], editor.raw_problem)
        editor.raw.input(self.keep_raw, *typed, **shared.SAVE | {"trigger_mode": "always_last"})
        editor.raw.blur(self.keep_raw, *typed, **shared.SAVE)
        told = [editor.raw_standing, *editor.raw_parts]
        editor.raw_standing.change(None, told, editor.raw_parts, js=UNLESS_TYPED, **shared.LIGHT)
        editor.raw_save.click(self.save_raw, [editor.raw, *here], saved, **shared.SAVE)
        editor.accept.click(self.save_accept, here, shown, **shared.SAVE)
        for button, handler, asked in (
            (editor.undo, self.save_undo, here),
            (editor.redo, self.save_redo, here),
            (editor.restore, self.save_restored, [editor.version, *here]),
        ):
            button.click(handler, asked, shown, **shared.SAVE).then(self.stands, seen, editor.words_standing, **shared.SAVE)
        mine = editor.keep_mine.click(self.save_refused, [editor.refused, seen], saved, **shared.SAVE)
        mine.then(self.stands, seen, editor.words_standing, **shared.SAVE)
        words = [transcript, editor.words_shown]
        editor.words_standing.change(None, [editor.words_standing, *words], words, js=UNLESS_TYPED, **shared.LIGHT)
        editor.keep_theirs.click(self.reopen, [editor.refused, seen], shown, **shared.SAVE)
        taken_over = editor.claim.wire()
        taken_over.then(editor.review.noted, seen, editor.review.events, **shared.LIGHT)
        editor.guard.wire(lambda item: editor.after_save(item, changed=True), saved)
        editor.carry.wire(lambda item: editor.after_save(item, changed=True), saved)
        editor.review.wire(lambda item: editor.after_save(item, changed=True), editor.opened, shown)

    @shared.reported
    def save(self, action: Action, now: Seen, request: gr.Request, after: Place | None = None) -> Any:
        """Carry out one change and show what it did; ``after`` is the slot it decided.

        A conflict shows both versions and keeps the change; what was seen stays as it was, so that the same text, sent
        again by leaving the field, is refused again. One that holds no text, like undo, just shows the turn as it stands.
        """
        try:
            item = self.carry_out(action, now, request)
        except ConflictError as error:
            if action[0] not in LOOKS:
                gr.Warning(shared.escape(error), title="Not done")
                return self.editor.opened(now["turn"])
            kept = ("slot", *action[1:]) if action[0] == "mark" else action  # the value that was seen is then written
            shown = self.both(kept, error)
            if action[0] == "state":  # whose field is far below
                shown[self.editor.raw_problem] = shared.alert("Not saved: compare both versions, above.")
            return shown
        news = sight(item)
        if action[0] in ("slot", "mark", "state"):  # the field of the words is left alone
            news = without_words(news, now)
        looked = {name: news[name] for name in LOOKS.get(action[0], news)}
        # A choice may arrive twice, the second time without a change: the notice of the first has to stay.
        changed = item.head != now["any"]
        drawn = dict.fromkeys(self.editor.raw_parts, shared.pretty(item.state)) if action[0] == "state" else {}
        if action[0] == "transcript":
            drawn = dict.fromkeys(self.editor.words_parts, item.transcript or "")
        told = {} if changed or action[0] not in ("mark", "accept") else {self.editor.notice: shared.unchanged()}
        return self.editor.after_save(item, changed, after) | told | drawn | {self.editor.seen: now | looked}

    @shared.reported
    def slot_event(self, event: gr.EventData, now: Seen, request: gr.Request) -> Any:
        """Inputs: the turn; correct.slots says what was done to which slot. Outputs: what every save shows."""
        told = event_of(event._data)
        turn_id, act, text = told.turn, told.act, told.text
        place = told.place if all(told.place) or turn_id is None else self.named(turn_id, told.place[1])
        if turn_id is None or not all(place):
            gr.Warning("A slot is named domain-slot, such as hotel-area: choose one or type it so.", title="Not done")
            return gr.skip()
        if act == "pass":
            return self.pass_on(now, place) if turn_id == now.get("turn") else gr.skip()
        if act == "draft":
            seen = now if turn_id == now.get("turn") else self.sight_of(turn_id, request)
            on = (seen["state"], seen["prediction"])
            drafts.keep(self.ws, turn_id, shared.allowed(self.ws, request), slot_form.draft_of(place), text or None, *on)
            return gr.skip()
        value = value_of(text) if act in ("set", "enter", "confirm") else None
        action: Action = ("mark" if act == "confirm" else "slot", *place, value)
        here = turn_id == now.get("turn")
        overtaken = self.overtaken(action, now if here else self.sight_of(turn_id, request), request) if act == "enter" else None
        if not here:
            return self.save_elsewhere(action, turn_id, told.state, overtaken, request)
        shown = self.save(action, now, request, after=place) if overtaken is None else self.both(action, overtaken)
        if self.editor.seen in shown:
            return shown
        # refused: what was typed stands in its field as a draft, not as if it were saved
        field, typed = typed_in(action)
        kept = {field: drafts.Kept(typed, now["state"], now["prediction"])} if typed and overtaken is None else {}
        return self.pass_on(now, refused=kept) | (shown if self.editor.refused in shown else {})

    def overtaken(self, action: Action, now: Seen, request: gr.Request) -> ConflictError | None:
        """Both versions, where a slot holds another value by now than the one that a draft of this change was begun on; the draft
        is kept with what was entered."""
        _, domain, slot, value = action
        author, (field, text) = shared.allowed(self.ws, request), typed_in(action)
        draft = drafts.kept(self.ws, now["turn"], author).get(field)
        item = dialogues.get_turn(self.ws, now["turn"], now["layer"])
        if draft is None or not drafts.overtaken(self.ws, item, {(domain, slot): draft}):
            return None
        drafts.keep(self.ws, item.id, author, field, text)
        changes = corrections.history(self.ws, item.id, item.layer) if item.corrected_state is not None else []
        by = next((change.author for change in changes if change.id == item.state_head), "The model")
        theirs = item.state or {}
        mine = theirs | {domain: theirs.get(domain, {}) | {slot: value}}
        return ConflictError(mine, theirs, by, item, "{} changed this slot since you began to type; compare both versions.")

    def sight_of(self, turn_id: int, request: gr.Request) -> Seen:
        """What is seen of a turn as it stands, by who asks."""
        return sight(dialogues.get_turn(self.ws, turn_id, double.layer_of_turn(self.ws, turn_id, shared.author(request))))

    def carry_out(self, action: Action, now: Seen, request: gr.Request) -> TurnView:
        """Ask for one change of a turn; a text that is refused is kept as a draft, and forgotten once it is saved."""
        author = shared.allowed(self.ws, request)
        field, text = typed_in(action)
        try:
            item = perform(self.ws, action, now, author)
        except StudioError:
            if field and text:
                with suppress(StudioError):  # the database is busy or its disk full, as the refusal says: it stays in its field
                    drafts.keep(self.ws, now["turn"], author, field, text, now[LOOKS[action[0]][0]], now["prediction"])
            raise
        if field:
            with suppress(StudioError):  # it is saved, whatever becomes of the draft
                drafts.keep(self.ws, now["turn"], author, field, None)
        return item

    def named(self, turn_id: int, name: str) -> Place:
        """The slot that somebody means by a name they typed in the form of a turn."""
        item = dialogues.get_turn(self.ws, turn_id, double.layer_of_turn(self.ws, turn_id, shared.reader()))
        project_id = dialogues.get_dialogue(self.ws, item.dialogue_id).project_id
        return slot_form.split_name(name, slot_form.names_in(item, ontology.get_ontology(self.ws, project_id)))

    @shared.reported
    def save_elsewhere(
        self, action: Action, turn_id: int, state: int | None, overtaken: ConflictError | None, request: gr.Request
    ) -> Any:
        """Carry out a change of a turn that was left while the change was on its way: it counts for the turn it was made in, and
        for the ``state`` (`TurnView.state_head`) that its form showed, or what its author made of that since.
        """
        author = shared.author(request)
        left = dialogues.get_turn(self.ws, turn_id, double.layer_of_turn(self.ws, turn_id, author))
        states = (change for change in corrections.history(self.ws, turn_id, left.layer) if change.kind == "state")
        others = any(change.author != author for change in itertools.takewhile(lambda change: change.id != state, states))
        try:
            if overtaken is not None:
                raise overtaken
            self.carry_out(action, sight(left) | ({"state": state} if others else {}), request)
        except ConflictError as error:
            kept = "What you typed is kept there as a draft. " if typed_in(action)[1] else ""
            text = f"{error.author} had changed turn {left.turn_id + 1}, which you just left. {kept}Open it again and compare."
            gr.Warning(shared.escape(text), title="Not saved")
            return gr.skip()
        gr.Info("Saved in the turn that you had just left.", duration=4)
        return {self.editor.notice: shared.saved()}

    def keep_behind(self, turn_id: int, field: str, text: str, request: gr.Request) -> Any:
        """Keep what was typed in a turn, whose next one was on its way, as a draft there, unless it is what stands."""
        author = shared.allowed(self.ws, request)
        left = dialogues.get_turn(self.ws, turn_id, double.layer_of_turn(self.ws, turn_id, author))
        same = reads_as(text, left.state) if field == "raw" else text.strip() == (left.transcript or "")
        head = left.state_head if field == "raw" else left.transcript_head
        drafts.keep(self.ws, turn_id, author, field, None if same else text, head, left.prediction_id)
        if not same:
            told = f"What you typed is kept as a draft of turn {left.turn_id + 1}, which you had just left. Open it to save it."
            gr.Info(told, duration=6)
        return gr.skip()

    @shared.reported
    def pass_on(self, now: Seen, place: Place | None = None, refused: Mapping[str, drafts.Kept] | None = None) -> Any:
        """Put the next doubtful slot in focus and decide nothing; without ``place`` the most doubtful one."""
        item = dialogues.get_turn(self.ws, now["turn"], now["layer"])
        project_id = dialogues.get_dialogue(self.ws, item.dialogue_id).project_id
        return self.editor.form(item, ontology.get_ontology(self.ws, project_id), place, refused)

    @shared.reported
    def save_transcript(self, text: str, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Inputs: correct.transcript, the turn, the one on view. Outputs: what every save shows."""
        if behind := left_behind(now, on_view):
            return self.keep_behind(behind, "transcript", text, request)
        return self.save(("transcript", text.strip()), now, request)

    def keep_draft(self, text: str, now: Seen, request: gr.Request, on_view: str = "") -> None:
        """Keep what is typed unless it is what stands. Inputs: correct.transcript, the turn, the one on view. Outputs: none."""
        with suppress(StudioError):  # the next pause tries again, and saving says what is wrong
            if behind := left_behind(now, on_view):
                self.keep_behind(behind, "transcript", text, request)
            elif (turn_id := now.get("turn")) is not None:
                draft = None if self.stands(now) in (text, text.strip()) else text
                drafts.keep(self.ws, turn_id, shared.author(request), "transcript", draft, now["transcript"])

    def restore_draft(self, now: Seen, text: str, request: gr.Request) -> Any:
        """Bring back what was typed and not saved, unless somebody is typing; where other words stand by now, both are shown.

        Inputs: the turn, correct.transcript. Outputs: correct.transcript, correct.notice, the turn, what a conflict shows.
        """
        turn_id = now.get("turn")
        draft = drafts.kept(self.ws, turn_id, shared.author(request)).get("transcript") if turn_id is not None else None
        if turn_id is None or draft is None or draft.text == text or text != self.stands(now):
            return gr.skip()
        notice = "<span class='dst-muted'>your draft, not saved yet</span>"
        shown = {self.editor.transcript: draft.text, self.editor.notice: notice}
        item = dialogues.get_turn(self.ws, turn_id, now["layer"])
        if draft.based_on == item.transcript_head:
            return shown
        changes = corrections.history(self.ws, turn_id, item.layer)
        by = next((change.author for change in changes if change.id == item.transcript_head), "Somebody")
        error = ConflictError(draft.text, item.transcript, by, item, "{} changed the words since you began to type.")
        return shown | {
            self.editor.seen: now | {"transcript": draft.based_on},  # so that leaving the field does not save it over theirs
            **self.both(("transcript", draft.text.strip()), error),
        }

    def both(self, action: Action, error: ConflictError) -> dict[Any, Any]:
        """Both versions, and the change that can be saved over the other one."""
        return {
            self.editor.refused: (action, sight(error.turn)),
            self.editor.conflict: gr.update(visible=True),
            self.editor.versions: conflict_html(error),
        }

    @shared.reported
    def keep_raw(self, text: str, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Keep the raw state that is typed unless it is what stands. Inputs: correct.raw, the turn, the one on view.

        Outputs: correct.raw_problem; where the text is kept already, what was said of it since stays, as why it was not saved.
        """
        if behind := left_behind(now, on_view):
            return self.keep_behind(behind, "raw", text, request)
        if (turn_id := now.get("turn")) is None:
            return gr.skip()
        item = dialogues.get_turn(self.ws, turn_id, now["layer"])
        draft = None if reads_as(text, item.state) else text
        kept = self.editor.raw_draft(turn_id)
        if kept is not None and kept.text == draft:
            return gr.skip()
        drafts.keep(self.ws, turn_id, shared.allowed(self.ws, request), "raw", draft, now["state"], now["prediction"])
        return raw_draft_html(item, self.editor.raw_draft(turn_id))

    @shared.reported
    def save_raw(self, text: str, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Inputs: correct.raw, the turn, the one on view. Outputs: what every save shows."""
        if behind := left_behind(now, on_view):
            return self.keep_behind(behind, "raw", text, request)
        if problem := json_problem(text):
            return {self.editor.raw_problem: problem}
        draft = self.editor.raw_draft(now["turn"])
        on = {"state": draft.based_on, "prediction": draft.prediction} if draft is not None else {}
        return self.save(("state", json.loads(text)), now | on, request)

    def save_undo(self, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Inputs: the turn, the one on view. Outputs: what every save shows."""
        if left_behind(now, on_view):
            return shared.look_first()
        return self.save(("undo",), now, request)

    def save_redo(self, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Inputs: the turn, the one on view. Outputs: what every save shows."""
        if left_behind(now, on_view):
            return shared.look_first()
        return self.save(("redo",), now, request)

    def save_restored(self, revision_id: int | None, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Inputs: correct.version, the turn, the one on view. Outputs: what every save shows."""
        if left_behind(now, on_view):
            return shared.look_first()
        return self.save(("restore", revision_id), now, request)

    def save_accept(self, now: Seen, request: gr.Request, on_view: str = "") -> Any:
        """Inputs: the turn, the one on view. Outputs: what every save shows."""
        if left_behind(now, on_view):
            return shared.look_first()
        return self.save(("accept",), as_drawn(now, on_view), request)

    def save_refused(self, kept: tuple[Action, Seen] | None, now: Seen, request: gr.Request) -> Any:
        """Inputs: the change that met a conflict, the turn. Outputs: what every save shows."""
        if kept is None:
            return gr.skip()
        action, theirs = kept
        shown = self.save(action, now | {name: theirs[name] for name in LOOKS[action[0]]}, request)
        # saved, unless somebody was quicker once more
        if self.editor.seen not in shown:
            return shown
        return shown | {self.editor.refused: None, self.editor.conflict: gr.update(visible=False)}

    @shared.reported
    def reopen(self, kept: tuple[Action, Seen] | None, now: Seen, request: gr.Request) -> Any:
        """Inputs: the change that met a conflict, the turn. Outputs: one turn, as it stands in the database."""
        if kept and (field := typed_in(kept[0])[0]):
            drafts.keep(self.ws, now["turn"], shared.allowed(self.ws, request), field, None)
        return self.editor.opened(now.get("turn"))

    @shared.reported
    def stands(self, now: Seen) -> str:
        """Inputs: the turn. Outputs: correct.words_standing."""
        turn_id = now.get("turn")
        return (dialogues.get_turn(self.ws, turn_id, now["layer"]).transcript or "") if turn_id is not None else ""
