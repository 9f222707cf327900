"""What the Correct page is measured against: an ordinary labelling form, as one builds it from a dropdown for each slot."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from playwright.sync_api import Locator

from tests.bench.hands import Hands, Slots, check, same

# The plain form's, which Enter takes; when what was pressed has been drawn; whether no field has the focus; and
# whether one holds a value.
ACTIVE_OPTION = """() => {
  const id = document.activeElement?.getAttribute("aria-activedescendant");
  return id ? document.getElementById(id)?.getAttribute("aria-label") : null;
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
IS_LEFT = "() => !document.activeElement.matches('input')"
HOLDS = "([place, value]) => document.querySelector(`#slot-${place} input`).value === value"


@dataclass(frozen=True)
class Item:
    """A turn: its recording, what was heard, and the model's slots (``domain-slot`` -> value)."""

    audio: Path | None
    heard: str
    slots: Mapping[str, str]


@dataclass
class PlainForm:
    """Serves itself on ``port``; ``saved`` gets one mapping a turn. The n-th slot's elem id is ``slot-n``.

    Args:
        values: the known values of each slot; an empty one, which takes the slot away, stands before them.
    """

    items: Sequence[Item]
    values: Mapping[str, Sequence[str]]
    port: int
    saved: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with gr.Blocks() as self.demo:
            number = gr.Number(-1, label="Turn", interactive=False, elem_id="turn")
            audio = gr.Audio(interactive=False, label="Recording", elem_id="audio")
            heard = gr.Textbox(label="Transcript")
            fields = [
                gr.Dropdown(["", *known], value="", label=name, elem_id=f"slot-{place}", interactive=True)
                for place, (name, known) in enumerate(self.values.items())
            ]
            shown = [number, audio, heard, *fields]
            gr.Button("Save and next", elem_id="save").click(self._save, [number, *fields], shown)
            self.demo.load(lambda: self._show(0), None, shown)

    def _show(self, number: int) -> list:
        item = self.items[min(number, len(self.items) - 1)]
        audio = str(item.audio) if item.audio else None
        return [number, audio, item.heard, *(item.slots.get(name, "") for name in self.values)]

    def _save(self, number: float, *chosen: str) -> list:
        self.saved.append({name: value for name, value in zip(self.values, chosen, strict=True) if value})
        return self._show(int(number) + 1)

    def __enter__(self) -> PlainForm:
        folders = sorted({str(item.audio.parent) for item in self.items if item.audio})
        self.demo.launch(server_port=self.port, prevent_thread_lock=True, quiet=True, inbrowser=False, allowed_paths=folders)
        return self

    def __exit__(self, *_: object) -> None:
        self.demo.close()


def tab_through(hands: Hands, place: int, value: str, wanted: str) -> None:
    """Put one field of the plain form right, which Tab has come to, and go on to the next one.

    The form mixes up keys that come faster than it draws: its list is waited for. It loses the focus while a recording
    loads: that Tab goes on here nevertheless is a kindness.
    """
    page = hands.page
    page.locator(f"#slot-{place} input").select_text()
    page.wait_for_function(f"wanted => ({ACTIVE_OPTION})() === wanted", arg=value)
    if value != wanted:
        for key in wanted or ["Delete"]:
            hands.press(key)
            page.evaluate(DRAWN)
            if page.evaluate(ACTIVE_OPTION) == wanted:
                break
        page.wait_for_function(f"wanted => ({ACTIVE_OPTION})() === wanted", arg=wanted)
        hands.press("Enter")
        page.wait_for_function(IS_LEFT)
        page.evaluate(DRAWN)
        page.wait_for_function(HOLDS, arg=[place, wanted])
    hands.press("Tab")


def point(hands: Hands, place: int, value: str, wanted: str) -> None:
    """Put one field of the plain form right with the mouse; that lists and pages have to be scrolled costs nothing here."""
    if value != wanted:
        hands.click(hands.page.locator(f"#slot-{place} input"))
        hands.click(hands.page.locator(f"#slot-{place} [role=option][aria-label={json.dumps(wanted)}]"))
        hands.page.wait_for_function(HOLDS, arg=[place, wanted])


def plain(hands: Hands, values: dict[str, list[str]], turns: list[tuple[Item, Slots]], mouse: bool) -> None:
    """The same turns in a form of dropdowns, by Tab and typing or by mouse; ``turns`` come with their right slots."""
    page = hands.page

    def press(button: Locator) -> None:
        if mouse:
            hands.click(button)
        else:
            button.focus()
            hands.press("Enter")

    with PlainForm([item for item, _ in turns], values, free_port()) as form:
        page.goto(f"http://127.0.0.1:{form.port}")
        for number, (item, gold) in enumerate(turns):
            page.wait_for_function("number => Number(document.querySelector('#turn input')?.value ?? -1) === number", arg=number)
            if not number:
                begun = time.monotonic()
            for place, name in enumerate(values):
                page.wait_for_function(HOLDS, arg=[place, item.slots.get(name, "")])
            press(page.locator("#audio .play-pause-button"))
            for place, name in enumerate(values):
                value = wanted = item.slots.get(name, "")
                if not same(value, gold.get(name), name):
                    wanted = gold.get(name, "")
                    hands.slots += 1
                (point if mouse else tab_through)(hands, place, value, wanted)
            press(page.locator("#save"))
        page.wait_for_function("number => Number(document.querySelector('#turn input').value) === number", arg=len(turns))
        hands.seconds = time.monotonic() - begun
    hands.turns = list(range(len(turns)))
    for chosen, (_, gold) in zip(form.saved, turns, strict=True):
        check("the form of dropdowns", chosen, gold)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
