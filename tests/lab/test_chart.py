"""The chart: axes of round numbers, and points where they belong."""

import numpy as np
import pytest
from garment_keypoints.pipeline.lab.ablation.chart import LINE, POINT, TOP, draw_chart
from garment_keypoints.pipeline.lab.ablation.definition import Row
from garment_keypoints.pipeline.lab.ablation.runs import DONE, PENDING, Outcome
from garment_keypoints.pipeline.lab.ablation.table import Line
from garment_keypoints.pipeline.lab.noise import mean
from garment_keypoints.pipeline.reporting.plots import nice_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (7.9, 9.1, [8, 8.5, 9]),
        (0.97, 0.99, [0.97, 0.975, 0.98, 0.985, 0.99]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def line(name: str, values: list[float]) -> Line:
    outcomes = [Outcome(DONE, {"ne": value}) for value in values] or [Outcome(PENDING)]
    return Line(Row(name, "", None), "none", outcomes, {"ne": mean(values)})


def blue(picture: np.ndarray, row: int) -> np.ndarray:
    """Columns of a row's middle that are of the points' colour."""
    return np.flatnonzero((picture[int(TOP + LINE * (row + 0.5))] == POINT).all(-1))


def test_means_bars_and_what_is_missing() -> None:
    """Means 10, 12 and 11 are equally far apart; only the last has a bar, from 10 to 12, as wide as the others' distance."""
    drawn = [line("a", [10.0]), line("b", [12.0]), line("c", [10.0, 11.0, 12.0]), line("d", [])]
    picture = np.asarray(draw_chart("mine", drawn))
    centres = [blue(picture, i).mean() for i in range(3)]
    assert centres[2] == pytest.approx((centres[0] + centres[1]) / 2, abs=1)
    assert np.ptp(blue(picture, 0)) <= 10
    assert np.ptp(blue(picture, 2)) == pytest.approx(centres[1] - centres[0], abs=2)
    assert not len(blue(picture, 3))


def test_an_ablation_without_figures_is_drawn() -> None:
    assert draw_chart("mine", [Line(Row("a", "", None), "none", [Outcome(PENDING)], {"ne": None})]).width > 400
