"""The studio of a browser test, which runs in a process of its own that can be killed. Its options:

``--canned`` answers every turn from a table instead of a model, for tests of the pages alone; with ``--labelled`` there are
imported labels too, of one dialogue to train on and one that is held out. ``--team`` adds people, who
have to log in, and a recorded dialogue. ``CANNED_SECONDS`` is how long it takes to decode later turns again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

from engine import tracking
from engine.dialogue import Dialogue, Ontology, Turn
from studio import app
from studio.services import checkpoints, dialogues, imports, people, projects, understanding
from studio.services.exchange import Source
from studio.workspace import Workspace, open_workspace

ANSWERS = (
    ("i am looking for a cheap restaurant", {"restaurant": {"pricerange": "cheap"}}),
    ("in the north please", {"restaurant": {"pricerange": "cheap", "area": "north"}}),
    ("chinese food", {"restaurant": {"pricerange": "cheap", "area": "north", "food": "chinese"}}),
)
TEAM = {"ada": "admin", "rita": "reviewer", "ben": "annotator", "cleo": "annotator", "dan": "annotator"}
PASSWORD = "correct horse"
ONTOLOGY = Ontology(
    {
        "restaurant": {
            "area": ["centre", "east", "north", "south", "west"],
            "food": ["chinese", "indian", "italian"],
            "pricerange": ["cheap", "expensive", "moderate"],
            "name": [],
        }
    }
)


class CannedTracker:
    """Answers the n-th user turn with the n-th line of the table; the fourth with broken JSON."""

    def turns(self, requests: list) -> list[SimpleNamespace]:
        time.sleep(float(os.environ.get("CANNED_SECONDS", "0")))
        return [self.turn(request.audio, request.history, request.previous, request.pinned) for request in requests]

    def turn(self, audio: str, history: list, previous: dict, pinned: dict | None = None) -> SimpleNamespace:
        time.sleep(0.3)
        place = sum(turn.speaker == "user" for turn in history)
        valid = place < len(ANSWERS)
        transcript, state = ANSWERS[place] if valid else ("goodbye", previous)
        for domain, slots in (pinned or {}).items():
            state = state | {domain: {slot: v for slot, v in (state.get(domain, {}) | slots).items() if v is not None}}
        confidence = {domain: {slot: 0.35 + 0.3 * i for i, slot in enumerate(slots)} for domain, slots in state.items()}
        raw = str({"transcript": transcript, "slots": state}) if valid else '{"transcript": "goodb'
        answer = SimpleNamespace(transcript=transcript, state=state, confidence=confidence, raw=raw, valid=valid, seconds=0.3)
        answer.transcript_confidence, answer.ctc_transcript = 0.98, transcript
        return answer


LABELLED = (
    ("first", "train", ("the center please", "thanks"), "anything else in the center", {"restaurant": {"area": "center"}}),
    ("imported", "test", ("somewhere in the centre",), "", {"restaurant": {"area": "centre"}}),
)


def import_labels(ws: Workspace, project_id: int) -> None:
    """Import what ``LABELLED`` says: name, split, what the user said, what the agent said last, the state after a user's turn."""
    found = []
    for name, split, said, answer, state in LABELLED:
        turns = [Turn(number, "user", words, state=state) for number, words in enumerate(said)]
        found.append(Dialogue(name, turns + [Turn(len(said), "agent", answer)] * bool(answer), split))
    imports.carry_out(ws, project_id, imports.plan(ws, project_id, Source(Path("labels"), "manifest", found)))


def record(ws: Workspace, project_id: int) -> None:
    """Two recorded and understood user turns."""
    dialogue = dialogues.create_dialogue(ws, project_id, "recorded")
    for sound in sorted((projects.SAMPLE / "audio").glob("*.flac"))[:2]:
        dialogues.add_user_turn(ws, dialogue.id, sound)
    understanding.predict_dialogue(ws, dialogue.id)


def serve(home: Path, port: int, options: list[str], environment: dict[str, str]) -> None:
    """Serve the workspace of a folder until the process is killed, and write what there is to say to its ``server.log``."""
    log = os.open(home / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(home)
    if "--canned" in options:
        tracking.Tracker.load = classmethod(lambda cls, checkpoint=None, device="auto": CannedTracker())  # type: ignore
        # the demo checkpoint counts as complete whether or not one is in the package
        checkpoints.missing_files = lambda folder: []
    workspace = open_workspace(home)
    if "--canned" not in options:
        projects.seed_sample(workspace)
    elif not projects.list_projects(workspace):
        project = projects.create_project(workspace, "Browser test", ONTOLOGY)
        if "--labelled" in options:
            import_labels(workspace, project.id)
    if "--team" in options:
        record(workspace, project.id)
        for name, role in TEAM.items():
            people.add_user(workspace, name, PASSWORD, role)
    app.launch(workspace, port=port, open_browser=False)
