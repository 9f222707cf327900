"""What does a correction cost in keys and seconds: on the Correct page, and in a form of plain dropdowns?

    python -m engine evaluate --manifest woz_test_seen/manifest.jsonl --limit 100 --batch 16 --predictions seen.jsonl
    python -m tests.bench.keystrokes --manifest woz_test_seen/manifest.jsonl --predictions seen.jsonl --turns 40

A script puts the model's real mistakes right in a real browser: the manifest (``engine/demo/MODEL_CARD.md`` says how this one is
made) holds the labels, the predictions what a checkpoint answered. The same turns are done in both forms, and both have to save
the right states. On the Correct page they are the ones that the queue offers next, by keys alone, with the demo checkpoint
deciding later turns again around every correction. The plain form (`plain_form`) is used by Tab and typing, and by mouse; with
the slots of the project, and with those of MultiWOZ and SpokenWOZ, which somebody has in front of them who annotates these.

Keys and clicks are counted as pressed. Machine seconds are what one waits for the page. People need time themselves: the
keystroke-level model (Card, Moran & Newell 1980) has 0.28 s a key, 1.1 s to point and 0.2 s to click, and 1.35 s for each
decision: one a turn, one a wrong slot. With that and each turn heard once, at ``--speed`` in either form, come the slots an hour.
On the Correct page the script keeps this pace, for the model decodes while people hear and think; the plain form asks no model
and is used at full speed. It is spared the way by Tab to its player, looking for a slot, scrolling, and hands that move between
keyboard and mouse.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from playwright.sync_api import Page, sync_playwright

from engine.base_models import models_dir
from engine.data.slots import known_slots
from engine.dialogue import Dialogue, Ontology, State, accepted, read_manifest
from engine.tracking.predictions import TrackedTurn, read_predictions
from studio.services import dialogues, manifests, projects, understanding
from studio.workspace import Workspace, open_workspace
from tests.bench.hands import DECISION_SECONDS, HEADS, Hands, Slots, check, row, wrong_slots
from tests.bench.plain_form import Item, free_port, plain
from tests.browser.conftest import ARGUMENTS, SHOWN, Studio, chromium

# What the page shows: each row's value, the slot in focus, the values that a key chooses, slot by slot, and whether two versions
# of a slot are to be compared: the model's answer to an earlier correction may come while somebody types.
FORM = """() => {
  const root = document.querySelector(".dst-form")?.firstElementChild;
  if (!root) return null;
  const chips = {};
  for (const { dataset, textContent } of root.querySelectorAll("button[data-act=set]"))
    (chips[dataset.slot] ??= {})[dataset.value] = textContent.match(/\\((.)\\)$/)[1].toLowerCase();
  return {
    turn: Number(root.dataset.turn), number: root.dataset.number,
    values: Object.fromEntries(
      [...root.querySelectorAll("input[name]:not([name=''])")].map((field) => [field.name, field.defaultValue])
    ),
    focus: root.querySelector(".dst-slot.focus input")?.name ?? null,
    chips,
    conflict: !!document.getElementById("correct.conflict")?.offsetParent,
  };
}"""


def flat(state: State | None) -> Slots:
    """A state with its canonical values."""
    return {f"{d}-{s}": accepted(value)[0] for d, slots in (state or {}).items() for s, value in slots.items()}


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
    for stored_dialogue in dialogues.list_dialogues(ws, project):
        name = stored_dialogue.name
        for view in dialogues.get_dialogue(ws, stored_dialogue.id).turns:
            answer = answers.get((name, view.turn_id))
            if answer is not None:
                understanding.store(ws, view.id, 1, SimpleNamespace(**answer.__dict__))  # type: ignore[arg-type]
                right[view.id] = flat(labels[name, view.turn_id])
    return project, right


def shown(page: Page, other_than: str | None = None, turn_other_than: int | None = None) -> dict:
    """The form once it has been drawn anew, or both versions are shown."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        form = page.evaluate(FORM)
        if form and (form["conflict"] or (form["number"] != other_than and form["turn"] != turn_other_than)):
            return form
        time.sleep(0.005)
    raise SystemExit(f"the page does not answer: it shows\n{page.evaluate(SHOWN)}")


def correct(hands: Hands, url: str, right: dict[int, Slots], heard: dict[int, float], first: int, turns: int) -> None:
    """Put turns right on the Correct page, in the queue's order; ``heard`` are the seconds it takes to hear them."""
    page = hands.page
    page.goto(f"{url}/correct?turn={first}")
    page.wait_for_function(FORM)
    page.get_by_label("Play each turn as it opens").check()
    page.wait_for_timeout(1500)

    def drawn(**other: Any) -> dict[str, Any]:
        begun = time.monotonic()
        found = shown(page, **other)
        hands.seconds += time.monotonic() - begun
        return found

    form = drawn()
    while True:
        gold = right[form["turn"]]
        hands.rest(heard[form["turn"]] + DECISION_SECONDS)
        form = drawn()  # an earlier correction may have moved it meanwhile
        while wrong := wrong_slots({name: value for name, value in form["values"].items() if value}, gold):
            focus, number = form["focus"], form["number"]
            if focus not in wrong and focus is not None and any(form["values"].get(name) for name in wrong):
                hands.press("c")
                form = drawn(other_than=number)
                continue
            hands.rest(DECISION_SECONDS)
            offered = [name for name in wrong if gold.get(name) in form["chips"].get(name, ())]
            name = focus if focus in wrong else next(iter(offered), wrong[0])
            wanted = gold.get(name)
            if name in offered:
                hands.press(form["chips"][name][wanted])
            elif name != focus:  # a slot the model did not hear at all
                hands.press("l")
                listed = name not in form["values"]  # one that has a row, without a value, is not offered
                hands.choose(name, name.partition("-")[2] if listed else None)
                hands.choose(gold[name])
            elif wanted is None:
                hands.press("x")
            else:
                hands.press("e")
                hands.choose(wanted)
            hands.slots += 1
            form = drawn(other_than=number)
            if form["conflict"]:
                hands.rest(DECISION_SECONDS)
                hands.press("i")  # mine over it
                page.wait_for_function(f"() => !({FORM})().conflict")
                form = drawn(other_than=number)
        hands.turns.append(form["turn"])
        hands.press("q")  # all correct, next; the next one plays as it opens
        if len(hands.turns) == turns:
            drawn(other_than=form["number"])
            break
        form = drawn(turn_other_than=form["turn"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--predictions", required=True, type=Path)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--speed", type=float, default=1.0, help="at which the turns are heard")
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
            ours = Hands(browser.new_page(), paced=True)
            heard = {id_: (view.seconds or 0.0) / arguments.speed for id_, view in views.items()}
            correct(ours, studio.url, right, heard, first, arguments.turns)
        finally:
            studio.kill()
        for id_ in ours.turns:
            check(f"turn {id_} of the Correct page", flat(dialogues.get_turn(ws, id_).state), right[id_])
        done = [
            (Item(views[id_].audio, views[id_].transcript or "", flat(views[id_].predicted_state)), right[id_])
            for id_ in ours.turns
        ]
        wrong = sum(len(wrong_slots(dict(item.slots), gold)) for item, gold in done)
        speech = sum(heard[id_] for id_ in ours.turns)
        print(f"{len(done)} turns, {wrong} wrong slots, {speech:.0f} s to hear them")
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
