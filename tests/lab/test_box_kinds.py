"""Boxes of every kind: what writes them, what trains on them, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from keypoints.data import KeypointsData, TrainingBoxes
from pipeline.contract.box_kinds import parse_mixture
from pipeline.contract.faults import UserError
from pipeline.contract.formats.boxes import read_boxes
from pipeline.contract.formats.fashionai import read_annotations
from pipeline.contract.schema import Schema
from pipeline.crop_boxes import boxes_to_crop, training_boxes
from tests.commands.running import TINY, run
from tests.configs import keypoints_config
from tests.keypoints.test_data import boxes_of


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def train(drawn: Path, folder: Path, *options: object) -> int:
    return run("train-keypoints", *TINY, "--data", drawn / "train", "--run", folder, *options)


def boxes(drawn: Path, folder: Path, *options: object) -> int:
    return run("boxes", *TINY, "--data", drawn / "train", "--run", folder, *options)


def recorded(folder: Path, name: str) -> dict:
    return json.loads((folder / "keypoints" / f"{name}.json").read_text())


def test_a_mixture_is_read_as_shares() -> None:
    assert parse_mixture("truth", "x") == {"truth": 1}
    assert parse_mixture("out_of_fold 3, image 1", "x") == {"out_of_fold": 0.75, "image": 0.25}


@pytest.mark.parametrize(
    "text", ["", "box", "truth, truth", "truth 0", "truth -1", "truth nan", "truth a", "truth 1e9", "truth,"]
)
def test_what_is_no_mixture(text: str) -> None:
    with pytest.raises(UserError, match=r"crop\.train_boxes is .*; expected one of out_of_fold, in_sample"):
        keypoints_config(train_boxes=text)


def test_other_faults_of_the_settings() -> None:
    with pytest.raises(UserError, match="val_boxes is 'out_of_fold, truth'; expected one of"):
        keypoints_config(val_boxes="out_of_fold, truth")
    with pytest.raises(UserError, match="source is image; expected no train_boxes"):
        keypoints_config(source="image", train_boxes="truth")


def test_each_kind_is_another_box_of_the_same_rows(drawn: Path, schema: Schema) -> None:
    rows, sizes_wh = read_annotations([drawn / "train"], schema), np.array([[128, 100]] * 20)
    found = boxes_of(rows, fold=1)
    predicted = {"out_of_fold": found[::-1], "in_sample": boxes_of(rows, fold=-1)}
    kinds = {
        kind: boxes_to_crop(kind, rows, sizes_wh, predicted, 0.1)
        for kind in ("out_of_fold", "in_sample", "truth", "image")
    }
    for kind in kinds.values():
        assert [one.key for one in kind] == [row.key for row in rows]
        assert {one.fold for one in kind} == {1}  # which fold an image is of does not hang on its box
    assert kinds["image"][3].box.tolist() == [0, 0, 128, 100]
    xy = rows[3].xy[rows[3].present]
    margin = 0.1 * (xy.max(0) - xy.min(0))
    expected = np.concatenate([(xy.min(0) - margin).clip(0), np.minimum(xy.max(0) + margin, [128, 100])])
    assert kinds["truth"][3].box == pytest.approx(expected)
    config = keypoints_config(train_boxes="in_sample 1, truth 3", val_boxes="image")
    watched, training = training_boxes(config, rows, sizes_wh, predicted, 0.1)
    assert watched[3].box.tolist() == [0, 0, 128, 100]
    assert training.share.tolist() == [0.25, 0.75]
    np.testing.assert_allclose(training.boxes[1, 3], expected, rtol=1e-6)


def test_draws_take_each_kind_by_its_share(drawn: Path, schema: Schema) -> None:
    """In the order of the rows, also when some of them are left out of training."""
    rows = read_annotations([drawn / "train"], schema)
    found = [one for i, row in enumerate(rows) for one in boxes_of([row], fold=i % 2)]
    kinds = torch.zeros(3, len(rows), 4)
    kinds[:] = torch.arange(len(rows))[None, :, None] + 100 * torch.arange(3)[:, None, None]
    data = KeypointsData(
        rows,
        found,
        schema,
        keypoints_config(without_fold=0, backbone_weights="none"),
        training=TrainingBoxes(kinds, torch.tensor([0.5, 0.3, 0.2])),
    )
    uniform = torch.rand(4000, 32, generator=torch.Generator().manual_seed(0))
    index = torch.arange(4000) % data.num_train
    drawn_boxes = data._drawn(index, uniform)
    kind, row = drawn_boxes[:, 0] // 100, drawn_boxes[:, 0] % 100
    assert row.long().tolist() == [2 * i + 1 for i in index.tolist()]
    shares = [(kind == k).double().mean().item() for k in range(3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_boxes_in_sample_are_those_of_a_detector_that_saw_the_image(
    drawn: Path, folder: Path, schema: Schema, capsys
) -> None:
    assert train(drawn, folder, "--name", "other", "--keypoints.crop.train_boxes", "in_sample") == 1
    assert boxes(drawn, folder, "--source", "in_sample") == 0
    other = {box.key: box for box in read_boxes(folder / "boxes_in_sample.csv", schema)}
    assert {box.fold for box in other.values()} == {-1}
    for box in read_boxes(folder / "boxes.csv", schema):
        assert other[box.key].checkpoint == f"fold{1 - box.fold}"
    assert "in_sample" in json.loads((folder / "boxes_in_sample.json").read_text())["figures"]
    assert train(drawn, folder, "--name", "other", "--keypoints.crop.train_boxes", "in_sample", "--val") == 0
    assert set(recorded(folder, "other")["inputs"]) == {"annotations", "boxes", "boxes_in_sample"}
    (folder / "boxes_in_sample.csv").write_text(
        (folder / "boxes_in_sample.csv").read_text().replace(",0.000,", ",1.000,", 1)
    )
    assert train(drawn, folder, "--name", "third", "--keypoints.crop.train_boxes", "in_sample") == 1
    (folder / "boxes_in_sample.json").unlink()
    lines = (folder / "boxes_in_sample.csv").read_text().splitlines(keepends=True)
    (folder / "boxes_in_sample.csv").write_text("".join(lines[:-1]))
    assert train(drawn, folder, "--name", "third", "--keypoints.crop.train_boxes", "in_sample") == 1
    assert f"{folder / 'boxes_in_sample.csv'}: no box for 1 of 20 images" in " ".join(capsys.readouterr().err.split())


def test_boxes_of_two_passes_come_from_networks_that_left_the_image_out(
    drawn: Path, folder: Path, schema: Schema, capsys
) -> None:
    assert boxes(drawn, folder, "--source", "two_pass") == 1
    assert "fold0.safetensors: missing, the keypoint network that makes a first pass over fold 0" in (
        capsys.readouterr().err
    )
    for fold in (0, 1):
        assert train(drawn, folder, "--name", f"fold{fold}", "--keypoints.without_fold", fold) == 0
    assert boxes(drawn, folder, "--source", "two_pass") == 0
    first = {box.key: box for box in read_boxes(folder / "boxes.csv", schema)}
    second = read_boxes(folder / "boxes_two_pass.csv", schema)
    assert {(box.source, box.fold, box.checkpoint) for box in second} <= {
        (source, fold, f"fold{fold}")
        for fold in (0, 1)
        for source in ("points", "detector")  # the detector's where a first pass found nothing to frame
    }
    assert any(box.box.tolist() != first[box.key].box.tolist() for box in second)
    assert "ap" not in json.loads((folder / "boxes_two_pass.json").read_text())["figures"]["val"]
    options = [
        "--keypoints.crop.train_boxes",
        "two_pass 0.5, out_of_fold 0.5",
        "--keypoints.crop.val_boxes",
        "two_pass",
    ]
    assert train(drawn, folder, "--name", "mixed", "--val", *options) == 0
    assert list(recorded(folder, "mixed")["figures"]["val"]) == ["two_pass_boxes", "true_boxes"]
    shutil.copy(folder / "keypoints" / "fold0.safetensors", folder / "keypoints" / "fold1.safetensors")
    (folder / "keypoints" / "fold1.json").unlink()
    (folder / "boxes_two_pass.json").unlink()
    assert boxes(drawn, folder, "--source", "two_pass") == 1
    assert "left out fold 0 (-1: none); expected one that was trained with --keypoints.without_fold 1" in (
        capsys.readouterr().err
    )


def test_garments_without_a_label_are_counted_where_all_are_known(
    drawn: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    """The sample knows every garment; other data do not, and a damaged list is named."""
    assert boxes(drawn, folder) == 0
    assert {"ap50_every_garment", "recall_unlabelled"} <= json.loads((folder / "boxes.json").read_text())["figures"][
        "val"
    ].keys()
    data = Path(shutil.copytree(drawn / "train", tmp_path / "train"))
    options = [*TINY, "--data", data, "--run", folder]
    file = data / "Annotations" / "all_garments.json"
    for content in ("[]", '{"a": [{"category": "hat", "box": [0, 0, 1, 1], "labelled": true}]}', '{"a": [{"box": 1}]}'):
        file.write_text(content)
        assert run("boxes", *options) == 1
        assert "all_garments.json: " in capsys.readouterr().err
    file.unlink()
    assert run("boxes", *options) == 0
    assert "recall_unlabelled" not in json.loads((folder / "boxes.json").read_text())["figures"]["val"]
