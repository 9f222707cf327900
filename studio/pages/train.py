"""Train: what a fine-tune would use, starting one, watching it. The job is a process of its own; this page reads."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.pages.delete_bar import DeleteBar
from studio.pages.job_html import progress_html
from studio.pages.live_panel import LivePanel
from studio.pages.recipe_form import RecipeForm
from studio.pages.train_html import preview_html, used_html
from studio.pages.where_panel import WherePanel
from studio.services import checkpoints, deleting, provenance, training, verdicts
from studio.services.training import JobLine, JobView
from studio.workspace import Workspace

COUNTING = shared.empty("Counting", "What is corrected and what is held out is read.")

FROM_SCRATCH = ("the base models alone", 0)  # a choice has no value None


def page(ws: Workspace, demo: gr.Blocks) -> None:
    """Lay out the page and wire it to the services."""
    head = shared.head("train")
    with gr.Row(elem_classes="dst-columns"):
        with gr.Column(scale=2, min_width=320):
            data = shared.block(elem_id="train.data", elem_classes="dst-panel")
            base = gr.Dropdown(
                [],
                label="Start from",
                info="The checkpoint whose weights training goes on with; a recipe with stages of its own can do without.",
                elem_id="train.base",
                interactive=True,
            )
            form = RecipeForm(ws)
            use = gr.Checkbox(
                True,
                label="Use the new checkpoint when it is finished and passes the gate",
                elem_id="train.use_when_finished",
            )
            start = gr.Button("Start training", variant="primary", elem_id="train.start")
            place = WherePanel(ws)
        with gr.Column(scale=3, min_width=340):
            job = gr.Radio([], label="Jobs, newest first", elem_id="train.job", elem_classes="dst-list", interactive=True)
            progress = shared.block(elem_id="train.progress", elem_classes="dst-panel")
            with gr.Row(elem_classes="dst-bar"):
                stop = gr.Button("Stop and save", elem_id="train.stop", size="sm", interactive=False, scale=0, min_width=130)
                again = gr.Button("Run again", elem_id="train.rerun", size="sm", interactive=False, scale=0, min_width=130)
                resume = gr.Button("Resume", elem_id="train.resume", size="sm", interactive=False, scale=0, min_width=130)
                less = gr.Button(
                    "Resume with less memory", elem_id="train.less_memory", size="sm", visible=False, scale=0, min_width=130
                )
                keep = gr.Button("Keep the last save", elem_id="train.keep", size="sm", visible=False, scale=0, min_width=130)
                bar = DeleteBar("train.delete")
            panel = LivePanel(ws)
            scores = shared.block(elem_id="train.scores")
            with gr.Accordion("Corrections it is trained on", open=False, elem_id="train.used_panel"):
                used = shared.block(elem_id="train.used")
    timer = gr.Timer(2)
    live = [progress, stop, resume, less, keep, again, used, scores, job, *bar.parts, *panel.outputs]

    def shown(item: JobView) -> dict[Any, Any]:
        scored = item.has_scores and not item.active and (item.status == "finished" or item.scores_after is not None)
        return {
            progress: progress_html(item),
            stop: gr.update(interactive=item.can_stop),
            resume: gr.update(interactive=item.can_resume),
            less: gr.update(visible=item.can_take_less_memory),
            keep: gr.update(visible=item.can_keep),
            again: gr.update(interactive=item.checkpoint_id is not None and not item.active),
            scores: shared.scores_html(item.scores_before, item.scores_after) if scored else "",
        }

    def opened(job_id: int | None) -> dict[Any, Any]:
        if job_id is None:
            text = shared.empty(
                "No training yet",
                "Correct some turns, then start: the loss appears here, and training goes on without this page.",
            )
            nothing: dict[Any, Any] = {progress: text, scores: "", used: ""}
            nothing |= {button: gr.update(visible=False) for button in (less, keep)}
            nothing |= {button: gr.update(interactive=False) for button in (stop, resume, again)}
            return nothing | panel.nothing() | bar.nothing()
        item = training.job_view(ws, job_id)
        return shown(item) | panel.opened(item) | bar.closed() | {used: used_html(provenance.corrections_of(ws, job_id))}

    def listed(project_id: int | None, wanted: int | None) -> tuple[dict[Any, Any], int | None]:
        jobs, chosen = training.job_lines(ws, project_id, wanted)
        return {job: gr.update(choices=choices_of(jobs), value=chosen)}, chosen

    def chosen_project(project_id: int | None) -> dict[Any, Any]:
        return {
            data: COUNTING if project_id is not None else shared.empty("No project", "Create one on the Talk page."),
            start: gr.update(interactive=False),
            head.hint: shared.hint(ws, project_id),
        }

    @shared.reported
    def count(project_id: int | None) -> Any:
        """Inputs: train.project. Outputs: train.data, train.start. Reads every label of the project: seconds, if it is large."""
        if project_id is None:
            return gr.skip()
        found = training.preview(ws, project_id)
        return {data: preview_html(found, verdicts.counts(ws, project_id)), start: gr.update(interactive=not found.problem)}

    @shared.reported
    def load(remembered: int | None, request: gr.Request) -> Any:
        """Inputs: the browser's last project, ?job=. Outputs: everything on the page."""
        wanted = shared.query_int(request, "job")
        try:
            by_address = training.job_view(ws, wanted).project_id if wanted is not None else None
        except StudioError:  # an old link: open what there is
            by_address = None
        top, project_id = head.choose(ws, by_address or remembered)
        known = checkpoints.list_checkpoints(ws)
        choices, chosen = listed(project_id, wanted)
        start_from = top | {
            base: gr.update(choices=[*((item.name, item.id) for item in known), FROM_SCRATCH], value=checkpoints.in_use(ws).id),
        }
        return start_from | form.opened(None, project_id) | chosen_project(project_id) | place.opened() | choices | opened(chosen)

    @shared.reported
    def choose_recipe(name: str, filled: str | None, project_id: int | None) -> Any:
        """Inputs: train.recipe, the recipe that the form holds, train.project. Outputs: the form."""
        return form.opened(name, project_id) if name != filled else gr.skip()  # the field was left: what was set stays

    @shared.reported
    def take_proposal(project_id: int | None) -> Any:
        """Inputs: train.project. Outputs: the form."""
        return form.opened(None, project_id)

    @shared.reported
    def choose_stages(name: str, stages: list[str]) -> Any:
        """Inputs: train.recipe, train.stages. Outputs: the form."""
        return form.restaged(name, stages)

    @shared.reported
    def draft(*values: Any) -> Any:
        """Inputs: the form. Outputs: train.recipe_text; train.plan if something is wrong."""
        return form.draft(*values) if values[1] else gr.skip()

    @shared.reported
    def weigh(base_id: int, toml: str) -> Any:
        """Inputs: train.base, train.recipe_text. Outputs: train.plan, train.memory."""
        return form.weigh(base_id or None, toml) if toml else gr.skip()

    def switch_project(project_id: int) -> dict[Any, Any]:
        """The form, the project's data and its jobs."""
        choices, chosen = listed(project_id, None)
        return chosen_project(project_id) | form.opened(None, project_id) | choices | opened(chosen)

    @shared.reported
    def begin(
        project_id: int,
        base_id: int,
        use_it: bool,
        name: str,
        stages: list[str],
        steps: int | None,
        rate: float | None,
        rows: list[list[Any]],
        more: str | None,
        request: gr.Request,
    ) -> Any:
        """Inputs: train.project, train.base, train.use_when_finished, the form. Outputs: train.job and the job."""
        by = shared.person(ws, request, "trainer")
        if not stages:
            raise StudioError("Choose at least one stage.")
        chosen = form.overrides(name, stages, steps, rate, rows, more)
        item = training.start_job(ws, project_id, base_id or None, name, chosen, use_it, stages=stages, by=by)
        gr.Info(
            f"It {item.waits_for}." if item.waits_for else "Training started.",
            title=f"Job {item.id}",
            duration=4,
        )
        return listed(project_id, item.id)[0] | opened(item.id)

    @shared.reported
    def choose_job(job_id: int) -> Any:
        """Inputs: train.job. Outputs: the job."""
        return opened(job_id)

    @shared.reported
    def end(job_id: int | None, request: gr.Request) -> Any:
        """Inputs: train.job. Outputs: the job."""
        by = shared.person(ws, request, "trainer")
        return shown(training.stop_job(ws, job_id, by)) if job_id is not None else gr.skip()

    @shared.reported
    def go_on(job_id: int | None, request: gr.Request) -> Any:
        """Inputs: train.job. Outputs: the job."""
        by = shared.person(ws, request, "trainer")
        return shown(training.resume_job(ws, job_id, by=by)) if job_id is not None else gr.skip()

    @shared.reported
    def keep_the_save(job_id: int | None, request: gr.Request) -> Any:
        """Inputs: train.job. Outputs: the job."""
        by = shared.person(ws, request, "trainer")
        return shown(training.keep_last_save(ws, job_id, by)) if job_id is not None else gr.skip()

    @shared.reported
    def go_on_with_less(job_id: int | None, request: gr.Request) -> Any:
        """Inputs: train.job. Outputs: the job."""
        by = shared.person(ws, request, "trainer")
        return shown(training.resume_with_less_memory(ws, job_id, by)) if job_id is not None else gr.skip()

    @shared.reported
    def run_again(project_id: int | None, job_id: int | None, request: gr.Request) -> Any:
        """Inputs: train.project, train.job. Outputs: the jobs and the new one."""
        by = shared.person(ws, request, "trainer")
        if job_id is None:
            return gr.skip()
        item = training.rerun_job(ws, job_id, by)
        return listed(project_id, item.id)[0] | opened(item.id)

    @shared.reported
    def delete_job(project_id: int | None, job_id: int | None, request: gr.Request) -> Any:
        """Inputs: train.project, train.job. Outputs: the jobs and the newest."""
        by = shared.person(ws, request, "admin")
        if job_id is None:
            return gr.skip()
        deleting.delete_job(ws, job_id, by)
        gr.Info("Its folder is gone.", title=f"Job {job_id} deleted", duration=4)
        choices, chosen = listed(project_id, None)
        return choices | opened(chosen)

    @shared.reported
    def tick(job_id: int | None, known: dict[str, Any], project_id: int | None) -> Any:
        """Inputs: train.job, what is plotted, train.project. Outputs: the job."""
        if job_id is None:
            return gr.skip()
        item = training.job_view(ws, job_id)
        jobs = {job: gr.update(choices=choices_of(training.job_lines(ws, project_id, job_id)[0]))}
        # Which one is chosen is not touched: somebody may choose another while this is on its way
        return shown(item) | panel.grown(item, known) | jobs | place.stands()

    @shared.reported
    def choose_place(kind: str) -> Any:
        """Inputs: train.backend. Outputs: train.processes, train.address, train.gpu_each."""
        return place.asked(kind)

    @shared.reported
    def keep_place(kind: str, processes: int | None, address: str | None, gpu: bool, meanwhile: str, request: gr.Request) -> Any:
        """Inputs: where it runs. Outputs: where it runs."""
        shared.allowed(ws, request, "trainer")
        kept = place.kept(kind, processes, address, gpu, meanwhile)
        gr.Info("Jobs started from now on run there.", title="Kept", duration=4)
        return kept

    of_projects = [head.hint, data, start, *form.outputs, *live]
    everything = [head.project, head.remembered, base, *place.outputs, *of_projects]
    weighed = {"fn": weigh, "inputs": [base, form.text], "outputs": [form.plan, form.memory], **shared.LIGHT}
    drafted = {"fn": draft, "inputs": form.inputs, "outputs": [form.text, form.plan], **shared.LIGHT}
    counted = {"fn": count, "inputs": head.project, "outputs": [data, start], **shared.LIGHT}
    demo.load(load, head.remembered, everything, **shared.LIGHT).then(**drafted).then(**weighed).then(**counted)
    switched = head.on_switch(switch_project, of_projects)
    switched.then(**drafted).then(**weighed).then(**counted)
    form.take.click(take_proposal, head.project, form.outputs, **shared.LIGHT).then(**drafted).then(**weighed)
    chosen = form.recipe.input(choose_recipe, [form.recipe, form.filled, head.project], form.outputs, **shared.LIGHT)
    chosen.then(**drafted).then(**weighed)
    form.stages.input(choose_stages, [form.recipe, form.stages], form.outputs, **shared.LIGHT).then(**drafted).then(**weighed)
    for field in (form.steps, form.rate, form.table, form.more):
        field.input(**drafted).then(**weighed)
    base.input(**weighed)
    start.click(begin, [head.project, base, use, *form.inputs], live, **shared.ACT)
    job.input(choose_job, job, live, **shared.LIGHT)
    job.change(None, job, None, js=shared.address("job"), **shared.LIGHT)
    stop.click(end, job, live, **shared.ACT)
    resume.click(go_on, job, live, **shared.ACT)
    keep.click(keep_the_save, job, live, **shared.ACT)
    less.click(go_on_with_less, job, live, **shared.ACT)
    again.click(run_again, [head.project, job], live, **shared.ACT)
    bar.yes.click(delete_job, [head.project, job], live, **shared.COPY)
    timer.tick(tick, [job, panel.known, head.project], [*live, place.where], trigger_mode="once", **shared.LIGHT)
    place.kind.input(choose_place, place.kind, [place.processes, place.address, place.gpu], **shared.LIGHT)
    place.keep.click(keep_place, place.choice, place.outputs, **shared.ACT)


def choices_of(jobs: list[JobLine]) -> list[tuple[str, int]]:
    """The job list."""
    return [(job_label(item), item.id) for item in jobs]


def job_label(item: JobLine) -> str:
    """One line of the job list."""
    result = f" → {item.checkpoint}" if item.checkpoint else ""
    by = f" · {item.author}" if item.author else ""
    return f"{item.id} · {item.status} · {item.title}{result}{by} · {shared.day_clock(item.created)}"
