"""Crops of training are cut around the boxes to learn in, and how well those lie on the true ones is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import collate

from tests.configs import keypoints_config
from tests.keypoints.test_data import PLAIN, boxes_of


@pytest.fixture
def rows(drawn: Path, schema: Schema) -> list[Annotation]:
    return read_annotations([drawn / "train"], schema)


def test_crops_are_cut_around_the_boxes_to_learn_in(rows: list[Annotation], schema: Schema) -> None:
    table = boxes_of(rows)
    moved = table.boxes + np.array([3.0, 5, 9, 11])
    config = keypoints_config(size=64, backbone_weights="none", **PLAIN)
    data = KeypointsData(rows, table, schema, config, training=moved)
    dataset = data.train_dataset()
    cut = data.training_crops(collate([dataset[i] for i in (0, 3)]))
    around = torch.tensor(moved[[0, 3]], dtype=torch.float32)
    expected = geometry.crop_from_image(around, (64, 64), padding=config.crop.padding)
    torch.testing.assert_close(cut.crop_from_image, expected)


def test_how_well_the_boxes_lie_on_the_true_ones(rows: list[Annotation], schema: Schema) -> None:
    """By hand: of the ten rows of fold 1 five have a known true box, one of which is three times as wide."""
    table = replace(boxes_of(rows), fold=np.arange(20) % 2)
    config = keypoints_config(size=64, without_fold=0, backbone_weights="none")
    assert KeypointsData(rows, table, schema, config).training_box_figures() == {"rows": 0}
    true = np.where(np.arange(20)[:, None] < 11, table.boxes + 100, np.nan)
    true[1, 2] += 2 * (true[1, 2] - true[1, 0])
    data = KeypointsData(rows, table, schema, config, training=table.boxes + 100, true=true)
    assert data.training_box_figures() == {"rows": 5, "mean_iou": round((4 + 1 / 3) / 5, 4), "iou_below_half": 0.2}
