"""The slot form of the Correct page as HTML: one row a slot, what the model said beside it, keys for the slot in focus.

Its script is `assets/slots.js`. The form is one component that stays whatever it shows: what is clicked or typed arrives as
events of that component, each of which names its turn and slot. So an event can neither get lost nor reach the wrong turn
while the form is drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.dialogue import DONTCARE, Ontology, Value, accepted, iterate_slots
from studio.pages import shared
from studio.services.drafts import Kept
from studio.services.postprocessing import Processed
from studio.services.suggestions import missing, suggest
from studio.services.views import TurnView

CHIPS = 4  # values offered to be chosen by one key
SAID_KEYS = "89"  # of slots without a value whose value may have been said
EMPTY = "<div class='dst-form'></div>"
Place = tuple[str, str]  # domain and slot
Names = Mapping[str, Collection[str]]  # the slots of each domain, as a state or an ontology has them


def component() -> gr.HTML:
    """The form's component. Its ``value`` is `form_html`, ``choices`` are `choices`; its event is ``input``."""
    script = "dstSlots(element, trigger, props, watch)"
    return shared.block(html_template=EMPTY, js_on_load=script, elem_id="correct.slots", choices={})


def choices(known: Ontology) -> dict[str, list[str]]:
    """``{domain-slot: values}``, ``dontcare`` last; free text is always allowed."""
    return {
        f"{domain}-{slot}": [*(value for value in values if value != DONTCARE), DONTCARE]
        for domain, slots in known.values.items()
        for slot, values in slots.items()
    }


def draft_of(place: Place) -> str:
    """The field of a draft that holds what was typed into a slot."""
    return f"slot {'-'.join(place)}"


def drafts_in(kept: Mapping[str, Kept], known: Names) -> dict[Place, Kept]:
    """What was typed into slots and never entered, of the drafts of a turn; ``known`` as for `split_name`."""
    named = ((*field.partition(" "), draft) for field, draft in kept.items())
    return {split_name(name, known): draft for kind, _, name, draft in named if kind == "slot"}


def form_html(
    turn: TurnView,
    known: Ontology,
    processed: Mapping[Place, Processed],
    typed: Mapping[Place, Kept],
    overtaken: Mapping[Place, Value | None],
    number: int,
    after: Place | None = None,
) -> str:
    """The form of a user turn.

    Args:
        turn: as it stands.
        known: the project's slots and values.
        processed: what post-processing makes of the model's values.
        typed: what the reader has typed and not entered; it stands in the fields again.
        overtaken: the slots of these that hold another value by now than the one they were typed on, which that was.
        number: another one for every form, so that a form is drawn anew even if it is the same.
        after: the slot that was decided or passed over last: the next one is in focus; without, the most doubtful one.
    """
    focus = in_focus(turn, after)
    told = {place: _draft_html(turn, place, overtaken) for place in typed}
    texts = {place: draft.text for place, draft in typed.items()}
    rows = [
        _row(turn, place, value, place == focus, processed, texts.get(place), told.get(place, "")) for place, value in _rows(turn)
    ]
    of_no_row = next((place for place in typed if place not in dict(_rows(turn))), None)
    if focus is not None:
        index = next(number for number, (place, _) in enumerate(_rows(turn)) if place == focus)
        rows.insert(index + 1, _chips(turn, focus, known, processed))
    elif all_decided(turn):
        rows.append(_ALL_DECIDED)
    if not rows:
        rows.append("<p class='dst-muted'>No slot has a value yet. Add one below.</p>")
    rows.append(_said(turn, known))
    seen = f"data-turn='{turn.id}' data-state='{turn.state_head or ''}'"
    return f"<div {seen} data-number='{number}'>{''.join(rows)}{_add(of_no_row, texts, told)}</div>"


def in_focus(turn: TurnView, after: Place | None = None) -> Place | None:
    """The next slot nobody has decided on, in order of doubt, behind ``after``."""
    places = [(domain, slot) for domain, slot, _ in iterate_slots(turn.state or {})]
    if after is not None and after not in places:
        places.append(after)
    places.sort(key=lambda place: turn.confidence.get(place[0], {}).get(place[1], 0.0))
    start = places.index(after) + 1 if after is not None else 0
    return next((place for place in places[start:] + places[:start] if _undecided(turn, place)), None)


def all_decided(turn: TurnView) -> bool:
    """Whether each value of an answer was confirmed, and nobody has said yet that the state is right as a whole."""
    places = [(domain, slot) for domain, slot, _ in iterate_slots(turn.state or {})]
    return bool(places) and turn.corrected_state is None and not any(_undecided(turn, place) for place in places)


def split_name(name: str, known: Names) -> Place:
    """``restaurant-price range`` -> its domain and slot; two empty texts when it is not such a name.

    A domain may have a hyphen of its own (``car-rental-type``): then a slot that is known tells where it ends, else a domain.
    """
    parts = name.strip().split("-")
    cuts = [("-".join(parts[:at]), "-".join(parts[at:])) for at in range(1, len(parts)) if parts[0]]
    cuts = [(domain, slot) for domain, slot in cuts if slot]
    slots = [(domain, slot) for domain, slot in cuts if slot in known.get(domain, ())]
    domains = [(domain, slot) for domain, slot in reversed(cuts) if domain in known]
    return next(iter(slots or domains or cuts), ("", ""))


def names_in(turn: TurnView, known: Ontology) -> Names:
    """What slots the form of a turn has or offers."""
    found = {domain: set(slots) for domain, slots in known.values.items()}
    for (domain, slot), _ in _rows(turn):
        found.setdefault(domain, set()).add(slot)
    return found


def value_of(text: str) -> Value:
    """What is typed into a field: one value, or several accepted forms (``8 pm | 20:00``), the canonical one first."""
    forms = list(dict.fromkeys(form for part in text.split("|") if (form := part.strip())))
    return forms if len(forms) > 1 else "".join(forms)


def _undecided(turn: TurnView, place: Place) -> bool:
    return place not in turn.confirmed and place[1] in (turn.state or {}).get(place[0], {})


def _rows(turn: TurnView) -> Iterator[tuple[Place, Value | None]]:
    """The slots of the state, then those without a value that the model or the turn before gave one."""
    state = turn.state or {}
    yield from (((domain, slot), value) for domain, slot, value in iterate_slots(state))
    gone = [(d, s) for source in (turn.predicted_state or {}, turn.previous_state) for d, s, _ in iterate_slots(source)]
    yield from (((domain, slot), None) for domain, slot in dict.fromkeys(gone) if slot not in state.get(domain, {}))


def _row(
    turn: TurnView,
    place: Place,
    value: Value | None,
    focus: bool,
    processed: Mapping[Place, Processed],
    draft: str | None,
    told: str,
) -> str:
    name, domain = shared.escape("-".join(place)), shared.escape(place[0])
    label = shared.escape(" ".join(place))
    look = " gone" if value is None else " focus" if focus else ""
    text = shared.escape(" | ".join(accepted(value))) if value is not None else ""
    field = _field(name, label, text, "no value" if value is None else "", draft=draft, domain=domain)
    return (
        f"<div class='dst-slot{look}' role='group' aria-label='{label}'>"
        f"<div class='dst-slot-name'>{_name_html(turn, place)}</div>"
        f"<div class='dst-combo' id='correct.slot.{name}'>{field}</div>"
        f"<div class='dst-slot-model'>{told}{_model_html(turn, place, processed)}</div>"
        f"<button class='dst-drop' id='correct.remove.{name}' data-act='remove' data-slot='{name}' data-domain='{domain}' "
        f"title='No value' aria-label='no value: {label}'{' disabled' if value is None else ''}>✕</button></div>"
    )


def _draft_html(turn: TurnView, place: Place, overtaken: Mapping[Place, Value | None]) -> str:
    """That a field holds a draft, what stands meanwhile, and what stood when it was begun if that is another value."""

    def said(value: Value | None) -> str:
        return "no value" if value is None else shared.value_html(value)

    now = said((turn.state or {}).get(place[0], {}).get(place[1]))
    if place not in overtaken:
        return f"{_DRAFT}<span class='dst-muted'> · saved: {now}</span>"
    changed = f"changed since you began to type: <del>{said(overtaken[place])}</del> <ins>{now}</ins>"
    return f"{_DRAFT}<div class='dst-alert' role='alert'>{changed}. Entering yours shows both.</div>"


def _field(
    name: str, label: str, text: str, hint: str = "", classes: str = "", draft: str | None = None, domain: str = ""
) -> str:
    kept = f"data-draft='{shared.escape(draft)}' " if draft else ""
    of = f"data-domain='{domain}' " if domain else ""
    return (
        f"<input name='{name}' value='{text}' {of}{kept}aria-label='{label}' placeholder='{hint}' class='{classes}' type='text' "
        "role='combobox' aria-expanded='false' aria-autocomplete='list' autocomplete='off' spellcheck='false'>"
    )


# The words may be unchecked still, so nothing is accepted by itself. The key is the button's above.
_ALL_DECIDED = "<p class='dst-all-decided'>All slots are decided. If the words are too: <b>All correct (A)</b>, <b>(Q)</b></p>"
_DRAFT = "<span class='dst-muted'>your draft, not saved yet</span>"


def _add(place: Place | None, typed: Mapping[Place, str], told: Mapping[Place, str]) -> str:
    """The row that adds a slot; ``place`` is one whose value was typed and not entered."""
    slot, value = ("-".join(place), typed[place]) if place else (None, None)
    return (
        "<div class='dst-slot dst-slot-add'>"
        "<label class='dst-combo' id='correct.add_slot'><span>Add a slot <kbd>L</kbd></span>"
        f"{_field('', 'Add a slot', '', 'choose, or type domain-slot', 'key-l', slot)}</label>"
        f"<label class='dst-combo' id='correct.add_value'><span>Value {told[place] if place else ''}</span>"
        f"{_field('', 'Value of the new slot', '', 'saved with Enter', draft=value)}</label></div>"
        "<p class='dst-muted dst-help'>Enter saves a value. Several accepted forms: <code>8 pm | 20:00</code>, the canonical one "
        "first. <code>dontcare</code>: the user does not mind. ✕, no value: the user said nothing of it. "
        "An emptied field changes nothing.</p>"
    )


def _chips(turn: TurnView, place: Place, known: Ontology, processed: Mapping[Place, Processed]) -> str:
    """The keys of the slot in focus: right as it is, what it may be instead, any will do, no value at all, type it, not now."""
    name = shared.escape("-".join(place))
    value = accepted((turn.state or {})[place[0]][place[1]])[0]
    values = {form: standard for form, standard in known.spellings(*place).items() if standard != DONTCARE}
    found = [suggestion.value for suggestion in suggest([turn.transcript or "", value], values, place[1], CHIPS + 1)]
    near = [processed[place].value] if place in processed else []
    offered = [text for text in dict.fromkeys([*near, *found]) if text not in (value, DONTCARE)][:CHIPS]
    shown = " | ".join(accepted((turn.state or {})[place[0]][place[1]]))
    chips = [("Right", "c", f"correct.confirm.{name}", "confirm", shown)]
    chips += [(text, str(key), f"correct.chip.{key}", "set", text) for key, text in enumerate(offered, 1)]
    if value != DONTCARE:
        chips.append((DONTCARE, str(CHIPS + 1), f"correct.dontcare.{name}", "set", DONTCARE))
    chips += [
        ("No value", "x", f"correct.none.{name}", "remove", ""),
        ("Type", "e", f"correct.type.{name}", "type", ""),
        ("Later", "j", f"correct.later.{name}", "pass", ""),
    ]
    return f"<div class='dst-chips'>{''.join(_chip(place, *chip) for chip in chips)}</div>"


def _said(turn: TurnView, known: Ontology) -> str:
    """The keys of slots without a value: of each one what was as good as said. Nothing where nothing comes close."""
    if turn.status == "final":
        return ""
    found = missing(turn.transcript or "", turn.state or {}, turn.previous_state, known, len(SAID_KEYS), turn.confirmed)
    chips = [
        _chip(place, f"{' '.join(place)}: {value}", key, f"correct.said.{key}", "set", value)
        for key, (place, value) in zip(SAID_KEYS, found, strict=False)
    ]
    lead = "<span class='dst-muted'>Said, and in no slot?</span>"
    return f"<div class='dst-chips'>{lead}{''.join(chips)}</div>" if chips else ""


def _chip(place: Place, text: str, key: str, elem_id: str, act: str, value: str) -> str:
    name, domain = shared.escape("-".join(place)), shared.escape(place[0])
    return (
        f"<button class='dst-key key-{key}' id='{elem_id}' data-act='{act}' data-slot='{name}' "
        f"data-value='{shared.escape(value)}' data-domain='{domain}'>{shared.escape(text)} ({key.upper()})</button>"
    )


def _name_html(turn: TurnView, place: Place) -> str:
    """The slot's name, how it changed since the turn before and from which value, and whether somebody decided it."""
    found = shared.changes(turn.previous_state, turn.state or {})
    change = next((how for domain, slot, _, how in found if (domain, slot) == place), "carried")
    tag = f" <span class='dst-tag {change}'>{shared.NAMES[change]}</span>" if change in shared.NAMES else ""
    if change == "changed":
        tag += f" <del>{shared.value_html(turn.previous_state[place[0]][place[1]])}</del>"
    tick = " <span class='dst-tick' title='somebody decided this'>✓</span>" if place in turn.confirmed else ""
    domain, slot = map(shared.escape, place)
    return f"<small>{domain}</small><div>{slot}{tag}{tick}</div>"


def _model_html(turn: TurnView, place: Place, processed: Mapping[Place, Processed]) -> str:
    value = (turn.predicted_state or {}).get(place[0], {}).get(place[1])
    if place[1] in turn.pinned.get(place[0], {}):  # told, not understood
        return "<span class='dst-muted'>from a correction in an earlier turn</span>"
    if value is None:
        return "<span class='dst-muted'>model: no value</span>"
    sure = shared.confidence_html(turn.confidence.get(place[0], {}).get(place[1]))
    return f"<span>model: {shared.value_html(value)}</span>{sure}{_processed_html(value, processed.get(place))}"


def _processed_html(value: Value, processed: Processed | None) -> str:
    """What post-processing would make of the model's value, how alike they are spelt, and the runner-up."""
    if processed is None or (processed.score is None and processed.value == accepted(value)[0]):
        return ""
    if processed.score is None:
        return f"<div class='dst-muted'>usual form: {shared.escape(processed.value)}</div>"
    alike = "<div class='dst-muted' title='how alike the spellings are'>"
    if not processed.accepted:
        return f"{alike}no known value comes close (at best {processed.score:.0f}\u00a0%)</div>"
    known = processed.value == accepted(value)[0]
    best = f"<b>{shared.escape(processed.value)}</b> ({processed.score:.0f}\u00a0%)"
    parts = ["a known value" if known else f"closest known value: {best}"]
    if processed.runner_up:
        lead = "next closest:" if known else "then"
        parts.append(f"{lead} {shared.escape(processed.runner_up)} ({processed.runner_up_score:.0f}\u00a0%)")
    return f"{alike}{', '.join(parts)}</div>"


@dataclass(frozen=True)
class Event:
    """What the form's script sent.

    ``turn`` is ``None`` where it names none. ``act`` is ``set`` (chosen by a key), ``enter`` (what a field was given),
    ``confirm``, ``remove``, ``pass`` or ``draft``. ``place`` has no domain where somebody typed the slot's name: `split_name` is
    to tell. ``text`` is what was typed or chosen; what is confirmed comes with the value that was shown. ``state`` is
    ``TurnView.state_head`` as the form was drawn.
    """

    turn: int | None
    act: str
    place: Place
    text: str
    state: int | None


def event_of(data: Any) -> Event:
    """What the form's script sent, whatever that is."""
    found = data if isinstance(data, dict) else {}
    numbers = [number if isinstance(number := found.get(name), int) else None for name in ("turn", "state")]
    act, domain, name, text = (str(found.get(key, "")) for key in ("act", "domain", "slot", "value"))
    return Event(numbers[0], act, (domain, name.removeprefix(f"{domain}-") if domain else name), text.strip(), numbers[1])
