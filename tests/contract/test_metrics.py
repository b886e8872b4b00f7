"""NE against rows worked by hand, a plain loop, and the known leaderboard scores."""

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.contract.formats.fashionai import read_answers
from pipeline.contract.metrics import normalized_error, pck
from pipeline.contract.records import Annotation
from pipeline.contract.schema import Schema
from pipeline.reporting.scores import score


def answer(
    schema: Schema, category: str, points: dict[str, tuple[float, float, int]], image_id: str = "a"
) -> Annotation:
    xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
    for name, (x, y, v) in points.items():
        xy[schema.keypoints.index(name)], visibility[schema.keypoints.index(name)] = (x, y), v
    return Annotation(image_id, category, Path(image_id), xy, visibility)


@pytest.fixture
def rows(schema: Schema) -> list[Annotation]:
    """Skirt of width 100 (an occluded hem), trousers of width 50, and a skirt without one end of its waistband."""
    skirt = {
        "waistband_left": (0, 0, 1),
        "waistband_right": (100, 0, 1),
        "hemline_left": (0, 90, 1),
        "hemline_right": (9, 9, 0),
    }
    trousers = {"waistband_left": (0, 0, 0), "waistband_right": (30, 40, 1), "crotch": (10, 80, 1)}
    half = {"waistband_left": (0, 0, 1), "hemline_left": (5, 5, 1)}
    return [answer(schema, "skirt", skirt), answer(schema, "trousers", trousers), answer(schema, "skirt", half)]


def predicted(rows: list[Annotation], schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Skirt: 10 px off at one end, hem missing. Trousers: crotch 25 px off (negative x, which is valid)."""
    xy, given = np.stack([row.xy for row in rows]), np.ones((3, 24), dtype=bool)
    xy[0, schema.keypoints.index("waistband_left")] = (6, 8)
    given[0, schema.keypoints.index("hemline_left")] = False
    xy[1, schema.keypoints.index("crotch")] = (-15, 80)
    xy[0, schema.keypoints.index("hemline_right")] = (9, 29)
    return xy, given


def test_default_worked_by_hand(rows: list[Annotation], schema: Schema) -> None:
    # Counted: skirt 0.1, 0, 1 (missing); trousers 0 (right end of the waistband), 25 / 50. The third has no distance.
    result = normalized_error(rows, *predicted(rows, schema), schema)
    assert result.value == pytest.approx((0.1 + 0 + 1 + 0 + 0.5) / 5, abs=1e-12)
    assert (result.points, result.skipped, result.missing) == (5, 1, 1)
    assert result.by_category["skirt"] == pytest.approx(1.1 / 3)
    assert result.by_category["trousers"] == pytest.approx(0.25)
    assert result.by_category["dress"] is None
    assert result.by_keypoint["crotch"] == pytest.approx(0.5)
    np.testing.assert_allclose(result.per_image(), [1.1 / 3, 0.25, np.nan])


def test_round1_worked_by_hand(rows: list[Annotation], schema: Schema) -> None:
    # Occluded points count: the skirt's hem is 20 px off, the trousers' occluded end exact. The third image keeps its
    # distance to (-1, -1), and both its points are exact.
    result = normalized_error(rows, *predicted(rows, schema), schema, "round1")
    assert result.value == pytest.approx((0.1 + 0 + 1 + 0.2 + 0 + 0 + 0.5 + 0 + 0) / 9, abs=1e-12)
    assert (result.points, result.skipped) == (9, 0)


def test_truth_is_zero_and_a_shift_costs_its_length(rows: list[Annotation], schema: Schema) -> None:
    xy, given = np.stack([row.xy for row in rows[:1]]), np.ones((1, 24), dtype=bool)
    assert normalized_error(rows[:1], xy, given, schema).value == 0
    assert normalized_error(rows[:1], xy + np.array([3, 4]), given, schema).value == pytest.approx(5 / 100)


def test_pck(rows: list[Annotation], schema: Schema) -> None:
    errors = normalized_error(rows, *predicted(rows, schema), schema).errors
    assert pck(errors, 0.1) == pytest.approx(3 / 5)


def test_nothing_to_count_is_an_error(rows: list[Annotation], schema: Schema) -> None:
    with pytest.raises(ValueError, match="no point counts"):
        normalized_error(rows[2:], np.zeros((1, 24, 2)), np.ones((1, 24), dtype=bool), schema)
    with pytest.raises(ValueError, match="no answers"):
        normalized_error([], np.zeros((0, 24, 2)), np.ones((0, 24), dtype=bool), schema)
    with pytest.raises(ValueError, match=r"points \(1, 24, 2\) and given .* do not fit answers \(3, 24, 2\)"):
        normalized_error(rows, np.zeros((1, 24, 2)), np.ones((3, 24), dtype=bool), schema)
    with pytest.raises(ValueError, match="variant 'best'"):
        normalized_error(rows, np.zeros((3, 24, 2)), np.ones((3, 24), dtype=bool), schema, "best")
    with pytest.raises(ValueError, match="not a finite number"):
        normalized_error(rows, np.full((3, 24, 2), np.nan), np.ones((3, 24), dtype=bool), schema)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "variant", "percent", "points", "skipped"),
    [
        ("6608", "default", 66.298, 82275, 53),
        ("6608", "round1", 66.078, 98159, 34),
        ("3196", "default", 31.935, 82275, 53),
        ("3196", "round1", 31.960, 98159, 34),
    ],
)
def test_known_scores(
    fashionai_root: Path, schema: Schema, name: str, variant: str, percent: float, points: int, skipped: int
) -> None:
    folder = fashionai_root.parent / "metric"
    result = score(
        folder / f"submission_a_{name}.csv", read_answers(folder / "test_a_answer.csv", schema), schema, variant
    )
    assert (round(100 * result.value, 3), result.points, result.skipped) == (percent, points, skipped)


@pytest.mark.real
def test_equals_a_plain_loop_over_the_files(fashionai_root: Path, schema: Schema) -> None:
    """An independent NE, straight from the text of the CSV files."""

    def cells(file: Path) -> dict[str, list[list[int]]]:
        lines = file.read_text().splitlines()[1:]
        return {line.split(",")[0]: [[int(n) for n in c.split("_")] for c in line.split(",")[2:]] for line in lines}

    folder = fashionai_root.parent / "metric"
    truth, given = cells(folder / "test_a_answer.csv"), cells(folder / "submission_a_3196.csv")
    errors = []
    for image_id, points in truth.items():
        pair = (5, 6) if image_id.split("/")[1] in ("blouse", "outwear", "dress") else (15, 16)
        (ax, ay, av), (bx, by, bv) = points[pair[0]], points[pair[1]]
        distance = math.hypot(ax - bx, ay - by)
        if av == -1 or bv == -1 or distance == 0:
            continue
        for (x, y, v), (px, py, _) in zip(points, given[image_id], strict=True):
            if v == 1:
                errors.append(math.hypot(x - px, y - py) / distance)
    result = score(folder / "submission_a_3196.csv", read_answers(folder / "test_a_answer.csv", schema), schema)
    assert result.value == pytest.approx(sum(errors) / len(errors), abs=1e-12)
