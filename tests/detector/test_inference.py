"""Targets and detections keep to the image's frame, whatever the picture's size."""

from pathlib import Path

import pytest
import torch
from garment_keypoints.detector.data import DetectorData, training_inputs
from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.detector.inputs import input_affines
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.box_kinds import target_boxes
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import collate
from torch import Tensor, nn

from tests.configs import detector_config


class Fixed(nn.Module):
    """A network that always finds the same things."""

    size = 64

    def __init__(self, found: list[dict[str, Tensor]]) -> None:
        super().__init__()
        self.found = found

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        assert inputs.shape == (len(self.found), 3, 64, 64)
        return [dict(one) for one in self.found]


def batch(sizes: list[tuple[int, int]], category: list[int]) -> ImageBatch:
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    n = len(sizes)
    return ImageBatch(
        torch.zeros(n, 3, height, width, dtype=torch.uint8),
        torch.tensor(sizes),
        torch.tensor(category),
        torch.arange(n),
        torch.rand(n, 32, dtype=torch.float64),
        torch.ones(n, dtype=torch.long),
    )


def found(boxes: list, scores: list[float], category: list[int]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "category": torch.tensor(category),
    }


def detector(answers: list[dict[str, Tensor]]) -> NetworkDetector:
    return NetworkDetector(Fixed(answers), detector_config(), "d", [])


def test_boxes_come_back_in_the_frame_of_odd_images() -> None:
    # 101 x 203 in an input of 64: scale 64 / 203, the picture stands in the middle, 16.08 pixels from the left.
    true = torch.tensor([[20.0, 31, 90, 177]])
    one = batch([(101, 203)], [2])
    inside = geometry.transform_box(input_affines(one.sizes_wh, 64), true)
    scale = 64 / 203
    expected = torch.tensor([[20 * scale + 32 - 50.5 * scale, 31 * scale, 90 * scale + 32 - 50.5 * scale, 177 * scale]])
    torch.testing.assert_close(inside, expected, rtol=0, atol=1e-4)
    result = detector([found(inside.tolist(), [0.9], [2])]).detect(one)
    torch.testing.assert_close(result.boxes, true, rtol=0, atol=1e-3)
    assert result.score.tolist() == pytest.approx([0.9])


def test_everything_found_is_flat_image_by_image() -> None:
    answers = [found([[1.0, 2, 30, 40], [5, 5, 9, 9]], [0.9, 0.2], [2, 0]), found([], [], [])]
    answers.append(found([[0.0, 0, 60, 60]], [0.7], [4]))
    result = detector(answers).detect(batch([(64, 64), (64, 64), (128, 128)], [2, 2, 2]))
    assert result.image.tolist() == [0, 0, 2]
    assert result.category.tolist() == [2, 0, 4]
    assert result.score.tolist() == pytest.approx([0.9, 0.2, 0.7])
    expected = torch.tensor([[1.0, 2, 30, 40], [5, 5, 9, 9], [0, 0, 120, 120]])
    torch.testing.assert_close(result.boxes, expected, rtol=0, atol=1e-3)
    assert len(detector([found([], [], [])]).detect(batch([(64, 64)], [0])).boxes) == 0


def test_boxes_are_clipped_to_the_image() -> None:
    result = detector([found([[-9.0, -9, 200, 200]], [0.9], [0])]).detect(batch([(128, 64)], [0]))
    assert result.boxes.tolist() == [[0, 0, 128, 64]]


def test_target_boxes_have_their_margin_and_an_area() -> None:
    extents = torch.tensor([[10.0, 20, 50, 100], [0, 0, 64, 60], [30, 30, 30, 50]])
    boxes = target_boxes(extents, torch.tensor([[64, 128]] * 3), 0.1)
    assert boxes[0].tolist() == [6, 12, 54, 108]
    assert boxes[1].tolist() == [0, 0, 64, 66]
    assert boxes[2].tolist() == [28, 28, 32, 52]


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        ([100.0, 50, 300, 50], [100, 48, 300, 52]),  # a waistband alone
        ([40.0, 10, 41, 90], [38.5, 10, 42.5, 90]),
        ([40.0, 20, 40, 20], [38, 18, 42, 22]),  # one point
    ],
)
def test_a_thin_box_is_widened_on_its_thin_axis_only(extent: list[float], expected: list[float]) -> None:
    assert target_boxes(torch.tensor([extent]), torch.tensor([[400, 100]]), 0.0)[0].tolist() == expected


def test_training_targets_follow_the_picture(drawn: Path, schema: Schema) -> None:
    """Points sent through the inputs' affine lie in the target box: checked by cutting a marked picture."""
    config = detector_config(size=64, margin=0.0, backbone_weights="none")
    data = DetectorData(read_annotations([drawn / "train"], schema), schema, config)
    items = [data.train_dataset()[(i, i)] for i in range(8)]
    whole = collate(items)
    marked = torch.zeros_like(whole.images)
    boxes = target_boxes(data.extents[whole.index].float(), whole.sizes_wh, 0.0)
    for picture, (x0, y0, x1, y1) in zip(marked, boxes.round().int().tolist(), strict=True):
        picture[:, y0:y1, x0:x1] = 255
    inputs, targets = training_inputs(
        ImageBatch(marked, whole.sizes_wh, whole.category, whole.index, whole.uniform, whole.reduced),
        *data.garments(whole.index),
        config,
    )
    for one, target in zip(inputs, targets[:, 0], strict=True):
        lit = (one[0] > 190).nonzero()
        low, high = lit.amin(0).flip(0), lit.amax(0).flip(0) + 1
        assert (torch.cat([low, high]) - target).abs().max() < 1.6


DRAWS = {
    # The picture's 128 x 64 pixels stand in rows 16 to 48 of the input, at half their size: the target is 10 to 30, 21 to 41.
    "as it is": ((0.5, 0.5, 0.5, 0.9), [10, 21, 30, 41]),
    "mirrored": ((0.5, 0.5, 0.5, 0.1), [34, 21, 54, 41]),
    "24 to the right, 8 up": ((0.5, 0.875, 0.375, 0.9), [34, 13, 54, 33]),
    "16 to the left, where 14 of 20 columns are left": ((0.5, 0.25, 0.5, 0.9), [0, 21, 14, 41]),
    "24 to the left, where only 6 would be left": ((0.5, 0.125, 0.5, 0.9), [10, 21, 30, 41]),
    "twice as large about the middle (32, 32)": ((0.0, 0.5, 0.5, 0.9), [0, 10, 28, 50]),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_training_targets_by_hand(draw: str) -> None:
    """A draw is its random numbers for scale, shift (x, y) and flip; the input shows where the target says."""
    numbers, expected = DRAWS[draw]
    config = detector_config(size=64, margin=0.0, scale=0.5, shift=0.5, flip=0.5)
    one = batch([(128, 64)], [0])
    one.images[:, :, 10:50, 20:60] = 255
    one.uniform[0, :4] = torch.tensor(numbers)
    inputs, targets = training_inputs(one, torch.tensor([[[20.0, 10, 60, 50]]]), torch.tensor([[0]]), config)
    torch.testing.assert_close(targets[0], torch.tensor([expected]).float(), rtol=0, atol=1e-3)
    lit = (inputs[0, 0] > 190).nonzero()
    assert [*lit.amin(0).flip(0).tolist(), *(lit.amax(0).flip(0) + 1).tolist()] == expected


def test_the_padding_of_a_batch_does_not_reach_the_network() -> None:
    class Seeing(Fixed):
        def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
            self.inputs = inputs
            return super().detections(inputs)

    one = batch([(64, 32), (64, 64)], [0, 0])
    one.images[0, :, :32], one.images[0, :, 32:] = 200, 0  # below the first picture there is only padding
    network = Seeing([found([], [], [])] * 2)
    NetworkDetector(network, detector_config(), "d", []).detect(one)
    rows = network.inputs[0, 0, :, 32]
    assert rows[20:44].unique().tolist() == [200]  # the picture stands in rows 16 to 48
    assert torch.cat([rows[:15], rows[49:]]).unique().tolist() == [127]
