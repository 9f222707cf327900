"""Coming to a turn and back to it: through filters, a reload and the browser's history, and past somebody who works there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.services import projects
from studio.workspace import open_workspace
from tests.bench import scale
from tests.browser.conftest import Studio, View, sync_api

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned", "--labelled", "--team")


def test_filters_turn_and_list_come_back(log_in: Callable[[str], View]) -> None:
    view = log_in("ben")
    view.go("correct")
    view.field("correct.status").click()
    view.page.get_by_role("option", name="all", exact=True).click()
    view.field("correct.search").fill("the cent")
    view.says("correct.queue", "Next: 2 turns")

    def stands(said: str) -> None:
        view.has("correct.search", "the cent")
        view.has("correct.status", "all")
        view.says("correct.queue", "Next: 2 turns")
        view.has("correct.transcript", said)

    for said in ("the center please", "somewhere in the centre"):
        view.element("correct.queue").get_by_text(said).click()
        stands(said)
    for part in (r"text=the\+cent", "status=all"):
        sync_api.expect(view.page).to_have_url(re.compile(part))
    view.page.reload()
    stands("somewhere in the centre")
    view.page.go_back()
    stands("the center please")
    view.page.go_forward()
    stands("somewhere in the centre")
    view.clean()


def test_a_dialogue_that_somebody_else_has_is_taken_over(log_in: Callable[[str], View]) -> None:
    ben, cleo = log_in("ben"), log_in("cleo")
    for view in (ben, cleo):
        view.go("correct")
        view.says("correct.title", "Turn 1")
    cleo.says("correct.claim_holder", "ben works on this dialogue until")
    cleo.element("correct.take_over").click()
    sync_api.expect(cleo.element("correct.claim")).to_be_hidden()
    cleo.says("correct.events", "from ben")
    ben.page.keyboard.press("a")  # who works on learns it with the next save
    ben.says("correct.claim_holder", "cleo works on this dialogue until")
    for view in (ben, cleo):
        view.clean()


def computed(studio: Studio) -> float:
    """Seconds of computing that the studio has used so far: others' work on the machine does not count."""
    assert studio.process is not None
    fields = Path(f"/proc/{studio.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_among_a_hundred_thousand_turns_one_works_as_among_a_hundred(
    tmp_path: Path, start_studio: Callable[..., Studio], open_view: Callable[..., View]
) -> None:
    """Minutes: ``pytest -m slow tests/browser/test_finding.py``."""
    cost: dict[int, float] = {}
    for turns in (100, 100_000):
        home = tmp_path / str(turns)
        ws = open_workspace(home)
        scale.fill(ws, projects.create_project(ws, "Scale").id, turns)
        ws.database.dispose()
        studio = start_studio("--canned", home=home)
        view = open_view(studio)
        view.go(f"correct?turn={turns - 8}")
        view.says("correct.title", "Turn 12")
        for key, title in (("n", "Turn 13"), ("p", "Turn 12")):  # the first of each warms up
            view.page.keyboard.press(key)
            view.says("correct.title", title)
        begun = computed(studio)
        for number in range(13, 20):
            view.page.keyboard.press("n")
            view.says("correct.title", f"Turn {number} ")
        cost[turns] = computed(studio) - begun
        view.page.keyboard.press("d")
        sync_api.expect(view.element("correct.title")).not_to_contain_text("Turn 19")
        view.says("correct.title", "to be checked")
        if turns > 1000:
            view.says("correct.queue", "the first 50 of 1000 or more")
        view.field("correct.search").fill(scale.RARE)
        view.field("correct.status").click()
        view.page.get_by_role("option", name="all", exact=True).click()
        view.says("correct.queue", f"Next: {-(-turns // 10_000)} turn")
        view.picture(f"correct-{turns}-turns")
        view.clean()
    assert cost[100_000] < 2 * cost[100] + 0.5, f"seven turns cost {cost} seconds of computing"
