"""What was found in photos, as others read it: COCO by pycocotools, YOLO by hand, the CSV by pandas."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from garment_keypoints.pipeline.contract.formats.results import (
    COCO_IMAGES,
    COCO_RESULTS,
    GARMENTS,
    write_tables,
    yolo_data,
    yolo_labels,
)
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.contract.records import Keypoints
from garment_keypoints.pipeline.contract.schema import Schema
from pycocotools.coco import COCO


@pytest.fixture
def results(schema: Schema) -> list[PhotoResult]:
    """A photo of 200 x 100 with a skirt whose points are (10 k, 5 k), an unread one, one without garments."""
    k = np.arange(24.0)
    found = Keypoints("a", "skirt", np.stack([10 * k, 5 * k], 1), k / 100, np.array([20.0, 10, 120, 90]), 0.875, False)
    skirt = Garment.of(found, schema)
    return [
        PhotoResult("a.jpg", (200, 100), [skirt]),
        PhotoResult("b.jpg", (0, 0), [], "not an image"),
        PhotoResult("c.jpg", (50, 60), []),
    ]


def test_a_garment_has_the_points_of_its_category_alone(results: list[PhotoResult], schema: Schema) -> None:
    skirt = results[0].garments[0]
    members = list(schema.members["skirt"])
    assert np.isfinite(skirt.xy).all(-1).nonzero()[0].tolist() == sorted(members)
    plain = results[0].as_dict(schema)
    assert plain["garments"][0]["points"]["waistband_left"] == {"x": 150.0, "y": 75.0, "score": 0.15}
    assert list(plain["garments"][0]["points"]) == [schema.keypoints[k] for k in members]
    assert plain["garments"][0]["box"] == [20, 10, 120, 90]
    assert results[1].as_dict(schema) == {"photo": "b.jpg", "error": "not an image"}


def test_plain_values_come_back(results: list[PhotoResult], schema: Schema) -> None:
    for one in results:
        again = PhotoResult.from_dict(json.loads(json.dumps(one.as_dict(schema))), schema)
        assert again.as_dict(schema) == one.as_dict(schema)
        for garment, before in zip(again.garments, one.garments, strict=True):
            np.testing.assert_array_equal(garment.xy, before.xy)


def test_pycocotools_reads_the_results(results: list[PhotoResult], schema: Schema, tmp_path: Path) -> None:
    write_tables(tmp_path, results, schema)
    coco = COCO(str(tmp_path / COCO_IMAGES)) if _with_annotations(tmp_path / COCO_IMAGES) else None
    loaded = coco.loadRes(str(tmp_path / COCO_RESULTS))
    (one,) = loaded.loadAnns(loaded.getAnnIds())
    assert (one["image_id"], one["category_id"], one["score"]) == (1, 5, 0.875)
    assert coco.loadCats(5)[0]["name"] == "skirt"
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["a.jpg", "c.jpg"]
    x, y, v = np.array(one["keypoints"]).reshape(24, 3).T
    assert x[[15, 16]].tolist() == [150, 160]
    assert y[[15, 16]].tolist() == [75, 80]
    assert v[[15, 0]].tolist() == [0.15, 0]
    assert json.loads((tmp_path / COCO_RESULTS).read_text())[0]["bbox"] == [20, 10, 100, 80]


def _with_annotations(file: Path) -> bool:
    """pycocotools wants the key, which a list of images has no use for."""
    file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": []}))
    return True


def test_yolo_by_hand(results: list[PhotoResult], schema: Schema) -> None:
    (line,) = yolo_labels(results[0], schema).splitlines()
    numbers = [float(word) for word in line.split()]
    assert numbers[:5] == [4, 0.35, 0.5, 0.5, 0.8]
    assert numbers[5 : 5 + 3] == [0, 0, 0]  # neckline_left: no skirt has it
    assert numbers[5 + 3 * 15 : 5 + 3 * 16] == [0.75, 0.75, 2]
    assert len(numbers) == 5 + 3 * 24
    assert yolo_labels(results[2], schema) == ""
    data = yaml.safe_load(yolo_data(schema))
    assert (data["kpt_shape"], data["names"][4], data["flip_idx"][15]) == ([24, 3], "skirt", 16)


def test_the_table(results: list[PhotoResult], schema: Schema, tmp_path: Path) -> None:
    write_tables(tmp_path, results, schema)
    table = pd.read_csv(tmp_path / GARMENTS)
    assert len(table) == 1
    row = table.iloc[0]
    assert (row.photo, row.category, row.score, row.x1) == ("a.jpg", "skirt", 0.875, 120)
    assert (row.waistband_left_x, row.waistband_left_y, row.waistband_left_score) == (150, 75, 0.15)
    assert np.isnan(row.crotch_x)
    write_tables(tmp_path, [], schema)
    assert json.loads((tmp_path / COCO_RESULTS).read_text()) == []
    assert json.loads((tmp_path / COCO_IMAGES).read_text())["images"] == []
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted((GARMENTS, COCO_RESULTS, COCO_IMAGES))
