"""The alarm: what the best constant scores by hand, and when it rings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.keypoints.collapse import CollapseAlarm, CollapseError
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema


def skirts(schema: Schema, count: int = 20) -> list[Annotation]:
    """Skirts with a waistband of 100 pixels at height 0 whose left hem alone moves, 20 pixels up or down."""
    rows = []
    for i in range(count):
        xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
        for k, point in zip(
            schema.members["skirt"], [(0, 0), (100, 0), (0, 100 + 20 * (-1) ** i), (100, 100)], strict=True
        ):
            xy[k], visibility[k] = point, 1
        rows.append(Annotation(str(i), "skirt", Path("a"), xy, visibility))
    return rows


def alarm(schema: Schema) -> tuple[CollapseAlarm, np.ndarray]:
    """Return the alarm for crops of half the size, and the true points in those crops."""
    rows = skirts(schema)
    affine = geometry.crop_from_image(torch.tensor([[-10.0, -10, 190, 190]]).expand(20, 4), (100, 100))
    truth = np.stack([row.xy for row in rows])
    return CollapseAlarm(rows, affine, schema), geometry.apply(affine.double(), torch.from_numpy(truth)).numpy()


def test_the_best_constant_by_hand(schema: Schema) -> None:
    # Three of four points are exact, the moving one is 20 of 100 pixels off: 0.2 / 4.
    assert alarm(schema)[0].constant_ne == pytest.approx(0.05)


def test_rings_at_the_second_look_at_a_constant(schema: Schema) -> None:
    one, truth = alarm(schema)
    constant = np.broadcast_to(truth.mean(0), truth.shape)
    assert one.check(constant, watching=False) == pytest.approx(0.05)
    one.check(constant)
    with pytest.raises(
        CollapseError, match=r"NE is 5.0%, the best constant in these crops has 5.0%; points of skirt vary by 0.0"
    ):
        one.check(constant)


def test_stays_silent_for_a_good_network_and_before_it_watches(schema: Schema) -> None:
    one, truth = alarm(schema)
    for _ in range(4):
        assert one.check(truth + np.random.default_rng(0).normal(0, 0.5, truth.shape)) < 0.03
        one.check(np.zeros_like(truth), watching=False)
    assert one.strikes == 0


def test_a_bad_training_that_gets_better_is_only_slow(schema: Schema) -> None:
    """Points 50 crop pixels off, then 45, 40, 35: worse than the best constant, but on their way; at 34 they stand still."""
    one, truth = alarm(schema)
    for shift in (50, 45, 40, 35):
        one.check(truth + shift)
        assert one.strikes == 0
        one.end()
    one.check(truth + 34.9)
    with pytest.raises(CollapseError, match="training has collapsed: NE is"):
        one.check(truth + 34.85)


def test_a_network_a_little_better_than_the_best_constant_has_not_collapsed(schema: Schema) -> None:
    """The hem moves a fifth as far as it should, 4 %; another point is 3.6 pixels off, 0.9 %: less than 5 %, and standing."""
    one, truth = alarm(schema)
    slow = truth.mean(0) + 0.2 * (truth - truth.mean(0))
    slow[:, schema.members["skirt"][3], 0] += 1.8  # of a crop at half the size
    for _ in range(4):
        assert one.check(slow) == pytest.approx(0.049, abs=1e-4)
    one.end()


def test_one_bad_look_is_forgiven(schema: Schema) -> None:
    one, truth = alarm(schema)
    for _ in range(3):
        one.check(np.zeros_like(truth))
        one.check(truth)
    assert one.strikes == 0


def test_rings_for_points_that_hardly_vary_although_their_mean_is_fair(schema: Schema) -> None:
    """Half of the rows are constant enough to score less than the best constant, yet nothing moves."""
    one, truth = alarm(schema)
    one.constant_ne = 1.0  # as if the crops were hard
    still = np.broadcast_to(truth.mean(0), truth.shape)
    one.check(still, watching=False)
    one.check(still)
    with pytest.raises(CollapseError, match=r"vary by 0\.0 crop pixels, the true ones by"):
        one.check(still)


def test_points_that_are_not_finite_end_it_at_once(schema: Schema) -> None:
    """After a step too large everything is NaN, and every comparison with it is false."""
    one, truth = alarm(schema)
    broken = truth.copy()
    broken[3, 15] = np.nan
    with pytest.raises(CollapseError, match="training has diverged: its points are not finite"):
        one.check(broken, watching=False)


def test_a_bad_look_is_not_forgiven_at_the_end(schema: Schema) -> None:
    one, truth = alarm(schema)
    one.check(np.zeros_like(truth), watching=False)
    one.end()
    one.check(truth)
    one.end()
    one.check(np.zeros_like(truth))
    with pytest.raises(CollapseError, match="training has collapsed: NE is"):
        one.end()
