"""Looking at a run costs the same after 100,000 steps, for any number of viewers: counted in bytes read."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from studio.services import curves, runs


def line(step: int) -> str:
    values = {"stage": "s1", "step": step, "total_steps": 200_000, "loss": 1 / step, "lr": 1e-4, "tokens": 10, "seconds": 0.1}
    return json.dumps(values) + "\n"


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(map(line, range(1, 100_001))))
    return path


def test_a_long_run_is_read_once_and_then_only_what_is_new(metrics: Path, bytes_read: Callable[[], int]) -> None:
    points = curves.read(metrics, max_points=500)
    assert len(points) <= 500
    assert (points[-1].step, points[-1].loss) == (100_000, 1 / 100_000)
    assert bytes_read() == metrics.stat().st_size
    for _ in range(5):
        assert curves.read(metrics, max_points=500) == points
    assert bytes_read() <= 5 * curves.MARK
    new = line(100_001) + line(100_002)
    with open(metrics, "a") as file:
        file.write(new + line(100_003)[:20])
    assert curves.read(metrics)[-1].step == 100_002
    assert bytes_read() <= curves.MARK + len(new) + 20


def test_what_is_kept_of_a_long_run_is_little_and_spread_evenly(metrics: Path) -> None:
    steps = [point.step for point in curves.read(metrics)]
    assert curves.KEPT / 2 <= len(steps) <= curves.KEPT + 1
    gaps = {later - earlier for earlier, later in pairwise(steps[:-1])}
    assert len(gaps) == 1


def test_what_was_measured_is_kept_when_steps_are_thinned(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    every = [line(step) for step in range(1, 20_001)]
    for step in (7, 9_001, 20_000):
        turns = f', "held_out_wer_turns": {step}' if step > 7 else ""
        every[step - 1] = every[step - 1].replace("}", f', "held_out_wer": {100 / step}, "held_out_jga": null{turns}}}')
    path.write_text("".join(every))
    assert [(found.step, found.measure, found.percent) for found in curves.measured(path)] == [
        (7, "word error rate", 100 / 7),
        (9_001, "word error rate (9001 turns)", 100 / 9_001),
        (20_000, "word error rate (20000 turns)", 100 / 20_000),
    ]


def test_a_curve_follows_a_resumed_run_that_wrote_its_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(map(line, range(1, 11))))
    assert len(curves.read(path)) == 10
    again = [line(step).replace("0.1}", "0.2}") for step in range(5, 30)]
    path.write_text("".join([*map(line, range(1, 5)), *again]))
    found = curves.read(path)
    assert [point.step for point in found] == list(range(1, 30))
    assert [point.seconds for point in found] == [0.1] * 4 + [0.2] * 25


def test_broken_lines_of_a_power_cut_are_passed_by(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "metrics.jsonl"
    path.write_text(line(1) + line(2)[:40] + "\n" + line(3) + "\0" * 20 + '"held_out_wer"\n' + line(4)[:30] + "\n")
    assert [point.step for point in curves.read(path)] == [1, 3] and curves.measured(path) == []
    assert runs.last_metrics(tmp_path)["step"] == 3
