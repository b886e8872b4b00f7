"""What the detector learns from: every garment of a picture, whichever of its rows is drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.detector.config import DetectorAugmentConfig, DetectorConfig
from garment_keypoints.detector.data import DetectorData, training_inputs
from garment_keypoints.detector.losses import NO_GARMENT
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.pipeline.contract.box_kinds import target_boxes
from garment_keypoints.pipeline.contract.records import NOTHING, Annotation, BoxedImage
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import collate
from PIL import Image


def skirt(path: Path, schema: Schema, instance: int, x: float) -> Annotation:
    xy, visibility = np.zeros((24, 2)), np.full(24, -1, np.int8)
    members = list(schema.members["skirt"])
    xy[members], visibility[members] = [[x, 20], [x + 20, 20], [x, 60], [x + 20, 60]], 1
    return Annotation(path.name, "skirt", path, xy, visibility, instance=instance)


@pytest.fixture
def data(tmp_path: Path, schema: Schema) -> DetectorData:
    """Two skirts of one picture with a boxed dress, one skirt of another, and a picture of nothing."""
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        Image.new("RGB", (128, 128)).save(path)
    rows = [skirt(paths[0], schema, 0, 10), skirt(paths[0], schema, 1, 70), skirt(paths[1], schema, 0, 40)]
    dress = BoxedImage("a.png", "dress", paths[0], np.array([30.0, 30, 90, 120]), instance=2)
    nothing = BoxedImage("c.png", NOTHING, paths[2], np.zeros(4))
    network = replace(DetectorConfig().network, size=64, backbone="conv4", backbone_weights="none", fpn_channels=16)
    config = replace(
        DetectorConfig(), network=network, augment=DetectorAugmentConfig(scale=0, shift=0, flip=0), margin=0.0
    )
    return DetectorData(rows, schema, config, boxed=[dress, nothing])


def test_all_garments_of_a_picture_are_targets(data: DetectorData, schema: Schema) -> None:
    index = torch.tensor([1, 2, 4])
    extents, category = data.garments(index)
    skirt, dress = schema.category_index("skirt"), schema.category_index("dress")
    assert category.tolist() == [[skirt, skirt, dress], [skirt, NO_GARMENT, NO_GARMENT], [NO_GARMENT] * 3]
    batch = collate([data.train_dataset()[(i, 0)] for i in index.tolist()])
    _, boxes = training_inputs(batch, extents, category, data.config)
    assert boxes[0].tolist() == [[5, 10, 15, 30], [35, 10, 45, 30], [15, 15, 45, 60]]  # half of the picture's pixels
    assert boxes[1, 0].tolist() == [20, 10, 30, 30]
    assert torch.equal(target_boxes(extents[0], torch.full((3, 2), 128), 0.0)[0], torch.tensor([10.0, 20, 30, 60]))


def test_they_are_learned_together(data: DetectorData) -> None:
    torch.manual_seed(0)
    network = GarmentNetwork(data.config, 5).train()
    extents, category = data.garments(torch.tensor([0, 2, 4]))
    batch = collate([data.train_dataset()[(i, 0)] for i in (0, 2, 4)])
    inputs, boxes = training_inputs(batch, extents, category, data.config)
    losses = network.losses(inputs, boxes, category)
    assert all(torch.isfinite(loss) for loss in losses.values())
    turned = network.losses(inputs, boxes.flip(1), category.flip(1))
    assert all(torch.allclose(losses[name], turned[name], rtol=1e-4) for name in losses)  # whatever their order
    alone = network.losses(inputs, boxes[:, :1], category[:, :1])
    assert not torch.allclose(losses["classification"], alone["classification"], rtol=1e-3)
