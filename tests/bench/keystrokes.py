"""What does a correction cost in keys and seconds: on the Correct page, and in a form of plain dropdowns?

    python -m tests.bench.keystrokes --manifest M --predictions P [--turns 60]

A script puts the model's real mistakes right in a real browser, without the mouse: M holds the labels, P what a checkpoint
answered (``engine evaluate --predictions P``). The same turns are done in both forms: on the Correct page the one the queue
offers next, with the demo checkpoint deciding later turns again around every correction; in the plain form, which has one
dropdown for each slot, a transcript, and a button that saves and shows the next turn. That form is measured with the slots
of the project, and with those of MultiWOZ and SpokenWOZ, which somebody has in front of them who annotates these.

Keys are counted as pressed. Seconds are those the machine took; people need more: the keystroke-level model (Card, Moran &
Newell 1980: 0.28 s a key, 1.35 s a decision) and hearing each turn once give the slots an hour.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from playwright.sync_api import Page, sync_playwright

from engine.base_models import models_dir
from engine.data.slots import known_slots
from engine.dialogue import Dialogue, Ontology, State, accepted, read_manifest
from engine.postprocess.normalise import normalise_value
from engine.tracking.predictions import TrackedTurn, read_predictions
from studio.services import dialogues, manifests, projects, understanding
from studio.workspace import Workspace, open_workspace
from tests.browser.conftest import ARGUMENTS, Studio, chromium

KEY_SECONDS, DECISION_SECONDS = 0.28, 1.35
Slots = dict[str, str]  # domain-slot -> value

# What the page shows: each row's value, the slot in focus and its chips.
FORM = """() => {
  const root = document.querySelector(".dst-form")?.firstElementChild;
  if (!root) return null;
  const chip = (button) => [button.dataset.value, button.textContent.match(/\\((.)\\)$/)[1].toLowerCase()];
  return {
    turn: Number(root.dataset.turn), number: root.dataset.number,
    values: Object.fromEntries(
      [...root.querySelectorAll("input[name]:not([name=''])")].map((field) => [field.name, field.defaultValue])
    ),
    focus: root.querySelector(".dst-slot.focus input")?.name ?? null,
    chips: Object.fromEntries([...root.querySelectorAll("button[data-act=set]")].map(chip)),
  };
}"""
FIRST_OPTION = "() => document.querySelector('[role=listbox] [role=option]')?.innerText.replace(/^[✓\\s]+/, '').trim() ?? null"


@dataclass
class Hands:
    """A keyboard that counts."""

    page: Page
    keys: int = 0
    slots: int = 0  # put right
    turns: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.keys += 1
            self.page.keyboard.press(key)

    def choose(self, text: str) -> None:
        """Type until the first option is the one, and take it; or type it to its end."""
        for letter in text:
            self.press(letter)
            if self.page.evaluate(FIRST_OPTION) == text:
                self.press("ArrowDown")
                break
        self.press("Enter")


def flat(state: State | None) -> Slots:
    """A state with its canonical values."""
    return {f"{d}-{s}": accepted(value)[0] for d, slots in (state or {}).items() for s, value in slots.items()}


def same(one: str | None, other: str | None, name: str) -> bool:
    slot = name.partition("-")[2]
    return normalise_value(one or "", slot) == normalise_value(other or "", slot)


def wrong_slots(now: Slots, right: Slots) -> list[str]:
    """Slots of either state whose value is not the right one."""
    return [name for name in now | right if not same(now.get(name), right.get(name), name)]


def fill(ws: Workspace, found: list[Dialogue], answers: dict[tuple[str, int], TrackedTurn]) -> tuple[int, dict[int, Slots]]:
    """A project of the recordings and the answers without the labels; its id, and the right slots of each turn."""
    values: dict[str, dict[str, list[str]]] = {}
    for dialogue in found:
        for turn in dialogue.turns:
            for domain, slots in (turn.state or {}).items():
                for slot, value in slots.items():
                    known = values.setdefault(domain, {}).setdefault(slot, [])
                    known += [form for form in accepted(value)[:1] if form not in known]
    project = projects.create_project(ws, "Key strokes", Ontology(values)).id
    bare = [
        replace(d, split="train", turns=[replace(t, transcript=None if t.audio else t.transcript, state=None) for t in d.turns])
        for d in found
    ]
    stored = manifests.store_audio(ws, bare)
    with ws.write() as session:
        manifests.add_dialogues(session, project, bare, stored, "bench")
    right: dict[int, Slots] = {}
    labels = {(dialogue.dialogue_id, turn.turn_id): turn.state for dialogue in found for turn in dialogue.turns}
    for row in dialogues.list_dialogues(ws, project):
        for view in dialogues.get_dialogue(ws, row.id).turns:
            answer = answers.get((row.name, view.turn_id))
            if answer is not None:
                understanding.store(ws, view.id, 1, SimpleNamespace(**answer.__dict__))  # type: ignore[arg-type]
                right[view.id] = flat(labels[row.name, view.turn_id])
    return project, right


def shown(page: Page, other_than: str | None = None, turn_other_than: int | None = None) -> dict:
    """The form once it has been drawn anew."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        form = page.evaluate(FORM)
        if form and form["number"] != other_than and form["turn"] != turn_other_than:
            return form
        time.sleep(0.005)
    raise SystemExit("the page does not answer")


def correct(hands: Hands, url: str, right: dict[int, Slots], first: int, turns: int) -> None:
    """Put turns right on the Correct page, in the queue's order."""
    page = hands.page
    page.goto(f"{url}/correct?turn={first}")
    page.wait_for_function(FORM)
    page.wait_for_timeout(1500)
    begun = time.monotonic()
    form = shown(page)
    while True:
        gold, touched = right[form["turn"]], False
        while wrong := wrong_slots({name: value for name, value in form["values"].items() if value}, gold):
            focus, number = form["focus"], form["number"]
            if focus in wrong:
                wanted = gold.get(focus)
                if wanted is None:
                    hands.press("x")
                elif wanted in form["chips"]:
                    hands.press(form["chips"][wanted])
                else:
                    hands.press("e")
                    hands.choose(wanted)
            elif focus is not None and any(form["values"].get(name) for name in wrong):
                hands.press("c")
                form, touched = shown(page, number), True
                continue
            else:  # a slot the model did not hear at all
                hands.press("l")
                hands.choose(wrong[0])
                hands.choose(gold[wrong[0]])
            hands.slots, touched = hands.slots + 1, True
            form = shown(page, number)
        if not touched:
            hands.press("a")
            form = shown(page, form["number"])
        hands.turns.append(form["turn"])
        if len(hands.turns) == turns:
            break
        hands.press("d")
        form = shown(page, turn_other_than=form["turn"])
    hands.seconds = time.monotonic() - begun


def plain(hands: Hands, names: list[str], values: dict[str, list[str]], turns: list[tuple[str, Slots, Slots]], port: int) -> None:
    """The same turns in a form of dropdowns: what was heard, the model's slots, and the right ones."""

    saved: list[list[str]] = []

    def turn(number: int) -> list:
        heard, now, _ = turns[min(number, len(turns) - 1)]
        return [number, heard, *(now.get(name, "") for name in names)]

    def save(number: float, *chosen: str | None) -> list:
        saved.append([value or "" for value in chosen])
        return turn(int(number) + 1)

    with gr.Blocks() as demo:
        number = gr.Number(-1, label="turn")
        heard = gr.Textbox(label="Transcript")
        fields = [
            gr.Dropdown(["", *values.get(name, [])], label=name, allow_custom_value=True, elem_id=f"slot-{place}")
            for place, name in enumerate(names)
        ]
        gr.Button("Save and next", elem_id="save").click(save, [number, *fields], [number, heard, *fields])
        demo.load(lambda: turn(0), None, [number, heard, *fields])
    demo.launch(server_port=port, prevent_thread_lock=True, quiet=True, inbrowser=False)
    page = hands.page
    page.goto(f"http://127.0.0.1:{port}")
    places = [*(f"#slot-{place} input" for place in range(len(names))), "#save"]
    begun = time.monotonic()
    for place, (_, now, gold) in enumerate(turns):
        page.wait_for_function(f"() => Number(document.querySelector('input[type=number]')?.value ?? -1) === {place}")
        begun = begun if place else time.monotonic()
        for name, field_ in zip(names, places, strict=False):
            page.locator(field_).select_text()  # a kindness at the first slot; at the others Tab does so
            if not same(now.get(name), gold.get(name), name):
                if name in gold:
                    hands.choose(gold[name])
                else:
                    hands.press("Delete")
                hands.slots += 1
            hands.press("Tab")
        page.focus(places[-1])
        hands.press("Enter")
    page.wait_for_function(f"() => Number(document.querySelector('input[type=number]').value) === {len(turns)}")
    hands.seconds = time.monotonic() - begun
    hands.turns = list(range(len(turns)))
    demo.close()
    for chosen, (_, _, gold) in zip(saved, turns, strict=True):
        if left := wrong_slots({name: value for name, value in zip(names, chosen, strict=True) if value}, gold):
            raise SystemExit(f"the form of dropdowns saved wrong values of {', '.join(left)}: {chosen}, not {gold}")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def row(name: str, hands: Hands, wrong: int, speech: float) -> str:
    """``wrong``: slots that were wrong before anybody began; ``speech``: seconds of the turns' recordings."""
    decisions = hands.slots + len(hands.turns)
    human = hands.keys * KEY_SECONDS + decisions * DECISION_SECONDS + speech + hands.seconds
    return (
        f"{name:38s}{hands.keys:6d}{hands.slots:8d}{hands.keys / wrong:10.1f}{hands.seconds / wrong:10.2f}"
        f"{human / wrong:10.1f}{3600 * wrong / human:10.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--predictions", required=True, type=Path)
    parser.add_argument("--turns", type=int, default=60)
    arguments = parser.parse_args()
    answers = {(answer.dialogue_id, answer.turn_id): answer for answer in read_predictions(arguments.predictions)}
    found = [d for d in read_manifest(arguments.manifest) if any((d.dialogue_id, t.turn_id) in answers for t in d.turns)]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["DST_STUDIO_MODELS"] = str(models_dir())  # the studio has a workspace of its own
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        home = Path(folder)
        ws = open_workspace(home)
        project, right = fill(ws, found, answers)
        views = {v.id: v for d in dialogues.list_dialogues(ws, project) for v in dialogues.get_dialogue(ws, d.id).turns}
        first = min(right, key=lambda id_: min((c for s in views[id_].confidence.values() for c in s.values()), default=1.0))
        browser = driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        studio = Studio(home, free_port(), [])
        studio.start()
        try:
            ours = Hands(browser.new_page())
            correct(ours, studio.url, right, first, arguments.turns)
        finally:
            studio.kill()
        done = [(views[id_].transcript or "", flat(views[id_].predicted_state), right[id_]) for id_ in ours.turns]
        wrong = sum(len(wrong_slots(now, gold)) for _, now, gold in done)
        speech = sum(views[id_].seconds or 0.0 for id_ in ours.turns)
        known = {name: sorted({gold[name] for gold in right.values() if name in gold}) for _, _, gold in done for name in gold}
        mine = sorted({name for _, now, gold in done for name in now | gold})
        all_names = sorted({f"{d}-{s}" for d, slots in known_slots().values.items() for s in slots} | set(mine))
        print(f"{len(done)} turns, {wrong} wrong slots, {speech:.0f} s of speech; {'':8s}a wrong slot takes")
        heads = ("keys", "slots", "keys", "machine s", "person s", "slots/hour")
        print(f"{'':38s}{heads[0]:>6s}{heads[1]:>8s}" + "".join(f"{head:>10s}" for head in heads[2:]), flush=True)
        print(row("Correct page", ours, wrong, speech), flush=True)
        for names in (mine, all_names):
            theirs = Hands(browser.new_page())
            plain(theirs, names, known, done, free_port())
            print(row(f"form of {len(names)} dropdowns", theirs, wrong, speech), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
