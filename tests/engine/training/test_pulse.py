"""The signs a run gives: what it does, and what is usual for that."""

import json
from pathlib import Path

import pytest

from engine.training import pulse
from engine.training.folder import RunFolder
from engine.training.pulse import Pulse


def test_what_is_usual_is_known_of_each_kind_and_forgotten_with_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 90.0, 93.0, 96.0, 106.0, 126.0, 129.0, 500.0, 560.0])
    monkeypatch.setattr(pulse.time, "monotonic", lambda: next(clock))
    signs: list[dict] = []
    run = Pulse(signs.append)
    run.begin_stage()
    run.beat()
    run.beat()
    run.beat("saving")
    run.beat("training")
    run.beat("saving")
    assert [(sign["doing"], sign["usual_seconds"], sign["slowest_seconds"]) for sign in signs] == [
        ("starting", None, None),
        ("training", None, None),
        ("training", 3.0, 3.0),
        ("training", 3.0, 3.0),
        ("saving", None, None),
        ("training", 3.0, 10.0),
        ("saving", 20.0, 20.0),
    ]
    run.begin_stage()
    run.beat()
    assert [sign["usual_seconds"] for sign in signs[-2:]] == [None, 60.0]


def test_a_sign_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    RunFolder(tmp_path).beat({"doing": "training"})
    assert json.loads((tmp_path / "pulse.json").read_text()) == {"doing": "training"}
    RunFolder(tmp_path / "gone").beat({"doing": "training"})
