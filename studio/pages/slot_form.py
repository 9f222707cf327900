"""The slot form of the Correct page: one row a slot, ontology choices and free text, what the model said beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.dialogue import State, accepted, iterate_slots
from studio.pages import shared
from studio.services import ontology
from studio.services.dialogues import TurnView
from studio.workspace import Workspace


def slot_form(
    ws: Workspace,
    project_id: int,
    turn: TurnView,
    seen: gr.State,
    save_slot: Callable[[str, str, str | None, Any, gr.Request, bool], Any],
    outputs: list[Any],
) -> None:
    """Make the rows and wire them. Called inside ``gr.render``.

    ``save_slot(domain, slot, value, seen, request, render)`` saves; ``render`` has the form made anew, which an
    edit in place must not: the hands would lose their field.
    """

    def here(now: dict[str, int | None]) -> bool:
        """Whether the page still shows the turn this form was made for: a field left behind must not write elsewhere."""
        return now.get("turn") == turn.id

    def on_value(domain: str, slot: str) -> Callable[..., Any]:
        def set_value(value: str | None, now: dict[str, int | None], request: gr.Request) -> Any:
            """Inputs: correct.slot.<domain>-<slot>. Outputs: what every save shows."""
            return save_slot(domain, slot, value, now, request, False) if here(now) and value and value.strip() else gr.skip()

        return set_value

    def on_remove(domain: str, slot: str) -> Callable[..., Any]:
        def remove(now: dict[str, int | None], request: gr.Request) -> Any:
            """Inputs: none but the turn. Outputs: what every save shows."""
            return save_slot(domain, slot, None, now, request, True) if here(now) else gr.skip()

        return remove

    def offer_values(name: str | None) -> Any:
        """Inputs: correct.add_slot. Outputs: correct.add_value."""
        domain, slot = split_name(name)
        return gr.update(
            choices=ontology.choices(ws, project_id, domain, slot) if slot else [], value=None, interactive=bool(slot)
        )

    def add(name: str | None, value: str | None, now: dict[str, int | None], request: gr.Request) -> Any:
        """Inputs: correct.add_slot, correct.add_value. Outputs: what every save shows."""
        domain, slot = split_name(name)
        return save_slot(domain, slot, value, now, request, True) if here(now) and slot and value and value.strip() else gr.skip()

    state = turn.state or {}
    gone = [(domain, slot) for domain, slot, _ in iterate_slots(turn.predicted_state or {}) if slot not in state.get(domain, {})]
    rows = [(domain, slot, accepted(value)[0]) for domain, slot, value in iterate_slots(state)] + [(*name, None) for name in gone]
    if not rows:
        shared.block("<p class='dst-muted'>No slot has a value yet. Add one below.</p>")
    for domain, slot, value in rows:
        name = f"{domain}-{slot}"

        # Without keys, Gradio reuses the components of a row for whatever slot takes its place, with their old values.
        def same(part: str, name: str = name) -> dict[str, Any]:
            return {"key": (turn.id, name, part), "preserved_by_key": []}

        with gr.Row(elem_classes=["dst-slot", "gone"] if value is None else "dst-slot", key=(turn.id, name)):
            shared.block(_name_html(turn, domain, slot), elem_classes="dst-slot-name", scale=2, min_width=110, **same("name"))
            field = gr.Dropdown(
                ontology.choices(ws, project_id, domain, slot),
                value=value,
                allow_custom_value=True,
                interactive=True,
                label=f"{domain} {slot}",
                show_label=False,
                container=False,
                elem_id=f"correct.slot.{name}",
                scale=3,
                min_width=130,
                **same("value"),
            )
            shared.block(_model_html(turn, domain, slot), elem_classes="dst-slot-model", scale=3, min_width=120, **same("model"))
            drop = gr.Button(
                "✕",
                elem_id=f"correct.remove.{name}",
                elem_classes="dst-drop",
                scale=0,
                min_width=36,
                interactive=value is not None,
                **same("remove"),
            )
        field.input(on_value(domain, slot), [field, seen], outputs, **shared.SAVE)
        drop.click(on_remove(domain, slot), seen, outputs, **shared.SAVE)
    taken = {(domain, slot) for domain, slot, _ in rows}
    names = [
        f"{domain}-{slot}"
        for domain, found in ontology.slots(ws, project_id).items()
        for slot in found
        if (domain, slot) not in taken
    ]
    with gr.Row(elem_classes="dst-slot dst-slot-add"):
        name_field = gr.Dropdown(
            names,
            value=None,
            allow_custom_value=True,
            interactive=True,
            label="Add a slot",
            info="choose, or type domain-slot",
            elem_id="correct.add_slot",
            min_width=150,
            key=(turn.id, len(rows), "add slot"),
            preserved_by_key=[],
        )
        value_field = gr.Dropdown(
            [],
            allow_custom_value=True,
            interactive=False,
            label="Value",
            info="saved when chosen",
            elem_id="correct.add_value",
            min_width=150,
            key=(turn.id, len(rows), "add value"),
            preserved_by_key=[],
        )
    name_field.input(offer_values, name_field, value_field, **shared.LIGHT)
    value_field.input(add, [name_field, value_field, seen], outputs, **shared.SAVE)


def split_name(name: str | None) -> tuple[str, str]:
    """``restaurant-price range`` -> its domain and slot; two empty texts when it is not such a name."""
    domain, _, slot = (name or "").strip().partition("-")
    return (domain, slot) if domain and slot else ("", "")


def _name_html(turn: TurnView, domain: str, slot: str) -> str:
    change = next(
        (how for d, s, _, how in shared.changes(turn.previous_state, turn.state or {}) if (d, s) == (domain, slot)),
        "carried",
    )
    tag = f" <span class='dst-tag {change}'>{shared.NAMES[change]}</span>" if change in ("added", "changed") else ""
    return f"<small>{shared.escape(domain)}</small><div>{shared.escape(slot)}{tag}</div>"


def _model_html(turn: TurnView, domain: str, slot: str) -> str:
    predicted: State = turn.predicted_state or {}
    value = predicted.get(domain, {}).get(slot)
    if value is None:
        return "<span class='dst-muted'>model: no value</span>"
    sure = shared.confidence_html(turn.confidence.get(domain, {}).get(slot))
    return f"<span>model: {shared.value_html(value)}</span>{sure}"
