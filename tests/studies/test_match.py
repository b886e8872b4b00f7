"""How far boxes are from the true ones: hand-worked, and the distance of distributions against scipy's."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from pipeline.contract.records import Annotation
from pipeline.studies.match import MEASURES, BoxSet, cumulative, jittered, ks_distance, summary

TRUTH = np.array([[10.0, 20, 30, 60], [0, 0, 10, 10]])
BOXES = np.array([[10.0, 20, 50, 100], [5, 0, 15, 10]])  # twice as large about another centre; shifted by half a width


def box_set(boxes: np.ndarray = BOXES) -> BoxSet:
    xy = np.array([[[30.0, 60], [10, 20], [90, 90]], [[0.0, 0], [10, 10], [90, 90]]])
    rows = [Annotation(str(i), "skirt", Path("a"), xy=one, visibility=np.array([1, 1, 0])) for i, one in enumerate(xy)]
    return BoxSet("boxes", rows, boxes, TRUTH, np.array([0.0, 1]))


def test_errors_by_hand() -> None:
    errors = box_set().errors()
    assert list(errors) == list(MEASURES)
    assert errors["iou"] == pytest.approx([800 / 3200, 50 / 150])
    assert errors["shift_x"] == pytest.approx([10 / 20, 5 / 10])
    assert errors["shift_y"] == pytest.approx([20 / 40, 0])
    assert errors["log_scale"] == pytest.approx([np.log(2), 0])
    assert errors["log_aspect"] == pytest.approx([0, 0])
    wide = box_set(np.array([[10.0, 20, 50, 60], [0, 0, 10, 10]])).errors()
    assert wide["log_aspect"] == pytest.approx([np.log(2), 0])
    assert wide["log_scale"] == pytest.approx([np.log(2) / 2, 0])


def test_what_crops_hold() -> None:
    """Of the second box, (0, 0) is outside until half a width is added; occluded points do not count."""
    assert box_set().contained(0.0) == 3 / 4
    assert box_set().contained(0.49) == 3 / 4
    assert box_set().contained(0.5) == 1
    assert box_set().zoom(0.0) == pytest.approx((0.5 + 1) / 2)
    assert box_set().zoom(0.25) == pytest.approx((0.5 + 1) / 2 / 1.5)


@pytest.mark.parametrize("sizes", [(50, 80), (1, 7), (200, 200)])
def test_the_distance_is_scipys(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, sizes[0]).round(1), rng.normal(0.5, 2, sizes[1]).round(1)
    assert ks_distance(a, b) == pytest.approx(ks_2samp(a, b).statistic)
    assert ks_distance(a, a) == 0


def test_a_summary_is_of_these_boxes_against_those() -> None:
    figures = summary(box_set(), box_set(TRUTH), 0.0)
    assert figures["iou"] == pytest.approx((0.25 + 1 / 3) / 2)
    assert figures["iou_below_half"] == 1
    assert figures["shift"] == pytest.approx((np.hypot(0.5, 0.5) + 0.5) / 2)
    assert figures["log_scale"] == pytest.approx(np.log(2) / 2)
    assert figures["fallback"] == 0.5
    assert figures["ks_iou"] == 1
    assert figures["ks_shift_y"] == 0.5
    assert figures["ks"] == pytest.approx(np.mean([figures[f"ks_{name}"] for name in MEASURES]))


def test_jitter_moves_each_side_within_its_bound() -> None:
    boxes = np.tile(TRUTH[:1], (500, 1))
    moved = (jittered(boxes, 0.1) - boxes) / [20, 40, 20, 40]
    assert abs(moved).max() <= 0.1
    assert moved.std(0) == pytest.approx([0.1 / 3**0.5] * 4, rel=0.1)
    assert len(np.unique(moved[:, 0])) == 500


def test_a_cumulative_distribution_leaves_out_the_outermost() -> None:
    x, y = cumulative(np.arange(1001.0))
    assert (x[0], x[-1], y[0], y[-1]) == pytest.approx((10, 990, 0.01, 0.99))
