"""The detector's report on hand-worked boxes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.detector.evaluate import box_statistics, detector_report, unlabelled_report
from garment_keypoints.pipeline.contract.box_kinds import true_boxes
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.records import Annotation, BoxRow, EveryGarment
from garment_keypoints.pipeline.contract.schema import Schema


def row(schema: Schema, name: str, points: list[tuple[float, float, int]]) -> Annotation:
    """A skirt with its four points."""
    xy, visibility = np.full((24, 2), -1.0), np.full(24, -1, np.int8)
    for k, (x, y, v) in zip(schema.members["skirt"], points, strict=True):
        xy[k], visibility[k] = (x, y), v
    return Annotation(name, "skirt", Path(name), xy, visibility)


@pytest.fixture
def rows(schema: Schema) -> list[Annotation]:
    return [
        row(schema, "a", [(20, 20, 1), (80, 20, 1), (20, 80, 1), (80, 80, 0)]),
        row(schema, "b", [(10, 10, 1), (50, 10, 1), (10, 50, 1), (50, 50, 1)]),
    ]


SIZES = np.array([[100, 100], [100, 100]])


def detection(name: str, box: list[float], fallback: bool = False) -> BoxRow:
    return BoxRow(name, "skirt", np.array(box, dtype=float), 0.9, "image" if fallback else "detector", 0, "c", fallback)


def everything(skirt: int, boxes: list[list[float]], other: list[list[float]]) -> dict:
    category = [skirt] * len(boxes) + [0] * len(other)
    scores = [0.9] * len(boxes) + [0.95] * len(other)
    return {"boxes": boxes + other, "scores": scores, "category": category}


def test_perfect_boxes_and_unlabelled_garments(rows: list[Annotation], schema: Schema) -> None:
    skirt = schema.category_index("skirt")
    boxes = [[20, 20, 80, 80], [10, 10, 50, 50]]
    # A blouse that nobody labelled is found with a higher score; it is no false positive.
    found = [everything(skirt, [box], [[0, 0, 99, 40]]) for box in boxes]
    chosen = [detection(row.image_id, box) for row, box in zip(rows, boxes, strict=True)]
    report = detector_report(rows, SIZES, BoxTable.of(chosen), found, schema, margin=0.0, padding=0.0)
    assert report["ap"] == pytest.approx(1.0)
    assert report["ap50"] == pytest.approx(1.0)
    assert (report["recall75"], report["iou"], report["fallback"], report["images"]) == (
        1.0,
        pytest.approx(1.0),
        0.0,
        2,
    )
    assert report["contained_in_padded"] == 1.0
    # The same box as a false positive of the skirt's own category halves the precision.
    wrong = [everything(skirt, [box], []) | {} for box in boxes]
    wrong[0] = {"boxes": [[0, 0, 10, 10], boxes[0]], "scores": [0.99, 0.9], "category": [skirt, skirt]}
    assert detector_report(rows, SIZES, BoxTable.of(chosen), wrong, schema, 0.0, 0.0)["ap"] == pytest.approx(
        2 / 3, abs=0.01
    )


def test_localisation_and_containment_by_hand(rows: list[Annotation], schema: Schema) -> None:
    # First box misses its right quarter (IoU 0.75, the visible point at x = 80 lies outside); the second image fell back.
    chosen = [detection("a", [20, 20, 65, 80]), detection("b", [0, 0, 100, 100], fallback=True)]
    report = detector_report(
        rows, SIZES, BoxTable.of(chosen), [everything(3, [], [])] * 2, schema, margin=0.0, padding=0.0
    )
    assert report["iou"] == pytest.approx((0.75 + 0.16) / 2)
    assert (report["recall50"], report["recall75"]) == (0.5, 0.5)
    assert report["contained_in_padded"] == pytest.approx(6 / 7)
    # Squared about its centre (42.5, 50) the box reaches 72.5: still short of 80.
    assert report["contained_in_square"] == pytest.approx(6 / 7)
    assert (
        detector_report(rows, SIZES, BoxTable.of(chosen), [everything(3, [], [])] * 2, schema, 0.0, 0.4)[
            "contained_in_square"
        ]
        == 1.0
    )
    assert report["fallback"] == 0.5
    assert report["ap"] == 0.0


def test_statistics(rows: list[Annotation]) -> None:
    figures = box_statistics(BoxTable.of([detection("a", [20, 20, 80, 80]), detection("b", [10, 10, 90, 50])]), rows)
    assert (figures["width"], figures["height"]) == (70, 50)
    assert figures["width_ratio"] == pytest.approx(1.5)  # 60 / 60 and 80 / 40
    assert figures["height_ratio"] == pytest.approx(1.0)  # 60 / 60 and 40 / 40
    assert figures["centre_offset"] == pytest.approx((0 + 20 / 40) / 2)


def test_an_answer_without_points_has_no_true_box(rows: list[Annotation], schema: Schema) -> None:
    """It is left out of the report, and the whole picture stands in where a crop of the truth is asked for."""
    skirt = schema.category_index("skirt")
    empty = row(schema, "c", [(-1, -1, -1)] * 4)
    given = [detection("a", [20, 20, 80, 80]), detection("c", [0, 0, 9, 9]), detection("b", [10, 10, 50, 50])]
    boxes = BoxTable.of(given)
    found = [everything(skirt, [box.tolist()], []) for box in boxes.boxes]
    sizes = np.array([[100, 100]] * 3)
    report = detector_report([rows[0], empty, rows[1]], sizes, boxes, found, schema, 0.0, 0.1)
    assert report == detector_report(rows, SIZES, boxes.take([0, 2]), [found[0], found[2]], schema, 0.0, 0.1)
    assert (report["images"], report["iou"]) == (2, 1.0)
    truth = true_boxes([rows[0], empty], torch.tensor([[100, 100], [70, 90]]), 0.0)
    assert truth.tolist() == [[20, 20, 80, 80], [0, 0, 70, 90]]


def test_garments_without_a_label_by_hand(schema: Schema) -> None:
    """A labelled skirt, found; a blouse and a dress without a label, of which the blouse is found, as a dress elsewhere."""
    skirt, blouse, dress = (schema.category_index(name) for name in ("skirt", "blouse", "dress"))
    garments = [
        EveryGarment("skirt", np.array([20.0, 60, 80, 90]), True),
        EveryGarment("blouse", np.array([20.0, 10, 80, 60]), False),
        EveryGarment("dress", np.array([20.0, 10, 80, 90]), False),
    ]
    found = {
        "boxes": [[20, 60, 80, 90], [20, 12, 80, 62], [0, 0, 30, 30]],
        "scores": [0.9, 0.5, 0.4],
        "category": [skirt, blouse, dress],
    }
    report = unlabelled_report(np.array([[100, 100]]), [found], [garments], schema, 0.0)
    assert report["recall_unlabelled"] == 0.5
    assert report["ap50_every_garment"] == pytest.approx(2 / 3)  # each category has one garment: 1, 1 and 0
    found["boxes"][1] = [20, 40, 80, 90]  # IoU 20 / 80
    assert unlabelled_report(np.array([[100, 100]]), [found], [garments], schema, 0.0)["recall_unlabelled"] == 0
    nothing = {"boxes": [], "scores": [], "category": []}
    report = unlabelled_report(np.array([[100, 100]]), [nothing], [garments], schema, 0.0)
    assert report == {"ap50_every_garment": 0, "recall_unlabelled": 0}
    assert "recall_unlabelled" not in unlabelled_report(SIZES[:1], [found], [garments[:1]], schema, 0.0)
