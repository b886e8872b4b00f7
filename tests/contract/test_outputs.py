"""The table of columns: what is added to it is in every file, comes back, and is refused where it does not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.catalogue import Entry, write_found
from garment_keypoints.pipeline.contract.formats.results import COCO_RESULTS, GARMENTS, write_tables
from garment_keypoints.pipeline.contract.garment_values import stacked
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.contract.outputs import CSV, JSON, Column, Group, register
from garment_keypoints.pipeline.contract.records import Keypoints
from garment_keypoints.pipeline.contract.schema import Schema

pytestmark = pytest.mark.usefixtures("outside")
NAMES = ("inseam", "waist")


def found(schema: Schema, category: str = "skirt") -> PhotoResult:
    k = np.arange(24.0)
    xy, box = np.stack([10 * k, 5 * k], 1), np.array([20.0, 10, 120, 90])
    return PhotoResult(
        "a.jpg", (200, 100), [Garment.of(Keypoints("a", category, xy, k / 100, box, 0.875, False), schema)]
    )


def register_all() -> None:
    """Columns of all kinds, in a group of their own too, some of them without a value."""
    register(Column("aspect", lambda one, schema: np.ptp(one.box[::2]) / np.ptp(one.box[1::2]), unit="w/h", digits=2))
    register(Column("colour", lambda one, schema: (9, np.int64(8), 7), kind=int, parts=("red", "green", "blue")))
    register(Column("brand", lambda one, schema: "nobody's" if one.category == "skirt" else None, kind=str))
    register(Column("sigma", lambda one, schema: 2 * one.point_score, "points", unit="px"))
    register(Group("measurements", "measurement", lambda schema: NAMES))
    register(Column("cm", lambda one, schema: [np.nan, 71.236], "measurements", unit="cm", digits=1))
    register(Column("sure", lambda one, schema: [None, True], "measurements", kind=bool, places=(JSON, CSV)))


def test_added_columns_are_in_every_file(schema: Schema, tmp_path: Path) -> None:
    register_all()
    result = found(schema)
    garment = json.loads(json.dumps(result.as_dict(schema), allow_nan=False))["garments"][0]
    assert list(garment) == ["category", "score", "box", "aspect", "colour", "brand", "points", "measurements"]
    assert (garment["aspect"], garment["colour"], garment["brand"]) == (1.25, [9, 8, 7], "nobody's")
    assert garment["points"]["waistband_left"] == {"x": 150.0, "y": 75.0, "score": 0.15, "sigma": 0.3}
    assert garment["measurements"] == {"waist": {"cm": 71.2, "sure": True}}

    write_tables(tmp_path, [result], schema)
    row = pd.read_csv(tmp_path / GARMENTS).iloc[0]
    assert (row.aspect, row.green, row.brand, row.waistband_left_sigma) == (1.25, 8, "nobody's", 0.3)
    assert (row.waist_cm, row.waist_sure) == (71.2, True)
    assert pd.isna(row.inseam_cm)
    assert pd.isna(row.crotch_sigma)
    attributes = json.loads((tmp_path / COCO_RESULTS).read_text())[0]["attributes"]
    assert list(attributes) == ["aspect", "colour", "brand", "points", "measurements"]
    assert attributes["points"]["waistband_left"] == {"sigma": 0.3}
    assert attributes["measurements"] == {"waist": {"cm": 71.2}}

    write_found(tmp_path / "a.parquet", [Entry("a", "a.jpg")], [result], "{}", schema)
    (line,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (line["aspect"], line["blue"], line["brand"]) == (1.25, 7, "nobody's")
    assert line["points"][0]["sigma"] == pytest.approx(0.3)
    assert line["measurements"] == [{"measurement": "waist", "cm": pytest.approx(71.2)}]


def test_they_come_back_as_they_were_written(schema: Schema) -> None:
    register_all()
    for category in ("skirt", "dress"):
        plain = json.loads(json.dumps(found(schema, category).as_dict(schema)))
        again = PhotoResult.from_dict(plain, schema)
        assert again.as_dict(schema) == plain
        assert again.garments[0].values["brand"] == ("nobody's" if category == "skirt" else None)


def test_lines_of_others_are_read_without_their_columns(schema: Schema) -> None:
    before = found(schema).as_dict(schema)
    register_all()
    plain = found(schema).as_dict(schema)
    assert PhotoResult.from_dict(before, schema).as_dict(schema) == before
    del plain["garments"][0]["points"]["waistband_left"]["y"]
    assert np.isnan(PhotoResult.from_dict(plain, schema).garments[0].xy[15, 1])
    plain["garments"][0]["measurements"]["length"] = {"cm": 1.0}
    with pytest.raises(ValueError, match=r"measurements of \['length'\], which fashionai does not know"):
        PhotoResult.from_dict(plain, schema)


def test_columns_over_garments(schema: Schema) -> None:
    register_all()
    garments = [*found(schema).garments, *found(schema, "dress").garments]
    assert stacked("aspect", garments, schema).tolist() == [1.25, 1.25]
    assert stacked("colour", garments, schema).tolist() == [[9, 8, 7]] * 2
    assert stacked("brand", garments, schema).tolist() == ["nobody's", None]
    assert stacked("points.sigma", garments, schema).shape == (2, 24)
    np.testing.assert_array_equal(stacked("points.score", garments, schema)[0], garments[0].point_score)
    assert stacked("measurements.cm", garments, schema)[1, 1] == 71.236
    assert np.isnan(stacked("points.visible", garments, schema)).all()
    assert stacked("box", [], schema).shape == (0, 4)
    with pytest.raises(UserError, match=r"no column 'sigma'; there are category, score, box, points\.x, "):
        stacked("sigma", garments, schema)


def test_the_same_column_can_be_registered_again() -> None:
    one = Column("aspect", lambda one, schema: 1.0)
    register(one)
    register(one)
    with pytest.raises(UserError, match="column 'aspect' stands there already"):
        register(Column("aspect", lambda one, schema: 2.0))


def nothing(one: Garment, schema: Schema) -> None:
    return None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Column("score", nothing), "column 'score' stands there already"),
        (Column("x1", nothing), "'x1' stands there already, or its name is reserved"),
        (Column("photo", nothing), "reserved"),
        (Column("points", nothing), "reserved"),
        (Column("keypoint", nothing, "points"), "reserved"),
        (Column("hue", nothing, parts=("a", "x0")), "reserved"),
        (Column("my hue", nothing), "expected letters, digits and _"),
        (Column("", nothing), "expected letters, digits and _"),
        (Column("hue", nothing, "point"), "group 'point'; expected one of points, and no parts in it"),
        (Column("hue", nothing, "points", parts=("a", "b")), "no parts in it"),
        (Column("hue", 3.0), "read 3.0; expected one of float, int, str, bool, and a function"),
        (Column("hue", nothing, kind=list), "expected one of float, int, str, bool"),
        (Column("hue", nothing, places=("json", "excel")), "expected a list of some of json, csv, coco, parquet, page"),
        (Column("hue", nothing, places="csv"), "expected a list of some of json"),
        (Group("score", "name", lambda schema: NAMES), "group 'score' of 'name': no name, or one that is taken"),
        (Group("points", "name", lambda schema: NAMES), "taken"),
        (Group("mine", "my name", lambda schema: NAMES), "no name"),
    ],
)
def test_columns_that_do_not_fit(wrong: Column | Group, message: str) -> None:
    with pytest.raises(UserError, match=message):
        register(wrong)


@pytest.mark.parametrize(
    ("read", "options", "message"),
    [
        (lambda one, schema: one.colour, {}, r"'mine' of a skirt: its function fails \(AttributeError: .*colour'\)"),
        (lambda one: 1.0, {}, r"its function fails \(TypeError: .*takes 1 positional argument"),
        (lambda one, schema: np.inf, {}, "inf where a float is expected"),
        (lambda one, schema: "a", {}, "'a' where a float is expected"),
        (lambda one, schema: 3.7, {"kind": int}, "3.7 where a int is expected"),
        (lambda one, schema: 3, {"kind": str}, "3 where a str is expected"),
        (lambda one, schema: 1, {"kind": bool}, "1 where a bool is expected"),
        (lambda one, schema: [1.0], {"parts": ("a", "b")}, "1 values; expected 2, one a part"),
        (lambda one, schema: np.ones(4), {"group": "points"}, "4 values; expected 24, one a name"),
        (lambda one, schema: 1.0, {"group": "points"}, "'float' object is not iterable"),
    ],
)
def test_functions_that_fail(read: Callable[..., Any], options: dict[str, Any], message: str, schema: Schema) -> None:
    register(Column("mine", read, **options))
    with pytest.raises(UserError, match=message):
        found(schema)
