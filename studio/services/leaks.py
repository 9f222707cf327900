"""Whether a score would be flattered: held-out speech or dialogues that a run, or one it goes on from, is trained on as well.

Names are watched by `splits`; here are copies under another name, known by the sound's hash or by what was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from db.models import Checkpoint, Dialogue
from studio.services.views import TurnView

Labelled = tuple[Dialogue, Sequence[TurnView]]  # a dialogue, and its turns that are trained or scored on


def refusal(train: Sequence[Labelled], held_out: Sequence[Labelled]) -> str | None:
    """The sentence that names the first held-out dialogue of which a copy is trained on; ``None`` if there is none."""
    heard = {sound: dialogue.name for dialogue, turns in train for sound in sounds([(dialogue, turns)])}
    said = {words: dialogue.name for dialogue, turns in train if (words := _words(turns))}
    for dialogue, turns in held_out:
        for sound in sounds([(dialogue, turns)]):
            if sound in heard:
                return _sentence(dialogue.name, heard[sound], "holds the same recording")
        words = _words(turns)
        if words in said:
            return _sentence(dialogue.name, said[words], "says the same, turn by turn")
    return None


def inherited(session: Session, base: Checkpoint | None, held_out: Sequence[Labelled]) -> str | None:
    """The same for what the base checkpoint, and those it came from, were trained on."""
    held = {sound: dialogue.name for dialogue, turns in held_out for sound in sounds([(dialogue, turns)])}
    while base is not None:
        snapshot = base.run.snapshot if base.run is not None else None
        known = ((snapshot.provenance or {}) if snapshot is not None else {}).get("data", {}).get("sounds", {}).get("train", ())
        for sound in known:
            if sound in held:
                return (
                    f"{base.name} was trained on a recording of the held-out dialogue {held[sound]}, so its scores would mean "
                    "nothing: start from another checkpoint, or hold out other dialogues."
                )
        base = base.parent
    return None


def sounds(found: Iterable[Labelled]) -> list[str]:
    """The hashes of the recordings, each once, in order."""
    numbers = ((dialogue, {view.turn_id for view in turns}) for dialogue, turns in found)
    rows = (turn for dialogue, ids in numbers for turn in dialogue.turns if turn.turn_id in ids)
    return sorted({turn.recording.sha256 for turn in rows if turn.recording is not None})


def _words(turns: Sequence[TurnView]) -> tuple[str, ...] | None:
    """What is said in a dialogue's turns; nothing for a single turn or one without words: those are alike by chance."""
    words = tuple(" ".join((turn.transcript or "").lower().split()) for turn in turns)
    return words if len(words) > 1 and all(words) else None


def _sentence(held_out: str, trained: str, how: str) -> str:
    return (
        f"The held-out dialogue {held_out} {how} as {trained}, which would be trained on, so its scores would mean nothing: "
        "hold out both, or delete one."
    )
