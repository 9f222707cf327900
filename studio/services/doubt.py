"""How doubtful the model's answer to a turn is, 0 to 1, and why, in two or three words.

Four signs, each a figure for how likely something in the answer is wrong:

- *unsure of SLOT*: 1 - the (calibrated) confidence of the least sure slot;
- *hard to hear*: 1 - the probability of the least sure word of the transcript;
- *heard two ways*: the share of words in which the transcript differs from what the connector's CTC head reads by itself;
- *checkpoints disagree*: one half where the newest answer of another checkpoint has another state, for one of the two is wrong.

The doubt is the largest sign, and that sign is the reason: a turn is as doubtful as what is most doubtful about it. An answer
that is no state is doubtful through and through. What somebody settled is not doubted: words that were corrected, values that the
answer was told, and slots that were confirmed one by one; a state that was saved keeps its doubt, by which it is reviewed.
Where a sign is not known (older answers have no second and third, most turns no fourth), the others decide.

Of 146 turns of WOZ 2.0's test set that the demo checkpoint answered, 66 had wrong words or a wrong state; of the most doubtful
quarter 33 in 36 did, ordered by slots alone 27 (area under the ROC curve 0.85, by slots alone 0.72).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from engine.data.spoken_form import comparable
from engine.dialogue import State, accepted, iterate_slots
from engine.postprocess.normalise import normalise_value
from studio.services.views import TurnView

DISAGREEMENT = 0.5


@dataclass(frozen=True)
class Doubt:
    """``degree`` is 0 to 1; ``why`` names the strongest sign, and is empty where there is none."""

    degree: float
    why: str


def of(view: TurnView) -> Doubt | None:
    """The doubt about what the model answered to a turn; ``None`` where it has not answered."""
    if view.prediction_id is None:
        return None
    if not view.valid:
        return Doubt(1.0, "no valid answer")
    return max(_signs(view), key=lambda sign: sign.degree, default=Doubt(0.0, ""))


def second_reading(view: TurnView) -> str | None:
    """What the CTC head reads, where that are other words than the transcript's."""
    return view.ctc_transcript if _apart(view) else None


def _signs(view: TurnView) -> Iterator[Doubt]:
    """Every sign above 0."""
    settled = _settled(view)
    for domain, found in view.confidence.items():
        unsure = [(slot, 1 - sure) for slot, sure in found.items() if (domain, slot) not in settled]
        yield from (Doubt(degree, f"unsure of {slot}") for slot, degree in unsure if degree > 0)
    if view.corrected_transcript is None:
        if view.transcript_confidence is not None and view.transcript_confidence < 1:
            yield Doubt(1 - view.transcript_confidence, "hard to hear")
        if apart := _apart(view):
            yield Doubt(apart, "heard two ways")
    if view.other_state is not None and _values(view, view.other_state) != _values(view, view.predicted_state or {}):
        yield Doubt(DISAGREEMENT, "checkpoints disagree")


def _apart(view: TurnView) -> float:
    """The share of words in which the transcript and the CTC head's reading differ; 0 where there is none."""
    if view.ctc_transcript is None:
        return 0.0
    readings = (comparable(text).split() for text in (view.model_transcript or "", view.ctc_transcript))
    return float(Levenshtein.normalized_distance(*readings))


def _settled(view: TurnView) -> frozenset[tuple[str, str]]:
    """The slots that somebody confirmed in an answer whose state nobody saved or accepted."""
    return view.confirmed if view.corrected_state is None else frozenset()


def _values(view: TurnView, state: State) -> dict[tuple[str, str], str]:
    """A state's values in normal form, without those that the turn's answer was told or somebody confirmed."""
    settled = _settled(view)
    return {
        (domain, slot): normalise_value(accepted(value)[0], slot)
        for domain, slot, value in iterate_slots(state)
        if slot not in view.pinned.get(domain, {}) and (domain, slot) not in settled
    }
