"""Stage 2 learns in the detector's boxes, and its record says how well those lie on the true ones."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.commands.train_keypoints import train_keypoints
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.box_kinds import true_boxes
from garment_keypoints.pipeline.contract.boxes import read_matched
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import load_training_set
from garment_keypoints.pipeline.learning.configs import restore
from garment_keypoints.pipeline.settings import Settings

from tests.commands.running import TINY


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    for name in ("folds.csv", "boxes.csv", "boxes.json"):
        shutil.copy(trained / name, tmp_path)
    return tmp_path


def expected(run: Path, drawn: Path, schema: Schema, folds: Iterable[int]) -> np.ndarray:
    """Return the IoU of each row's box in boxes.csv, of rows in these folds, with the true one."""
    file, rows = run / "boxes.csv", load_training_set([drawn / "train"], schema, 2, run)
    table = read_matched(file, rows.rows, schema)
    true = true_boxes(rows.rows, torch.tensor(rows.sizes_wh), read_margin(file))
    return geometry.box_iou(torch.tensor(table.boxes), true).numpy()[np.isin(table.fold, [*folds])]


def test_a_training_learns_in_the_detectors_boxes(trained: Path, drawn: Path, schema: Schema, run: Path) -> None:
    iou = expected(run, drawn, schema, (0, 1))
    assert iou.mean() < 0.95  # true boxes would give 1
    said = json.loads((trained / "keypoints" / "final.json").read_text())["training_boxes"]
    below = float((iou < 0.5).mean())
    assert said == {"rows": len(iou), "mean_iou": round(float(iou.mean()), 4), "iou_below_half": round(below, 4)}


@pytest.mark.parametrize(("kind", "mean"), [("truth", 1.0), ("image", None)])
def test_other_boxes_are_told_from_them(run: Path, drawn: Path, schema: Schema, kind: str, mean: float | None) -> None:
    settings = restore(Settings, read_yaml(Path(TINY[1])), "tiny")
    settings.keypoints.crop.train_boxes, settings.keypoints.without_fold = kind, 1
    train_keypoints(settings, [drawn / "train"], run, name=kind)
    said = json.loads((run / "keypoints" / f"{kind}.json").read_text())["training_boxes"]
    iou = expected(run, drawn, schema, (0,))
    assert said["rows"] == len(iou)
    if mean is not None:
        assert (said["mean_iou"], said["iou_below_half"]) == (mean, 0)
    else:
        assert 0 < said["mean_iou"] < 0.95
