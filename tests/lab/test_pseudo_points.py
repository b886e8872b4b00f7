"""Points that a network places in further photos, and what learns from them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.formats.pseudo_points import read_pseudo_points, write_pseudo_points
from garment_keypoints.pipeline.contract.records import BoxedImage
from garment_keypoints.pipeline.contract.schema import Schema

from tests.commands.running import run
from tests.configs import keypoints_config
from tests.keypoints.test_data import boxes_of
from tests.lab.running import TINY

CPU = ["--workers", 0, "--accelerator", "cpu"]


@pytest.fixture(scope="module")
def boxed(drawn: Path, schema: Schema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test pictures of the sample, as photos whose boxes are known."""
    file = tmp_path_factory.mktemp("boxed") / "boxed.csv"
    lines = ["image_id,category,x0,y0,x1,y1"]
    with (drawn / "test" / "test.csv").open(newline="") as rows:
        lines += [f"{row['image_id']},{row['image_category']},20,20,100,100" for row in csv.DictReader(rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def place(boxed: Path, drawn: Path, network: Path, out: Path, *options: object) -> int:
    where = ["--boxed", boxed, "--photos", drawn / "test", "--keypoints", network, "--out", out, *CPU]
    return run("lab", "pseudo-points", *where, "--least_score", 0, *options)


def test_a_network_learns_from_points_of_another(
    trained: Path, drawn: Path, boxed: Path, tmp_path: Path, schema: Schema, capsys
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    where = [*TINY, "--data", drawn / "train", "--run", folder]
    assert run("train-keypoints", *where, "--val") == 0
    out = tmp_path / "pseudo_points"
    assert place(boxed, drawn, folder / "keypoints" / "val.safetensors", out, "--tolerance", 1) == 0
    content = json.loads((out / "points.json").read_text())
    assert content["without_fold"] == 0
    assert content["figures"]["kept"] == 10
    assert content["figures"]["points given"] == 1
    rows, boxes = read_pseudo_points(out, drawn / "test", schema, 0.25)
    assert [row.label_weight for row in rows] == [0.25] * 10
    assert [box.box.tolist() for box in boxes] == [[20, 20, 100, 100]] * 10
    assert all(row.present.sum() == len(schema.members[row.category]) for row in rows)
    assert (out / "look.png").read_bytes().startswith(b"\x89PNG")
    pseudo = ["--pseudo_points", out, "--photos", drawn / "test"]
    assert run("train-keypoints", *where, "--val", "--name", "more", *pseudo) == 0
    records = [json.loads((folder / "keypoints" / f"{name}.json").read_text()) for name in ("val", "more")]
    assert "pseudo_points" in records[1]["inputs"]
    images = [one["figures"]["val"]["out_of_fold_boxes"]["images"] for one in records]
    assert images[0] == images[1]
    # One that has seen what is scored, and photos that are the data's own.
    assert place(boxed, drawn, folder / "keypoints" / "final.safetensors", tmp_path / "all", "--tolerance", 1) == 0
    pseudo[1] = tmp_path / "all"
    assert run("train-keypoints", *where, "--val", "--name", "cheat", *pseudo) == 1
    assert "the network that placed the points left out fold -1 (-1: none); expected fold 0" in capsys.readouterr().err
    (out / "points.csv").write_bytes((drawn / "train" / "Annotations" / "train.csv").read_bytes())
    assert run("train-keypoints", *where, "--name", "other", "--pseudo_points", out, "--photos", drawn / "train") == 1
    assert "row without a box" in capsys.readouterr().err


def test_what_nobody_agrees_on(trained: Path, drawn: Path, boxed: Path, tmp_path: Path, capsys) -> None:
    network = trained / "keypoints" / "final.safetensors"
    assert place(boxed, drawn, network, tmp_path / "none", "--tolerance", 0) == 1
    assert "no photo of 10 has 50 % of its points agreed on" in capsys.readouterr().err
    assert not (tmp_path / "none" / "points.csv").exists()
    assert place(boxed, drawn, network, tmp_path / "none", "--tolerance", 2) == 1
    assert "--tolerance is 2.0; expected 0 to 1" in capsys.readouterr().err


def test_points_that_were_not_given_are_absent(tmp_path: Path, drawn: Path, schema: Schema) -> None:
    row = read_annotations([drawn / "train"], schema)[0]
    boxed = BoxedImage(row.image_id, row.category, row.path, np.array([1.0, 2, 50, 60]))
    given = np.zeros((1, 24), dtype=bool)
    first, second = schema.members[row.category][:2]
    given[0, [first, second]] = True
    xy = np.tile([[500.0, 12.4]], (24, 1))[None]
    write_pseudo_points(tmp_path, [boxed], xy, given, np.array([[128, 100]]), schema)
    (found,), _ = read_pseudo_points(tmp_path, drawn / "train", schema, 0.5)
    assert found.present.nonzero()[0].tolist() == sorted([first, second])
    assert found.xy[first].tolist() == [128, 12]  # clipped to the picture
    data = KeypointsData([found], boxes_of([found]), schema, keypoints_config(backbone_weights="none"))
    assert data.weight[0, [first, second]].tolist() == [0.5, 0.5]
    assert data.weight.sum() == 1
    (tmp_path / "boxed.csv").write_text("image_id,category,x0,y0,x1,y1\nother.jpg,skirt,0,0,9,9\n")
    with pytest.raises(DataError, match="row without a box"):
        read_pseudo_points(tmp_path, drawn / "train", schema, 0.5)
