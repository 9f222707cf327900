"""What models answered to a turn."""

from __future__ import annotations

from db.models import Prediction, Turn
from db.repositories.revisions import LABELS


def newest(turn: Turn, layer: str = LABELS) -> Prediction | None:
    """The answer that stands in a layer: the newest that was told the layer's corrections, else the newest of the project's."""
    for wanted in dict.fromkeys((layer, LABELS)):
        found = next((answer for answer in reversed(turn.predictions) if answer.layer == wanted), None)
        if found is not None:
            return found
    return None
