"""The matrix: means as NE pools them, and intervals against a resampling written out."""

import numpy as np
import pytest
from garment_keypoints.pipeline.lab.match.chart import draw_matrix
from garment_keypoints.pipeline.lab.match.matrix import Matrix, as_markdown


def two_by_two() -> Matrix:
    """Two images, of two points and of one."""
    matrix = Matrix(["a", "b"], ["x", "y"], np.array([2, 1]))
    matrix.add(("a", "x"), np.array([0.1 + 0.3, 0.2]))
    matrix.add(("a", "x"), np.array([0.2 + 0.4, 0.6]))
    matrix.add(("b", "x"), np.array([0.0, 0.3]))
    return matrix


def test_errors_are_pooled_over_points() -> None:
    matrix = two_by_two()
    assert matrix.by_seed(("a", "x")) == pytest.approx([20, 40])
    assert matrix.mean(("a", "x")).value == pytest.approx(30)
    assert matrix.mean(("a", "x")).sd == pytest.approx(200**0.5)
    assert matrix.mean(("a", "y")) is None
    assert matrix.difference(("b", "x"), ("a", "x")).value == pytest.approx(10 - 30)
    assert matrix.difference(("b", "y"), ("a", "y")) is None


def test_the_interval_resamples_seeds_and_images_together() -> None:
    rng = np.random.default_rng(1)
    counted = rng.integers(1, 9, 60)
    matrix = Matrix(["a", "b"], ["x"], counted)
    hard = rng.gamma(2, 0.05, 60) * counted
    lucks = (0.7, 1.0, 1.3)  # a seed is good or bad on all images alike
    sums = {
        name: [hard * rng.uniform(0.8, 1.2, 60) * scale * luck for luck in lucks]
        for name, scale in (("a", 1), ("b", 2))
    }
    for name, seeds in sums.items():
        matrix.sums[name, "x"] = seeds
    differences = []
    for _ in range(4000):
        images = rng.integers(0, 60, 60)
        drawn = {name: np.mean([seeds[i] for i in rng.integers(0, 3, 3)], 0) for name, seeds in sums.items()}
        differences.append(100 * (drawn["b"] - drawn["a"])[images].sum() / counted[images].sum())
    found = matrix.difference(("b", "x"), ("a", "x"))
    assert (found.low, found.high) == pytest.approx(np.quantile(differences, (0.025, 0.975)), abs=0.3)
    assert found.low < found.value < found.high
    assert found.sure


def test_the_table_and_the_picture() -> None:
    matrix = two_by_two()
    text = as_markdown("some images", matrix, {"x": "boxes of x"})
    assert "| trained on | boxes of x | y |" in text
    assert "| a | 30.00 ± 14.14 | pending |" in text
    assert "| b | 10.00 | pending |" in text
    assert "| b | **-20.00 (" in text or "| b | -20.00 (" in text
    picture = np.array(draw_matrix({"some images": matrix}, {}))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 4


def test_each_row_is_compared_with_each_other() -> None:
    matrix = Matrix(["a", "b", "c"], ["x", "y"], np.array([1, 1]))
    for row, error in (("a", 0.1), ("b", 0.2), ("c", 0.4)):
        matrix.add((row, "x"), np.full(2, error))
    lines = as_markdown("some images", matrix, {}).splitlines()
    start = lines.index("| trained on | a | b |")
    assert lines[start + 2 :] == [
        "| b | **+10.00 (+10.00 to +10.00)** |  |",
        "| c | **+30.00 (+30.00 to +30.00)** | **+20.00 (+20.00 to +20.00)** |",
    ]
