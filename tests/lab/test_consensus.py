"""Points that views agree on."""

import torch
from garment_keypoints.pipeline.contract.records import ImageBatch, Points
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from garment_keypoints.pipeline.lab.consensus import Agreed
from torch import Tensor

SIZE = 64
BOX = torch.tensor([[20.0, 30, 60, 70]])


class Blob:
    """Finds the brightest pixel of the crop, as every point; one point is always in the left half, whichever way it looks."""

    size_wh, padding = (SIZE, SIZE), 0.1

    def __init__(self, stubborn: int = -1, off: float = 0.0) -> None:
        self.stubborn, self.off = stubborn, off

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        peak = crops[:, 0].flatten(1).argmax(1)
        xy = (torch.stack([peak % SIZE, peak // SIZE], -1) + 0.5)[:, None].repeat(1, 24, 1)
        xy[..., 1] += self.off
        if self.stubborn >= 0:
            xy[:, self.stubborn] = torch.tensor([8.0, 32])
        score = torch.full(xy.shape[:2], 0.5)
        return Points(xy, score, torch.zeros_like(score))


def batch() -> ImageBatch:
    images = torch.zeros(1, 3, 100, 100, dtype=torch.uint8)
    images[0, :, 44:46, 32:34] = 255  # about (33, 45)
    whole = torch.tensor([[100, 100]]), torch.tensor([0]), torch.tensor([0])
    return ImageBatch(images, *whole, torch.zeros(1, 32), torch.tensor([1]))


def test_all_views_see_the_same_point_of_the_image(schema: Schema) -> None:
    """At three paddings and in the mirror, at the middle of what is bright."""
    predictor = Agreed([Blob()], [0.0, 0.1, 0.3], torch.tensor(schema.flip_index), tolerance=0.05)
    xy, score = predictor.predict_points(batch(), GivenBoxes(BOX).regions(batch()))
    assert (xy - torch.tensor([33.0, 45])).abs().max() < 1
    assert (score == 0.5).all()


def test_a_point_that_moves_with_the_mirror_is_not_agreed_on(schema: Schema) -> None:
    """One that stays on the left names its partner on the right in the mirrored crop: both are off."""
    k = schema.keypoints.index("armpit_left")
    partner = schema.flip_index[k]
    predictor = Agreed([Blob(stubborn=k)], [0.0], torch.tensor(schema.flip_index), tolerance=0.05)
    _, score = predictor.predict_points(batch(), GivenBoxes(BOX).regions(batch()))
    assert (score[0] == 0).nonzero().flatten().tolist() == sorted([k, partner])


def test_two_networks_have_to_agree(schema: Schema) -> None:
    """The second is 4 crop pixels off: 2.5 of the image, which is 1.25 from the mean, of a box of 40."""
    regions = GivenBoxes(BOX).regions(batch())
    for tolerance, agreed in ((0.05, True), (0.02, False)):
        predictor = Agreed([Blob(), Blob(off=4)], [0.0], torch.tensor(schema.flip_index), tolerance)
        assert bool(predictor.predict_points(batch(), regions)[1].any()) == agreed
