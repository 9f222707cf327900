"""What does a correction cost in keys and seconds: on the Correct page, and in a form of plain dropdowns?

    python -m engine evaluate --manifest woz_test_seen/manifest.jsonl --limit 100 --batch 16 --predictions seen.jsonl
    python -m tests.bench.keystrokes --manifest woz_test_seen/manifest.jsonl --predictions seen.jsonl --turns 40

A script puts the model's real mistakes right in a real browser: the manifest (``engine/demo/MODEL_CARD.md`` says how this one is
made) holds the labels, the predictions what a checkpoint answered. The same turns are done in both forms, and both have to save
the right states. On the Correct page they are the ones that the queue offers next, by keys alone, with the demo checkpoint
deciding later turns again around every correction. The plain form (`plain_form`) is used by Tab and typing, and by mouse; with
the slots of the project, and with those of MultiWOZ and SpokenWOZ, which somebody has in front of them who annotates these.

Keys and clicks are counted as pressed. Machine seconds are what the script took, the answers of the page included; people need
more. The keystroke-level model (Card, Moran & Newell 1980) adds 0.28 s a key, 1.1 s to point and 0.2 s to click, and 1.35 s for
each decision: one a turn, one a wrong slot. With that and each turn heard once come the slots an hour. What the plain form is
spared: it plays by itself, nothing has to be scrolled or looked for, and hands do not move between keyboard and mouse.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from playwright.sync_api import Page, sync_playwright

from engine.base_models import models_dir
from engine.data.slots import known_slots
from engine.dialogue import Dialogue, Ontology, State, accepted, read_manifest
from engine.postprocess.normalise import normalise_value
from engine.tracking.predictions import TrackedTurn, read_predictions
from studio.services import dialogues, manifests, projects, understanding
from studio.workspace import Workspace, open_workspace
from tests.bench.plain_form import Item, PlainForm
from tests.browser.conftest import ARGUMENTS, Studio, chromium

KEY_SECONDS, CLICK_SECONDS, DECISION_SECONDS = 0.28, 1.1 + 0.2, 1.35
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
# The plain form's, which Enter takes; when what was pressed has been drawn; whether no field has the focus; and
# whether one holds a value.
ACTIVE_OPTION = """() => {
  const id = document.activeElement?.getAttribute("aria-activedescendant");
  return id ? document.getElementById(id)?.getAttribute("aria-label") : null;
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
IS_LEFT = "() => !document.activeElement.matches('input')"
HOLDS = "([place, value]) => document.querySelector(`#slot-${place} input`).value === value"


@dataclass
class Hands:
    """A keyboard and a mouse that count."""

    page: Page
    keys: int = 0
    clicks: int = 0
    slots: int = 0  # put right
    turns: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.keys += 1
            self.page.keyboard.press(key)

    def click(self, where: str) -> None:
        self.clicks += 1
        self.page.click(where)

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
        hands.press(" ")  # plays
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


def tab_through(hands: Hands, place: int, value: str, wanted: str) -> None:
    """Put one field of the plain form right, which Tab has come to, and go on to the next one.

    The form mixes up keys that come faster than it draws: its list is waited for.
    """
    page = hands.page
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
        hands.click(f"#slot-{place} input")
        hands.click(f"[role=option][aria-label={json.dumps(wanted)}]")
        hands.page.wait_for_function(HOLDS, arg=[place, wanted])


def plain(hands: Hands, values: dict[str, list[str]], turns: list[tuple[Item, Slots]], mouse: bool) -> None:
    """The same turns in a form of dropdowns, by Tab and typing or by mouse; ``turns`` come with their right slots."""
    page = hands.page
    with PlainForm([item for item, _ in turns], values, free_port()) as form:
        page.goto(f"http://127.0.0.1:{form.port}")
        for number, (item, gold) in enumerate(turns):
            page.wait_for_function("number => Number(document.querySelector('#turn input')?.value ?? -1) === number", arg=number)
            if not number:
                begun = time.monotonic()
            for place, name in enumerate(values):
                page.wait_for_function(HOLDS, arg=[place, item.slots.get(name, "")])
            page.locator("#slot-0 input").select_text()  # a kindness: Save leaves the keys at the end of the page
            for place, name in enumerate(values):
                value = wanted = item.slots.get(name, "")
                if not same(value, gold.get(name), name):
                    wanted = gold.get(name, "")
                    hands.slots += 1
                (point if mouse else tab_through)(hands, place, value, wanted)
            hands.click("#save") if mouse else hands.press("Enter")
        page.wait_for_function("number => Number(document.querySelector('#turn input').value) === number", arg=len(turns))
        hands.seconds = time.monotonic() - begun
    hands.turns = list(range(len(turns)))
    for chosen, (_, gold) in zip(form.saved, turns, strict=True):
        check("the form of dropdowns", chosen, gold)


def check(form: str, saved: Slots, gold: Slots) -> None:
    """End if something else was saved than was to be."""
    if left := wrong_slots(saved, gold):
        raise SystemExit(f"{form} saved wrong values of {', '.join(left)}: {saved}, not {gold}")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


HEADS = ("keys", "clicks", "slots", "keys+clicks", "machine s", "person s", "slots/hour")


def row(name: str, hands: Hands, wrong: int, speech: float) -> str:
    """``wrong``: slots that were wrong before anybody began; ``speech``: seconds of the turns' recordings."""
    decisions = hands.slots + len(hands.turns)
    moves = hands.keys * KEY_SECONDS + hands.clicks * CLICK_SECONDS
    person = moves + decisions * DECISION_SECONDS + speech + hands.seconds
    pressed = hands.keys + hands.clicks
    return (
        f"{name:32s}{hands.keys:8d}{hands.clicks:8d}{hands.slots:8d}{pressed / wrong:12.1f}{hands.seconds / wrong:12.2f}"
        f"{person / wrong:12.1f}{3600 * wrong / person:12.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--predictions", required=True, type=Path)
    parser.add_argument("--turns", type=int, default=40)
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
        for id_ in ours.turns:
            check(f"turn {id_} of the Correct page", flat(dialogues.get_turn(ws, id_).state), right[id_])
        done = [
            (Item(views[id_].audio, views[id_].transcript or "", flat(views[id_].predicted_state)), right[id_])
            for id_ in ours.turns
        ]
        wrong = sum(len(wrong_slots(dict(item.slots), gold)) for item, gold in done)
        speech = sum(views[id_].seconds or 0.0 for id_ in ours.turns)
        print(f"{len(done)} turns, {wrong} wrong slots, {speech:.0f} s of speech")
        print(f"{'':32s}{''.join(f'{head:>8s}' for head in HEADS[:3])}{''.join(f'{head:>12s}' for head in HEADS[3:])}")
        print(row("Correct page, keys", ours, wrong, speech), flush=True)
        known: dict[str, set[str]] = {}
        for slots in [*right.values(), *(item.slots for item, _ in done)]:
            for name, value in slots.items():
                known.setdefault(name, set()).add(value)
        all_names = {f"{d}-{s}" for d, slots in known_slots().values.items() for s in slots} | set(known)
        for names in (sorted(known), sorted(all_names)):
            values = {name: sorted(known.get(name, ())) for name in names}
            for mouse in (False, True):
                theirs = Hands(browser.new_page())
                plain(theirs, values, done, mouse)
                print(row(f"{len(names)} dropdowns, {'mouse' if mouse else 'keys'}", theirs, wrong, speech), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
