"""Two made-up systems for the packaged sample dialogues, each wrong in its own way, without any model."""

import json
from pathlib import Path

import pytest

from engine.dialogue import Ontology, canonical, read_manifest

SAMPLE = Path(__file__).parents[3] / "studio" / "assets" / "sample" / "manifest.jsonl"


def answers(number: int) -> list[dict]:
    """Predictions as the command writes them, with every kind of error of words and slots.

    Most dialogues of the sample have neither transcripts nor states yet: their answers are shown, but not scored.
    """
    found = []
    for place, dialogue in enumerate(read_manifest(SAMPLE)):
        for depth, turn in enumerate(turn for turn in dialogue.user_turns() if turn.audio):
            state = canonical(turn.state or {})
            words = (turn.transcript or "nobody wrote down what is said here").split()
            kind = (place + depth * (number + 1)) % 6
            slots = state.get("restaurant", {})
            if kind == 1 and slots:
                slots.popitem()
                words = words[1:]
            if kind == 2:
                slots["name"] = "golden wok"
                words.append("please")
            if kind == 3 and slots:
                slots[next(iter(slots))] = "expensif"
                words[0] = "uh"
            if kind == 4:
                state["taxi"] = {"destination": "curry garden"}
            confidence = {domain: dict.fromkeys(filled, 0.95 - 0.15 * kind) for domain, filled in state.items()}
            found.append(
                {
                    "dialogue_id": dialogue.dialogue_id,
                    "turn_id": turn.turn_id,
                    "transcript": " ".join(words),
                    "state": {domain: filled for domain, filled in state.items() if filled},
                    "confidence": confidence,
                    "raw": json.dumps({"transcript": " ".join(words), "slots": state}),
                    "valid": kind != 5,
                    "seconds": 0.1,
                }
            )
    return found


def write_lines(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A folder with ``first.jsonl``, ``second.jsonl`` (predictions) and ``ontology.json`` (an oracle)."""
    folder = tmp_path_factory.mktemp("report")
    for number, name in enumerate(("first", "second")):
        write_lines(folder / f"{name}.jsonl", answers(number))
    ontology = Ontology.from_dialogues(read_manifest(SAMPLE), "all")
    (folder / "ontology.json").write_text(json.dumps(ontology.to_json()))
    return folder
