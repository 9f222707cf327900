"""How long a run will take, as its steps tell."""

import pytest

from engine.training.pace import Pace


def test_a_slow_first_step_is_forgotten_at_the_second() -> None:
    pace = Pace()
    pace.step(60.0)
    assert pace.left(10) == 600
    for seconds in (2.0, 4.0):
        pace.step(seconds)
    assert pace.left(10) == pytest.approx(30)


def test_a_run_that_slows_down_is_followed() -> None:
    pace = Pace()
    for seconds in [1.0] * 1000 + [3.0] * 100:
        pace.step(seconds)
    assert 2.9 < pace.left(1) < 3


def test_what_is_done_now_and_then_counts_by_its_last_time_and_only_in_its_stage() -> None:
    pace = Pace()
    pace.step(1.0)
    pace.aside("watch", 50.0, every=10)
    pace.aside("watch", 20.0, every=10)
    assert pace.left(100) == pytest.approx(100 + 200)
    pace.begin_stage()
    assert pace.left(100) == pytest.approx(100)
