"""Bins of confidence and the calibration error."""

import pytest

from engine.scoring.reliability import Bin, bin_of, ece, reliability


def test_bins_hold_their_lower_edge_and_the_last_holds_one():
    assert [bin_of(value) for value in (0.0, 0.09, 0.1, 0.95, 1.0)] == [0, 0, 1, 9, 9]


def test_bins_count_and_average_and_empty_ones_are_left_out():
    assert reliability([0.55, 0.5, 1.0], [True, False, True]) == [
        Bin(0.5, 0.6, 2, pytest.approx(0.525), 0.5),
        Bin(0.9, 1.0, 1, 1.0, 1.0),
    ]


def test_the_error_is_the_distance_of_confidence_and_accuracy():
    assert ece([0.75, 0.75, 0.75, 0.75], [True, True, True, False]) == 0
    assert ece([0.9, 0.9, 0.1, 0.1], [False, False, False, False]) == pytest.approx(0.5)
    assert ece([], []) == 0


def test_error_and_bins_of_a_case_counted_by_hand():
    confidences, right = [0.95, 0.95, 0.95, 0.95, 0.25, 1.0], [True, True, True, False, False, True]
    low, high = reliability(confidences, right)
    assert (low.count, low.accuracy, high.count, high.accuracy) == (1, 0.0, 5, 0.8)
    assert high.confidence == pytest.approx(0.96) and high.high == 1.0
    assert ece(confidences, right) == pytest.approx((0.25 + 5 * 0.16) / 6)
