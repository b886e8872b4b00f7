"""`pseudo-label` boxes photos by their class, and `train-detector --boxed` learns from what it wrote."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.data import DetectorData
from garment_keypoints.pipeline.contract.box_kinds import target_boxes
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import BoxedImage, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.lab.commands.pseudo_label import _boxed
from garment_keypoints.pipeline.learning.training_ids import training_ids
from garment_keypoints.pipeline.learning.weights import read_checkpoint

from tests.commands.running import run
from tests.lab.running import TINY

BLOUSE, OUTWEAR, DRESS, TROUSERS, SKIRT = range(5)


def found(*each: tuple[int, float]) -> dict[str, list]:
    """Detections by category and score; the box of each says which it is."""
    boxes = [[i, 0, i + 10, 10] for i in range(len(each))]
    return {"category": [c for c, _ in each], "scores": [s for _, s in each], "boxes": boxes}


@pytest.mark.parametrize(
    ("label", "detections", "chosen"),
    [
        ("outwear", found((BLOUSE, 0.9), (OUTWEAR, 0.4), (OUTWEAR, 0.5)), 2),  # its own category comes first
        ("outwear", found((TROUSERS, 0.9), (BLOUSE, 0.5), (OUTWEAR, 0.2)), 1),  # then one with keypoints in common
        ("outwear", found((TROUSERS, 0.9), (SKIRT, 0.9)), None),  # what somebody wears with it is not it
        ("skirt", found((TROUSERS, 0.4), (DRESS, 0.6)), 1),
        ("skirt", found((SKIRT, 0.34)), None),
        ("skirt", found(), None),
    ],
)
def test_the_box_of_a_label(schema: Schema, label: str, detections: dict[str, list], chosen: int | None) -> None:
    one = _boxed(ImageRow("a.jpg", label, Path("a.jpg")), detections, schema, 0.35)
    assert (one and one.box[0]) == chosen
    assert one is None or one.category == label


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """Drawn pictures under class labels."""
    source = drawn / "test"
    rows = list(csv.DictReader((source / "test.csv").read_text().splitlines()))
    lines = [f"{row['image_id']},{row['image_category'].title()}" for row in rows]
    lines += ["Images/hat.jpg,Hat", "Images/gone.jpg,Skirt"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    return source


NAMES = ("Skirt=skirt", "Dress=dress", "Blouse=blouse", "Outwear=outwear", "Trousers=trousers")


def test_photos_are_boxed_and_learned_from(
    trained: Path,
    photos: Path,
    drawn: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, detector = tmp_path / "boxed.csv", trained / "detector" / "final.safetensors"
    options = ("--labels", tmp_path / "labels.csv", "--photos", photos, "--detector", detector, "--workers", 0)
    assert run("lab", "pseudo-label", *options, "--names", *NAMES, "--out", out, "--least_score", 0.01) == 0
    assert "labels left out: Hat 1" in capsys.readouterr().out
    assert "gone.jpg" in caplog.text
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert rows
    assert json.loads(out.with_suffix(".json").read_text())["figures"]["labels left out"] == {"Hat": 1}
    folder = tmp_path / "run"
    learn = ("train-detector", *TINY, "--data", drawn / "train", "--run", folder)
    boxed = ("--boxed", out, "--photos", photos)
    for name in ("fold0", "fold1", "final"):
        assert run(*learn, *boxed, "--only", name) == 0
    first = folder / "detector" / "fold0.safetensors"
    ids = training_ids(first, read_checkpoint(first))
    assert {row["image_id"] for row in rows} < set(ids)
    assert run("boxes", *TINY, "--data", drawn / "train", "--run", folder) == 0
    assert run(*learn) == 1  # the folder holds detectors that learned from more
    assert "boxed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--names", "Skirt=kilt"), "--names has 'Skirt=kilt'; expected LABEL=CATEGORY"),
        ((), "no label that is a category; say what labels mean"),
        (("--names", "Hat=skirt", "--photos", "nowhere"), "none of 1 photos can be read, first nowhere"),
        (("--least_score", "0"), "--least_score is 0.0; expected a number above 0"),
        (("--names", "Skirt=skirt", "--least_score", "1"), "lower --least_score"),
    ],
)
def test_what_cannot_be_boxed(
    trained: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: tuple[str, ...], message: str
) -> None:
    detector, out = trained / "detector" / "final.safetensors", tmp_path / "boxed.csv"
    given = ("--labels", tmp_path / "labels.csv", "--photos", photos, "--detector", detector, "--workers", 0)
    assert run("lab", "pseudo-label", *given, "--out", out, *options) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_boxes_need_their_photos(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = (*TINY, "--data", drawn / "train", "--run", tmp_path / "run", "--boxed", tmp_path / "boxed.csv")
    assert run("train-detector", *options) == 1
    assert "--boxed and --photos belong together" in capsys.readouterr().err


def test_a_box_is_the_target_itself(drawn: Path, schema: Schema) -> None:
    """Its extent is such that, with the margin, the target is the box again."""
    row = read_annotations([drawn / "train"], schema, [])[0]
    box = np.array([20.0, 30, 120, 90])
    data = DetectorData([row], schema, DetectorConfig(margin=0.2), boxed=[BoxedImage("a", "dress", row.path, box)])
    assert [len(data.rows), data.category[1]] == [2, DRESS]
    targets = target_boxes(data.extents[1:], data.extents.new_tensor([[200, 200]]), 0.2)
    np.testing.assert_allclose(targets[0], box)
