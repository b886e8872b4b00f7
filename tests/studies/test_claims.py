"""Crops that lose a point, and crops that others invade, by hand."""

import numpy as np
import pytest

from pipeline.studies.claims import crops_of, interval, invaded, losing_one

BOX = np.array([0.0, 0.0, 100.0, 100.0])


def test_the_square_that_a_crop_shows() -> None:
    # 40 x 100 grown by a tenth a side is 48 x 120, squared 120 x 120 about (30, 50).
    assert crops_of(np.array([[10.0, 0, 50, 100]]), 0.1).tolist() == [[-30, -10, 90, 110]]


def test_one_point_is_lost_and_little_else() -> None:
    """Moving the left side loses the point at 10 first; no other side loses one alone for less of the box."""
    xy = np.array([[10.0, 50.0], [50.0, 50.0], [90.0, 90.0], [1.0, 1.0]])
    counted = np.array([True, True, True, False])
    box, lost = losing_one(BOX, xy, counted, padding=0.0)
    crop = crops_of(box[None], 0.0)[0]
    inside = ((xy >= crop[:2]) & (xy <= crop[2:])).all(1)
    assert inside[:3].tolist() == [number != lost for number in range(3)]
    assert (box != BOX).sum() == 1
    assert (box[2:] - box[:2]).prod() > 7000


def test_points_that_lie_together_are_not_lost_alone() -> None:
    xy = np.array([[50.0, 50.0], [50.0, 50.0]])
    assert losing_one(BOX, xy, np.array([True, True]), padding=0.0) is None
    assert losing_one(BOX, xy, np.array([False, False]), padding=0.0) is None


def test_how_much_of_a_crop_another_garment_covers() -> None:
    crop, other = np.array([0.0, 0, 10, 10]), np.array([5.0, -5, 15, 5])
    points = np.array([[6.0, 1.0], [12.0, 1.0]])
    assert invaded(crop, [other, np.array([20.0, 20, 30, 30])], [points]) == (0.25, 1)
    assert invaded(crop, [], []) == (0.0, 0)


def test_an_interval_holds_the_weighted_mean() -> None:
    assert interval([0.1] * 5, [1, 2, 3, 4, 5]) == pytest.approx((0.1, 0.1))
    values = np.random.default_rng(1).normal(0.2, 0.1, 400)
    low, high = interval(values, np.ones(400))
    assert low < values.mean() < high
    # The standard error is 0.005, and 95 % is 3.92 of them.
    assert high - low == pytest.approx(0.0196, rel=0.15)
