"""boxes.csv, and files that are written whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes, write_boxes
from garment_keypoints.pipeline.contract.records import BoxRow
from garment_keypoints.pipeline.contract.schema import Schema


def box(image_id: str, **changes: object) -> BoxRow:
    values = {
        "box": np.array([1.25, 2, 30, 40.5]),
        "score": 0.75,
        "source": "detector",
        "fold": 1,
        "checkpoint": "fold1",
    }
    return BoxRow(image_id, "skirt", **(values | {"fallback": False} | changes))  # type: ignore[arg-type]


def test_boxes_round_trip(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "boxes.csv"
    write_boxes(file, [box("a"), box("b", source="image", fallback=True, fold=0)])
    first, second = read_boxes(file, schema)
    assert first.box.tolist() == [1.25, 2, 30, 40.5]
    assert (first.score, first.fold, first.checkpoint, first.fallback) == (0.75, 1, "fold1", False)
    assert (second.source, second.fold, second.fallback) == ("image", 0, True)


def test_several_garments_a_picture(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "boxes.csv"
    write_boxes(file, [box("a"), box("b"), box("a", instance=1)])
    assert file.read_text().startswith("image_id,instance,category,")
    assert [b.key for b in read_boxes(file, schema)] == [("a", 0), ("b", 0), ("a", 1)]
    write_boxes(file, [box("a"), box("a", instance=2), box("a", instance=2)])
    with pytest.raises(DataError, match=r"row 4, .*duplicate image id, instance 2 \(first in row 3\)"):
        read_boxes(file, schema)


def test_a_file_from_before_instances_still_reads(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "boxes.csv"
    columns = "image_id,category,x0,y0,x1,y1,score,source,fold,checkpoint,fallback"
    file.write_text(f"{columns}\na,skirt,1,2,30,40,0.5,detector,0,fold0,0\n")
    assert [b.key for b in read_boxes(file, schema)] == [("a", 0)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.250", "nan", r"boxes\.csv, row 2: bad box \(x0 is 'nan', expected a number\): 'a'; write the file again"),
        ("1.250", "", r"x0 is '', expected a number"),
        ("0.750", "", r"score is '', expected a number"),
        ("fold1", "fold1,0", "row with more cells than the header"),
        ("30.000", "1.000", "has no area"),
        ("skirt", "kilt", "unknown category 'kilt'"),
        ("detector", "guess", "source 'guess' is none of detector, truth, image"),
        ("1.250", "\u0661", "x0 is '\u0661', expected a number"),
        ("1.250", "1_0", "x0 is '1_0', expected a number"),
        ("1.250", "1e40", "x0 is '1e40', expected a number"),
        (",1,fold1", ",0.5,fold1", "fold is '0.5', expected -1, 0, 1"),
        (",1,fold1", ",-2,fold1", "fold is '-2', expected -1, 0, 1"),
        ("fold1,0", "fold1,2", "fallback is '2', expected 0 or 1"),
        ("a,0,", "./a,0,", "bad box .image id that is not in its shortest form"),
        ("a,0,", "a,\u0661,", "instance is '\u0661', expected 0, 1, 2"),
        ("a,0,", "a,-1,", r"instance is '-1', expected 0, 1, 2"),
        ("score", "sure", r"wrong header \(missing \['score'\], unexpected \['sure'\]\)"),
    ],
)
def test_faulty_boxes(tmp_path: Path, schema: Schema, old: str, new: str, message: str) -> None:
    file = tmp_path / "boxes.csv"
    write_boxes(file, [box("a")])
    file.write_text(file.read_text().replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_boxes(file, schema)
