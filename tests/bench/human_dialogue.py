"""Turn the SpokenWOZ sample with states (one real 8 kHz telephone dialogue, CC BY-NC 4.0) into a manifest to evaluate on.

    python -m tests.bench.human_dialogue FOLDER OUT.jsonl
    python -m engine evaluate --manifest OUT.jsonl

FOLDER holds ``joined_with_states.jsonl`` and ``audio/``.
"""

import json
import sys
from pathlib import Path

from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Dialogue, Turn, write_manifest

SPEAKERS = {"USER": "user", "SYSTEM": "agent"}


def main(folder: Path, out: Path) -> None:
    dialogues = []
    for line in (folder / "joined_with_states.jsonl").read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        audio = str((folder / data["audio"]).absolute())
        turns = [
            Turn(
                number,
                SPEAKERS[turn["speaker"]],
                normalise_transcript(turn["text"]),
                audio,
                turn["start"],
                turn["end"],
                data["channels"][turn["channel"]],
                turn.get("state"),
            )
            for number, turn in enumerate(data["turns"])
        ]
        dialogues.append(Dialogue(data["dialogue_id"], turns, "test", "spokenwoz", data["licence"]))
    write_manifest(out, dialogues)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
