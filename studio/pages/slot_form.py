"""The slot form of the Correct page: one row a slot, ontology choices and free text, what the model said beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.dialogue import State, accepted, iterate_slots
from studio.pages import shared
from studio.services import ontology
from studio.services.suggestions import suggest
from studio.services.views import TurnView
from studio.workspace import Workspace

CHIPS = 4  # values offered to be chosen by one key


def slot_form(
    ws: Workspace,
    project_id: int,
    turn: TurnView,
    seen: gr.State,
    save_slot: Callable[[str, str, str | None, Any, gr.Request, bool], Any],
    confirm: Callable[[str, str, Any, gr.Request], Any],
    outputs: list[Any],
) -> None:
    """Make the rows and wire them. Called inside ``gr.render``.

    The most doubtful slot that nobody has decided on is in focus: keys confirm it or choose what it may be instead.

    ``save_slot(domain, slot, value, seen, request, render)`` saves; ``render`` has the form made anew, which an
    edit in place must not: the hands would lose their field. ``confirm(domain, slot, seen, request)`` marks a slot as right.
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

    def on_confirm(domain: str, slot: str) -> Callable[..., Any]:
        def confirm_slot(now: dict[str, int | None], request: gr.Request) -> Any:
            """Inputs: the turn. Outputs: what every save shows."""
            return confirm(domain, slot, now, request) if here(now) else gr.skip()

        return confirm_slot

    def on_choice(domain: str, slot: str, value: str) -> Callable[..., Any]:
        def choose(now: dict[str, int | None], request: gr.Request) -> Any:
            """Inputs: the turn. Outputs: what every save shows."""
            return save_slot(domain, slot, value, now, request, True) if here(now) else gr.skip()

        return choose

    def chips(domain: str, slot: str, value: str) -> None:
        """The keys of the slot in focus: right as it is, what it may be instead, or no value at all."""
        known = ontology.choices(ws, project_id, domain, slot)
        said = [turn.transcript or "", value]
        offered = [found.value for found in suggest(said, known, slot, CHIPS + 1) if found.value != value][:CHIPS]
        name = f"{domain}-{slot}"
        with gr.Row(elem_classes="dst-bar dst-chips", key=(turn.id, name, "chips")):
            keyed = [("Right", "c", f"correct.confirm.{name}", on_confirm(domain, slot))]
            keyed += [
                (text, str(place), f"correct.chip.{place}", on_choice(domain, slot, text))
                for place, text in enumerate(offered, 1)
            ]
            for text, key, elem_id, handler in [*keyed, ("No value", "x", f"correct.none.{name}", on_remove(domain, slot))]:
                shared.action(text, key, elem_id).click(handler, seen, outputs, **shared.SAVE)

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
    focus = most_doubtful(turn)
    if not rows:
        shared.block("<p class='dst-muted'>No slot has a value yet. Add one below.</p>")
    for domain, slot, value in rows:
        name = f"{domain}-{slot}"

        # Without keys, Gradio reuses the components of a row for whatever slot takes its place, with their old values.
        def same(part: str, name: str = name) -> dict[str, Any]:
            return {"key": (turn.id, name, part), "preserved_by_key": []}

        look = "gone" if value is None else "focus" if (domain, slot) == focus else ""
        with gr.Row(elem_classes=["dst-slot", look] if look else "dst-slot", key=(turn.id, name)):
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
        if look == "focus" and value is not None:
            chips(domain, slot, value)
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


def most_doubtful(turn: TurnView) -> tuple[str, str] | None:
    """The slot the model is least sure of among those that nobody has decided on."""
    if turn.imported:
        return None
    open_slots = [(domain, slot) for domain, slot, _ in iterate_slots(turn.state or {}) if (domain, slot) not in turn.confirmed]
    return min(open_slots, key=lambda name: turn.confidence.get(name[0], {}).get(name[1], 0.0), default=None)


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
    tick = " <span class='dst-tick' title='somebody decided this'>✓</span>" if (domain, slot) in turn.confirmed else ""
    return f"<small>{shared.escape(domain)}</small><div>{shared.escape(slot)}{tag}{tick}</div>"


def _model_html(turn: TurnView, domain: str, slot: str) -> str:
    predicted: State = turn.predicted_state or {}
    value = predicted.get(domain, {}).get(slot)
    if value is None:
        return "<span class='dst-muted'>model: no value</span>"
    sure = shared.confidence_html(turn.confidence.get(domain, {}).get(slot))
    return f"<span>model: {shared.value_html(value)}</span>{sure}"
