"""Looking at a run costs the same after 100,000 steps, for any number of viewers: counted in bytes read."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from studio.services import curves


def line(step: int) -> str:
    values = {"stage": "s1", "step": step, "total_steps": 200_000, "loss": 1 / step, "lr": 1e-4, "tokens": 10, "seconds": 0.1}
    return json.dumps(values) + "\n"


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(map(line, range(1, 100_001))))
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many bytes were read since it was asked last."""
    counted = 0
    real = Path.open

    def counting(path: Path, *arguments, **options):
        file = real(path, *arguments, **options)
        plain = file.read

        class Counting:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def seek(self, place):
                file.seek(place)

            def read(self, size):
                nonlocal counted
                found = plain(size)
                counted += len(found)
                return found

        return Counting()

    def since() -> int:
        nonlocal counted
        number, counted = counted, 0
        return number

    monkeypatch.setattr(Path, "open", counting)
    return since


def test_a_long_run_is_read_once_and_then_only_what_is_new(metrics: Path, read: Callable[[], int]) -> None:
    points = curves.read(metrics, max_points=500)
    assert len(points) <= 500
    assert (points[-1].step, points[-1].loss) == (100_000, 1 / 100_000)
    assert read() == metrics.stat().st_size
    for _ in range(5):
        assert curves.read(metrics, max_points=500) == points
    assert read() <= 5 * curves.MARK
    new = line(100_001) + line(100_002)
    with open(metrics, "a") as file:
        file.write(new + line(100_003)[:20])
    assert curves.read(metrics)[-1].step == 100_002
    assert read() <= curves.MARK + len(new) + 20


def test_what_is_kept_of_a_long_run_is_little_and_spread_evenly(metrics: Path) -> None:
    steps = [point.step for point in curves.read(metrics)]
    assert curves.KEPT / 2 <= len(steps) <= curves.KEPT + 1
    gaps = {later - earlier for earlier, later in pairwise(steps[:-1])}
    assert len(gaps) == 1


def test_a_curve_follows_a_resumed_run_that_wrote_its_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(map(line, range(1, 11))))
    assert len(curves.read(path)) == 10
    again = [line(step).replace("0.1}", "0.2}") for step in range(5, 30)]
    path.write_text("".join([*map(line, range(1, 5)), *again]))
    found = curves.read(path)
    assert [point.step for point in found] == list(range(1, 30))
    assert [point.seconds for point in found] == [0.1] * 4 + [0.2] * 25
