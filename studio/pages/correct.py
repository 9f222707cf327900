"""Correct: find a turn, hear it, put its transcript and state right. Every change is at once a revision.

Only one turn is ever shown. `finder` is the left side, `turn_editor` the right one, `turn_saving` what is done to a turn; here
they are put together, and moves from turn to turn are made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from studio.errors import ConflictError, StudioError
from studio.pages import shared, slot_form
from studio.pages.actions import Seen, as_drawn, left_behind, without_words
from studio.pages.finder import DEFAULTS, Finder, address_of
from studio.pages.turn_editor import TurnEditor
from studio.pages.turn_html import heard_html, moved_html
from studio.pages.turn_saving import TurnSaving
from studio.services import corrections, dialogues, double, following, ontology, search, understanding, verdicts
from studio.workspace import Workspace

PROGRESS = gr.Progress()
NEVER = "Nothing is left to correct here: every recorded turn that the filters let through has been, or others work on it."


class Watched(NamedTuple):
    """The dialogue that is open, what it followed last, and why it could not."""

    dialogue_id: int
    number: int
    problem: str | None


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("correct")
    followed = gr.State(None)  # `Watched`
    met = gr.State([])  # the turns that "Next doubtful" led away from in this visit
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=2, min_width=260):
            finder = Finder(ws)
        with gr.Column(scale=5, min_width=340):
            editor = TurnEditor(ws, finder.turn, finder.split.held_out)
    by_address = gr.Button("by address", visible="hidden", elem_id="correct.by_address")
    here = gr.Textbox(visible="hidden", elem_id="correct.address")
    saving = TurnSaving(ws, editor)
    seen = editor.seen

    def first_open(dialogue_id: int | None) -> int | None:
        """Where to begin in a dialogue: the first user turn that is to be corrected, by the reader where that is done blind."""
        if dialogue_id is None:
            return None
        layer = double.layer_of(ws, dialogue_id, shared.reader())
        turns = dialogues.get_dialogue(ws, dialogue_id, layer).turns
        if layer:
            todo = [item.id for item in turns if item.speaker == "user" and not item.labelled]
        else:
            todo = search.to_correct_in(ws, dialogue_id)
        return next(iter(todo), next((item.id for item in turns), None))

    def next_in(project_id: int, wanted: tuple[str, ...], before: list[int] | None = None) -> int | None:
        return search.next_turn(ws, project_id, finder.asked(project_id, *wanted), before or [])

    def dialogue_of(turn_id: int | None) -> int | None:
        return dialogues.dialogue_of(ws, turn_id) if turn_id is not None else None

    def everywhere(project_id: int | None, turn_id: int | None, wanted: tuple[str, ...]) -> dict[Any, Any]:
        """The lists and one turn."""
        return finder.list_all(project_id, turn_id, dialogue_of(turn_id), *wanted) | editor.opened(turn_id)

    def of_project(project_id: int | None, turn_id: int | None, wanted: tuple[str, ...]) -> dict[Any, Any]:
        """Everything but which project it is."""
        known = ontology.get_ontology(ws, project_id) if project_id is not None else None
        shown = finder.show_filters(project_id, wanted) | everywhere(project_id, turn_id, wanted)
        offered = {"choices": slot_form.choices(known) if known else {}}
        # where nothing is queued one looks around in the dialogues
        tab = gr.update(selected="queue" if shown[finder.queue]["choices"] else "dialogues")
        return shown | {
            finder.tabs: tab,
            head.hint: shared.hint(ws, project_id),
            editor.slots: offered_with(shown.get(editor.slots), offered),
        }

    def offered_with(update: Any, offered: dict[str, Any]) -> Any:
        return gr.update(**{key: value for key, value in (update or {}).items() if key != "__type__"} | offered)

    def arrive(address: dict[str, str], remembered: int | None) -> Any:
        wanted = finder.wanted_in(address)
        numbers = [address.get(name, "") for name in ("turn", "dialogue")]
        turn_id, dialogue_id = (int(text) if text.isdecimal() else None for text in numbers)
        try:
            dialogue_id = dialogue_of(turn_id) if turn_id is not None else dialogue_id
            by_link = dialogues.get_dialogue(ws, dialogue_id).project_id if dialogue_id is not None else None
        except StudioError as error:  # an old link: say so and open what there is
            gr.Warning(shared.escape(error))
            turn_id = dialogue_id = by_link = None
        top, project_id = head.choose(ws, by_link or remembered)
        if turn_id is None and dialogue_id is not None:
            turn_id = first_open(dialogue_id)
        if turn_id is None and project_id is not None:
            turn_id = next_in(project_id, wanted) or newest(project_id)
        return top | of_project(project_id, turn_id, wanted)

    def newest(project_id: int) -> int | None:
        rows, _ = search.dialogues(ws, project_id, search.Filters(), 1)
        return first_open(rows[0].id) if rows else None

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, the page's address.

        Outputs: correct.project, correct.hint, the filters, correct.queue, correct.dialogue, one turn.
        """
        address = {name: str(value) for name, value in dict(request.query_params).items()}
        shown = arrive(address, remembered)
        for field, wanted, default in zip(finder.filters, finder.wanted_in(address), DEFAULTS.values(), strict=True):
            if wanted == default:  # as the page was made: somebody may have set it already
                filled = shown.pop(field)
                if field is finder.slot:
                    shown[field] = gr.update(choices=filled["choices"])
        return shown

    @shared.reported
    def find_typed(project_id: int | None, now: Seen, *wanted: str) -> Any:
        """Look for what was set before the page was filled. Inputs: correct.project, the turn, the filters.

        Outputs: correct.queue, correct.dialogue, one turn if none was open.
        """
        return find(project_id, now, *wanted) if project_id is not None and wanted != tuple(DEFAULTS.values()) else gr.skip()

    @shared.reported
    def go_back_in_browser(address: str, remembered: int | None) -> Any:
        """Inputs: the page's address, the browser's last project. Outputs: as when the page is loaded."""
        return arrive(address_of(address), remembered)

    def switch_project(project_id: int) -> dict[Any, Any]:
        """All that is shown of a project."""
        wanted = tuple(DEFAULTS.values())
        turn_id = next_in(project_id, wanted) or newest(project_id)
        return of_project(project_id, turn_id, wanted)

    @shared.reported
    def find(project_id: int, now: Seen, *wanted: str) -> Any:
        """Inputs: correct.project, the turn, the filters. Outputs: correct.queue, correct.dialogue, one turn if none was open."""
        turn_id = now.get("turn")
        if turn_id is None:
            return everywhere(project_id, next_in(project_id, wanted), wanted)
        return finder.list_all(project_id, turn_id, dialogue_of(turn_id), *wanted)

    @shared.reported
    def open_dialogue(dialogue_id: int) -> Any:
        """Inputs: correct.dialogue. Outputs: one turn."""
        return editor.opened(first_open(dialogue_id))

    @shared.reported
    def open_turn(turn_id: int) -> Any:
        """Inputs: correct.turn or correct.queue. Outputs: one turn."""
        return editor.opened(turn_id)

    @shared.reported
    def step(by: int, now: Seen) -> Any:
        dialogue_id, turn_id = dialogue_of(now.get("turn")), now.get("turn")
        ids = [item.id for item in dialogues.get_dialogue(ws, dialogue_id).turns] if dialogue_id is not None else []
        place = ids.index(turn_id) + by if turn_id in ids else -1
        if not 0 <= place < len(ids):
            gr.Info("This is the dialogue's last turn." if by > 0 else "This is the dialogue's first turn.", duration=3)
            return gr.skip()
        return editor.opened(ids[place])

    def go_back(now: Seen) -> Any:
        """Inputs: the turn. Outputs: one turn."""
        return step(-1, now)

    def go_forward(now: Seen) -> Any:
        """Inputs: the turn. Outputs: one turn."""
        return step(1, now)

    def passed(before: list[int], now: Seen) -> list[int]:
        """The turns met so far, the one that is left now last."""
        left = now.get("turn")
        return [*(id_ for id_ in before if id_ != left), *([left] if left is not None else [])]

    @shared.reported
    def go_doubtful(before: list[int], project_id: int, now: Seen, *wanted: str) -> Any:
        """Inputs: the turns met, correct.project, the turn, the filters.

        Outputs: the turns met, correct.queue, correct.dialogue, one turn.
        """
        before = passed(before, now)
        turn_id = next_in(project_id, wanted, before)
        if turn_id is None:
            gr.Info(NEVER, duration=4)
            return gr.skip()
        return everywhere(project_id, turn_id, wanted) | {met: before}

    @shared.reported
    def accept_and_go(request: gr.Request, on_view: str, before: list[int], project_id: int, now: Seen, *wanted: str) -> Any:
        """Inputs: the turn on view, the turns met, correct.project, the turn, the filters.

        Outputs: the next turn, or what is refused.
        """
        if left_behind(now, on_view):
            return shared.look_first()
        try:
            item = saving.carry_out(("accept",), as_drawn(now, on_view), request)
        except ConflictError as error:
            gr.Warning(shared.escape(error), title="Not done")
            return editor.opened(now["turn"])
        before = passed(before, now)
        turn_id = next_in(project_id, wanted, before)
        if turn_id is None:
            gr.Info(NEVER, duration=4)
        told = shared.saved() if item.head != now["any"] else shared.unchanged()
        return editor.opened(turn_id or now["turn"]) | {met: before, editor.notice: told}  # upon which the lists come

    @shared.reported
    def follow(now: Seen, what: Watched | None, request: gr.Request) -> Any:
        """Wait until the dialogue that is open has followed what was changed in it. Inputs: the turn, what followed.

        Outputs: correct.moved, what followed.
        """
        dialogue_id = dialogue_of(now.get("turn"))
        if dialogue_id is None:
            return gr.skip()
        layer = double.layer_of(ws, dialogue_id, shared.author(request))
        known = what if what is not None and what.dialogue_id == dialogue_id else None
        last = known.number if known is not None else following.newest()
        following.catch_up(ws, dialogue_id, again=known is None)
        done = following.followed(dialogue_id, last)
        mine = [(one.turn, moved) for one in done if (moved := one.seen_in(layer)) is not None]
        changes = [change for _, moved in mine for change in moved]
        number = max((one.number for one in done), default=last)
        problem = following.waiting(ws, dialogue_id, layer).problem
        news = Watched(dialogue_id, number, problem)
        if known is not None and not mine and problem == known.problem:
            return gr.skip()
        # of a dialogue that was just opened nothing has moved yet, whatever the one before it has told since
        shown = {editor.moved: moved_html(changes, sorted({turn for turn, _ in mine}))} if mine or known is None else {}
        return shown | {followed: news}

    @shared.reported
    def try_again(now: Seen, what: Watched | None, request: gr.Request) -> Any:
        """Inputs: the turn, what followed. Outputs: correct.moved, what followed."""
        if what is not None:
            following.catch_up(ws, what.dialogue_id, again=True)
            if problem := following.waiting(ws, what.dialogue_id, now["layer"]).problem:
                gr.Warning(shared.escape(problem), title="Not done")
        return follow(now, what, request)

    @shared.reported
    def refresh(now: Seen, typed: str, what: Watched | None) -> Any:
        """Show the model's newer answer to the turn that is open by now. Inputs: the turn, correct.transcript, what followed.

        Outputs: one turn; where the state is as before, the answer that was seen, why it was wrong, and what waits still: the
        hands keep their fields.
        """
        turn_id = now.get("turn")
        if turn_id is None or what is None:
            return gr.skip()
        item = dialogues.get_turn(ws, turn_id, now["layer"])
        if item.dialogue_id != what.dialogue_id:
            return {editor.moved: ""}
        if not corrections.saw_answer(ws, item, now["prediction"]):
            return {part: value for part, value in answered(now, typed).items() if part is not editor.audio}
        seen_now = now | {"prediction": item.prediction_id}
        waits = editor.waits(item, dialogues.get_dialogue(ws, item.dialogue_id, item.layer))
        return waits | {seen: seen_now, editor.heard: heard_html(item, verdicts.of_turn(ws, turn_id, item.layer))}

    @shared.reported
    def claim(now: Seen, what: Watched | None, request: gr.Request) -> Any:
        """Claim the dialogue of the turn that is seen; what moved stays on view in its dialogue. Inputs: the turn, what followed.

        Outputs: correct.moved, what a claim shows.
        """
        same = what is not None and dialogue_of(now.get("turn")) == what.dialogue_id
        return editor.claim.claimed(now, shared.author(request)) | {editor.moved: gr.skip() if same else ""}

    @shared.reported
    def list_anew(project_id: int, now: Seen, *wanted: str) -> Any:
        """Show what a save or an answer may have changed. Inputs: as `find`. Outputs: correct.queue, correct.dialogue."""
        turn_id = now.get("turn")
        return finder.list_all(project_id, turn_id, dialogue_of(turn_id), *wanted)

    @shared.reported
    def ask_model(now: Seen, progress: gr.Progress = PROGRESS) -> Any:
        """Inputs: the turn. Outputs: correct.notice."""
        dialogue_id = dialogue_of(now.get("turn"))
        if dialogue_id is None:
            return gr.skip()
        understanding.predict_dialogue(ws, dialogue_id, lambda done, total: progress((done, total), unit="turns"), now["layer"])
        return {editor.notice: shared.saved()}

    @shared.reported
    def answered(now: Seen, typed: str) -> Any:
        """Show what the model answered, in the turn that is open by now; text typed meanwhile stays, and a conflict.

        Inputs: the turn, correct.transcript. Outputs: one turn.
        """
        shown = editor.opened(now.get("turn"))
        keep = {editor.notice, editor.review.note, *editor.raw_parts, editor.refused, editor.conflict, editor.versions}
        if typed and now:
            keep |= {editor.transcript, *editor.words_parts}
            shown[seen] = without_words(shown[seen], now)
        return {part: value for part, value in shown.items() if part not in keep}

    of_projects = [head.hint, finder.more, *finder.filters, *finder.lists, finder.tabs, *editor.turn_view]
    everything = [head.project, head.remembered, *of_projects]
    looked_for = [head.project, seen, *finder.filters]
    arrived = demo.load(load, head.remembered, everything, **shared.LIGHT)
    in_address = [finder.turn, *finder.filters]
    keep_address = shared.address("turn", **DEFAULTS)
    arrived.then(None, in_address, None, js=keep_address, **shared.LIGHT)
    editor.player.wire(arrived)
    arrived.then(find_typed, looked_for, [*finder.lists, *editor.turn_view], **shared.SAVE)
    came_back = by_address.click(
        go_back_in_browser, [here, head.remembered], everything, js="(_, project) => [location.search, project]", **shared.SAVE
    )
    came_back.then(None, in_address, None, js=keep_address, **shared.LIGHT)
    head.on_switch(switch_project, of_projects, shared.SAVE)
    changed = [finder.paused.click, *(part.input for part in finder.filters if part is not finder.search)]
    gr.on([*changed, finder.search.submit], find, looked_for, [*finder.lists, *editor.turn_view], **shared.SAVE)
    gr.on([*changed, finder.turn.change], None, in_address, None, js=keep_address, **shared.LIGHT)
    watched = ([seen, followed], [editor.moved, followed])
    gr.on([editor.notice.change, seen.change], follow, *watched, trigger_mode="always_last", **shared.LIGHT)
    editor.again.click(try_again, *watched, **shared.LIGHT)
    followed.change(refresh, [seen, editor.transcript, followed], [*editor.turn_view, editor.moved], **shared.SAVE)
    seen.change(claim, [seen, followed], [editor.moved, *editor.claim.parts], **shared.LIGHT)
    # Not "always_last" as `follow` is: of two such events of one component, Gradio's script starts each anew when the other
    # one ends, without end.
    editor.notice.change(list_anew, looked_for, finder.lists, **shared.LISTS)
    finder.dialogue.input(open_dialogue, finder.dialogue, editor.turn_view, **shared.SAVE)
    finder.split.wire(seen, editor.guard.shown, editor.guard.parts)
    for turns in (finder.turn, finder.queue):
        turns.input(open_turn, turns, editor.turn_view, **shared.SAVE)
    editor.back.click(go_back, seen, editor.turn_view, **shared.SAVE)
    editor.forward.click(go_forward, seen, editor.turn_view, **shared.SAVE)
    editor.doubtful.click(go_doubtful, [met, *looked_for], [met, *finder.lists, *editor.turn_view], **shared.SAVE)
    editor.accept_and_go.click(accept_and_go, [editor.on_view, met, *looked_for], [met, *editor.turn_view], **shared.SAVE)
    saving.wire()
    finder.mine.wire(head.project)
    asked = editor.ask.click(ask_model, seen, editor.notice, show_progress_on=[editor.heard], **shared.MODEL)
    asked.then(answered, [seen, editor.transcript], editor.turn_view, **shared.SAVE)
