"""How far people agree who annotated the same turns blind: Krippendorff's alpha slot by slot, whole states, week by week.

A unit is a user turn with two annotators or more. A slot's rating is the value that stands after the turn in normal form
(`engine.postprocess.normalise`), its canonical form where several are accepted, or "no value". States are carried along, so a
disagreement counts in every turn it is carried through, as it does in joint goal accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from db.models import RevisionKind, Turn
from db.repositories import doubles, revisions
from engine.dialogue import State, accepted
from engine.postprocess.normalise import normalise_state
from studio.workspace import Workspace

Place = tuple[str, str]
Slots = dict[Place, str]


@dataclass(frozen=True)
class SlotAgreement:
    """One slot. ``alpha`` is ``None`` where it is undefined: everybody always wrote the same, so chance explains all."""

    domain: str
    slot: str
    alpha: float | None
    units: int


@dataclass(frozen=True)
class Agreement:
    """Some turns. ``joint`` is the share of pairs of annotators with the same whole state, ``None`` without a pair."""

    turns: int
    pairs: int
    joint: float | None
    slots: tuple[SlotAgreement, ...]


@dataclass(frozen=True)
class Report:
    """A project's agreement in all, and by the ISO week (``2026-W47``) in which a turn got its last annotation."""

    overall: Agreement
    weeks: dict[str, Agreement]

    def to_json(self) -> dict[str, Any]:
        """Plain values; an alpha or match that is undefined is ``None``."""
        return _json(self.overall) | {"weeks": {week: _json(found) for week, found in self.weeks.items()}}


def report(ws: Workspace, project_id: int) -> Report:
    """The agreement on a project's double share so far."""
    with ws.read() as session:
        rated = [
            (_week(turn, names), [slots_of(revisions.corrected(turn, RevisionKind.STATE, name)) for name in names])
            for turn, names in doubles.annotated(session, project_id)
        ]
    weeks = sorted({week for week, _ in rated})
    return Report(
        _measured([states for _, states in rated]), {w: _measured([s for week, s in rated if week == w]) for w in weeks}
    )


def slots_of(state: State) -> Slots:
    """A state as what is compared: the canonical form of every slot, in normal form."""
    canonical: State = {domain: {slot: accepted(value)[0] for slot, value in slots.items()} for domain, slots in state.items()}
    return {(domain, slot): str(value) for domain, slots in normalise_state(canonical).items() for slot, value in slots.items()}


def alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal data (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    Args:
        units: the ratings of each unit, as many as there are; units with fewer than two do not count.

    Returns:
        1 for perfect agreement, 0 for what chance gives, ``None`` where no disagreement can be expected: no unit counts, or
        all ratings are the same.
    """
    paired = [Counter(ratings) for ratings in units if len(ratings) > 1]
    totals: Counter[Hashable] = sum(paired, Counter())
    expected = _unequal_pairs(totals) / max(totals.total() - 1, 1)
    if not expected:
        return None
    observed = sum(_unequal_pairs(ratings) / (ratings.total() - 1) for ratings in paired)
    return 1 - observed / expected


def _unequal_pairs(ratings: Counter[Hashable]) -> int:
    """Ordered pairs of different values among the ratings."""
    return ratings.total() ** 2 - sum(number**2 for number in ratings.values())


def _measured(rated: Sequence[Sequence[Slots]]) -> Agreement:
    pairs = [one == other for states in rated for one, other in combinations(states, 2)]
    places = sorted({place for states in rated for slots in states for place in slots})
    slots = tuple(
        SlotAgreement(*place, alpha([[slots.get(place) for slots in states] for states in rated]), len(rated)) for place in places
    )
    return Agreement(len(rated), len(pairs), sum(pairs) / len(pairs) if pairs else None, slots)


def _week(turn: Turn, names: Sequence[str]) -> str:
    year, week, _ = max(revision.created for revision in turn.revisions if revision.layer in names).isocalendar()
    return f"{year}-W{week:02}"


def _json(found: Agreement) -> dict[str, Any]:
    slots = {f"{slot.domain}-{slot.slot}": {"alpha": slot.alpha, "units": slot.units} for slot in found.slots}
    return {"turns": found.turns, "pairs": found.pairs, "joint_state_match": found.joint, "slots": slots}
