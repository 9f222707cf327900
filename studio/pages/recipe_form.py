"""The form of a run: recipe, stages and every setting that the recipe's schema has, as the TOML the command line takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.pages import shared
from studio.services import estimates, proposals, recipes, verdicts
from studio.services.recipes import RecipeView
from studio.services.silence import roughly
from studio.workspace import Workspace

FIRST = ("steps", "learning_rate")  # of the last stage: fields of their own
HEADS = ["Setting", "Value", "What it is"]


class RecipeForm:
    """The components. ``inputs`` are what `overrides` and `draft` read, ``outputs`` what `opened` fills."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        with gr.Row(elem_classes="dst-proposal"):
            self.proposal = shared.block(elem_id="train.proposal", scale=4)
            self.take = gr.Button("Use this", elem_id="train.take_proposal", size="sm", scale=0, min_width=120)
        self.recipe = gr.Dropdown([], label="Recipe", elem_id="train.recipe", interactive=True)
        self.filled = gr.State(None)  # the recipe that the fields hold
        self.stages = gr.CheckboxGroup([], label="Stages", elem_id="train.stages", interactive=True)
        with gr.Row(elem_classes="dst-bar"):
            self.steps = gr.Number(label="Steps", precision=0, minimum=1, elem_id="train.steps", min_width=130)
            self.rate = gr.Number(label="Learning rate", minimum=0, step=1e-5, elem_id="train.learning_rate", min_width=130)
        self.plan = shared.block(elem_id="train.plan")
        self.memory = shared.block(elem_id="train.memory")
        with gr.Accordion("All settings", open=False, elem_id="train.more"):
            self.table = gr.Dataframe(
                headers=HEADS,
                datatype="str",
                type="array",
                column_count=(len(HEADS), "fixed"),
                static_columns=[0, 2],
                interactive=True,
                wrap=True,
                max_height=320,
                elem_id="train.settings",
            )
            self.more = gr.Textbox(
                label="Overrides",
                info="Anything else, one a line, as on the command line: model.lora.dropout=0.1",
                lines=2,
                elem_id="train.overrides",
            )
        with gr.Accordion("The recipe as TOML, for the command line too", open=False, elem_id="train.toml_panel"):
            self.text = gr.Code(interactive=False, elem_id="train.recipe_text", max_lines=14, show_label=False)

    @property
    def inputs(self) -> list[Any]:
        """Recipe, stages, steps, rate, table, overrides."""
        return [self.recipe, self.stages, self.steps, self.rate, self.table, self.more]

    @property
    def outputs(self) -> list[Any]:
        """What `opened` and `restaged` fill."""
        return [self.proposal, self.recipe, self.filled, self.stages, self.steps, self.rate, self.table, self.text, self.plan]

    def opened(self, name: str | None, project_id: int | None) -> dict[Any, Any]:
        """The form of a recipe; ``None`` for the one proposed. Stages are those the project's corrections speak for."""
        found = recipes.recipes()
        chosen = next((item for item in found if item.name == name), found[0])
        proposed = proposals.propose(verdicts.counts(self.ws, project_id) if project_id is not None else {})
        stages = [stage for stage in chosen.stages if stage in (proposed.stages if _proposable(chosen) else chosen.run)]
        choices = [(item.name if item.fits else f"{item.name} (other base models)", item.name) for item in found]
        said = f"<b>Proposed: {shared.escape(' and then '.join(proposed.stages))}.</b> {shared.escape(proposed.why)}"
        return {
            self.proposal: f"<p>{said}</p>",
            self.recipe: gr.update(choices=choices, value=chosen.name, info=chosen.description),
            self.filled: chosen.name,
            self.stages: gr.update(choices=list(chosen.stages), value=stages, info="Run one after the other."),
        } | self.restaged(chosen.name, stages)

    def restaged(self, name: str, stages: Sequence[str]) -> dict[Any, Any]:
        """The settings of the stages chosen, as the recipe has them."""
        if not stages:
            return {self.plan: shared.alert("Choose at least one stage."), self.text: ""}
        toml = recipes.recipe_toml(name, (), stages)
        found = {setting.key: setting for setting in recipes.settings(toml)}
        rows = [[key, _shown(setting.value), setting.help] for key, setting in found.items() if key not in _first(stages)]
        steps, rate = (found[key] for key in _first(stages))
        return {
            self.steps: gr.update(value=steps.value, info=steps.help),
            self.rate: gr.update(value=rate.value, info=rate.help),
            self.table: rows,
            self.text: toml,
        }

    def overrides(
        self, name: str, stages: Sequence[str], steps: int | None, rate: float | None, rows: list[list[Any]], more: str | None
    ) -> list[str]:
        """What the form says otherwise than the recipe, as the command line's ``--set`` has it."""
        kept = {setting.key: _shown(setting.value) for setting in recipes.settings(recipes.recipe_toml(name, (), stages))}
        wanted = dict(zip(_first(stages), (steps, rate), strict=True)) | {key: value for key, value, *_ in rows}
        changed = [
            f"{key}={_shown(value)}"
            for key, value in wanted.items()
            if value not in (None, "") and _shown(value) != kept.get(key)
        ]
        return changed + [line.strip() for line in (more or "").splitlines() if line.strip()]

    def draft(self, *values: Any) -> dict[Any, Any]:
        """The complete recipe that the form stands for, or what is wrong with it."""
        name, stages = values[0], values[1]
        try:
            toml = recipes.recipe_toml(name, self.overrides(*values), stages)
        except StudioError as error:
            return {self.plan: shared.alert(error), self.text: ""}
        return {self.text: toml}

    def weigh(self, base_id: int | None, toml: str) -> dict[Any, Any]:
        """Time and memory that a complete recipe takes, or why it does not go with the base checkpoint."""
        try:
            measured = estimates.measured_seconds(self.ws, toml, base_id)
            if measured is not None:
                time = f"about {roughly(measured)}, as fast as earlier runs on this machine."
            else:
                guess = roughly(estimates.guessed_seconds(self.ws, toml, base_id))
                time = f"some {guess}, which is a guess by the size of the models: no such run was measured on this machine yet."
            return {
                self.plan: f"<p>Training time: {shared.escape(time)} {shared.escape(self._scoring(base_id, toml))}</p>",
                self.memory: f"<p>Memory: {shared.escape(estimates.memory(self.ws, toml, base_id))}</p>",
            }
        except StudioError as error:
            return {self.plan: "", self.memory: shared.alert(error)}

    def _scoring(self, base_id: int | None, toml: str) -> str:
        """What comes after the training."""
        each = estimates.seconds_per_turn(self.ws, toml, base_id)
        return "Scoring comes on top" + (f", about {each:.2g} s for each held-out turn and checkpoint." if each else ".")


def _proposable(chosen: RecipeView) -> bool:
    return chosen.stages == (proposals.HEAR, proposals.UNDERSTAND) and chosen.run == (proposals.UNDERSTAND,)


def _first(stages: Sequence[str]) -> list[str]:
    return [f"{stages[-1]}.{key}" for key in FIRST]


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
