"""What the pages share: event options, the head of a page, pieces of HTML, and how a service's refusal is shown."""

from __future__ import annotations

import functools
import html
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio.context import LocalContext

from engine.dialogue import State, Value, accepted, iterate_slots
from studio.errors import StudioError
from studio.services import dialogues, people, projects, training
from studio.services import labels as label_versions
from studio.workspace import Workspace

# Progress is hidden, and tracked on no component either: at each step of each event Gradio's script copies every component that
# an event tracks it on, with all that is laid out in it.
HIDDEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": []}
WAITED_FOR: dict[str, Any] = {"show_progress": "full", "show_progress_on": None}
HIDDEN_PART = "dst-hidden"  # a class: Gradio shows what is hidden again when what it stands in is shown
# Gradio makes every handler a public endpoint unless told otherwise, and lets one run at a time unless told otherwise.
LIGHT: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None} | HIDDEN
# Saves and moves of the Correct page keep their order, whatever takes how long: a save ends before the next turn opens, and a
# second save of the same person expects the first one's revision. None is skipped while another is on its way.
SAVE: dict[str, Any] = LIGHT | {"concurrency_id": "save", "concurrency_limit": 1, "trigger_mode": "multiple"}
# Lists that nobody waits for, in the order of what changed them.
LISTS: dict[str, Any] = SAVE | {"concurrency_id": "lists"}
# Recordings, projects and jobs: one after the other, a second click on the way counts as none.
ACT: dict[str, Any] = LIGHT | {"concurrency_id": "act", "concurrency_limit": 1}
# Putting a checkpoint in use loads it, which takes long: nobody's recording or job waits for that.
SWITCH: dict[str, Any] = LIGHT | {"concurrency_id": "switch", "concurrency_limit": 1}
# Copying and deleting what may be gigabytes.
COPY: dict[str, Any] = LIGHT | WAITED_FOR | {"concurrency_id": "copy", "concurrency_limit": 1}
# Whatever runs the model shares one place; everything else passes by.
MODEL: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "concurrency_limit": 1}


_NUMBERS = itertools.count(1)
_FIGURE = re.compile(r"[+-]?\d[\d.,]*( ?%)?")
NOBODY = "annotator"  # who edits where nobody logs in


@dataclass(frozen=True)
class Head:
    """The line on top of a page: which project, and what to do next. ``remembered`` is the browser's last project."""

    project: gr.Dropdown
    hint: gr.HTML
    remembered: gr.BrowserState

    def choose(self, ws: Workspace, wanted: int | None) -> tuple[dict[Any, Any], int | None]:
        """The selector as it is shown first, and the project that is selected: ``wanted`` if it exists, else the first."""
        found = projects.list_projects(ws)
        ids = [project.id for project in found]
        chosen = wanted if wanted in ids else next(iter(ids), None)
        selector = gr.update(choices=[(project.name, project.id) for project in found], value=chosen)
        return {self.project: selector, self.remembered: chosen}, chosen

    def on_switch(self, handler: Callable[[int], Any], outputs: list[Any], options: dict[str, Any] = LIGHT) -> Any:
        """Have another project shown by ``handler``. Gradio's dropdown says `input` whenever it is left, chosen from or not."""

        def switched(project_id: int, remembered: int | None) -> Any:
            """Inputs: the selector, the browser's last project. Outputs: the browser's last project, and the handler's."""
            return gr.skip() if project_id == remembered else {self.remembered: project_id} | handler(project_id)

        asked = [self.project, self.remembered]
        return self.project.input(reported(switched), asked, [self.remembered, *outputs], **options)


def head(page: str) -> Head:
    """Navigation, project selector and hint of a page."""
    gr.Navbar(main_page_name="Talk", elem_id=f"{page}.navigation")
    remembered = gr.BrowserState(None, storage_key="dst-studio-project", secret="not a secret: a project's number")
    with gr.Row(elem_classes="dst-head"):
        project = gr.Dropdown(
            [],
            label="Project",
            elem_id=f"{page}.project",
            elem_classes="dst-inline",
            scale=1,
            min_width=220,
            interactive=True,
        )
        hint = block(elem_id=f"{page}.hint", elem_classes="dst-hint", scale=4)
    return Head(project, hint, remembered)


def block(value: str = "", **options: Any) -> gr.HTML:
    """HTML in the studio's own style: Gradio's style for prose would draw borders into tables and space out links."""
    return gr.HTML(value, apply_default_css=False, **options)


def action(text: str, key: str, elem_id: str, variant: Literal["primary", "secondary"] = "secondary") -> gr.Button:
    """A small button that a key presses too; the key is printed on it."""
    name = f"{text} ({key.upper()})"
    classes = ["dst-action", f"key-{key}"]
    return gr.Button(name, elem_id=elem_id, elem_classes=classes, size="sm", scale=0, min_width=96, variant=variant)


def hint(ws: Workspace, project_id: int | None) -> str:
    """One sentence that says what to do next in this project, with a link to where it is done."""
    if project_id is None:
        return "Create a project on the Talk page to begin."
    far = projects.progress(ws, project_id)
    if not far.turns:
        return "<b>Start here:</b> on <a href='./'>Talk</a>, record or upload what a user says; the answer appears there."
    if not far.corrected:
        if far.predicted:
            return "<b>Next:</b> check what the model understood and <a href='correct'>correct it</a>; all is saved at once."
        return (
            "<b>Start here:</b> on <a href='./'>Talk</a>, speak or press Next turn and watch; or "
            "<a href='correct'>open a turn</a> and press M: the model answers it, and you say what is right."
        )
    if not training.list_jobs(ws, project_id, limit=1, kind="train"):
        return "<b>Next:</b> correct a few more turns, then <a href='train'>fine-tune the model</a> on them."
    return "<b>Next:</b> see on <a href='models'>Models</a> what training changed, or <a href='correct'>correct</a> more."


def paused(elem_id: str, sent_on_leaving: bool = False, of_turn: bool = False) -> gr.Button:
    """A hidden button that is pressed when somebody who types into the field ``elem_id`` pauses.

    An event of the field itself would go to the server with every key. ``sent_on_leaving``: leaving the field sends its text too.
    ``of_turn``: what is told comes from `dstTyped`, with the turn that was on view when it was typed.
    """
    classes = [HIDDEN_PART, *["dst-sent-on-leaving"] * sent_on_leaving, *["dst-of-turn"] * of_turn]
    return gr.Button("paused", visible="hidden", elem_id=f"{elem_id}.paused", elem_classes=classes)


def address(*names: str, **defaults: str) -> str:
    """JavaScript that keeps the page's address on what is shown: one name for each input.

    Another value of one of ``names`` is a step of the browser's history; ``defaults``, whose inputs follow, are left out of the
    address while they have their default value.
    """
    return f"(...values) => dstAddress({json.dumps(names)}, {json.dumps(defaults)}, values)"


def query_int(request: gr.Request, name: str) -> int | None:
    """A whole number from the page's address, ``None`` where there is none."""
    text = str(dict(request.query_params).get(name, ""))
    return int(text) if text.isdecimal() else None


def author(request: gr.Request) -> str:
    """Who edits: the name of the login, once there is one."""
    return request.username or NOBODY


def allowed(ws: Workspace, request: gr.Request, role: str = "annotator") -> str:
    """Who edits, if they may do what ``role`` may: who lost a role, or left, may have a page open still.

    Raises:
        StudioError: naming the role it takes.
    """
    name = author(request)
    people.require(ws, name, role)
    return name


def person(ws: Workspace, request: gr.Request, role: str) -> str:
    """Whose name a job keeps: as `allowed`, but empty where nobody logs in.

    Raises:
        StudioError: naming the role it takes.
    """
    allowed(ws, request, role)
    return request.username or ""


def reader() -> str:
    """For whom a handler is running: `author` where no request is at hand."""
    request = LocalContext.request.get(None)
    return author(request) if request is not None else NOBODY


def reported(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Show a service's refusal as a message and leave the page as it is."""

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            gr.Warning(escape(str(error)), title="Not done")
            return gr.skip()

    return wrapped


def look_first() -> Any:
    """Do nothing to a turn that was not on view yet."""
    gr.Info("Another turn was on its way: look at it first, then press again.", duration=4)
    return gr.skip()


def escape(text: object) -> str:
    """Text as HTML: everything people or models wrote goes through here."""
    return html.escape(str(text))


def count(number: int, noun: str) -> str:
    """``1 turn``, ``2 turns``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def clock(moment: datetime | None = None) -> str:
    """Time of day as people read it; a stored time is UTC."""
    return f"{(moment.astimezone() if moment and moment.tzinfo else moment or datetime.now()):%H:%M:%S}"


def day_clock(moment: datetime) -> str:
    """Date and time of day."""
    return f"{moment.astimezone() if moment.tzinfo else moment:%Y-%m-%d %H:%M}"


def saved() -> str:
    """The notice after something was written; no two are the same, or Gradio would not say that it changed."""
    return f"<span class='dst-saved' role='status' data-number='{next(_NUMBERS)}'>saved {clock()}</span>"


def unchanged() -> str:
    """The notice after nothing had to be written, as all of it stood so."""
    return f"<span class='dst-muted' role='status' data-number='{next(_NUMBERS)}'>nothing changed: all of it stood so</span>"


def duration(seconds: float | None) -> str:
    """``3.2 s``, ``4 min 5 s``, ``1 h 2 min``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(path: Path) -> str:
    """How large a file is."""
    number = path.stat().st_size
    return f"{number / 1e6:.1f} MB" if number > 1e5 else f"{number / 1e3:.1f} kB"


def value_html(value: Value) -> str:
    """A value as people read it: the canonical form, other accepted forms in brackets."""
    first, *others = accepted(value)
    return escape(f"{first} ({', '.join(others)})" if others else first)


def pretty(state: State | None) -> str:
    """The state as JSON for the raw views."""
    return json.dumps(state or {}, indent=2, ensure_ascii=False)


def changes(previous: State, current: State) -> Iterator[tuple[str, str, Value, str]]:
    """Yield ``(domain, slot, value, change)``: ``added``, ``changed``, ``carried``; ``removed`` (old value) last."""
    for domain, slot, value in iterate_slots(current):
        old = previous.get(domain, {}).get(slot)
        yield domain, slot, value, "added" if old is None else "carried" if old == value else "changed"
    for domain, slot, value in iterate_slots(previous):
        if slot not in current.get(domain, {}):
            yield domain, slot, value, "removed"


def confidence_html(confidence: float | None) -> str:
    """A small bar with the model's confidence in a value."""
    if confidence is None:
        return "<span class='dst-muted'>–</span>"
    level = "low" if confidence < 0.5 else "middle" if confidence < 0.8 else "high"
    percent = f"{confidence:.0%}".replace("%", " %")
    return f"<span class='dst-confidence {level}' style='--share:{confidence:.2f}'><i></i>{percent}</span>"


NAMES = {"added": "new", "changed": "changed", "removed": "removed"}


def invalid_html(turn: dialogues.TurnView) -> str:
    """What the model wrote, when it was not a state; empty otherwise."""
    if turn.valid:
        return ""
    return (
        "<div class='dst-alert' role='alert'><b>The model's output was not valid JSON.</b> The state before stands."
        f"<pre>{escape(turn.raw or '(nothing)')}</pre></div>"
    )


def queued(item: training.JobView) -> str:
    """The notice after a job was queued, with where to watch it."""
    when = f", number {item.queue_position} to start" if item.queue_position else ""
    return f"Queued as job {item.id}{when}. It runs without this page: <a href='train?job={item.id}'>watch it on Train</a>."


def alert(sentence: object) -> str:
    """A refusal that stays readable on the page."""
    return f"<div class='dst-alert' role='alert'>{escape(sentence)}</div>"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], caption: str = "", marks: Iterable[str] = ()) -> str:
    """Cells of HTML as a table; ``marks`` are the classes of the rows. A figure stays on one line."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(
        f"<tr class='{mark or ''}'>{''.join(map(_cell, row))}</tr>" for row, mark in itertools.zip_longest(rows, marks)
    )
    title = f"<caption>{caption}</caption>" if caption else ""
    return f"<table class='dst-table'>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    return f"<td{' class=dst-number' if _FIGURE.fullmatch(text) else ''}>{text}</td>"


def empty(title: str, text: str) -> str:
    """What a place says that has nothing to show yet."""
    return f"<div class='dst-empty'><b>{escape(title)}</b><p>{escape(text)}</p></div>"


# Name -> where ``engine evaluate`` puts it, and whether more is better.
SCORES: dict[str, tuple[tuple[str, ...], bool]] = {
    "Word error rate": (("wer",), False),
    "Joint goal accuracy": (("jga",), True),
    "JGA, fuzzy": (("fuzzy", "jga"), True),
    "Slot F1": (("slot_f1",), True),
}


def score(scores: dict[str, Any] | None, name: str) -> float | None:
    """One score by its name in ``SCORES``, if it was measured."""
    found: Any = scores
    for key in SCORES[name][0]:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def scores_html(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Scores on the held-out dialogues before and after training, and whether that is better."""
    if after is None:
        return empty("Not scored yet", "Hold out a few corrected dialogues for testing: each training is then scored on them.")
    rows = []
    for name, (_, more_is_better) in SCORES.items():
        old, new = score(before, name), score(after, name)
        verdict = ""
        if old is not None and new is not None and old != new:
            kind = "better" if (new > old) == more_is_better else "worse"
            verdict = f"<span class='dst-{kind}'>{new - old:+.1f} ({kind})</span>"
        rows.append([name, percent(old), percent(new), verdict])
    labels = [f"{name} {escape(after[name])}" for name in ("profile", "ontology", "labels") if after.get(name)]
    if after.get("oracle"):
        labels.append("oracle: values of the test split are known")
    caption = f"{count(after.get('dialogues', 0), 'held-out dialogue')} <small>{' · '.join(labels)}</small>"
    return table(("Score", "Before", "After", ""), rows, caption) + other_labels_html([before, after])


def other_labels_html(scores: Iterable[dict[str, Any] | None]) -> str:
    """A warning where scores that stand beside each other were measured on different labels."""
    warning = label_versions.difference(scores)
    return alert(warning) if warning else ""


def percent(figure: float | None) -> str:
    """``63.2 %``; a dash where there is none."""
    return "–" if figure is None else f"{figure:.1f} %"
