"""Talk: speak or upload a user's turn, type or record the agent's, and see what the model hears and understands."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.pages.turn_html import SPLITS
from studio.services import dialogues, projects, understanding
from studio.services.dialogues import DialogueView, TurnView
from studio.workspace import Workspace


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("talk")
    with gr.Row(elem_classes="dst-bar"):
        dialogue = gr.Dropdown([], label="Dialogue", elem_id="talk.dialogue", scale=3, min_width=220, interactive=True)
        new = gr.Button("New dialogue", elem_id="talk.new_dialogue", scale=0, min_width=130, size="sm")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=3, min_width=340):
            conversation = shared.block(elem_id="talk.conversation", max_height=340, autoscroll=True, elem_classes="dst-panel")
            user_audio = gr.Audio(
                sources=["microphone", "upload"],
                type="filepath",
                editable=False,
                label="User turn: record or upload (WAV, FLAC, OGG, MP3); it is sent when you stop",
                elem_id="talk.user_audio",
                elem_classes="dst-recorder",
                waveform_options={"show_recording_waveform": True},
            )
            with gr.Row(elem_classes="dst-bar"):
                agent_text = gr.Textbox(
                    label="Agent turn",
                    placeholder="Type what the agent answers and press Enter",
                    elem_id="talk.agent_text",
                    scale=4,
                )
                agent_add = gr.Button("Add", elem_id="talk.agent_add", scale=0, min_width=80, size="sm")
            with gr.Accordion("Record the agent instead", open=False, elem_id="talk.agent_record"):
                agent_audio = gr.Audio(
                    sources=["microphone", "upload"],
                    type="filepath",
                    editable=False,
                    label="Agent turn",
                    elem_id="talk.agent_audio",
                )
        with gr.Column(scale=2, min_width=320):
            state = shared.block(elem_id="talk.state", elem_classes="dst-panel", min_height=160)
            notice = shared.block(elem_id="talk.notice", elem_classes="dst-notice")
            retry = gr.Button("Let the model hear the waiting turns", elem_id="talk.understand", size="sm", visible=False)
            with gr.Accordion("Raw JSON", open=False, elem_id="talk.raw_panel"):
                raw = gr.Code(language="json", interactive=False, elem_id="talk.raw", show_label=False, lines=4)
            with gr.Accordion("New project", open=False, elem_id="talk.project_panel"):
                project_name = gr.Textbox(
                    label="Name",
                    elem_id="talk.project_name",
                    info="Starts with the restaurant slots of the demo model.",
                )
                project_add = gr.Button("Create project", elem_id="talk.project_add")
    waiting = gr.State(None)
    view = [conversation, state, raw, retry, head.hint]

    def shown(dialogue_id: int | None, project_id: int | None, listening: bool = False) -> dict[Any, Any]:
        found = dialogues.get_dialogue(ws, dialogue_id) if dialogue_id is not None else None
        turns = found.turns if found else ()
        last = next((turn for turn in reversed(turns) if turn.state is not None), None)
        return {
            conversation: conversation_html(found, listening),
            state: shared.state_html(last),
            raw: shared.pretty(last.state if last else None),
            retry: gr.update(visible=not listening and any(turn.waits_for_model for turn in turns)),
            head.hint: shared.hint(ws, project_id),
        }

    def listed(project_id: int | None, wanted: int | None) -> tuple[dict[Any, Any], int | None]:
        rows = dialogues.list_dialogues(ws, project_id) if project_id is not None else []
        chosen = wanted if wanted in [row.id for row in rows] else next((row.id for row in rows), None)
        choices = [(f"{row.name} · {shared.count(row.turns, 'turn')}{SPLITS[row.split]}", row.id) for row in rows]
        return {dialogue: gr.update(choices=choices, value=chosen)}, chosen

    def opened(project_id: int | None, wanted: int | None, listening: bool = False) -> dict[Any, Any]:
        choices, chosen = listed(project_id, wanted)
        return choices | shown(chosen, project_id, listening)

    def create(project_id: int) -> int:
        return dialogues.create_dialogue(ws, project_id).id

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, ?dialogue=. Outputs: talk.project, talk.dialogue and the view."""
        wanted, by_address = shared.query_int(request, "dialogue"), None
        try:
            by_address = dialogues.get_dialogue(ws, wanted).project_id if wanted is not None else None
        except StudioError as error:  # an old link: say so and open what there is
            gr.Warning(shared.escape(error))
        selector, project_id = shared.choose_project(ws, by_address or remembered)
        return {head.project: selector} | opened(project_id, wanted)

    @shared.reported
    def switch_project(project_id: int) -> Any:
        """Inputs: talk.project. Outputs: the browser's last project, talk.dialogue and the view."""
        return {head.remembered: project_id} | opened(project_id, None)

    @shared.reported
    def add_project(name: str | None) -> Any:
        """Inputs: talk.project_name.

        Outputs: talk.project, talk.project_name, the browser's last project, talk.dialogue and the view.
        """
        created = projects.create_project(ws, name or "").id
        selector, _ = shared.choose_project(ws, created)
        return {head.project: selector, head.remembered: created, project_name: ""} | opened(created, None)

    @shared.reported
    def new_dialogue(project_id: int) -> Any:
        """Inputs: talk.project. Outputs: talk.dialogue and the view."""
        return opened(project_id, create(project_id))

    @shared.reported
    def choose_dialogue(dialogue_id: int, project_id: int) -> Any:
        """Inputs: talk.dialogue, talk.project. Outputs: the view."""
        return {notice: ""} | shown(dialogue_id, project_id)

    @shared.reported
    def look(dialogue_id: int | None, project_id: int) -> Any:
        """Inputs: talk.dialogue, talk.project. Outputs: the view."""
        return shown(dialogue_id, project_id)

    @shared.reported
    def user_said(audio: str | None, dialogue_id: int | None, project_id: int) -> Any:
        """Inputs: talk.user_audio, talk.dialogue, talk.project.

        Outputs: talk.user_audio (cleared), talk.dialogue, talk.notice, the waiting dialogue and the view.
        """
        if audio is None:
            return gr.skip()
        dialogue_id = create(project_id) if dialogue_id is None else dialogue_id
        try:
            dialogues.add_user_turn(ws, dialogue_id, audio)
        except StudioError as error:
            return {user_audio: None, notice: shared.alert(error)}
        return {user_audio: None, notice: shared.saved(), waiting: dialogue_id} | opened(project_id, dialogue_id, listening=True)

    @shared.reported
    def agent_said(text: str, audio: str | None, dialogue_id: int | None, project_id: int) -> Any:
        """Inputs: talk.agent_text, talk.agent_audio, talk.dialogue, talk.project.

        Outputs: talk.agent_text, talk.agent_audio (cleared), talk.dialogue, talk.notice, the waiting dialogue, view.
        """
        text = text.strip()
        if not text and audio is None:
            return gr.skip()
        dialogue_id = create(project_id) if dialogue_id is None else dialogue_id
        cleared = {agent_text: "", agent_audio: None}
        try:
            dialogues.add_agent_turn(ws, dialogue_id, text or None, audio)
        except StudioError as error:
            return cleared | {notice: shared.alert(error)}
        done = {notice: shared.saved()} | ({} if text else {waiting: dialogue_id})
        return cleared | done | opened(project_id, dialogue_id, listening=not text)

    @shared.reported
    def understand(dialogue_id: int | None) -> Any:
        """Inputs: the waiting dialogue. Outputs: talk.notice. The view follows by itself, for the dialogue open by then."""
        if dialogue_id is None or not any(turn.waits_for_model for turn in dialogues.get_dialogue(ws, dialogue_id).turns):
            return gr.skip()
        try:
            answered = understanding.predict_dialogue(ws, dialogue_id)
        except StudioError as error:
            return shared.alert(error)
        return shared.saved() + f" · understood in {shared.duration(answered.turns[-1].compute_seconds)}"

    everything = [head.project, head.remembered, dialogue, notice, *view]
    demo.load(load, head.remembered, everything, **shared.LIGHT)
    head.project.input(switch_project, head.project, everything, **shared.LIGHT)
    gr.on([project_add.click, project_name.submit], add_project, project_name, [*everything, project_name], **shared.ACT)
    dialogue.input(choose_dialogue, [dialogue, head.project], [notice, *view], **shared.LIGHT)
    dialogue.change(None, dialogue, None, js=shared.address("dialogue"), **shared.LIGHT)
    new.click(new_dialogue, head.project, [dialogue, *view], **shared.ACT)
    heard = gr.on(
        [user_audio.stop_recording, user_audio.upload],
        user_said,
        [user_audio, dialogue, head.project],
        [user_audio, dialogue, notice, waiting, *view],
        **shared.ACT,
    )
    answered = gr.on(
        [agent_text.submit, agent_add.click, agent_audio.stop_recording, agent_audio.upload],
        agent_said,
        [agent_text, agent_audio, dialogue, head.project],
        [agent_text, agent_audio, dialogue, notice, waiting, *view],
        **shared.ACT,
    )
    # A second event: the turn is saved before the model is asked, and only the model is waited for.
    asked = [event.then(understand, waiting, notice, show_progress_on=[state], **shared.MODEL) for event in (heard, answered)]
    asked.append(retry.click(understand, dialogue, notice, show_progress_on=[state], **shared.MODEL))
    for event in asked:
        event.then(look, [dialogue, head.project], view, **shared.LIGHT)


def conversation_html(dialogue: DialogueView | None, listening: bool) -> str:
    """The dialogue so far: who said what, what each user turn changed in the state, and where to correct it."""
    if dialogue is None or not dialogue.turns:
        return shared.empty("No turn yet", "Press Record below and speak, or drop a recording there. A dialogue is made for you.")
    return f"<ol class='dst-talk'>{''.join(_turn_html(dialogue, turn, listening) for turn in dialogue.turns)}</ol>"


def _turn_html(dialogue: DialogueView, turn: TurnView, listening: bool) -> str:
    said = f"<p>{shared.escape(turn.transcript)}</p>" if turn.transcript else "<p class='dst-muted'>not transcribed yet</p>"
    if listening and turn is dialogue.turns[-1]:
        said = "<p class='dst-listening'>listening <i></i><i></i><i></i></p>"
    facts = [f"{turn.turn_id + 1} · {turn.speaker}"]
    if turn.seconds is not None:
        facts.append(f"{shared.duration(turn.seconds)} of speech")
    if turn.compute_seconds is not None:
        facts.append(f"understood in {shared.duration(turn.compute_seconds)}")
    if turn.labelled and turn.speaker == "user":
        facts.append("corrected")
    chips = "".join(
        f"<span class='dst-chip {change}'>{shared.escape(f'{domain} {slot}')} <b>{shared.value_html(value)}</b></span>"
        for domain, slot, value, change in shared.changes(turn.previous_state, turn.state or turn.previous_state)
        if change != "carried"
    )
    link = f"<a href='correct?dialogue={dialogue.id}&amp;turn={turn.id}'>correct</a>"
    return f"<li class='{turn.speaker}'><small>{' · '.join(facts)} · {link}</small>{said}{chips}{_broken(turn)}</li>"


def _broken(turn: TurnView) -> str:
    return "" if turn.valid else "<span class='dst-chip removed'>invalid model output</span>"
