"""How far boxes are from the true ones: hand-worked, and the distance of distributions against scipy's."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.crops import MEASURES, BoxSet
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.lab.match.distributions import (
    cumulative,
    distances_above,
    jittered,
    ks_distance,
    summary,
)
from scipy.stats import ks_2samp

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


def test_values_that_are_drawn_several_times_count_so_often() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 30).round(1), rng.normal(0.5, 2, 40).round(1)
    drawn = rng.integers(0, 4, (5, 30)), rng.integers(0, 4, (5, 40))
    expected = [ks_2samp(np.repeat(a, i), np.repeat(b, j)).statistic for i, j in zip(*drawn, strict=True)]
    assert ks_distance(a, b, *drawn) == pytest.approx(expected)


def plain_distance(a: np.ndarray, b: np.ndarray) -> float:
    at = np.concatenate([a, b])[:, None]
    return abs((a <= at).mean(1) - (b <= at).mean(1)).max()


def set_of(name: str, seed: int, spread: float, images: int = 60) -> BoxSet:
    """Return two boxes an image, off by so much."""
    rng = np.random.default_rng(seed)
    boxes = TRUTH[:1].repeat(2 * images, 0) + rng.normal(0, spread, (2 * images, 4))
    rows = [
        Annotation(f"{name[0]}{i // 2}", "skirt", Path("a"), np.zeros((1, 2)), np.ones(1)) for i in range(2 * images)
    ]
    return BoxSet(name, rows, boxes, TRUTH[:1].repeat(2 * images, 0), np.zeros(2 * images))


def test_how_much_farther_a_set_is_than_another() -> None:
    """Against a resampling written out: images with both of their boxes, the same ones of both sets."""
    near, far, to = set_of("a near", 0, 1.2), set_of("a far", 1, 2.0), set_of("test", 2, 1.0, 40)
    errors, expected, rng, found = [near.errors(), far.errors()], to.errors(), np.random.default_rng(1), []
    for _ in range(1000):
        i, j = rng.integers(0, 60, 60), rng.integers(0, 40, 40)
        i, j = (np.stack([2 * one, 2 * one + 1], 1).ravel() for one in (i, j))
        distances = [np.mean([plain_distance(own[name][i], expected[name][j]) for name in MEASURES]) for own in errors]
        found.append(distances[1] - distances[0])
    above = distances_above([near, far], to)
    assert {row: list(cells) for row, cells in above.items()} == {"a far": ["a near"]}
    one = above["a far"]["a near"]
    assert one.value == pytest.approx(summary(far, to, 0.0)["ks"] - summary(near, to, 0.0)["ks"])
    assert (one.low, one.high) == pytest.approx(np.quantile(found, (0.025, 0.975)), abs=0.012)
    assert one.sure


def test_a_set_is_as_far_as_itself() -> None:
    one, to = set_of("a near", 0, 1.2), set_of("test", 2, 1.0, 40)
    same = distances_above([one, BoxSet("again", one.rows, one.boxes, one.truth, one.fallback)], to)["again"]["a near"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


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
