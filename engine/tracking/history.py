"""What stands in the history for earlier user turns: the model's own transcripts, the manifest's, or another recogniser's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.dialogue import Dialogue, ManifestError, Turn, is_whole
from engine.json_text import parse, read_text


@dataclass(frozen=True)
class History:
    """``name`` is what predictions and reports call it; ``transcripts`` are given ones, by dialogue and turn, if not the own;
    ``hash`` tells files of one name apart."""

    name: str = "own"
    transcripts: Mapping[tuple[str, int], str] | None = None
    hash: str = ""

    def text(self, dialogue: Dialogue, turn: Turn, heard: str) -> str:
        """What a later turn reads of this user turn, of which the model itself heard ``heard``."""
        return heard if self.transcripts is None else self.transcripts[dialogue.dialogue_id, turn.turn_id]


OWN = History()


def oracle_history(dialogues: Sequence[Dialogue]) -> History:
    """The manifest's transcripts: an upper bound, because no system hears so well."""
    return History("oracle", {(d.dialogue_id, turn.turn_id): turn.transcript or "" for d in dialogues for turn in d.user_turns()})


def read_history(path: Path, dialogues: Sequence[Dialogue]) -> History:
    """Another recogniser's transcripts: JSON Lines with ``dialogue_id``, ``turn_id`` and ``transcript``; other keys are free.

    Raises:
        ManifestError: no such file, a line that is not such an object, or a user turn with audio that has no line.
        FileError: not UTF-8 text, or a line that is not JSON.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; --history takes own, oracle, or a JSON Lines file of transcripts")
    found: dict[tuple[str, int], str] = {}
    text = read_text(path)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        data = parse(path, line, number)
        try:
            if not isinstance(data, dict):
                raise ValueError("must hold an object with dialogue_id, turn_id and transcript")
            key = data["dialogue_id"], data["turn_id"]
            if not isinstance(key[0], str) or not is_whole(key[1]):
                raise ValueError(f"dialogue_id must be text and turn_id a whole number, not {key[0]!r} and {key[1]!r}")
            if not isinstance(data["transcript"], str):
                raise ValueError("the transcript must be text")
            if key in found:
                raise ValueError(f"turn {key[1]} of dialogue {key[0]!r} occurs twice")
        except (ValueError, TypeError, KeyError) as error:
            reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ManifestError(f"{path}, line {number}: {reason}") from error
        found[key] = data["transcript"]
    for dialogue in dialogues:
        for turn in dialogue.user_turns():
            if turn.audio and (dialogue.dialogue_id, turn.turn_id) not in found:
                raise ManifestError(f"{path}: no transcript for turn {turn.turn_id} of dialogue {dialogue.dialogue_id!r}")
            found.setdefault((dialogue.dialogue_id, turn.turn_id), turn.transcript or "")
    return History(path.name, found, hashlib.sha256(text.encode()).hexdigest()[:16])
