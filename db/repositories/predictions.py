"""What models answered to a turn."""

from __future__ import annotations

from collections.abc import Iterator

from db.models import Prediction, Turn
from db.repositories.revisions import LABELS


def newest(turn: Turn, layer: str = LABELS) -> Prediction | None:
    """The answer that stands in a layer: the newest that was told the layer's corrections, else the newest of the project's."""
    for wanted in dict.fromkeys((layer, LABELS)):
        found = next((answer for answer in reversed(turn.predictions) if answer.layer == wanted), None)
        if found is not None:
            return found
    return None


def listened(turn: Turn, layer: str = LABELS) -> Prediction | None:
    """The answer in which the words that stand as the model's were heard: a later one may only have been told them.

    It is the one of which is known how surely they were heard; of those from before that was kept, the first with these words.
    """
    now = newest(turn, layer)
    heard = [answer for answer in _read_in(turn, layer) if now is not None and answer.transcript == now.transcript]
    sure = (answer for answer in heard if answer.transcript_confidence is not None or answer.ctc_transcript is not None)
    return next(sure, heard[-1] if heard else None)


def of_another(turn: Turn, layer: str = LABELS) -> Prediction | None:
    """The newest answer of another checkpoint than the one whose answer stands."""
    now = newest(turn, layer)
    return next((answer for answer in _read_in(turn, layer) if now and answer.checkpoint_id != now.checkpoint_id), None)


def _read_in(turn: Turn, layer: str) -> Iterator[Prediction]:
    """The answers whoever works in a layer may know of, the newest first."""
    return (answer for answer in reversed(turn.predictions) if answer.layer in (layer, LABELS))
