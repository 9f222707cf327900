"""A job as it runs: pace and memory, the loss, what is measured beside it, sample answers, the end of the log."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import gradio as gr
import pandas as pd

from engine.dialogue import State, accepted
from studio.pages import shared
from studio.services import live, training
from studio.services.live import LiveView
from studio.services.training import JobView
from studio.workspace import Workspace

POINTS = 400  # what the plot of the loss shows at most, however long the run
LOSS, MEASURED = ["step", "stage", "loss"], ["step", "measure", "percent"]
# Opening the log shows its end
NEWEST = """() => setTimeout(() => {
    const text = document.getElementById("train.log").querySelector("textarea");
    text.scrollTop = text.scrollHeight;
}, 100)"""
NO_SAMPLES = "From the first step on, some turns of corrected dialogues that are held out are answered here now and then."


class LivePanel:
    """The components; ``outputs`` are what ``opened`` and ``grown`` fill, ``known`` is what a page has plotted already."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.figures = shared.block(elem_id="train.figures")
        with gr.Row(elem_classes="dst-plots"):
            plain: dict[str, Any] = {"height": 230, "buttons": [], "min_width": 250, "x": "step", "x_title": "step"}
            self.loss = gr.LinePlot(y="loss", color="stage", y_title="loss", title="Loss", elem_id="train.loss", **plain)
            self.measured = gr.ScatterPlot(
                y="percent",
                color="measure",
                y_title="%",
                y_lim=[0, 100],
                title="Measured while training",
                elem_id="train.measured",
                **plain,
            )
        with gr.Accordion("Sample answers", open=True, elem_id="train.samples_panel"):
            self.samples = shared.block(elem_id="train.samples")
        with gr.Accordion("Log", open=False, elem_id="train.log_panel") as log_panel:
            self.log = gr.Textbox(
                show_label=False,
                placeholder="Nothing was written yet.",
                lines=12,
                max_lines=12,
                interactive=False,
                elem_id="train.log",
                elem_classes="dst-log",
            )
        log_panel.expand(None, None, None, js=NEWEST, **shared.LIGHT)
        self.known = gr.State({})

    @property
    def outputs(self) -> list[Any]:
        """What ``opened`` and ``grown`` fill."""
        return [self.figures, self.loss, self.measured, self.samples, self.log, self.known]

    def nothing(self) -> dict[Any, Any]:
        """Where there is no job."""
        hidden = gr.update(visible=False)
        return {self.figures: "", self.loss: hidden, self.measured: hidden, self.samples: "", self.log: "", self.known: {}}

    def opened(self, item: JobView) -> dict[Any, Any]:
        """A job that was not shown before."""
        return self.grown(item, {})

    def grown(self, item: JobView, known: dict[str, Any]) -> dict[Any, Any]:
        """What is new of a job since ``known``, which may be of another job; what did not change is left alone."""
        known = known if known.get("job") == item.id else {}
        now = live.live_view(self.ws, item.id)
        losses = self._losses(item.id, known.get("losses", []))
        sampled = now.samples["step"] if now.samples else None
        total = [0, item.total_steps] if item.total_steps and item.unit == "step" else known.get("total")
        seen = {"job": item.id, "losses": losses, "measured": len(now.measured), "sampled": sampled, "total": total}
        filled: dict[Any, Any] = {self.figures: figures_html(item, now), self.log: item.log_tail}
        if not known or losses != known["losses"] or total != known["total"]:
            table = pd.DataFrame(losses, columns=LOSS)
            filled[self.loss] = gr.update(value=table, visible=bool(losses), x_lim=total)
        if not known or seen["measured"] != known["measured"] or total != known["total"]:
            table = pd.DataFrame([vars(point) for point in now.measured], columns=MEASURED)
            filled[self.measured] = gr.update(value=table, visible=bool(now.measured), x_lim=total)
        if not known or sampled != known["sampled"]:
            filled[self.samples] = samples_html(now) if item.kind == "train" else ""
        return filled if seen == known else filled | {self.known: seen}

    def _losses(self, job_id: int, known: list[list[Any]]) -> list[list[Any]]:
        """What is plotted and what is newer; a tick asks for no more."""
        fresh = training.metrics(self.ws, job_id, after_step=known[-1][0] if known else 0, max_points=POINTS)
        kept = known + [[point.step, point.stage, point.loss] for point in fresh]
        return kept[:-1:2] + kept[-1:] if len(kept) > POINTS else kept


def figures_html(item: JobView, now: LiveView) -> str:
    """Pace and memory in numbers; of a job that has ended, only what it came to."""
    cells = []
    if item.loss is not None:
        cells.append((f"{item.loss:.3f}", "loss"))
    if now.learning_rate is not None:
        cells.append((f"{now.learning_rate:.2g}", "learning rate"))
    if now.turns_per_second is not None:
        cells.append((rate(now.turns_per_second), "turns a second"))
    if now.tokens_per_second is not None:
        cells.append((rate(now.tokens_per_second), "tokens a second"))
    if (memory := now.memory) is not None:
        if memory.job is not None:
            cells.append((f"{memory.job / 1e9:.1f} GB", "memory of this job"))
        if memory.used is not None and memory.total is not None:
            cells.append((share(memory.used, memory.total), "memory in use"))
        if memory.gpu_used is not None and memory.gpu_total is not None:
            cells.append((share(memory.gpu_used, memory.gpu_total), "GPU memory in use"))
    found = "".join(f"<div><b>{number}</b><span>{name}</span></div>" for number, name in cells)
    return f"<div class='dst-figures dst-live'>{found}</div>" if found else ""


def samples_html(now: LiveView) -> str:
    """What was said in a few held-out turns, what the model heard and understood when it was last asked."""
    if now.samples is None:
        return shared.empty("No sample yet", NO_SAMPLES)
    rows = []
    for turn in now.samples["turns"]:
        said, heard = turn["said"], turn["heard"]
        words = f"<p>{shared.escape(said) if said is not None else '<i>not transcribed</i>'}</p>"
        if said is not None and said.split() == heard.split():
            words += "<p class='dst-better'>heard right</p>"
        else:
            words += f"<p>heard: {heard_html(said or '', heard)}</p>"
        name = shared.escape(f"{turn['dialogue_id']}, turn {turn['turn_id'] + 1}")
        rows.append([name, words, state_html(turn["reference"], turn["answer"])])
    caption = f"After step {now.samples['step']}: what the model answers to {shared.count(len(rows), 'held-out turn')}"
    if now.samples["of"] != "held_out":
        caption = caption.replace("held-out", "dev")
    return shared.table(("Turn", "Words", "State"), rows, caption)


def heard_html(said: str, heard: str) -> str:
    """What was heard, with the words marked that were not said, and those struck out that were not heard."""
    old, new = said.split(), heard.split()
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(shared.escape(" ".join(new[c:d])))
            continue
        parts += [f"<del>{shared.escape(' '.join(old[a:b]))}</del>"] if b > a else []
        parts += [wrong(" ".join(new[c:d]))] if d > c else []
    return " ".join(parts) or "<i>nothing</i>"


def state_html(reference: State | None, answer: State | None) -> str:
    """The answer held against the reference, where there is one: slot by slot what is wrong, in one line what is right."""
    if answer is None:
        return "<i>this stage teaches words alone</i>"
    right, lines = [], []
    for domain, slot in slots(reference or {}, answer):
        wanted, found = ((state or {}).get(domain, {}).get(slot) for state in (reference, answer))
        name = shared.escape(f"{domain} {slot}")
        values = [shared.value_html(value) if value is not None else "empty" for value in (found, wanted)]
        if reference is None or {*accepted(wanted or "")} & {*accepted(found or "")}:
            right.append(f"{name} {values[0]}")
        else:
            lines.append(f"{name}: <b class='dst-worse'>{values[0]}</b>, should be {values[1]}")
    if right:
        kind = "<i>no reference</i>" if reference is None else "<span class='dst-better'>right</span>"
        lines.append(f"{kind}: {', '.join(right)}")
    return "<br>".join(lines) or "<i>nothing yet</i>"


def wrong(text: str) -> str:
    """Text that should not be there."""
    return f"<b class='dst-worse'>{shared.escape(text)}</b>"


def slots(*states: State) -> list[tuple[str, str]]:
    """Every slot that one of the states has a value for, in their order."""
    return list(dict.fromkeys((domain, slot) for state in states for domain, found in state.items() for slot in found))


def rate(value: float) -> str:
    """A number a second, as few digits as tell it."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def share(used: int, total: int) -> str:
    """Bytes as ``1.3 of 8.0 GB``."""
    return f"{used / 1e9:.1f} of {total / 1e9:.1f} GB"
