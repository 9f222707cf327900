"""Opening a turn, the queue and search in a project of 100 turns and in one of 100,000: ``python -m tests.bench.scale``.

Prints the median of each in milliseconds of computing (others' work on the machine does not count) and their ratio. The rows are
written in bulk into a workspace that is thrown away. A search for what few turns hold is one look into an index; what many hold
is read until a thousand turns are counted, and so is the queue, which a project of 100 turns has not to give.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert

from db.models import Checkpoint, Dialogue, Prediction, Recording, Speaker, Turn, TurnSlot, TurnStatus
from db.repositories.queue import Filters
from studio.services import dialogues, projects, search
from studio.workspace import Workspace, open_workspace

TURNS_OF_A_DIALOGUE = 20
WORDS = "i need a cheap hotel restaurant train to cambridge from london north south centre please book table for people at"
WORDS = (WORDS + " monday parking internet stars guest house italian indian chinese food leave arrive before thirty").split()
VALUES = ("cheap", "north", "south", "centre", "italian", "indian", "monday", "guest house", "yes", "18:30")
SLOTS = (("hotel", "area"), ("hotel", "name"), ("restaurant", "food"), ("restaurant", "area"), ("train", "day"), ("taxi", "to"))
RARE = "wagamama"  # one turn in ten thousand says so, and one at least


def fill(ws: Workspace, project_id: int, turns: int, seed: int = 1) -> None:
    """Give a project that many turns: user and agent in turn, recorded, answered, every third corrected."""
    lot = random.Random(seed)
    with ws.write() as session:
        checkpoint = session.query(Checkpoint).first()
        recording = Recording(
            sha256=f"{seed:064d}", path="x.flac", seconds=2.0, sample_rate=16_000, channels=1, original_name="x"
        )
        session.add(recording)
        session.flush()
        assert checkpoint is not None
        first = (session.query(Turn.id).order_by(Turn.id.desc()).limit(1).scalar() or 0) + 1
        names = [{"project_id": project_id, "name": f"d{number}"} for number in range(-(-turns // TURNS_OF_A_DIALOGUE))]
        session.execute(insert(Dialogue), names)
        ids = [id_ for (id_,) in session.query(Dialogue.id).filter(Dialogue.project_id == project_id).order_by(Dialogue.id)]
        rows, slots, answers = [], [], []
        for number in range(turns):
            user, id_ = number % 2 == 0, first + number
            words = " ".join(lot.choices(WORDS, k=12)) + (f" {RARE}" if number % 10_000 == 0 else "")
            state: dict[str, dict[str, str]] = {}
            for domain, slot in lot.sample(SLOTS, 4):
                state.setdefault(domain, {})[slot] = lot.choice(VALUES)
            status = TurnStatus.NEW if not user else TurnStatus.CORRECTED if number % 3 == 0 else TurnStatus.PREDICTED
            rows.append(
                {
                    "id": id_,
                    "project_id": project_id,
                    "dialogue_id": ids[number // TURNS_OF_A_DIALOGUE],
                    "turn_id": number % TURNS_OF_A_DIALOGUE,
                    "speaker": Speaker.USER if user else Speaker.AGENT,
                    "status": status,
                    "recording_id": recording.id,
                    "doubt": lot.random() if user else None,
                    "lottery": lot.random(),
                    "words": f"{words}\n{' | '.join(v for found in state.values() for v in found.values())}",
                }
            )
            if user:
                named = [(domain, slot, value) for domain, found in state.items() for slot, value in found.items()]
                slots += [{"turn_id": id_, "domain": d, "slot": s, "value": v, "confidence": lot.random()} for d, s, v in named]
                confidence = {domain: dict.fromkeys(found, 0.5) for domain, found in state.items()}
                known = {
                    "raw": "{}",
                    "transcript": words,
                    "state": state,
                    "confidence": confidence,
                    "valid": True,
                    "seconds": 1.0,
                }
                answers.append({"turn_id": id_, "checkpoint_id": checkpoint.id, "pinned": None} | known)
        for table, found in ((Turn, rows), (TurnSlot, slots), (Prediction, answers)):
            session.execute(insert(table), found)


def actions(ws: Workspace, project_id: int) -> dict[str, Callable[[], object]]:
    """What is measured."""
    with ws.read() as session:
        last = session.query(Turn.id).filter(Turn.speaker == Speaker.USER).order_by(Turn.id.desc()).limit(1).scalar()
    assert last is not None

    def found(**wanted: object) -> Callable[[], object]:
        return lambda: search.doubtful(ws, project_id, Filters(**wanted))  # type: ignore[arg-type]

    return {
        "open a turn": lambda: dialogues.get_turn(ws, last),
        "open its dialogue": lambda: dialogues.get_dialogue(ws, dialogues.get_turn(ws, last).dialogue_id),
        "the queue": lambda: search.doubtful(ws, project_id, search.TO_CORRECT),
        "the next turn": lambda: search.next_turn(ws, project_id, search.TO_CORRECT),
        "one slot": found(domain="restaurant", slot="food"),
        "a common word": found(text="hotel"),
        "a common value": found(text="guest house"),
        "a rare word": found(text=RARE),
        "no such word": found(text="nobody said this"),
        "two characters": found(text="he"),
        "Talk's dialogues": lambda: search.dialogues(ws, project_id, Filters(speaker=None), 50, 1),
        "dialogues by a rare word": lambda: search.dialogues(ws, project_id, Filters(text=RARE), 50),
        "what to do next": lambda: projects.progress(ws, project_id),
    }


def median_ms(action: Callable[[], object], times: int = 9) -> float:
    """The median of several calls after one that warms up."""
    action()
    taken = []
    for _ in range(times):
        begun = time.process_time()
        action()
        taken.append(time.process_time() - begun)
    return 1000 * statistics.median(taken)


def measure(turns: int) -> dict[str, float]:
    """Milliseconds of each action in a project of so many turns."""
    with tempfile.TemporaryDirectory() as folder:
        ws = open_workspace(Path(folder))
        project_id = projects.create_project(ws, "Scale").id
        fill(ws, project_id, turns)
        return {name: median_ms(action) for name, action in actions(ws, project_id).items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, nargs=2, default=(100, 100_000), metavar=("FEW", "MANY"))
    few, many = parser.parse_args().turns
    small, large = measure(few), measure(many)
    print(f"{'':26s}{few:>12,} {many:>12,}   ratio   (median ms)")
    for name, figure in small.items():
        print(f"{name:26s}{figure:12.1f} {large[name]:12.1f} {large[name] / figure:7.1f}")
