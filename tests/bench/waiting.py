"""How long an annotator's save waits while a large import, a snapshot or a rename is written: ``python -m tests.bench.waiting``.

A second process saves a slot every 0.2 s and tells its longest wait in each; rows are real ones in a workspace that is thrown
away. Half of the turns are the user's, recorded and labelled.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import soundfile

from engine.dialogue import Dialogue, State
from engine.dialogue import Turn as Said
from studio.errors import StudioError
from studio.services import corrections, dialogues, imports, ontology_changes, projects, scheduling, training
from studio.services.exchange import Source
from studio.services.ontology_edits import Change
from studio.workspace import Workspace, attach, open_workspace
from tests.bench.scale import SLOTS, VALUES, WORDS

PAUSE = 0.2  # seconds between two saves
TURNS_OF_A_DIALOGUE = 40
SOUNDS = 50


def synthetic(turns: int, folder: Path, seed: int = 1) -> list[Dialogue]:
    """Dialogues of user and agent in turn; a user's turn is one of some sounds, and its state grows."""
    lot = random.Random(seed)
    sounds = [folder / f"{number}.wav" for number in range(SOUNDS)]
    for number, path in enumerate(sounds):
        soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 4_000), 16_000, subtype="PCM_16")
    found = []
    for number in range(-(-turns // TURNS_OF_A_DIALOGUE)):
        state: State = {}
        said = []
        for turn in range(TURNS_OF_A_DIALOGUE):
            words = " ".join(lot.choices(WORDS, k=12))
            if turn % 2:
                said.append(Said(turn, "agent", words))
                continue
            domain, slot = lot.choice(SLOTS)
            state = {**state, domain: state.get(domain, {}) | {slot: lot.choice(VALUES)}}
            said.append(Said(turn, "user", words, str(lot.choice(sounds)), state=state))
        found.append(Dialogue(f"imported-{number}", said, "train"))
    return found


def save_again_and_again(home: Path, turn_id: int, tell: Connection) -> None:
    """The annotator: saves until told to end, then tells the seconds that each save took, and how many were refused."""
    ws = attach(home)
    waits: list[float] = []
    refused = 0
    values = ("north", "south")
    tell.send(None)
    while not tell.poll(PAUSE):
        head = dialogues.get_turn(ws, turn_id).state_head
        begun = time.monotonic()
        try:
            corrections.save_slot(ws, turn_id, "hotel", "area", values[len(waits) % 2], "anna", head)
        except StudioError:
            refused += 1
        waits.append(time.monotonic() - begun)
    tell.send((waits, refused))


@contextmanager
def annotator(ws: Workspace, turn_id: int, what: str) -> Iterator[None]:
    """Have somebody save during the block, and print what they waited."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=save_again_and_again, args=(ws.home, turn_id, there))
    process.start()
    there.close()
    try:
        here.recv()
        begun = time.monotonic()
        yield
        taken = time.monotonic() - begun
        here.send(None)
        waits, refused = here.recv()
        middle = sorted(waits)[len(waits) // 2]
        told = f"{len(waits):6d} saves, {refused} refused, longest wait {max(waits):6.2f} s, median {middle:.3f} s"
        print(f"{what:24s}{taken:8.1f} s {told}", flush=True)
    finally:
        process.kill()
        process.join()


def measure(turns: int) -> None:
    """Print the longest wait of a save beside each long change of so many turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ws = open_workspace(folder / "workspace")
        project = projects.create_project(ws, "Waiting").id
        turn = dialogues.add_user_turn(ws, dialogues.create_dialogue(ws, project, "hers").id, _sound(folder))
        corrections.save_slot(ws, turn.id, "hotel", "area", "centre", "anna", None)
        planned = imports.plan(ws, project, Source(folder, "manifest", synthetic(turns, folder)))
        with annotator(ws, turn.id, "an import"):
            imports.carry_out(ws, project, planned)
        scheduling._start = lambda ws, job: None  # the job is frozen and queued: no process is started for it
        with annotator(ws, turn.id, "a snapshot"):
            training.start_job(ws, project, None, "demo")
        with annotator(ws, turn.id, "a rename in all labels"):
            change = Change("rename", "restaurant", "food", new="kitchen")
            ontology_changes.save(ws, project, change, "annotator", relabel=True)


def _sound(folder: Path) -> Path:
    path = folder / "hers.wav"
    soundfile.write(path, np.random.default_rng(99).uniform(-0.5, 0.5, 8_000), 16_000, subtype="PCM_16")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=20_000)
    measure(parser.parse_args().turns)
