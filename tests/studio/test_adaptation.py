"""Corrections make the model better at what they are about: a voice it never heard, in a domain it never wrote.

WOZ 2.0's dialogues, about bakeries in place of restaurants, spoken by a held-out voice. Shows figures before and after:

    DST_STUDIO_WOZ20=FOLDER pytest -q -s -m slow tests/studio/test_adaptation.py
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.data.readers import woz20
from engine.data.synthesis import Settings, synthesise
from engine.data.voices import VOICES, Speech
from engine.dialogue import Dialogue, Ontology
from studio.services import checkpoints, comparison, manifests, projects, promotion, training
from studio.workspace import Workspace

VOICE = "festival-ked"
TRAINED, HELD_OUT = 40, 15  # dialogues
SLOTS = {"area": ["centre", "east", "north", "south", "west"], "food": [], "pricerange": ["cheap", "expensive", "moderate"]}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("base_models"), pytest.mark.databases("sqlite")]


def of_bakeries(dialogue: Dialogue) -> Dialogue:
    """The same dialogue about a domain that is in no training data."""
    turns = [
        replace(
            turn,
            transcript=(turn.transcript or "").replace("restaurant", "bakery"),
            state={"bakery": turn.state["restaurant"]} if turn.state else turn.state,
        )
        for turn in dialogue.turns
    ]
    return replace(dialogue, turns=turns)


@pytest.fixture
def bakeries(ws: Workspace, tmp_path: Path) -> int:
    """A project whose dialogues are corrected; some are held out."""
    corpus = Path(os.environ.get("DST_STUDIO_WOZ20", ""))
    if not (corpus / "woz_train_en.json").is_file():
        pytest.skip("name the folder of WOZ 2.0 in DST_STUDIO_WOZ20")
    if lacking := Speech().missing(VOICES[VOICE]):
        pytest.skip(lacking)
    chosen = [of_bakeries(dialogue) for dialogue in woz20.read(corpus, "train")[0][:TRAINED]]
    held_out = [of_bakeries(dialogue) for dialogue in woz20.read(corpus, "test")[0][:HELD_OUT]]
    spoken = list(synthesise(chosen + held_out, tmp_path / "speech", Settings((VOICE,), 1, 1, None, 0.0)))
    project = projects.create_project(ws, "Bakeries", Ontology({"bakery": SLOTS})).id
    stored = manifests.store_audio(ws, spoken)
    with ws.write() as session:
        manifests.add_dialogues(session, project, spoken, stored, "anna")
    return project


def test_a_fine_tune_on_corrections_is_measurably_better_on_held_out_turns(ws: Workspace, bakeries: int) -> None:
    began = time.monotonic()
    job = training.start_job(ws, bakeries, checkpoints.in_use(ws).id, "adapt", ["adapt.steps=40"])
    while job.active:
        time.sleep(1)
        job = training.job_view(ws, job.id)
    assert (job.status, job.error) == ("finished", None), job.log_tail
    found = comparison.compare(ws, 1, job.checkpoint_id or 0)
    score = found.figures["scores"]["jga"]
    low, high = score["interval"]
    print(
        f"\n{time.monotonic() - began:.0f} s; {found.figures['user_turns']} held-out turns; WER {found.wer[0]:.1f} -> "
        f"{found.wer[1]:.1f} %; JGA {score['baseline']:.1f} -> {score['system']:.1f} %, {score['difference']:+.1f} "
        f"({low:+.1f} to {high:+.1f}), p = {score['p_value']:.4f}\n{found.figures['per_slot']}\n{job.gate}"
    )
    assert low > 0 and score["p_value"] < 0.05
    assert checkpoints.in_use(ws).name == job.checkpoint, job.gate
    assert promotion.previous(ws) == "demo"
