"""Confidences: what is fitted on corrected turns makes them honest, and the error that says so is the published one."""

import random
from dataclasses import replace

import pytest

from engine.checkpoints import CheckpointError
from engine.dialogue import Dialogue, Turn
from engine.scoring.reliability import ece
from engine.tracking.calibration import (
    CALIBRATION,
    calibrate_on,
    fit_calibration,
    judged_slots,
    read_calibration,
    write_calibration,
)
from engine.tracking.predictions import TrackedTurn


def boastful(count, seed=0):
    """A system whose slots at 0.99 are right seven times of ten, and at 0.6 three times of ten."""
    chance = random.Random(seed)
    confidences = [chance.choice((0.99, 0.6)) for _ in range(count)]
    return confidences, [chance.random() < (0.7 if value > 0.9 else 0.3) for value in confidences]


def test_what_is_fitted_on_some_dialogues_helps_on_others():
    calibration = fit_calibration(*boastful(2000))
    fresh, right = boastful(2000, seed=1)
    assert calibration.ece_before > 0.25 > 0.05 > calibration.ece_after
    assert ece([calibration(value) for value in fresh], right) < 0.05
    assert calibration(0.99) == pytest.approx(0.7, abs=0.05) and calibration(0.6) == pytest.approx(0.3, abs=0.05)
    assert 0 < calibration(0.0) < calibration(0.5) < calibration(1.0) < 1


def test_too_few_slots_or_none_wrong_are_refused():
    for confidences, right in (([0.9] * 10, [True, False] * 5), ([0.9] * 100, [True] * 100), ([], [])):
        with pytest.raises(ValueError, match="50 are needed, right and wrong"):
            fit_calibration(confidences, right)


def test_slots_are_judged_in_normal_form_and_by_every_accepted_form():
    predicted = {"restaurant": {"food": "Center", "area": "north", "name": "x"}}
    confidence = {"restaurant": {"food": 0.9, "area": 0.8}}  # the name's tokens could not be found
    gold = {"Restaurant": {"food": ["thai", "centre"], "pricerange": "cheap"}}
    assert judged_slots(predicted, confidence, gold) == [(0.9, True), (0.8, False)]


def test_the_file_comes_back_as_written_and_a_damaged_one_is_named(tmp_path):
    calibration = fit_calibration(*boastful(200), ["dev.jsonl"])
    assert read_calibration(tmp_path) is None
    write_calibration(tmp_path, calibration)
    assert read_calibration(tmp_path) == calibration
    (tmp_path / CALIBRATION).write_text('{"slope": 1}')
    with pytest.raises(CheckpointError, match="calibration.json: damaged"):
        read_calibration(tmp_path)


def test_calibrating_twice_over_is_refused():
    dialogue = Dialogue("a", [Turn(0, "user", state={"r": {"s": "v"}})])
    turn = TrackedTurn("a", 0, "", {"r": {"s": "v"}}, {"r": {"s": 0.9}}, "", True, 0.0, calibrated=True)
    with pytest.raises(ValueError, match="calibrated confidences"):
        calibrate_on([turn], [dialogue], [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"turn_id": 2}, "turn 2 of dialogue 'a' was predicted, and is not there"),
        ({"dialogue_id": "b"}, "turn 0 of dialogue 'b' was predicted, and is not there"),
        ({"audio": "other.wav"}, "is not there as it was heard"),
        ({"history": "oracle"}, "read the history 'oracle'"),
    ],
)
def test_what_says_nothing_of_the_model_in_use_is_refused(changes, reason):
    dialogue = Dialogue("a", [Turn(0, "user", audio="said.wav", state={"r": {"s": "v"}})], "dev")
    turn = TrackedTurn("a", 0, "", {"r": {"s": "v"}}, {"r": {"s": 0.9}}, "", True, 0.0, audio="said.wav")
    with pytest.raises(ValueError, match=reason):
        calibrate_on([replace(turn, **changes)], [dialogue], [])
