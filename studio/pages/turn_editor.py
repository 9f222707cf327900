"""The right side of the Correct page: one turn with everything that stands in it, and what a save shows anew."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import gradio as gr

from engine.dialogue import Ontology
from studio.pages import shared, slot_form
from studio.pages.actions import on_view, sight
from studio.pages.carry_bar import CarryBar
from studio.pages.claim_bar import ClaimBar
from studio.pages.held_out import HeldOutBar
from studio.pages.player import Player
from studio.pages.review_panel import ReviewPanel
from studio.pages.slot_form import Place
from studio.pages.turn_html import (
    heard_html,
    hints_html,
    history_html,
    raw_draft_html,
    title_html,
    turn_label,
    unfollowed_html,
    version_label,
)
from studio.services import (
    corrections,
    dialogues,
    double,
    drafts,
    following,
    hints,
    ontology,
    postprocessing,
    provenance,
    verdicts,
)
from studio.services.views import DialogueView, TurnView
from studio.workspace import Workspace

NOTHING = shared.empty("Nothing here", "Record a dialogue on the Talk page, or clear the search and the filters.")


class TurnEditor:
    """The components of one turn; made inside the page's layout, wired by the page.

    ``turns`` and ``held_out`` are components of the left side that show the open dialogue.
    """

    def __init__(self, ws: Workspace, turns: gr.Radio, held_out: gr.Checkbox) -> None:
        self.ws = ws
        self.turns = turns
        self.held_out = held_out
        self.seen = gr.State({})
        self.refused = gr.State(None)
        self._numbers = itertools.count(1)  # a fresh number has the slot form drawn anew
        self.on_view = gr.Textbox(visible="hidden", elem_id="correct.on_view", elem_classes=shared.HIDDEN_PART)
        self.nothing = shared.block(elem_id="correct.empty", visible=False)
        with gr.Column(visible=False, elem_id="correct.editor") as self.editor:
            self._title_bar()
            self.claim = ClaimBar(ws, self.seen)
            self.guard = HeldOutBar(ws, self.seen)
            self._conflict()
            with gr.Row(visible=False, elem_classes="dst-bar", elem_id="correct.unfollowed") as self.unfollowed:
                self.unfollowed_why = shared.block(elem_id="correct.unfollowed_why", scale=1)
                self.again = shared.action("Try again", "7", "correct.again")
            self.player = Player("correct")
            self.audio = self.player.audio
            with gr.Row(elem_classes="dst-bar"):
                self.heard = shared.block(elem_id="correct.model_transcript", scale=1)
                self.ask = shared.action("Ask the model", "m", "correct.ask_model", "primary")
            self.transcript = gr.Textbox(
                label="Transcript (T)",
                info="Enter saves it, and leaving it; till then a draft is kept.",
                elem_id="correct.transcript",
                elem_classes="key-t",
            )
            # Words that are typed stay, too, whatever an undo brings back.
            self.words_standing, self.words_shown = (
                gr.Textbox(visible="hidden", elem_id=f"correct.words_{name}", elem_classes=shared.HIDDEN_PART)
                for name in ("standing", "shown")
            )
            self.paused = shared.paused("correct.transcript", sent_on_leaving=True, of_turn=True)
            with gr.Column(visible=False, elem_id="correct.state") as self.state:
                self.slots = slot_form.component()
                self.hints = shared.block(elem_id="correct.hints", elem_classes="dst-perhaps")
                self.carry = CarryBar(ws, self.seen)
                self.moved = shared.block(elem_id="correct.moved", elem_classes="dst-perhaps")
                # A raw text that is typed stays; what stands is told beside, and drawn where nobody types.
                self.raw_standing, self.raw_shown = (
                    gr.Textbox(visible="hidden", elem_id=f"correct.raw_{name}", elem_classes=shared.HIDDEN_PART)
                    for name in ("standing", "shown")
                )
                with gr.Accordion("Raw JSON", open=False, elem_id="correct.raw_panel") as self.raw_panel:
                    self.raw = gr.Code(language="json", interactive=True, elem_id="correct.raw", show_label=False, lines=6)
                    self.raw_problem = shared.block(elem_id="correct.raw_problem")
                    self.raw_save = shared.action("Save this state", "z", "correct.raw_save")
            self.review = ReviewPanel(ws, self.seen, self.on_view)
            with gr.Accordion("History", open=False, elem_id="correct.history_panel"):
                self.history = shared.block(elem_id="correct.history")
                with gr.Row(elem_classes="dst-bar"):
                    self.version = gr.Dropdown(
                        [], label="Go back to how it stood after", elem_id="correct.version", interactive=True
                    )
                    self.restore = shared.action("Bring back", "g", "correct.restore")

    def _title_bar(self) -> None:
        with gr.Row(elem_classes="dst-bar dst-turn-bar"):
            self.title = shared.block(elem_id="correct.title", scale=3, min_width=180)
            self.notice = shared.block(elem_id="correct.notice", elem_classes="dst-notice", scale=1, min_width=110)
            self.back = shared.action("← Previous", "p", "correct.previous")
            self.forward = shared.action("Next →", "n", "correct.next")
            self.undo = shared.action("Undo", "u", "correct.undo")
            self.redo = shared.action("Redo", "r", "correct.redo")
            self.doubtful = shared.action("Next doubtful", "d", "correct.doubtful")
            self.accept = shared.action("All correct", "a", "correct.accept")
            self.accept_and_go = shared.action("All correct, next", "q", "correct.accept_and_go", "primary")

    def _conflict(self) -> None:
        with gr.Column(visible=False, elem_id="correct.conflict", elem_classes="dst-conflict") as self.conflict:
            self.versions = shared.block(elem_id="correct.versions")
            with gr.Row(elem_classes="dst-bar"):
                self.keep_theirs = shared.action("Keep theirs", "h", "correct.keep_theirs")
                self.keep_mine = shared.action("Save mine over it", "i", "correct.keep_mine", "primary")

    @property
    def saved_view(self) -> list[Any]:
        """What a save shows anew: no field in which somebody may be typing (the slot form keeps what is being typed)."""
        parts = [self.seen, self.refused, self.slots, self.notice, self.title, self.conflict, self.versions, self.hints]
        parts += [*self.words_parts, *self.raw_parts, self.raw_standing, self.raw_problem, self.history, self.version]
        parts += [self.turns, self.held_out]
        parts += [self.undo, self.redo, self.accept, self.accept_and_go, self.unfollowed, self.unfollowed_why]
        return [*parts, *self.review.parts, *self.guard.parts, *self.carry.parts]

    @property
    def words_parts(self) -> list[Any]:
        """The words that stand, and those that their field was drawn with."""
        return [self.words_standing, self.words_shown]

    @property
    def raw_parts(self) -> list[Any]:
        """The field of the raw state, and the text that it was drawn with."""
        return [self.raw, self.raw_shown]

    @property
    def turn_view(self) -> list[Any]:
        """What opening a turn shows anew."""
        parts = [self.on_view, self.nothing, self.editor, self.audio, self.heard, self.ask, self.transcript, self.state]
        return [*self.saved_view, *parts, self.raw_panel]

    def raw_draft(self, turn_id: int) -> drafts.Kept | None:
        """The raw state that the reader has typed and not saved."""
        return drafts.kept(self.ws, turn_id, shared.reader()).get("raw")

    def form(
        self, item: TurnView, known: Ontology, after: Place | None = None, refused: Mapping[str, drafts.Kept] | None = None
    ) -> dict[Any, Any]:
        """The slot form of a turn, with the slot in focus that comes after the one decided last. What was ``refused``, by the
        field of a draft, stands in its field as one, even where no draft could be kept.
        """
        if item.speaker != "user":
            return {}
        processed = postprocessing.process(item.predicted_state or {}, known)
        kept = drafts.kept(self.ws, item.id, shared.reader()) | dict(refused or {})
        typed = slot_form.drafts_in(kept, slot_form.names_in(item, known))
        overtaken = drafts.overtaken(self.ws, item, typed)
        shown = slot_form.form_html(item, known, processed, typed, overtaken, next(self._numbers), after)
        return {self.slots: gr.update(value=shown)}

    def after_save(self, item: TurnView, changed: bool, after: Place | None = None) -> dict[Any, Any]:
        """Everything but the transcript's field, and but a conflict one has not decided yet.

        ``after`` is the slot that was decided, ``changed`` says that something was saved: the notice of an earlier save has
        to stay otherwise.
        """
        return self._shown(item, dialogues.get_dialogue(self.ws, item.dialogue_id, item.layer), changed, after)

    def _shown(self, item: TurnView, around: DialogueView, changed: bool, after: Place | None = None) -> dict[Any, Any]:
        known = ontology.get_ontology(self.ws, around.project_id)
        changes = corrections.history(self.ws, item.id, item.layer)
        shown: dict[Any, Any] = self.form(item, known, after) | {
            self.hints: hints_html(hints.hints(self.ws, around.project_id, item, known)),
            self.undo: gr.update(interactive=item.can_undo),
            self.redo: gr.update(interactive=item.can_redo),
            self.accept: gr.update(interactive=item.model_transcript is not None),
            self.accept_and_go: gr.update(interactive=item.model_transcript is not None),
            self.raw_standing: shared.pretty(item.state),
            self.raw_problem: raw_draft_html(item, self.raw_draft(item.id)),
            self.history: history_html(changes, provenance.runs_of(self.ws, item.id)),
            self.version: gr.update(choices=[(version_label(one), one.id) for one in changes if one.restorable], value=None),
            **self.review.shown(item),
            **self.guard.shown(around),
            **self.carry.shown(item),
            self.turns: gr.update(choices=[(turn_label(other), other.id) for other in around.turns], value=item.id),
            self.held_out: around.split == "test",
            **self.waits(item, around),
        }
        if changed:
            shown[self.notice] = shared.saved()  # upon which the page looks for what the rest of the dialogue follows
        return shown

    def waits(self, item: TurnView, around: DialogueView) -> dict[Any, Any]:
        """The turn's title, which says whether later turns of its dialogue wait to be decoded again, and why they were not."""
        layer = double.layer_of(self.ws, around.id, shared.reader())
        waiting = following.waiting(self.ws, around.id, layer)
        first = min(waiting.turns, default=None)
        later = first is not None and any(turn.prediction_id is not None for turn in around.turns if turn.turn_id > first)
        return {
            self.title: title_html(item, waits=later and waiting.problem is None),
            self.unfollowed: gr.update(visible=waiting.problem is not None),
            self.unfollowed_why: unfollowed_html(waiting),
        }

    def opened(self, turn_id: int | None) -> dict[Any, Any]:
        """A turn as it stands in the database; ``None``: there is none to show."""
        if turn_id is None:
            return {
                self.seen: {},
                self.on_view: "",
                self.turns: gr.update(choices=[], value=None),
                self.nothing: gr.update(value=NOTHING, visible=True),
                self.editor: gr.update(visible=False),
            }
        dialogue_id = dialogues.dialogue_of(self.ws, turn_id)
        around = dialogues.get_dialogue(self.ws, dialogue_id, double.layer_of(self.ws, dialogue_id, shared.reader()))
        item = next(turn for turn in around.turns if turn.id == turn_id)
        raw = self.raw_draft(item.id)
        recording = str(item.audio) if item.audio and item.audio.is_file() else None
        return (
            self._shown(item, around, changed=False)
            | self.review.draft(item.id)
            | {
                self.seen: sight(item),
                self.on_view: on_view(item),
                self.refused: None,
                self.conflict: gr.update(visible=False),
                self.notice: "",
                self.nothing: gr.update(visible=False),
                self.editor: gr.update(visible=True),
                self.audio: gr.update(value=recording, visible=recording is not None),
                self.heard: heard_html(item, verdicts.of_turn(self.ws, item.id, item.layer)),
                self.ask: gr.update(visible=item.waits_for_model),
                **dict.fromkeys([self.transcript, *self.words_parts], item.transcript or ""),
                self.raw: raw.text if raw is not None else shared.pretty(item.state),
                self.raw_shown: shared.pretty(item.state),
                self.raw_panel: gr.update(open=True) if raw is not None else gr.skip(),
                self.state: gr.update(visible=item.speaker == "user"),
            }
        )
