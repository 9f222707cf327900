"""Whether a score would be flattered: held-out speech or dialogues that a run, or one it goes on from, is trained on as well.

Names are watched by `splits`; here are copies under another name, known by the sound's hash or by what was said: by all turns,
or by most of those that are long enough not to be alike by chance, for a turn that was corrected otherwise hides no copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from db.models import Checkpoint, Dialogue
from studio.services.views import TurnView

LONG = 5  # words of a turn that counts by itself
ALIKE, SHARE = 3, 0.8  # so many such turns, and that share of the ones the shorter dialogue has, make a copy

Labelled = tuple[Dialogue, Sequence[TurnView]]  # a dialogue, and its turns that are trained or scored on


def refusal(train: Sequence[Labelled], held_out: Sequence[Labelled]) -> str | None:
    """The sentence that names the first held-out dialogue of which a copy is trained on; ``None`` if there is none."""
    heard = by_sound(train)
    said = {words: dialogue.name for dialogue, turns in train if len(words := _words(turns)) > 1 and all(words)}
    telling = [_telling(turns) for _, turns in train]
    having: dict[str, list[int]] = {}
    for place, texts in enumerate(telling):
        for text in texts:
            having.setdefault(text, []).append(place)
    for dialogue, turns in held_out:
        for sound in sounds([(dialogue, turns)]):
            if sound in heard:
                return _sentence(dialogue.name, heard[sound], "holds the same recording")
        if (whole := _words(turns)) in said:
            return _sentence(dialogue.name, said[whole], "says the same, turn by turn")
        mine = _telling(turns)
        for place, alike in Counter(place for text in mine for place in having.get(text, ())).most_common():
            if alike >= max(ALIKE, SHARE * min(len(mine), len(telling[place]))):
                return _sentence(dialogue.name, train[place][0].name, f"says the same in {alike} turns")
    return None


def inherited(base: Checkpoint | None, in_use: Checkpoint | None, held: Mapping[str, str]) -> str | None:
    """The same for what the base checkpoint, and those it came from, were trained on; and the one in use, which is scored too.

    Args:
        held: the held-out dialogues' names by the hashes of their recordings.
    """
    for first, advice in ((base, "start from another checkpoint"), (in_use, "put another checkpoint in use")):
        checkpoint = first
        while checkpoint is not None:
            snapshot = checkpoint.run.snapshot if checkpoint.run is not None else None
            kept = (snapshot.provenance or {}) if snapshot is not None else {}
            for sound in kept.get("data", {}).get("sounds", {}).get("train", ()):
                if sound in held:
                    return (
                        f"{checkpoint.name} was trained on a recording of the held-out dialogue {held[sound]}, so its scores "
                        f"would mean nothing: {advice}, or hold out other dialogues."
                    )
            checkpoint = checkpoint.parent
    return None


def by_sound(found: Sequence[Labelled]) -> dict[str, str]:
    """The dialogues' names by the hashes of their recordings."""
    return {sound: dialogue.name for dialogue, turns in found for sound in sounds([(dialogue, turns)])}


def sounds(found: Iterable[Labelled]) -> list[str]:
    """The hashes of the recordings, each once, in order."""
    numbers = ((dialogue, {view.turn_id for view in turns}) for dialogue, turns in found)
    rows = (turn for dialogue, ids in numbers for turn in dialogue.turns if turn.turn_id in ids)
    return sorted({turn.recording.sha256 for turn in rows if turn.recording is not None})


def _words(turns: Sequence[TurnView]) -> tuple[str, ...]:
    """What is said in a dialogue's turns."""
    return tuple(" ".join((turn.transcript or "").lower().split()) for turn in turns)


def _telling(turns: Sequence[TurnView]) -> set[str]:
    """What is said in those that are long enough."""
    return {words for words in _words(turns) if len(words.split()) >= LONG}


def _sentence(held_out: str, trained: str, how: str) -> str:
    return (
        f"The held-out dialogue {held_out} {how} as {trained}, which would be trained on, so its scores would mean nothing: "
        "hold out both, or delete one."
    )
