"""Means over seeds, worked by hand."""

import math

from garment_keypoints.pipeline.lab.noise import Difference, Mean, mean, within_noise


def test_mean_and_deviation() -> None:
    three = mean([8.0, 9.0, 10.0])
    assert three == Mean(9.0, 1.0, 3)
    assert mean([8.0]) == Mean(8.0, None, 1)
    assert mean([]) is None
    two = mean([8.0, 9.0])
    assert math.isclose(two.sd, math.sqrt(0.5))


def test_noise_is_two_standard_errors() -> None:
    """sd 3 and 4 over 25 seeds each: the standard error is sqrt(9 / 25 + 16 / 25) = 1."""
    a = Mean(10.0, 3.0, 25)
    assert within_noise(a, Mean(11.99, 4.0, 25))
    assert within_noise(a, Mean(8.01, 4.0, 25))
    assert within_noise(a, Mean(12.0, 4.0, 25)) is False
    assert within_noise(a, Mean(7.99, 4.0, 25)) is False


def test_a_single_seed_tells_nothing() -> None:
    assert within_noise(Mean(10.0, 3.0, 2), Mean(50.0, None, 1)) is None


def test_an_interval_around_zero_is_not_sure() -> None:
    assert not Difference(0.1, -0.1, 0.3).sure
    assert Difference(-0.3, -0.4, -0.1).sure
    assert Difference(0.3, 0.1, 0.4).sure


def test_a_difference_is_bold_where_it_is_sure() -> None:
    assert Difference(0.1, -0.1, 0.3).as_cell() == "+0.10 (-0.10 to +0.30)"
    assert Difference(-0.0381, -0.05, -0.02).as_cell(3) == "**-0.038 (-0.050 to -0.020)**"
