"""`backgrounds` cuts out of boxed photos what shows no garment, and a detector learns from it."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.data import DetectorData, training_inputs
from garment_keypoints.detector.losses import NO_GARMENT
from garment_keypoints.pipeline.contract.formats.boxed import read_boxed
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import NOTHING, BoxedImage, ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.lab.commands.backgrounds import largest_free, plain_picture
from garment_keypoints.pipeline.learning.start import load_start
from PIL import Image

from tests.commands.running import run
from tests.lab.running import TINY


@pytest.fixture
def boxed(tmp_path: Path) -> Path:
    """Three photos: blue where the garment is and red elsewhere, one without room, and one that is damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[..., 0] = 200
    picture[10:70, 10:50] = (0, 0, 200)
    Image.fromarray(picture).save(folder / "a.png")
    Image.fromarray(picture).save(folder / "full.png")
    (folder / "bad.png").write_bytes(b"x")
    lines = [
        "image_id,category,x0,y0,x1,y1",
        "a.png,skirt,10,10,50,70",
        "full.png,skirt,0,0,120,80",
        "bad.png,skirt,0,0,9,9",
    ]
    (tmp_path / "boxed.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "boxed.csv"


def test_what_is_cut_shows_no_garment(boxed: Path, tmp_path: Path, schema: Schema, caplog, capsys) -> None:
    out = tmp_path / "out"
    options = ("lab", "backgrounds", "--boxed", boxed, "--photos", tmp_path / "photos", "--out", out)
    assert run(*options) == 0
    assert "1 backgrounds of 3 photos" in capsys.readouterr().out
    assert "bad.png" in caplog.text
    (row,) = read_boxed(out / "boxed.csv", out, schema, without=True)
    assert (row.image_id, row.category) == ("a.png.jpg", NOTHING)
    with Image.open(row.path) as picture:
        assert picture.size == (67, 80)  # from 50 + 5 % of 60 to the border, over the whole height
        assert np.asarray(picture)[..., 2].max() < 60  # nothing of the blue garment
    assert json.loads((out / "boxed.json").read_text())["figures"] == {"photos": 3, "backgrounds": 1, "plain": 0}
    assert run(*options) == 0
    assert run(*options, "--margin", 0.2) == 1
    assert "other settings" in capsys.readouterr().err
    assert run(*options[:-1], tmp_path / "photos") == 1
    assert "holds other files" in capsys.readouterr().err
    assert run(*options[:-1], tmp_path / "none", "--least", 1.0) == 1
    assert "lower --least" in capsys.readouterr().err


def test_plain_pictures_hold_nothing_either(boxed: Path, tmp_path: Path, schema: Schema, capsys) -> None:
    out = tmp_path / "out"
    options = ("lab", "backgrounds", "--boxed", boxed, "--photos", tmp_path / "photos", "--out", out)
    assert run(*options, "--plain", 5) == 0
    assert "1 backgrounds of 3 photos, 5 plain pictures" in capsys.readouterr().out
    rows = read_boxed(out / "boxed.csv", out, schema, without=True)
    assert [row.category for row in rows] == [NOTHING] * 6
    for row, grey in zip(rows[1:], (255, 0, 128), strict=False):
        with Image.open(row.path) as picture:
            assert np.unique(np.asarray(picture)).tolist() == [grey]
    last = plain_picture(4)
    np.testing.assert_array_equal(last, plain_picture(4))
    assert last[:10, :10].std() < last.std()
    assert not np.array_equal(last.shape, plain_picture(3).shape)
    assert run(*options[:-1], tmp_path / "none", "--plain", -1) == 1
    assert "expected 0 (none) or more" in capsys.readouterr().err


def test_a_photo_is_not_replaced_by_a_plain_picture(boxed: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "photos" / "a.png").rename(tmp_path / "photos" / "plain-0000.jpg")
    boxed.write_text(boxed.read_text().replace("a.png", "plain-0000.jpg"))
    options = ("lab", "backgrounds", "--boxed", boxed, "--photos", tmp_path / "photos", "--out", tmp_path / "out")
    assert run(*options, "--plain", 1) == 1
    assert "rename the photo" in capsys.readouterr().err
    assert not (tmp_path / "out" / "boxed.csv").exists()


def test_the_largest_rectangle_is_found() -> None:
    """Against every rectangle of whole pixels."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        size = tuple(int(one) for one in rng.integers(3, 9, 2))
        corners = np.sort(rng.uniform(-2, 10, (int(rng.integers(1, 4)), 2, 2)), axis=1)
        boxes = corners.reshape(-1, 4)
        x0, y0, x1, y1 = largest_free(size, boxes)
        covered = np.zeros(size[::-1], bool)
        for left, top, right, bottom in boxes:
            x, y = np.arange(size[0]), np.arange(size[1])
            columns, rows = (
                (x + 1 > np.floor(left)) & (x < np.ceil(right)),
                (y + 1 > np.floor(top)) & (y < np.ceil(bottom)),
            )
            covered |= rows[:, None] & columns
        assert not covered[y0:y1, x0:x1].any()
        spans = [list(itertools.combinations(range(length + 1), 2)) for length in size]
        areas = [(b - a) * (d - c) for (a, b), (c, d) in itertools.product(*spans) if not covered[c:d, a:b].any()]
        assert (x1 - x0) * (y1 - y0) == max(areas, default=0)


def test_a_detector_learns_from_garments_and_from_nothing(boxed: Path, drawn: Path, tmp_path: Path) -> None:
    photos, floors = tmp_path / "photos", tmp_path / "floors"
    (photos / "bad.png").unlink()
    boxed.write_text("\n".join(boxed.read_text().splitlines()[:3]) + "\n")
    assert run("lab", "backgrounds", "--boxed", boxed, "--photos", photos, "--out", floors) == 0
    learn = ("train-detector", *TINY, "--data", drawn / "train", "--run", tmp_path / "run", "--only", "final")
    both = ("--boxed", boxed, floors / "boxed.csv", "--photos", photos, floors)
    assert run(*learn, *both) == 0
    seen = load_start(str(tmp_path / "run" / "detector" / "final.safetensors"), "detector").seen
    assert {"a.png", "full.png", "a.png.jpg"} < seen
    assert run(*learn, *both[:-1]) == 1


def test_an_empty_picture_is_augmented_as_the_others_are(drawn: Path, schema: Schema) -> None:
    config = DetectorConfig()
    row = BoxedImage("floor.jpg", NOTHING, Path("floor.jpg"), np.zeros(4))
    data = DetectorData(read_annotations([drawn / "train"], schema, [])[:1], schema, config, boxed=[row])
    assert data.category[1] == NO_GARMENT
    picture = torch.arange(64.0).expand(1, 3, 64, 64).contiguous()
    uniform = torch.full((1, 32), 0.9)
    index, whole = torch.tensor([1]), torch.tensor([1])
    batch = ImageBatch(picture, torch.tensor([[64, 64]]), torch.tensor([NO_GARMENT]), index, uniform, reduced=whole)
    moved, plain = (
        training_inputs(one, *data.garments(index), config)[0]
        for one in (batch, replace(batch, uniform=torch.full((1, 32), 0.5)))
    )
    assert not torch.equal(moved, plain)
