"""Two checkpoints side by side: scores with their significance, what was fixed and broken by slot, the turns to hear, recipes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.services import comparison
from studio.services.checkpoints import CheckpointView
from studio.services.comparison import Change, Comparison
from studio.workspace import Workspace

KINDS = ("broken", "fixed", "still wrong")
NAMES = {
    "wer": "Word error rate",
    "jga": "Joint goal accuracy",
    "slot_f1": "Slot F1",
    "slot_precision": "Slot precision",
    "slot_recall": "Slot recall",
    "ser": "Slot error rate",
}
MOST = 200  # turns listed at once; the report has them all


class ComparePanel:
    """The components; `outputs` are those that ``shown`` fills."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.baseline = gr.Dropdown([], label="Compare with", elem_id="models.baseline", interactive=True)
        self.summary = shared.block(elem_id="models.compare", elem_classes="dst-panel")
        with gr.Row(elem_classes="dst-bar"):
            self.slot = gr.Dropdown([], label="Slot", elem_id="models.compare_slot", interactive=True, min_width=150)
            self.kind = gr.Radio(
                [*KINDS], value=KINDS[0], label="Turns that are", elem_id="models.compare_kind", interactive=True, min_width=220
            )
        self.turns = shared.block(elem_id="models.compare_turns", elem_classes="dst-panel")
        with gr.Row(elem_classes="dst-bar"):
            self.make = gr.Button("Make the report", size="sm", elem_id="models.make_report")
            self.download = gr.DownloadButton("Download", size="sm", interactive=False, elem_id="models.download_report")

    @property
    def outputs(self) -> list[Any]:
        """What ``shown`` fills."""
        return [self.baseline, self.summary, self.slot, self.turns, self.make, self.download]

    def shown(
        self, chosen: CheckpointView, found: list[CheckpointView], project_id: int | None, wanted: int | None = None
    ) -> dict[Any, Any]:
        """On a project's held-out dialogues, a checkpoint beside ``wanted``, else the one in use, else the one it came from, else
        the newest.
        """
        others = [item for item in found if item.id != chosen.id]
        parent = next((item for item in others if item.name == chosen.parent), None)
        default = next((item for item in others if item.in_use), parent or next(iter(others), None))
        other = next((item for item in others if item.id == wanted), default)
        choices = gr.update(choices=[(item.name, item.id) for item in others], value=other.id if other else None)
        made = {self.baseline: choices, self.download: gr.update(value=None, interactive=False)}
        try:
            seen = comparison.compare(self.ws, other.id, chosen.id, project_id) if other else None
            reason = "There is one checkpoint only: train another one."
        except StudioError as error:
            seen, reason = None, str(error)
        if seen is None:
            nothing = {self.summary: shared.empty("Nothing to compare", reason), self.turns: ""}
            return made | nothing | {self.slot: gr.update(choices=[], value=None), self.make: gr.update(interactive=False)}
        slots = [("every slot", ""), *((name, name) for name in seen.figures["per_slot"])]
        return made | {
            self.summary: summary_html(seen),
            self.slot: gr.update(choices=slots, value=""),
            self.turns: turns_html(seen.changes, "", KINDS[0]),
            self.make: gr.update(interactive=True),
        }

    def listed(self, project_id: int | None, baseline_id: int | None, checkpoint_id: int, slot: str | None, kind: str) -> str:
        """The turns of a slot and kind."""
        if baseline_id is None:
            return ""
        return turns_html(comparison.compare(self.ws, baseline_id, checkpoint_id, project_id).changes, slot or "", kind)

    def reported(self, project_id: int | None, baseline_id: int, checkpoint_id: int) -> dict[Any, Any]:
        """Make the report and offer it."""
        page = comparison.report(self.ws, baseline_id, checkpoint_id, project_id)
        return {self.download: gr.update(value=str(page), interactive=True)}


def summary_html(seen: Comparison) -> str:
    """Scores, what changed by slot, and how the recipes differ."""
    figures = seen.figures
    rows = [] if "wer" in figures["scores"] else [[NAMES["wer"], *map(shared.percent, seen.wer), "", ""]]
    for name, score in figures["scores"].items():
        bounds = "" if score["interval"] is None else " ({:+.1f} to {:+.1f})".format(*score["interval"])
        rows.append(
            [
                NAMES[name],
                shared.percent(score["baseline"]),
                shared.percent(score["system"]),
                f"{score['difference']:+.1f}{bounds}",
                "" if score["p_value"] is None else f"{score['p_value']:.3f}",
            ]
        )
    before, after = shared.escape(seen.baseline), shared.escape(seen.system)
    counted = f"{shared.count(figures['dialogues'], 'held-out dialogue')}, {shared.count(figures['user_turns'], 'turn')}"
    heads = ("Score", before, after, "Difference (95 % interval)", "p")
    text = shared.table(heads, rows, f"{shared.escape(seen.project)}: {counted}; intervals and p over whole dialogues")
    slots = [[shared.escape(name), *map(str, changes.values())] for name, changes in figures["per_slot"].items()]
    if slots:
        text += shared.table(("Slot", "Fixed", "Broken", "Still wrong"), slots, "Turns in which a slot changed")
    if seen.recipe:
        keys = [[shared.escape("–" if part is None else part) for part in change] for change in seen.recipe]
        table = shared.table(("Key", before, after), keys)
        text += f"<details><summary>Recipes: {shared.count(len(keys), 'difference')}</summary>{table}</details>"
    return text


def turns_html(changes: tuple[Change, ...], slot: str, kind: str) -> str:
    """The turns to hear: each with its recording and a link to where it is corrected."""
    wanted = [change for change in changes if change.kind == kind and slot in ("", change.slot)]
    if not wanted:
        return shared.empty(f"No turn is {kind}", "Choose another slot or kind.")
    rows = []
    for change in wanted[:MOST]:
        place = shared.escape(f"{change.dialogue}, turn {change.number + 1}")
        link = f"<a href='correct?turn={change.turn_id}'>{place}</a>" if change.turn_id is not None else place
        source = shared.escape(f"/gradio_api/file={quote(change.audio)}") if change.audio else ""
        sound = f"<audio controls preload='none' src='{source}'></audio>" if change.audio else ""
        values = [shared.escape("–" if value is None else value) for value in (change.gold, change.before, change.after)]
        rows.append([link, shared.escape(change.slot), *values, sound])
    more = f"the first {MOST} of {len(wanted)}; the report has them all" if len(wanted) > MOST else ""
    return shared.table(("Turn", "Slot", "Right", "Before", "After", "Hear it"), rows, more)
