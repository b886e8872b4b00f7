"""What may be done where a box is wrong, with networks whose answers are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.contract import geometry
from pipeline.contract.protocols import Outputs
from pipeline.contract.records import ImageBatch, Points, Regions
from pipeline.contract.schema import Schema
from pipeline.inference.box_sources import GivenBoxes
from pipeline.inference.remedies import (
    Contradicted,
    Joined,
    SeveralCrops,
    WithContext,
    moved_maps,
)
from pipeline.inference.second_pass import in_passes
from pipeline.orchestrator import TwoStage, averaged

SIZE = 64
BOX = torch.tensor([[20.0, 30, 60, 90]])


class Corner:
    """Says that every point is at a share of the crop, and how sure it is; a larger crop is trusted more."""

    size_wh, padding, source = (SIZE, SIZE), 0.0, "box"

    def __init__(self, share: float = 0.5, score: float = 1.0) -> None:
        self.share, self.score = share, score

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        xy = torch.full((len(crops), 24, 2), self.share * crops.shape[-1])
        score = torch.full(xy.shape[:2], self.score * crops.shape[-1] / SIZE)
        return Points(xy, score, torch.zeros_like(score))


class Maps(Corner):
    """Knows where one point of the image is: logits fall with the distance in image pixels, by so much each."""

    def __init__(self, xy: tuple[float, float], slope: float, box: Tensor, padding: float = 0.0) -> None:
        super().__init__()
        self.xy, self.slope, self.padding = torch.tensor(xy), slope, padding
        self.image_from_crop = geometry.invert(geometry.crop_from_image(box, self.size_wh, padding))

    def outputs(self, crops: Tensor, category: Tensor) -> Outputs:
        at = (torch.arange(SIZE // 2) + 0.5) * 2
        cells = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).reshape(1, -1, 2)
        there = geometry.apply(self.image_from_crop, cells)
        distance = (there - self.xy).norm(dim=-1).view(1, 1, SIZE // 2, SIZE // 2)
        return {"maps": (-self.slope * distance).expand(len(crops), 24, -1, -1)}

    def decode(self, outputs: Outputs) -> Points:
        peak = outputs["maps"].flatten(2).argmax(-1)
        xy = 2 * (torch.stack([peak % (SIZE // 2), peak // (SIZE // 2)], -1) + 0.5)
        return Points(xy, torch.ones(xy.shape[:2]), torch.zeros(xy.shape[:2]))


@pytest.fixture
def batch() -> ImageBatch:
    return ImageBatch(
        torch.zeros(1, 3, 120, 100, dtype=torch.uint8),
        torch.tensor([[100, 120]]),
        torch.tensor([4]),
        torch.tensor([0]),
        torch.zeros(1, 32),
        torch.tensor([1]),
    )


@pytest.fixture
def regions(batch: ImageBatch) -> Regions:
    return GivenBoxes(BOX).regions(batch)


def test_an_average_is_weighted_by_the_scores() -> None:
    one = torch.zeros(1, 1, 2), torch.tensor([[0.2]])
    other = torch.full((1, 1, 2), 10.0), torch.tensor([[0.6]])
    xy, score = averaged([one, other])
    assert xy.flatten().tolist() == pytest.approx([7.5, 7.5])
    assert score.item() == pytest.approx(0.4)


def test_several_crops_agree_where_the_point_is_one_of_the_image(batch: ImageBatch, regions: Regions) -> None:
    """The middle of every crop is the box's; a corner moves with the padding, and the larger crop counts more."""
    xy, _ = SeveralCrops(Corner(0.5), [(64, 0.0), (96, 0.3)]).place(batch, regions)
    assert xy[0, 0].tolist() == pytest.approx([40, 60], abs=1e-4)
    xy, score = SeveralCrops(Corner(0.0), [(64, 0.0), (96, 0.5)]).place(batch, regions)
    corner, wider = np.array([10.0, 30]), np.array([-20.0, 0])  # squared: 60 wide, with half of it on each side 120
    assert xy[0, 0].tolist() == pytest.approx(((corner + 1.5 * wider) / 2.5).tolist(), abs=1e-4)
    assert score[0, 0].item() == pytest.approx(1.25)
    found = TwoStage(GivenBoxes(BOX), SeveralCrops(Corner(0.0), [(64, 0.0)])).predict_step(batch)["regions"]
    assert found["xy"][0, 0].tolist() == pytest.approx([10, 30], abs=1e-4)


class Halves(Corner):
    """Places two points apart, at a quarter and three quarters of the crop, so that they frame half of it."""

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        found = super().locate(crops, category)
        xy = found.xy.clone()
        xy[:, ::2], xy[:, 1::2] = 0.25 * crops.shape[-1], 0.75 * crops.shape[-1]
        return Points(xy, found.score, found.spread)


def test_passes_are_averaged(batch: ImageBatch, schema: Schema) -> None:
    """The first crop is 60 wide about (40, 60); its points frame 30 of it, the second's 15, both together 22.5.

    So they are 15, 7.5 and, third, 5.625 from the middle.
    """
    for passes, off in ((1, 15), (2, (15 + 7.5) / 2), (3, (15 + 7.5 + 5.625) / 3)):
        source = in_passes(passes, GivenBoxes(BOX), Halves(), schema, 0.0)
        xy = TwoStage(source, Halves()).predict_step(batch)["regions"]["xy"]
        assert xy[0, 1].tolist() == pytest.approx([40 + off, 60 + off], abs=1e-3)


def test_a_box_is_joined_with_the_points_in_it(batch: ImageBatch, schema: Schema) -> None:
    found = Joined(GivenBoxes(BOX), Halves(), schema.mask, 0.0).regions(batch)
    assert found.boxes[0].tolist() == pytest.approx([20, 30, 60, 90])
    found = Joined(GivenBoxes(BOX), Halves(), schema.mask, 1.0).regions(batch)  # 30 more on each side of 25..55, 45..75
    assert found.boxes[0].tolist() == pytest.approx([0, 15, 85, 105], abs=1e-3)


@pytest.mark.parametrize(("least", "doubted"), [(0.3, False), (0.9, True)])
def test_a_box_that_the_whole_image_contradicts(batch: ImageBatch, schema: Schema, least: float, doubted: bool) -> None:
    """The context sees 120 by 120 about (50, 60): its points frame (20, 30)..(80, 90), which the box overlaps by 2/3."""
    found = Contradicted(GivenBoxes(BOX), Halves(), schema.mask, 0.0, least).regions(batch)
    assert found.boxes[0].tolist() == pytest.approx([20, 30, 80, 90] if doubted else BOX[0].tolist(), abs=1e-3)


def test_maps_move_from_frame_to_frame() -> None:
    """A ramp across the image reads the same at the same place of the image, in whatever crop its map lies."""
    far, near = torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[20.0, 30, 60, 70]])
    affines = [geometry.crop_from_image(box, (SIZE, SIZE)) for box in (far, near)]
    at = (torch.arange(32) + 0.5) / 32
    ramp = (100 * at)[None, None, None, :].expand(1, 1, 32, 32)
    moved = moved_maps(ramp, affines[0], (SIZE, SIZE), affines[1], (SIZE, SIZE), (16, 8))
    expected = 20 + 40 * (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(moved[0, 0], expected.expand(16, 8), atol=1e-3, rtol=0)


def test_context_moves_a_point_as_far_as_its_weight(batch: ImageBatch, regions: Regions) -> None:
    """With weight 0 the crop's own peak stands; with a large one the whole image's, to a cell of its map."""
    whole = torch.tensor([[0.0, 0, 100, 120]])
    own, context = Maps((50, 50), 1.0, BOX), Maps((33, 75), 1.0, whole)
    for weight, expected, within in ((0.0, (50, 50), 1.0), (100.0, (33, 75), 4.0)):
        xy, _ = WithContext(own, context, weight).place(batch, regions)
        assert xy[0, 0].tolist() == pytest.approx(expected, abs=within)
