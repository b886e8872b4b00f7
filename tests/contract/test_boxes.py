"""Boxes beside the rows: matched once, by picture and garment, and the kinds that take their place."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.box_kinds import boxes_of_kind
from garment_keypoints.pipeline.contract.boxes import BoxTable, matched
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.records import Annotation, BoxRow


def row(name: str, instance: int = 0, category: str = "skirt") -> Annotation:
    xy = np.array([[10.0, 20.0], [50.0, 60.0]])
    return Annotation(name, category, Path(name), xy, np.array([1, 0]), instance=instance)


def box(name: str, x: float, instance: int = 0, fold: int = 0) -> BoxRow:
    return BoxRow(name, "skirt", np.array([x, 0, x + 9, 9]), 0.5, "detector", fold, "c", x == 3, instance=instance)


ROWS = [row("b"), row("a", 1), row("a")]
BOXES = [box("a", 1), box("a", 2, 1), box("b", 3, fold=1), box("c", 4)]


def test_each_row_gets_the_box_of_its_garment() -> None:
    table = matched(ROWS, BOXES, Path("boxes.csv"))
    assert table.boxes[:, 0].tolist() == [3, 2, 1]
    assert (table.fold.tolist(), table.fallback.tolist()) == ([1, 0, 0], [True, False, False])
    assert (table.score.tolist(), set(table.source), set(table.checkpoint)) == ([0.5] * 3, {"detector"}, {"c"})


def test_boxes_must_fit_the_rows() -> None:
    with pytest.raises(DataError, match=r"mine.csv: no box for 1 of 3 garments: 'a instance 1'; write the boxes"):
        matched(ROWS, [BOXES[0], *BOXES[2:]], Path("mine.csv"))
    with pytest.raises(DataError, match="no box for 2 of 2 images: 'x, y'"):
        matched([row("x"), row("y")], BOXES, Path("mine.csv"))
    with pytest.raises(DataError, match=r"mine.csv: the category of 1 boxes is not their image's: 'a'"):
        matched([row("b"), row("a", category="dress")], BOXES, Path("mine.csv"))


def test_tables_are_taken_from_and_joined() -> None:
    table = matched(ROWS, BOXES, Path("boxes.csv"))
    two = BoxTable.joined([table.take([2, 0]), table.take([])])
    assert (two.boxes[:, 0].tolist(), two.fold.tolist(), len(two)) == ([1, 3], [0, 1], 2)
    other = table.moved(table.boxes + 5)
    assert (other.boxes[:, 0].tolist(), other.fold.tolist()) == ([8, 7, 6], [1, 0, 0])
    assert len(BoxTable.of([])) == 0


def test_each_kind_is_another_box_of_the_same_rows() -> None:
    found, sizes_wh = matched(ROWS, BOXES, Path("boxes.csv")).boxes, np.array([[128, 100]] * 3)
    assert boxes_of_kind("out_of_fold", found, ROWS, sizes_wh, 0.1) is found
    assert boxes_of_kind("image", found, ROWS, sizes_wh, 0.1).tolist() == [[0, 0, 128, 100]] * 3
    assert boxes_of_kind("truth", found, ROWS, sizes_wh, 0.1) == pytest.approx(np.array([[6, 16, 54, 64]] * 3))
    assert boxes_of_kind("truth", found, ROWS, np.array([[52, 40]] * 3), 0.1)[0].tolist() == [6, 16, 52, 40]
    without = [replace(ROWS[0], visibility=np.array([-1, -1]))]
    assert boxes_of_kind("truth", found[:1], without, sizes_wh[:1], 0.1).tolist() == [[0, 0, 128, 100]]


@pytest.mark.parametrize(
    ("record", "margin"),
    [({"margin": 0.1}, 0.1), ({"settings": {"detector": {"margin": 0.2}}}, 0.2), ({"margin": 0}, 0.0)],
    ids=["recorded", "of its settings, as older records have it", "none"],
)
def test_the_margin_is_that_of_the_record(tmp_path: Path, record: dict, margin: float) -> None:
    (tmp_path / "b.json").write_text(json.dumps(record))
    assert read_margin(tmp_path / "b.csv") == margin


@pytest.mark.parametrize(
    "record", [None, "[", "[1]", '{"settings": 1}', '{"margin": "a"}', '{"margin": true}', '{"margin": 2}']
)
def test_a_margin_that_nothing_says_is_asked_for(tmp_path: Path, record: str | None) -> None:
    if record is not None:
        (tmp_path / "b.json").write_text(record)
    with pytest.raises(
        UserError, match=r"b.json: expected margin, the detector.margin of the boxes in b.csv; write it"
    ):
        read_margin(tmp_path / "b.csv")
