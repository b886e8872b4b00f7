"""NE against rows worked by hand, a plain loop, and the known leaderboard scores."""

import math
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats.fashionai import read_answers
from garment_keypoints.pipeline.contract.metrics import normalized_error, oks, pck
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.reporting.scores import score, score_figures, score_lines
from pycocotools.cocoeval import COCOeval


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


BAGS = Schema.from_dict(
    {
        "name": "bags",
        "keypoints": ["a", "b", "c", "d", "e"],
        "reference": {"bag": ["a", "b"]},
        "categories": {"bag": ["a", "b", "c"], "hat": ["c", "d", "e"]},
    }
)


def bag_rows(count: int = 40) -> tuple[list[Annotation], np.ndarray, np.ndarray]:
    """Random rows of both categories with points of every visibility, and predictions near them."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(count):
        category = BAGS.categories[i % 2]
        visibility = np.where(BAGS.mask[i % 2].numpy(), rng.choice([-1, 0, 1], 5, p=[0.15, 0.25, 0.6]), -1)
        xy = np.where(visibility[:, None] == -1, -1.0, rng.uniform(0, 200, (5, 2)))
        rows.append(Annotation(str(i), category, Path(str(i)), xy, visibility.astype(np.int8)))
    truth = np.stack([row.xy for row in rows])
    return rows, truth + rng.normal(0, 20, truth.shape), rng.random((count, 5)) > 0.1


def test_a_category_without_a_pair_is_normalised_by_the_diagonal_of_its_points() -> None:
    # The hat's points span 30 x 40 pixels (the occluded one included): 5 pixels are 0.1. The bag's pair is 10 apart.
    hat = np.array([(-1, -1), (-1, -1), (0, 0), (30, 10), (10, 40)], dtype=float)
    bag = np.array([(0, 0), (10, 0), (500, 500), (-1, -1), (-1, -1)], dtype=float)
    rows = [
        Annotation("hat", "hat", Path("hat"), hat, np.array([-1, -1, 1, 1, 0], np.int8)),
        Annotation("bag", "bag", Path("bag"), bag, np.array([1, 1, 1, -1, -1], np.int8)),
        Annotation("lone", "hat", Path("lone"), hat, np.array([-1, -1, 1, -1, -1], np.int8)),
    ]
    xy, given = np.stack([row.xy for row in rows]) + np.array([3, 4]), np.ones((3, 5), dtype=bool)
    result = normalized_error(rows, xy, given, BAGS)
    np.testing.assert_allclose(result.errors[0], [np.nan, np.nan, 0.1, 0.1, np.nan])
    np.testing.assert_allclose(result.errors[1], [0.5, 0.5, 0.5, np.nan, np.nan])
    assert result.skipped == 1  # one point alone has no box
    assert result.value == pytest.approx((2 * 0.1 + 3 * 0.5) / 5)
    assert normalized_error(rows, xy, given, BAGS, "round1").by_category["hat"] == pytest.approx(0.1)


def test_both_normalisers_equal_a_plain_loop() -> None:
    rows, xy, given = bag_rows()
    errors = []
    for row, points, there in zip(rows, xy, given, strict=True):
        present = [k for k in range(5) if row.visibility[k] != -1]
        if row.category == "bag":
            scale = math.dist(row.xy[0], row.xy[1]) if {0, 1} <= set(present) else 0
        else:
            scale = math.hypot(*np.ptp(row.xy[present], axis=0)) if present else 0
        for k in present if scale else []:
            if row.visibility[k] == 1:
                errors.append(math.dist(points[k], row.xy[k]) / scale if there[k] else 1.0)
    result = normalized_error(rows, xy, given, BAGS)
    assert result.points == len(errors)
    assert result.value == pytest.approx(sum(errors) / len(errors), abs=1e-12)


def test_oks_worked_by_hand() -> None:
    # A box of 30 x 40 = 1200 square pixels; each point 5 pixels off.
    hat = np.array([(-1, -1), (-1, -1), (0, 0), (30, 10), (10, 40)], dtype=float)
    rows = [Annotation("hat", "hat", Path("hat"), hat, np.array([-1, -1, 1, 1, 0], np.int8))]
    given = np.ones((1, 5), dtype=bool)
    xy = hat[None] + np.array([3, 4])
    assert oks(rows, hat[None], given, BAGS) == pytest.approx([1])
    assert oks(rows, xy, given, BAGS) == pytest.approx([math.exp(-25 / (2 * 1200 * 0.1**2))])
    given[0, 3] = False
    assert oks(rows, xy, given, BAGS) == pytest.approx([2 / 3 * math.exp(-25 / (2 * 1200 * 0.1**2))])
    with pytest.raises(ValueError, match="expected numbers above 0"):
        oks(rows, xy, given, BAGS, sigmas=0)


@pytest.mark.parametrize("sigmas", [0.05, np.array([0.026, 0.107, 0.079, 0.05, 0.2])], ids=["uniform", "measured"])
def test_oks_equals_pycocotools(sigmas: float | np.ndarray) -> None:
    rows, xy, _ = bag_rows()
    ours = oks(rows, xy, np.ones((len(rows), 5), dtype=bool), BAGS, sigmas)
    for row, points, own in zip(rows, xy, ours, strict=True):
        if not row.present.any():
            assert np.isnan(own)
            continue
        low, extent = row.xy[row.present].min(0), np.ptp(row.xy[row.present], axis=0)
        truth = np.concatenate([row.xy, row.visibility[:, None] + 1], axis=1)
        common = {
            "image_id": 1,
            "category_id": 1,
            "id": 1,
            "bbox": [*low, *extent],
            "area": extent.prod(),
            "iscrowd": 0,
        }
        scorer = COCOeval(iouType="keypoints")
        scorer.params.kpt_oks_sigmas = np.broadcast_to(sigmas, 5)
        scorer._gts = {(1, 1): [common | {"keypoints": truth.ravel().tolist(), "num_keypoints": 1}]}
        scorer._dts = {(1, 1): [common | {"keypoints": np.c_[points, np.ones(5)].ravel().tolist(), "score": 1}]}
        assert own == pytest.approx(float(scorer.computeOks(1, 1).item()), rel=1e-12, abs=1e-15)


def test_pck_is_printed_and_recorded(rows: list[Annotation], schema: Schema) -> None:
    result = normalized_error(rows, *predicted(rows, schema), schema)  # errors 0, 0, 0.1, 0.5 and 1
    assert score_figures(result, "default")["pck"] == {"0.05": 40, "0.1": 60, "0.2": 60}
    lines = [line.split() for line in score_lines(result, "default")]
    assert ["PCK@0.05", "40.000", "%"] in lines
    assert lines[-1][0] == "NE"


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


def test_points_of_other_categories_do_not_count(schema: Schema) -> None:
    """A skirt whose row holds a crotch, which skirts do not have: it is not missed, and costs nothing."""
    points = {"waistband_left": (0, 0, 1), "waistband_right": (100, 0, 1), "crotch": (50, 80, 1)}
    row = answer(schema, "skirt", points)
    xy = row.xy[None] + 10.0 * (np.arange(24) == schema.keypoints.index("crotch"))[None, :, None]
    result = normalized_error([row], xy, np.ones((1, 24), dtype=bool), schema)
    assert (result.value, result.points) == (0.0, 2)
