"""Krippendorff's alpha against published examples, and what two people's labels of the same turns amount to."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import permutations
from types import SimpleNamespace

import pytest

from db.models import base
from studio.pages.agreement import report_html
from studio.services import agreement
from studio.services.agreement import alpha, slots_of
from studio.services.dialogues import TurnView
from studio.workspace import Workspace

# A row is a coder, "." a unit not coded. The first three from Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011):
# binary, two coders; nominal, two coders; nominal, any number of coders with missing data. The fourth is Wikipedia's example.
PUBLISHED = [
    (("0100000010", "1110010000"), 0.095),
    (("aabbdcccedda", "babbbcccedddd"[:12]), 0.692),
    (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ((".....34121133.3", "1.213343.......", "..21344.21133.4"), 0.691),
]


def units(coders: Sequence[str]) -> list[list[str]]:
    return [[value for value in column if value != "."] for column in zip(*coders, strict=True)]


def by_coincidences(ratings: list[list[str]]) -> float:
    """The same by its definition: a matrix of coincidences, filled pair by pair."""
    values = sorted({value for unit in ratings for value in unit})
    matrix = {(c, k): 0.0 for c in values for k in values}
    for unit in ratings:
        for c, k in permutations(unit, 2):
            matrix[c, k] += 1 / (len(unit) - 1)
    totals = {c: sum(matrix[c, k] for k in values) for c in values}
    n = sum(totals.values())
    observed = sum(number for (c, k), number in matrix.items() if c != k) / n
    return 1 - observed / (sum(totals[c] * totals[k] for c, k in permutations(values, 2)) / (n * (n - 1)))


@pytest.mark.parametrize(("coders", "published"), PUBLISHED)
def test_alpha_is_what_the_publications_say(coders: Sequence[str], published: float) -> None:
    assert alpha(units(coders)) == pytest.approx(published, abs=5e-4)


def test_alpha_is_one_minus_observed_by_expected_coincidences() -> None:
    draw = random.Random(1)
    for _ in range(50):
        ratings = [[draw.choice("abc") for _ in range(draw.randint(0, 4))] for _ in range(12)] + [["a", "b"]]
        assert alpha(ratings) == pytest.approx(by_coincidences(ratings))


@pytest.mark.parametrize("ratings", [[], [["a"], ["b"]], [["a", "a"], ["a", "a", "a"], ["b"]]])
def test_alpha_is_undefined_where_nothing_can_differ(ratings: list[list[str]]) -> None:
    assert alpha(ratings) is None


def test_alpha_is_one_for_full_agreement_and_below_zero_for_systematic_disagreement() -> None:
    assert alpha([["a", "a"], ["b", "b"]]) == 1
    found = alpha([["a", "b"], ["b", "a"]])
    assert found is not None and found < 0


def test_states_are_compared_by_their_normal_forms() -> None:
    one = {"Restaurant": {"price range": "Cheap", "food": ["Thai", "Siamese"], "time": "7 pm", "name": ""}}
    other = {"restaurant": {"pricerange": "cheap", "food": "thai", "time": "19:00"}}
    assert slots_of(one) == slots_of(other)
    assert slots_of(one) != slots_of({"restaurant": {**other["restaurant"], "food": "chinese"}})


def test_a_projects_agreement_slot_by_slot_and_by_week(
    ws: Workspace, project: int, twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    """Both find an area in both turns (the model's, north); one of them hears another food in the second turn."""
    for place, author, value in ((0, "ben", "thai"), (0, "cleo", "Thai"), (1, "ben", "thai"), (1, "cleo", "chinese")):
        annotate(twice[place], author, "food", value)
    found = agreement.report(ws, project)
    assert (found.overall.turns, found.overall.pairs, found.overall.joint) == (2, 2, 0.5)
    area, food = found.overall.slots
    assert (area.slot, area.alpha, area.units) == ("area", None, 2)
    assert (food.slot, food.alpha) == ("food", pytest.approx(by_coincidences([["t", "t"], ["t", "c"]])))
    assert list(found.weeks.values()) == [found.overall]
    told = found.to_json()
    assert told["joint_state_match"] == 0.5 and told["slots"]["restaurant-area"] == {"alpha": None, "units": 2}


def test_who_took_their_state_back_is_no_annotator(
    ws: Workspace, project: int, twice: list[TurnView], annotate: Callable[..., TurnView]
) -> None:
    from studio.services import corrections

    annotate(twice[0], "ben", "food", "thai")
    view = annotate(twice[0], "cleo", "food", "thai")
    corrections.undo(ws, view.id, "cleo", view.head, layer="cleo")
    assert agreement.report(ws, project).overall == agreement.Agreement(0, 0, None, ())


def test_agreement_is_told_week_by_week_of_the_last_annotation(
    ws: Workspace, project: int, twice: list[TurnView], annotate: Callable[..., TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn of the year lies in between: the 29th of December 2025 belongs to the first week of 2026."""

    def on(month: int, day: int, year: int, turn: TurnView, author: str, value: str) -> None:
        monkeypatch.setattr(base, "datetime", SimpleNamespace(now=lambda zone: datetime(year, month, day, 12, tzinfo=UTC)))
        annotate(turn, author, "food", value)

    on(12, 28, 2025, twice[0], "ben", "thai")
    on(12, 28, 2025, twice[0], "cleo", "thai")
    on(12, 28, 2025, twice[1], "ben", "thai")
    on(12, 29, 2025, twice[1], "cleo", "chinese")
    found = agreement.report(ws, project)
    weeks = {week: (part.turns, part.pairs, part.joint) for week, part in found.weeks.items()}
    assert weeks == {"2025-W52": (1, 1, 1.0), "2026-W01": (1, 1, 0.0)}
    assert (found.overall.turns, found.overall.joint) == (2, 0.5)
    assert {week: part["joint_state_match"] for week, part in found.to_json()["weeks"].items()} == {"2025-W52": 1, "2026-W01": 0}
    table = report_html(found).split("<tr")
    assert [table[1].index(week) for week in ("2025-W52", "2026-W01")] == sorted(table[1].index(w) for w in weeks)
    (whole,) = (row for row in table if "Same whole state" in row)
    assert [cell.partition("</td>")[0].rpartition(">")[2] for cell in whole.split("<td")[2:]] == ["50.0 %", "100.0 %", "0.0 %"]
