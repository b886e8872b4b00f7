"""The layout `deepfashion2`, on files written as released; and the two real pictures, by way of COCO."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats import coco_layout, deepfashion2
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from PIL import Image

from tests.commands.running import run

REAL = Path(os.environ.get("FASHIONAI_ROOT", "")).parent / "deepfashion2"


@pytest.fixture(scope="module")
def landmarks() -> Schema:
    return load_schema("deepfashion2")


def item(category: int, points: int, v: int = 2) -> dict[str, Any]:
    values = [number for k in range(points) for number in (10 + k, 20 + k, v)]
    return {
        "category_id": category,
        "category_name": "any",
        "style": 0,
        "bounding_box": [0, 0, 9, 9],
        "landmarks": values,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture of a skirt, of shorts without landmarks and of a vest whose landmarks are hidden; one of nothing."""
    for name in ("annos", "image"):
        (tmp_path / name).mkdir()
    for name in ("000001", "000002"):
        Image.new("RGB", (64, 64)).save(tmp_path / "image" / f"{name}.jpg")
    items = {"item1": item(9, 8), "item2": item(7, 10, 0), "item10": item(5, 15, 1)}
    (tmp_path / "annos" / "000001.json").write_text(json.dumps({"source": "user", "pair_id": 1, **items}))
    (tmp_path / "annos" / "000002.json").write_text(json.dumps({"source": "shop", "pair_id": 1}))
    return tmp_path


def test_items_are_garments(folder: Path, landmarks: Schema, caplog: pytest.LogCaptureFixture) -> None:
    skirt, vest = deepfashion2.read_annotations([folder], landmarks)
    assert (skirt.key, skirt.category) == (("image/000001.jpg", 0), "skirt")
    assert np.flatnonzero(skirt.present).tolist() == list(range(182, 190))  # as the data set numbers them
    assert skirt.xy[182].tolist() == [10, 20]
    assert set(skirt.visibility[182:190].tolist()) == {1}
    assert (vest.key, vest.category) == (("image/000001.jpg", 9), "vest")
    assert set(vest.visibility[128:143].tolist()) == {0}
    assert "1 garments without points are left out" in caplog.text
    tested = deepfashion2.read_test(folder, landmarks)
    assert [row.category for row in tested] == ["skirt", "shorts", "vest"]
    assert [row.key for row in deepfashion2.read_answers(folder / "annos", landmarks)] == [row.key for row in tested]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (item(9, 7), "item1: landmarks of another number: '21'; expected 24, x y v of a skirt"),
        (item(9, 8, 3), "item1: landmarks that are none; expected finite x, y and a v of 0"),
        (item(14, 8), "item1: unknown category_id: '14'; expected 1 to 13"),
        ([], "item1: unknown category_id: 'None'; expected 1 to 13"),
    ],
)
def test_a_wrong_item_is_named(folder: Path, changed: object, message: str, capsys: pytest.CaptureFixture) -> None:
    (folder / "annos" / "000001.json").write_text(json.dumps({"pair_id": 1, "item1": changed}))
    assert run("check", "--data", folder, "--layout", "deepfashion2", "--schema", "deepfashion2") == 1
    assert message in capsys.readouterr().out.replace("\n", " ")


def test_files_and_schemas_that_do_not_fit(folder: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["check", "--data", folder, "--layout", "deepfashion2"]
    assert run(*options) == 1
    assert "deepfashion2 has 294 landmarks, schema fashionai has 24" in capsys.readouterr().err.replace("\n", " ")
    (folder / "annos" / "000002.json").write_text("[")
    (folder / "image" / "000001.jpg").unlink()
    assert run(*options, "--schema", "deepfashion2") == 1
    said = capsys.readouterr().out.replace("\n", " ")
    assert "000002.json: no annotation of DeepFashion2; expected an object with item1" in said
    assert "missing image: 'image/000001.jpg'" in said


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "annotations.json").is_file(), reason="no DeepFashion2 beside the checkout")
def test_the_real_garments(landmarks: Schema) -> None:
    rows = coco_layout.read_annotations([REAL], landmarks)
    assert [row.category for row in rows] == ["long_sleeved_dress"] * 2
    counts = [one["num_keypoints"] for one in json.loads((REAL / "annotations.json").read_text())["annotations"]]
    assert [int(row.present.sum()) for row in rows] == counts
    assert run("check", "--data", REAL, "--layout", "coco", "--schema", "deepfashion2") == 0
