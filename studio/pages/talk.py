"""Talk: speak, upload or play a user's turn, type or record the agent's, and see what the model hears and understands."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.repositories.queue import Filters
from studio.errors import StudioError
from studio.pages import shared, talk_html
from studio.pages.turn_html import SPLITS
from studio.services import dialogues, doubt, lease, placement, prepared, projects, search, understanding
from studio.services.dialogues import DialogueRow, DialogueView
from studio.services.prepared import Playing
from studio.workspace import Workspace

LISTED = 50
GPU_SECONDS = 5.0  # after which it is seen that a job took the GPU, or gave it back


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("talk")
    with gr.Row(elem_classes="dst-bar dst-tools"):
        dialogue = gr.Dropdown([], label="Dialogue", elem_id="talk.dialogue", scale=3, min_width=200, interactive=True)
        new = shared.action("New dialogue", "n", "talk.new_dialogue")
        scripts = [(title, name) for name, title in prepared.TITLES.items()]
        script = gr.Dropdown(
            scripts,
            value=scripts[0][1],
            label="Prepared dialogue",
            elem_id="talk.prepared",
            scale=3,
            min_width=200,
            interactive=True,
        )
        step = shared.action("Next turn", "t", "talk.next")
        shared.block(talk_html.PLAY_ALL, elem_id="talk.play_all", min_height=32)
        send = shared.action("Send to annotation", "s", "talk.send", variant="primary")
    with gr.Row(elem_classes="dst-columns dst-stage"):
        conversation = shared.block(elem_id="talk.conversation", elem_classes="dst-panel", scale=3, min_width=320)
        state = shared.block(elem_id="talk.state", elem_classes="dst-panel", scale=2, min_width=300)
    with gr.Row(elem_classes="dst-bar dst-mic-bar"):
        speaker = gr.Radio(
            [("User", "user"), ("Agent", "agent")],
            value="user",
            label="Who speaks",
            elem_id="talk.speaker",
            scale=0,
            min_width=150,
        )
        shared.block(talk_html.MICROPHONE, elem_id="talk.microphone", scale=5, min_width=320)
        with gr.Column(elem_id="talk.upload_panel", scale=0, min_width=110):
            upload = gr.UploadButton("Upload", elem_id="talk.upload", file_types=["audio"], size="sm")
    with gr.Row(elem_classes="dst-bar"):
        agent_text = gr.Textbox(
            label="Agent turn",
            placeholder="Type what the agent answers and press Enter",
            elem_id="talk.agent_text",
            elem_classes="dst-inline",
            scale=4,
        )
        agent_add = gr.Button("Add", elem_id="talk.agent_add", scale=0, min_width=80, size="sm")
        retry = gr.Button("Let the model hear the waiting turns", elem_id="talk.understand", size="sm", visible=False, scale=0)
        gpu = shared.block(elem_id="talk.gpu", elem_classes="dst-hint", visible=False, scale=3, min_width=200)
        notice = shared.block(elem_id="talk.notice", elem_classes="dst-notice", scale=3, min_width=200)
    with gr.Row(elem_classes="dst-more"):
        with gr.Accordion("Raw JSON", open=False, elem_id="talk.raw_panel"):
            raw = gr.Code(language="json", interactive=False, elem_id="talk.raw", show_label=False, lines=4)
        with gr.Accordion("Find a dialogue", open=False, elem_id="talk.find_panel"):
            find = gr.Textbox(
                label="Name or words",
                elem_id="talk.find",
                info="Press Enter: the list of dialogues above then holds those found. Empty: the newest.",
            )
        with gr.Accordion("New project", open=False, elem_id="talk.project_panel"):
            project_name = gr.Textbox(
                label="Name", elem_id="talk.project_name", info="Starts with the restaurant slots of the demo model."
            )
            project_add = gr.Button("Create project", elem_id="talk.project_add")
    waiting = gr.State(None)
    playing = gr.State(None)
    timer = gr.Timer(GPU_SECONDS, active=lease.has_gpu())
    view = [conversation, state, raw, retry, step, send, gpu, head.hint]

    def shown(
        dialogue_id: int | None, project_id: int | None, thinking: bool = False, played: Playing | None = None
    ) -> dict[Any, Any]:
        found = dialogues.get_dialogue(ws, dialogue_id) if dialogue_id is not None else None
        turns = found.turns if found else ()
        last = next((turn for turn in reversed(turns) if turn.state is not None), None)
        return {
            conversation: talk_html.conversation_html(found, thinking),
            state: talk_html.state_html(last),
            raw: shared.pretty(last.state if last else None),
            retry: gr.update(visible=not thinking and any(turn.waits_for_model for turn in turns)),
            step: gr.update(interactive=not (played and played.dialogue_id == dialogue_id and played.over)),
            send: gr.update(interactive=bool(found and found.demo and turns)),
            gpu: whose_gpu(),
            head.hint: shared.hint(ws, project_id),
        }

    def whose_gpu() -> Any:
        taken = placement.live_sentence(ws)
        return gr.update(value=talk_html.gpu_html(taken), visible=bool(taken))

    def offered(project_id: int | None, shown: int | None, words: str = "") -> tuple[list[DialogueRow], str]:
        """The newest dialogues that hold the words and the one shown, with the list's label."""
        if project_id is None:
            return [], "Dialogue"
        rows, more = search.dialogues(ws, project_id, Filters(text=words, speaker=None), LISTED, shown)
        which = f" with “{words}”" if words else ""
        return rows, f"Dialogue (the newest {LISTED}{which})" if more else f"Dialogue{which}"

    def choices(rows: list[DialogueRow]) -> list[tuple[str, int]]:
        return [(f"{row.name} · {shared.count(row.turns, 'turn')}{SPLITS[row.split]}", row.id) for row in rows]

    def listed(project_id: int | None, wanted: int | None) -> tuple[dict[Any, Any], int | None]:
        rows, label = offered(project_id, wanted)
        # Not into an imported dialogue, unless somebody chose it: what is said next would be added to it
        chosen = wanted if wanted in [row.id for row in rows] else next((row.id for row in rows if row.demo), None)
        return {dialogue: gr.update(choices=choices(rows), value=chosen, label=label)}, chosen

    def opened(
        project_id: int | None, wanted: int | None, thinking: bool = False, played: Playing | None = None
    ) -> dict[Any, Any]:
        choices, chosen = listed(project_id, wanted)
        return choices | shown(chosen, project_id, thinking, played)

    def create(project_id: int | None) -> int:
        if project_id is None:  # a click before the page was filled
            raise StudioError("No project is open yet: wait until its name is shown, or create one below.")
        return dialogues.create_dialogue(ws, project_id, demo=True).id

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, ?dialogue=. Outputs: talk.project, talk.dialogue and the view."""
        wanted, by_address = shared.query_int(request, "dialogue"), None
        try:
            by_address = dialogues.get_dialogue(ws, wanted).project_id if wanted is not None else None
        except StudioError as error:  # an old link: say so and open what there is
            gr.Warning(shared.escape(error))
        top, project_id = head.choose(ws, by_address or remembered)
        return top | opened(project_id, wanted)

    @shared.reported
    def add_project(name: str | None, request: gr.Request) -> Any:
        """Inputs: talk.project_name.

        Outputs: talk.project, talk.project_name, the browser's last project, talk.dialogue and the view.
        """
        shared.allowed(ws, request)
        created = projects.create_project(ws, name or "").id
        top, _ = head.choose(ws, created)
        return top | {project_name: ""} | opened(created, None)

    @shared.reported
    def new_dialogue(project_id: int, request: gr.Request) -> Any:
        """Inputs: talk.project. Outputs: talk.dialogue, talk.notice, the prepared dialogue (none plays) and the view."""
        shared.allowed(ws, request)
        return {notice: "", playing: None} | opened(project_id, create(project_id))

    @shared.reported
    def choose_dialogue(dialogue_id: int, project_id: int, played: Playing | None) -> Any:
        """Inputs: talk.dialogue, talk.project, the prepared dialogue. Outputs: the view."""
        return {notice: ""} | shown(dialogue_id, project_id, played=played)

    @shared.reported
    def find_dialogues(words: str | None, dialogue_id: int | None, project_id: int | None) -> Any:
        """Inputs: talk.find, talk.dialogue, talk.project. Outputs: talk.dialogue, which stays open; talk.notice."""
        rows, label = offered(project_id, dialogue_id, (words or "").strip())
        others = sum(row.id != dialogue_id for row in rows)
        told = "" if others else "Nothing found: try other words, or a part of the name."
        return {dialogue: gr.update(choices=choices(rows), label=label), notice: told}

    @shared.reported
    def look(dialogue_id: int | None, project_id: int, played: Playing | None) -> Any:
        """Inputs: talk.dialogue, talk.project, the prepared dialogue. Outputs: the view."""
        return shown(dialogue_id, project_id, played=played)

    @shared.reported
    def said(audio: str | None, who: str, dialogue_id: int | None, project_id: int, request: gr.Request) -> Any:
        """Inputs: talk.upload, talk.speaker, talk.dialogue, talk.project.

        Outputs: talk.speaker (the user again), talk.dialogue, talk.notice, the waiting dialogue and the view.
        """
        if audio is None:
            return gr.skip()
        try:
            author = shared.allowed(ws, request)
            dialogue_id = create(project_id) if dialogue_id is None else dialogue_id
            if who == "user":
                dialogues.add_user_turn(ws, dialogue_id, audio)
            else:
                dialogues.add_agent_turn(ws, dialogue_id, audio=audio, author=author)
        except StudioError as error:
            return {notice: shared.alert(error)}
        kept = {speaker: "user", notice: shared.saved(), waiting: dialogue_id}
        return kept | opened(project_id, dialogue_id, thinking=True)

    @shared.reported
    def agent_said(text: str, dialogue_id: int | None, project_id: int, request: gr.Request) -> Any:
        """Inputs: talk.agent_text, talk.dialogue, talk.project.

        Outputs: talk.agent_text (cleared), talk.dialogue, talk.notice and the view.
        """
        if not text.strip():
            return gr.skip()
        author = shared.allowed(ws, request)
        dialogue_id = create(project_id) if dialogue_id is None else dialogue_id
        dialogues.add_agent_turn(ws, dialogue_id, text, author=author)
        return {agent_text: "", notice: shared.saved()} | opened(project_id, dialogue_id)

    @shared.reported
    def next_turn(name: str, played: Playing | None, dialogue_id: int | None, project_id: int, request: gr.Request) -> Any:
        """Inputs: talk.prepared, what of it was played, talk.dialogue, talk.project.

        Outputs: what was played, talk.dialogue, talk.notice, the waiting dialogue and the view.
        """
        author = shared.allowed(ws, request)
        if played is None or (played.name, played.dialogue_id) != (name, dialogue_id):
            begun = dialogue_id is not None and dialogues.get_dialogue(ws, dialogue_id).turns
            played = prepared.start(name, create(project_id) if begun or dialogue_id is None else dialogue_id)
        _, played = prepared.play(ws, played, author)
        kept = {playing: played, notice: shared.saved(), waiting: played.dialogue_id}
        return kept | opened(project_id, played.dialogue_id, thinking=True, played=played)

    @shared.reported
    def understand(dialogue_id: int | None, request: gr.Request) -> Any:
        """Inputs: the waiting dialogue. Outputs: talk.notice. The view follows by itself, for the dialogue open by then."""
        if dialogue_id is None or not any(turn.waits_for_model for turn in dialogues.get_dialogue(ws, dialogue_id).turns):
            return gr.skip()
        try:
            shared.allowed(ws, request)
            answered = understanding.predict_dialogue(ws, dialogue_id)
        except StudioError as error:
            return shared.alert(error)
        return shared.saved() + f" · understood in {shared.duration(answered.turns[-1].compute_seconds)}"

    @shared.reported
    def follow_gpu(told: str | None) -> Any:
        """Inputs: talk.gpu. Outputs: talk.gpu, where that changed."""
        found = whose_gpu()
        return gr.skip() if found["value"] == (told or "") else found

    @shared.reported
    def send_to_annotation(dialogue_id: int, request: gr.Request) -> Any:
        """Inputs: talk.dialogue. Outputs: talk.send, talk.notice."""
        shared.allowed(ws, request)
        sent = dialogues.send_to_annotation(ws, dialogue_id)
        return {send: gr.update(interactive=False), notice: sent_html(sent)}

    def sent_html(sent: DialogueView) -> str:
        users = [turn for turn in sent.turns if turn.speaker == "user"]
        first = max(users, key=lambda turn: found.degree if (found := doubt.of(turn)) else 0.0)
        link = f"<a href='correct?dialogue={sent.id}&amp;turn={first.id}'>correct the most doubtful</a>"
        return f"<span role='status'>{shared.count(len(users), 'turn')} in the queue: {link}</span>"

    everything = [head.project, head.remembered, dialogue, notice, *view]
    here = [dialogue, head.project, playing]
    demo.load(load, head.remembered, everything, **shared.LIGHT).then(None, js="() => dstTalk.ready()", **shared.LIGHT)
    head.on_switch(lambda project_id: opened(project_id, None), [dialogue, notice, *view])
    timer.tick(follow_gpu, gpu, gpu, trigger_mode="once", **shared.LIGHT)
    gr.on([project_add.click, project_name.submit], add_project, project_name, [*everything, project_name], **shared.ACT)
    dialogue.input(choose_dialogue, here, [notice, *view], **shared.LIGHT).then(None, js="() => dstTalk.ready()", **shared.LIGHT)
    find.submit(find_dialogues, [find, dialogue, head.project], [dialogue, notice], **shared.LIGHT)
    dialogue.change(None, dialogue, None, js=shared.address("dialogue"), **shared.LIGHT)
    new.click(new_dialogue, head.project, [dialogue, notice, playing, *view], **shared.ACT)
    send.click(send_to_annotation, dialogue, [send, notice], **shared.ACT)
    # Hands-free, a turn can end before the one before it was saved: none of these may be left out.
    every = shared.ACT | {"trigger_mode": "multiple"}
    heard = upload.upload(said, [upload, speaker, dialogue, head.project], [speaker, dialogue, notice, waiting, *view], **every)
    played = step.click(
        next_turn,
        [script, playing, dialogue, head.project],
        [playing, dialogue, notice, waiting, *view],
        js="(...inputs) => { dstTalk.next(); return inputs; }",
        **shared.ACT,
    )
    # A second event: the turn is saved before the model is asked, and only the model is waited for.
    model = shared.MODEL | shared.HIDDEN | {"trigger_mode": "multiple"}
    for event in (heard, played):
        event.then(None, js="() => dstTalk.said()", **shared.LIGHT)
        answered = event.then(understand, waiting, notice, **model)
        answered.then(look, here, view, **every).then(None, js="() => dstTalk.answered()", **shared.LIGHT)
    typed = gr.on(
        [agent_text.submit, agent_add.click],
        agent_said,
        [agent_text, dialogue, head.project],
        [agent_text, dialogue, notice, *view],
        **shared.ACT,
    )
    typed.then(None, js="() => dstTalk.typed()", **shared.LIGHT)
    retry.click(understand, dialogue, notice, show_progress_on=[state], **shared.MODEL).then(look, here, view, **shared.LIGHT)
